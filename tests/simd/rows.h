// Which table rows the tests run, and random inputs for them.
#ifndef MOTE_TESTS_SIMD_ROWS_H_
#define MOTE_TESTS_SIMD_ROWS_H_

#include <gtest/gtest.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <string>
#include <vector>

#include "quant/blocks.h"
#include "quant/codec.h"
#include "simd/kernels.h"

namespace mote::testing {

// Every compiled row that this machine can run; the last one is "scalar".
inline std::vector<const simd::KernelTable*> RunnableRows() {
  std::vector<const simd::KernelTable*> rows;
  for (const simd::KernelTable* table : simd::Tables()) {
    if (simd::CanRun(*table)) rows.push_back(table);
  }
  return rows;
}

// xorshift64*: the same inputs on every platform.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 1) {}
  uint64_t Bits() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545f4914f6cdd1du;
  }
  size_t Below(size_t n) { return static_cast<size_t>(Bits() >> 33) % n; }
  // In [-1, 1).
  float Uniform() { return static_cast<float>(static_cast<double>(Bits() >> 40) / (1 << 23) - 1.0); }
  std::vector<float> Floats(size_t n, float amplitude = 1.0f) {
    std::vector<float> values(n);
    for (float& value : values) value = Uniform() * amplitude;
    return values;
  }

 private:
  uint64_t state_;
};

inline const std::vector<DType>& WeightTypes() {
  static const std::vector<DType> types = {DType::kF32,  DType::kF16,    DType::kBF16,   DType::kQ4_0,
                                           DType::kQ4_1, DType::kQ5_0,   DType::kQ5_1,   DType::kQ8_0,
                                           DType::kQ2_K, DType::kQ3_K,   DType::kQ4_K,   DType::kQ5_K,
                                           DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS, DType::kMXFP4};
  return types;
}

inline void Put16(uint8_t* p, uint16_t bits) {
  memcpy(p, &bits, sizeof(bits));
}

// Where a block keeps its float16 scale and min; kNone: it has none.
struct ScaleFields {
  static constexpr size_t kNone = SIZE_MAX;
  size_t scale = kNone;
  size_t min = kNone;
};
inline ScaleFields FieldsOf(DType type) {
  switch (type) {
    case DType::kQ4_0:
    case DType::kQ5_0:
    case DType::kQ8_0:
    case DType::kIQ4_NL:
    case DType::kIQ4_XS:
      return {0, ScaleFields::kNone};
    case DType::kQ4_1:
    case DType::kQ5_1:
    case DType::kQ4_K:
    case DType::kQ5_K:
      return {0, 2};
    case DType::kQ2_K:
      return {offsetof(BlockQ2_K, scale), offsetof(BlockQ2_K, min)};
    case DType::kQ3_K:
      return {offsetof(BlockQ3_K, scale), ScaleFields::kNone};
    case DType::kQ6_K:
      return {offsetof(BlockQ6_K, scale), ScaleFields::kNone};
    default:
      return {};
  }
}

// One row of `k` weights: random bytes, with scales and mins of either sign around `amplitude`.
inline std::vector<uint8_t> RandomWeights(DType type, size_t k, Random& random, float amplitude = 0.05f) {
  const DTypeInfo& info = *DTypeInfoOf(type);
  std::vector<uint8_t> row(RowBytes(type, k));
  if (info.block_values == 1) {
    std::vector<float> values = random.Floats(k, amplitude);
    EncodeRow(type, values.data(), row.data(), k);
    return row;
  }
  for (uint8_t& byte : row) byte = static_cast<uint8_t>(random.Bits() >> 40);
  const ScaleFields fields = FieldsOf(type);
  for (size_t block = 0; block < row.size(); block += info.block_bytes) {
    if (type == DType::kMXFP4) row[block] = static_cast<uint8_t>(118 + random.Below(8));
    if (fields.scale != ScaleFields::kNone) Put16(&row[block + fields.scale], F32ToF16(random.Uniform() * amplitude));
    if (fields.min != ScaleFields::kNone) Put16(&row[block + fields.min], F32ToF16(random.Uniform() * amplitude));
  }
  return row;
}

}  // namespace mote::testing

#endif  // MOTE_TESTS_SIMD_ROWS_H_
