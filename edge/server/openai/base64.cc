#include "edge/server/openai/base64.h"

#include <stddef.h>

#include <array>

namespace mote::server {
namespace {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::array<uint8_t, 256> MakeValues() {
  std::array<uint8_t, 256> values = {};
  for (uint8_t& value : values) value = 0xFF;
  for (size_t i = 0; i < kAlphabet.size(); ++i) values[static_cast<uint8_t>(kAlphabet[i])] = static_cast<uint8_t>(i);
  return values;
}

constexpr std::array<uint8_t, 256> kValues = MakeValues();

}  // namespace

bool DecodeBase64(std::string_view text, std::string* out) {
  if (text.size() % 4 != 0) return false;
  size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  const size_t start = out->size();
  out->resize(start + text.size() / 4 * 3);
  char* to = out->data() + start;
  uint32_t wrong = 0;  // collected, so that the loop has no branch
  const size_t whole = text.size() - (padding > 0 ? 4 : 0);
  const auto value = [&](size_t i) -> uint32_t { return kValues[static_cast<uint8_t>(text[i])]; };
  for (size_t i = 0; i < whole; i += 4) {
    const uint32_t a = value(i), b = value(i + 1), c = value(i + 2), d = value(i + 3);
    wrong |= a | b | c | d;
    const uint32_t bits = a << 18 | b << 12 | c << 6 | d;
    *to++ = static_cast<char>(bits >> 16);
    *to++ = static_cast<char>(bits >> 8);
    *to++ = static_cast<char>(bits);
  }
  if (padding > 0) {
    const uint32_t a = value(whole), b = value(whole + 1), c = padding == 1 ? value(whole + 2) : 0;
    wrong |= a | b | c;
    const uint32_t bits = a << 18 | b << 12 | c << 6;
    *to++ = static_cast<char>(bits >> 16);
    if (padding == 1) *to++ = static_cast<char>(bits >> 8);
    const uint32_t unused = padding == 1 ? bits & 0xFF : bits & 0xFFFF;
    if (unused != 0) wrong = 0x80;
  }
  out->resize(out->size() - padding);
  return (wrong & 0x80) == 0;
}

std::string EncodeBase64(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t bits = 0;
    for (size_t k = 0; k < 3; ++k) bits = bits << 8 | (i + k < bytes.size() ? static_cast<uint8_t>(bytes[i + k]) : 0);
    for (size_t k = 0; k < 4; ++k) text += i + k <= bytes.size() ? kAlphabet[bits >> (18 - 6 * k) & 63] : '=';
  }
  return text;
}

}  // namespace mote::server
