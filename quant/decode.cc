// Scalar decoding: one function per format, the definition that the kernels are tested against.
//
// The order of the operations is part of the format: (scale * s) * code - (min * m), each step rounded to float32.
#include <string.h>

#include "quant/blocks.h"
#include "quant/codec.h"

namespace mote {
namespace {

void DecodeBlock(const BlockQ4_0& block, float* out) {
  const float scale = F16ToF32(block.scale);
  for (int v = 0; v < kBlock; ++v) out[v] = scale * static_cast<float>(GetBits(block.codes, NibbleOf32(v), 15) - 8);
}

void DecodeBlock(const BlockQ4_1& block, float* out) {
  const float scale = F16ToF32(block.scale);
  const float min = F16ToF32(block.min);
  for (int v = 0; v < kBlock; ++v) out[v] = scale * static_cast<float>(GetBits(block.codes, NibbleOf32(v), 15)) + min;
}

template <class Block>
int Code5(const Block& block, int v) {
  return GetBits(block.codes, NibbleOf32(v), 15) | GetBits(block.high, {v / 8, v % 8}, 1) << 4;
}

void DecodeBlock(const BlockQ5_0& block, float* out) {
  const float scale = F16ToF32(block.scale);
  for (int v = 0; v < kBlock; ++v) out[v] = scale * static_cast<float>(Code5(block, v) - 16);
}

void DecodeBlock(const BlockQ5_1& block, float* out) {
  const float scale = F16ToF32(block.scale);
  const float min = F16ToF32(block.min);
  for (int v = 0; v < kBlock; ++v) out[v] = scale * static_cast<float>(Code5(block, v)) + min;
}

void DecodeBlock(const BlockQ8_0& block, float* out) {
  const float scale = F16ToF32(block.scale);
  for (int v = 0; v < kBlock; ++v) out[v] = scale * static_cast<float>(block.codes[v]);
}

void DecodeBlock(const BlockIQ4_NL& block, float* out) {
  const float scale = F16ToF32(block.scale);
  for (int v = 0; v < kBlock; ++v) {
    out[v] = scale * static_cast<float>(kIQ4Values[GetBits(block.codes, NibbleOf32(v), 15)]);
  }
}

void DecodeBlock(const BlockMXFP4& block, float* out) {
  const float scale = E8M0ToF32Half(block.exponent);
  for (int v = 0; v < kBlock; ++v) {
    out[v] = scale * static_cast<float>(kMXFP4Values[GetBits(block.codes, NibbleOf32(v), 15)]);
  }
}

void DecodeBlock(const BlockQ2_K& block, float* out) {
  const float scale = F16ToF32(block.scale);
  const float min = F16ToF32(block.min);
  for (int group = 0; group < kSuperBlock / 16; ++group) {
    const float group_scale = scale * static_cast<float>(block.scales[group] & 15);
    const float group_min = min * static_cast<float>(block.scales[group] >> 4);
    for (int v = group * 16; v < group * 16 + 16; ++v) {
      out[v] = group_scale * static_cast<float>(GetBits(block.codes, PairOf128(v), 3)) - group_min;
    }
  }
}

void DecodeBlock(const BlockQ3_K& block, float* out) {
  const float scale = F16ToF32(block.scale);
  for (int group = 0; group < kSuperBlock / 16; ++group) {
    const float group_scale = scale * static_cast<float>(Q3Scale(block.scales, group) - 32);
    for (int v = group * 16; v < group * 16 + 16; ++v) {
      const int code = GetBits(block.codes, PairOf128(v), 3) | GetBits(block.high, BitOf256(v), 1) << 2;
      out[v] = group_scale * static_cast<float>(code - 4);
    }
  }
}

void DecodeBlock(const BlockQ4_K& block, float* out) {
  const float scale = F16ToF32(block.scale);
  const float min = F16ToF32(block.min);
  for (int group = 0; group < kSuperBlock / 32; ++group) {
    const ScaleMin packed = UnpackScaleMin(block.scales, group);
    const float group_scale = scale * static_cast<float>(packed.scale);
    const float group_min = min * static_cast<float>(packed.min);
    for (int v = group * 32; v < group * 32 + 32; ++v) {
      out[v] = group_scale * static_cast<float>(GetBits(block.codes, NibbleOf64(v), 15)) - group_min;
    }
  }
}

void DecodeBlock(const BlockQ5_K& block, float* out) {
  const float scale = F16ToF32(block.scale);
  const float min = F16ToF32(block.min);
  for (int group = 0; group < kSuperBlock / 32; ++group) {
    const ScaleMin packed = UnpackScaleMin(block.scales, group);
    const float group_scale = scale * static_cast<float>(packed.scale);
    const float group_min = min * static_cast<float>(packed.min);
    for (int v = group * 32; v < group * 32 + 32; ++v) {
      const int code = GetBits(block.codes, NibbleOf64(v), 15) | GetBits(block.high, BitOf256(v), 1) << 4;
      out[v] = group_scale * static_cast<float>(code) - group_min;
    }
  }
}

void DecodeBlock(const BlockQ6_K& block, float* out) {
  const float scale = F16ToF32(block.scale);
  for (int group = 0; group < kSuperBlock / 16; ++group) {
    const float group_scale = scale * static_cast<float>(block.scales[group]);
    for (int v = group * 16; v < group * 16 + 16; ++v) {
      const int code = GetBits(block.low, NibbleOf128(v), 15) | GetBits(block.high, PairOf128(v), 3) << 4;
      out[v] = group_scale * static_cast<float>(code - 32);
    }
  }
}

void DecodeBlock(const BlockIQ4_XS& block, float* out) {
  const float scale = F16ToF32(block.scale);
  for (int group = 0; group < kSuperBlock / 32; ++group) {
    const float group_scale = scale * static_cast<float>(IQ4Scale(block, group) - 32);
    for (int v = group * 32; v < group * 32 + 32; ++v) {
      out[v] = group_scale * static_cast<float>(kIQ4Values[GetBits(block.codes, NibbleOfGroup32(v), 15)]);
    }
  }
}

template <class Block, int kValues>
void DecodeBlocks(const void* src, float* dst, size_t values) {
  const uint8_t* bytes = static_cast<const uint8_t*>(src);
  for (size_t v = 0; v + kValues <= values; v += kValues, bytes += sizeof(Block)) {
    Block block;
    memcpy(&block, bytes, sizeof(block));
    DecodeBlock(block, dst + v);
  }
}

template <float (*Convert)(uint16_t)>
void Decode16(const void* src, float* dst, size_t values) {
  const uint8_t* bytes = static_cast<const uint8_t*>(src);
  for (size_t v = 0; v < values; ++v) {
    uint16_t bits;
    memcpy(&bits, bytes + 2 * v, sizeof(bits));
    dst[v] = Convert(bits);
  }
}

void DecodeI8Row(const void* src, float* dst, size_t values) {
  const uint8_t* bytes = static_cast<const uint8_t*>(src);
  float scale;
  memcpy(&scale, bytes + values, sizeof(scale));
  for (size_t v = 0; v < values; ++v) dst[v] = scale * static_cast<float>(static_cast<int8_t>(bytes[v]));
}

}  // namespace

void DecodeRow(DType type, const void* src, float* dst, size_t values) {
  switch (type) {
    case DType::kF32:
      if (values != 0) memcpy(dst, src, values * sizeof(float));
      return;
    case DType::kF16:
      return Decode16<F16ToF32>(src, dst, values);
    case DType::kBF16:
      return Decode16<BF16ToF32>(src, dst, values);
    case DType::kQ4_0:
      return DecodeBlocks<BlockQ4_0, kBlock>(src, dst, values);
    case DType::kQ4_1:
      return DecodeBlocks<BlockQ4_1, kBlock>(src, dst, values);
    case DType::kQ5_0:
      return DecodeBlocks<BlockQ5_0, kBlock>(src, dst, values);
    case DType::kQ5_1:
      return DecodeBlocks<BlockQ5_1, kBlock>(src, dst, values);
    case DType::kQ8_0:
      return DecodeBlocks<BlockQ8_0, kBlock>(src, dst, values);
    case DType::kIQ4_NL:
      return DecodeBlocks<BlockIQ4_NL, kBlock>(src, dst, values);
    case DType::kMXFP4:
      return DecodeBlocks<BlockMXFP4, kBlock>(src, dst, values);
    case DType::kQ2_K:
      return DecodeBlocks<BlockQ2_K, kSuperBlock>(src, dst, values);
    case DType::kQ3_K:
      return DecodeBlocks<BlockQ3_K, kSuperBlock>(src, dst, values);
    case DType::kQ4_K:
      return DecodeBlocks<BlockQ4_K, kSuperBlock>(src, dst, values);
    case DType::kQ5_K:
      return DecodeBlocks<BlockQ5_K, kSuperBlock>(src, dst, values);
    case DType::kQ6_K:
      return DecodeBlocks<BlockQ6_K, kSuperBlock>(src, dst, values);
    case DType::kIQ4_XS:
      return DecodeBlocks<BlockIQ4_XS, kSuperBlock>(src, dst, values);
    case DType::kI8Row:
      return DecodeI8Row(src, dst, values);
    case DType::kI8:
    case DType::kI16:
    case DType::kI32:
    case DType::kI64:
    case DType::kF64:
      return;  // not weights: excluded by contract
  }
}

}  // namespace mote
