// SHA-256 (FIPS 180-4): names contents by themselves.
#ifndef MOTE_ENGINE_CORE_SHA256_H_
#define MOTE_ENGINE_CORE_SHA256_H_

#include <stddef.h>
#include <stdint.h>

#include <array>
#include <span>
#include <string_view>

namespace mote {

using Sha256Digest = std::array<uint8_t, 32>;

class Sha256 {
 public:
  void Update(std::span<const uint8_t> bytes);
  void Update(std::string_view text) { Update({reinterpret_cast<const uint8_t*>(text.data()), text.size()}); }
  void UpdateUint(uint64_t value);  // 8 bytes, little-endian
  // Of everything so far; nothing may follow.
  Sha256Digest Finish();

 private:
  void Block(const uint8_t* bytes);

  uint32_t state_[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  uint8_t pending_[64] = {};
  uint64_t bytes_ = 0;
};

}  // namespace mote

#endif  // MOTE_ENGINE_CORE_SHA256_H_
