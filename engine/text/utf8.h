// UTF-8, strictly: overlong forms, surrogates and values past U+10FFFF are invalid.
#ifndef MOTE_ENGINE_TEXT_UTF8_H_
#define MOTE_ENGINE_TEXT_UTF8_H_

#include <stddef.h>
#include <stdint.h>

#include <string>
#include <string_view>

#include "engine/text/unicode.h"

namespace mote {

struct Utf8Char {
  uint32_t code_point;  // kReplacementCharacter if !valid
  uint32_t bytes;       // 1 if !valid: each byte that fits nowhere stands alone
  bool valid;
};

// The character at `offset`; `offset` < text.size().
inline Utf8Char DecodeUtf8(std::string_view text, size_t offset) {
  const auto byte = [&](size_t i) -> uint32_t {  // 0, no continuation byte, past the end
    return offset + i < text.size() ? static_cast<uint8_t>(text[offset + i]) : 0;
  };
  const auto continues = [&](size_t i) { return (byte(i) & 0xC0) == 0x80; };
  constexpr Utf8Char kInvalid = {kReplacementCharacter, 1, false};
  const uint32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1, true};
  if (lead < 0xC2) return kInvalid;  // continuation bytes; C0 and C1 would be overlong
  if (lead < 0xE0) {
    if (!continues(1)) return kInvalid;
    return {(lead & 0x1F) << 6 | (byte(1) & 0x3F), 2, true};
  }
  if (lead < 0xF0) {
    if (!continues(1) || !continues(2)) return kInvalid;
    const uint32_t code = (lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
    if (code < 0x800 || (code >= 0xD800 && code < 0xE000)) return kInvalid;
    return {code, 3, true};
  }
  if (lead < 0xF5) {
    if (!continues(1) || !continues(2) || !continues(3)) return kInvalid;
    const uint32_t code = (lead & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
    if (code < 0x10000 || code > kMaxCodePoint) return kInvalid;
    return {code, 4, true};
  }
  return kInvalid;
}

// `code_point` <= kMaxCodePoint.
inline void AppendUtf8(uint32_t code_point, std::string* out) {
  const auto put = [&](uint32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0 | code_point >> 6);
    put(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    put(0xE0 | code_point >> 12);
    put(0x80 | (code_point >> 6 & 0x3F));
    put(0x80 | (code_point & 0x3F));
  } else {
    put(0xF0 | code_point >> 18);
    put(0x80 | (code_point >> 12 & 0x3F));
    put(0x80 | (code_point >> 6 & 0x3F));
    put(0x80 | (code_point & 0x3F));
  }
}

}  // namespace mote

#endif  // MOTE_ENGINE_TEXT_UTF8_H_
