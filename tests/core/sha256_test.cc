#include "engine/core/sha256.h"

#include <gtest/gtest.h>

#include <string>

namespace mote {
namespace {

std::string Hex(const Sha256Digest& digest) {
  std::string hex;
  for (const uint8_t byte : digest) {
    hex += "0123456789abcdef"[byte >> 4];
    hex += "0123456789abcdef"[byte & 15];
  }
  return hex;
}

std::string HashOf(const std::string& text, size_t piece) {
  Sha256 hash;
  for (size_t i = 0; i < text.size(); i += piece) hash.Update(std::string_view(text).substr(i, piece));
  return Hex(hash.Finish());
}

// NIST's examples for FIPS 180-4 and the values of the CAVP byte vectors' long message.
TEST(Sha256, PublishedVectors) {
  EXPECT_EQ(HashOf("", 1), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(HashOf("abc", 3), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(HashOf("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 64),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(HashOf(std::string(1000000, 'a'), 4096),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, PiecesDoNotShow) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += static_cast<char>(i * 7);
  for (size_t size : {55, 56, 63, 64, 65, 119, 120, 128, 300}) {
    const std::string part = text.substr(0, size);
    for (size_t piece : {1, 3, 63, 64, 65, 127}) EXPECT_EQ(HashOf(part, piece), HashOf(part, 1000)) << size;
  }
}

}  // namespace
}  // namespace mote
