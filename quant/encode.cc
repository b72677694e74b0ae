#include "quant/encode.h"

#include <math.h>
#include <string.h>

#include "quant/codec.h"

namespace mote {
namespace {

bool AllFinite(const float* x, size_t n) {
  uint32_t largest = 0;
  for (size_t i = 0; i < n; ++i) {
    uint32_t bits;
    memcpy(&bits, x + i, sizeof(bits));
    bits &= 0x7fffffffu;
    largest = bits > largest ? bits : largest;
  }
  return largest < 0x7f800000u;
}

template <class Block, int kValues>
bool EncodeBlocks(const float* src, const float* importance, void* dst, size_t values) {
  uint8_t* bytes = static_cast<uint8_t*>(dst);
  for (size_t v = 0; v + kValues <= values; v += kValues, bytes += sizeof(Block)) {
    Block block;
    if (!EncodeBlock(src + v, importance == nullptr ? nullptr : importance + v, &block)) return false;
    memcpy(bytes, &block, sizeof(block));
  }
  return true;
}

template <uint16_t (*Convert)(float), uint16_t kInfinity>
bool Encode16(const float* src, void* dst, size_t values) {
  uint8_t* bytes = static_cast<uint8_t*>(dst);
  bool fits = true;
  for (size_t v = 0; v < values; ++v) {
    const uint16_t bits = Convert(src[v]);
    fits = fits && (bits & kInfinity) != kInfinity;
    memcpy(bytes + 2 * v, &bits, sizeof(bits));
  }
  return fits;
}

// Rows whose largest magnitude is smaller are zero: the factor would overflow.
constexpr float kI8Smallest = 0x1p-100f;

bool EncodeI8Row(const float* src, void* dst, size_t values) {
  float largest = 0;
  for (size_t v = 0; v < values; ++v) largest = fmaxf(largest, fabsf(src[v]));
  const bool zero = largest < kI8Smallest;
  const float factor = zero ? 0.0f : 127.0f / largest;
  const float scale = zero ? 0.0f : largest / 127.0f;
  uint8_t* bytes = static_cast<uint8_t*>(dst);
  for (size_t v = 0; v < values; ++v) {
    bytes[v] = static_cast<uint8_t>(static_cast<int8_t>(nearbyintf(src[v] * factor)));
  }
  memcpy(bytes + values, &scale, sizeof(scale));
  return true;
}

}  // namespace

bool EncodeRow(DType type, const float* src, void* dst, size_t values) {
  return EncodeRowWeighted(type, src, nullptr, dst, values);
}

bool EncodeRowWeighted(DType type, const float* src, const float* importance, void* dst, size_t values) {
  if (!AllFinite(src, values)) return false;
  switch (type) {
    case DType::kF32:
      if (values != 0) memcpy(dst, src, values * sizeof(float));
      return true;
    case DType::kF16:
      return Encode16<F32ToF16, 0x7c00>(src, dst, values);
    case DType::kBF16:
      return Encode16<F32ToBF16, 0x7f80>(src, dst, values);
    case DType::kQ4_0:
      return EncodeBlocks<BlockQ4_0, kBlock>(src, importance, dst, values);
    case DType::kQ4_1:
      return EncodeBlocks<BlockQ4_1, kBlock>(src, importance, dst, values);
    case DType::kQ5_0:
      return EncodeBlocks<BlockQ5_0, kBlock>(src, importance, dst, values);
    case DType::kQ5_1:
      return EncodeBlocks<BlockQ5_1, kBlock>(src, importance, dst, values);
    case DType::kQ8_0:
      return EncodeBlocks<BlockQ8_0, kBlock>(src, importance, dst, values);
    case DType::kIQ4_NL:
      return EncodeBlocks<BlockIQ4_NL, kBlock>(src, importance, dst, values);
    case DType::kMXFP4:
      return EncodeBlocks<BlockMXFP4, kBlock>(src, importance, dst, values);
    case DType::kQ2_K:
      return EncodeBlocks<BlockQ2_K, kSuperBlock>(src, importance, dst, values);
    case DType::kQ3_K:
      return EncodeBlocks<BlockQ3_K, kSuperBlock>(src, importance, dst, values);
    case DType::kQ4_K:
      return EncodeBlocks<BlockQ4_K, kSuperBlock>(src, importance, dst, values);
    case DType::kQ5_K:
      return EncodeBlocks<BlockQ5_K, kSuperBlock>(src, importance, dst, values);
    case DType::kQ6_K:
      return EncodeBlocks<BlockQ6_K, kSuperBlock>(src, importance, dst, values);
    case DType::kIQ4_XS:
      return EncodeBlocks<BlockIQ4_XS, kSuperBlock>(src, importance, dst, values);
    case DType::kI8Row:
      return EncodeI8Row(src, dst, values);
    case DType::kI8:
    case DType::kI16:
    case DType::kI32:
    case DType::kI64:
    case DType::kF64:
      return false;  // not weights
  }
  return false;
}

}  // namespace mote
