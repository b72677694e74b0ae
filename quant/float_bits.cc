// The 16-bit floats and the 8-bit exponent, by their bits.
#include <string.h>

#include "quant/codec.h"

namespace mote {
namespace {

uint32_t BitsOf(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits;
}

float FloatOf(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

constexpr uint32_t kSignF32 = 0x80000000u;
constexpr uint32_t kInfinityF32 = 0x7f800000u;
constexpr uint32_t kQuietF32 = 0x00400000u;

}  // namespace

// A signalling NaN becomes quiet, its payload kept: what IEEE 754 and every conversion instruction do.
float F16ToF32(uint16_t bits) {
  const uint32_t sign = (bits & 0x8000u) << 16;
  const uint32_t magnitude = bits & 0x7fffu;
  if (magnitude >= 0x7c00u) {
    const uint32_t payload = (magnitude & 0x3ffu) << 13;
    return FloatOf(sign | kInfinityF32 | payload | (payload != 0 ? kQuietF32 : 0));
  }
  if (magnitude >= 0x0400u) return FloatOf(sign | ((magnitude << 13) + ((127u - 15u) << 23)));
  const float value = static_cast<float>(magnitude) * 0x1p-24f;  // subnormal or zero: exact
  return FloatOf(sign | BitsOf(value));
}

uint16_t F32ToF16(float value) {
  const uint32_t bits = BitsOf(value);
  const uint32_t sign = (bits & kSignF32) >> 16;
  const uint32_t magnitude = bits & ~kSignF32;
  if (magnitude > kInfinityF32) return static_cast<uint16_t>(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));
  // 65520 lies halfway between the largest float16, 65504, and what would follow: from there on, infinity.
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);
  if (magnitude < 0x38800000u) {  // below 2^-14, the least normal float16: a multiple of 2^-24
    // Adding 0.5 moves the value's 2^-24 to the last bit of the float32 mantissa: the addition rounds to nearest even.
    const uint32_t rounded = BitsOf(FloatOf(magnitude) + 0.5f) - BitsOf(0.5f);
    return static_cast<uint16_t>(sign | rounded);
  }
  const uint32_t rebased = magnitude - ((127u - 15u) << 23);
  const uint32_t odd = (rebased >> 13) & 1;
  return static_cast<uint16_t>(sign | (rebased + 0x0fffu + odd) >> 13);
}

float BF16ToF32(uint16_t bits) {
  return FloatOf(static_cast<uint32_t>(bits) << 16);
}

uint16_t F32ToBF16(float value) {
  const uint32_t bits = BitsOf(value);
  if ((bits & ~kSignF32) > kInfinityF32) return static_cast<uint16_t>((bits | kQuietF32) >> 16);
  const uint32_t odd = (bits >> 16) & 1;
  return static_cast<uint16_t>((bits + 0x7fffu + odd) >> 16);
}

// 2^-128 and 2^-127 are subnormal. Exponent 255 (NaN in the OCP specification) is 2^127 here, as in ggml.
float E8M0ToF32Half(uint8_t bits) {
  if (bits < 2) return FloatOf(0x00200000u << bits);
  return FloatOf(static_cast<uint32_t>(bits - 1) << 23);
}

}  // namespace mote
