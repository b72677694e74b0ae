// Products by a matrix unit: a part of the processor that multiplies whole tiles of 16-bit floats (Intel's AMX). One
// table beside each KernelTable whose instruction set has one. What simd/kernels.h says of arguments, memory and
// determinism holds here too, for any number of tokens; but sums are others than KernelTable::matmul's. So these are
// for graphs that run with many rows whenever they run (images): what a few tokens cost is nobody's concern.
//
// The unit's numbers are bfloat16, of 8 significant bits, its sums float32. Weights in blocks are decoded and rounded
// to that, and so are the activations they meet: 2^-8 of each value at most, where activations of 8 bits lose as much
// of the largest of 32. Weights that are floats are taken apart, as are their activations, into a bfloat16 and a second
// one of what the first has lost: x = high + low, 16 significant bits. BF16 weights have no low part; F16's is exact.
//   sum += a.low * w.high;  sum += a.high * w.high;  sum += a.high * w.low     for each 32 values of k, in their order
// Where most weights are in blocks the others may be rounded as those are, and so may attention: a third of the
// products.
#ifndef MOTE_SIMD_UNIT_H_
#define MOTE_SIMD_UNIT_H_

#include <stddef.h>
#include <stdint.h>

#include "simd/kernels.h"

namespace mote::simd {

// Values of k that one instruction takes.
inline constexpr size_t kUnitValues = 32;
constexpr size_t UnitPadded(size_t k) {
  return (k + kUnitValues - 1) / kUnitValues * kUnitValues;
}
// Activations lie as the unit reads them, 16 rows together: 32 values of k of each, 1 KiB in all, then the next 32; and
// behind the high parts of all of UnitPadded(k), where they have any, the low parts. This many bytes for each row;
// whole groups of 16, the last one too.
constexpr size_t UnitRowBytes(size_t k, bool low) {
  return UnitPadded(k) * sizeof(uint16_t) * (low ? 2 : 1);
}
inline constexpr size_t kUnitGroup = 16;
// Where row `row` begins; its next 32 values are kUnitStepBytes on.
constexpr size_t UnitRowAt(size_t row, size_t row_bytes) {
  return row / kUnitGroup * kUnitGroup * row_bytes + row % kUnitGroup * kUnitValues * sizeof(uint16_t);
}
inline constexpr size_t kUnitStepBytes = kUnitGroup * kUnitValues * sizeof(uint16_t);
// True if weights of this type meet activations with low parts.
inline bool UnitTakesLow(DType type) {
  return UsesFloats(type);
}

// Scratch memory of a product, for each thread that calls one: in the place of MatMulArgs::scratch.
inline constexpr size_t kUnitScratchBytes = 384 * 1024;

// Rows = tokens * heads. Queries and a block's keys and values, each in two parts; weights, in two, and scores of 32
// rows; sums.
constexpr uint64_t UnitAttentionBytes(uint64_t rows, size_t key_dim, size_t value_dim) {
  const uint64_t padded = UnitPadded(rows), keys = UnitPadded(key_dim), values = UnitPadded(value_dim);
  return sizeof(float) * (padded * (keys + values + 17) + kAttentionBlock * (keys + values + 2 * 2 * kUnitGroup)) +
         8 * 64;
}

// What happens to a product while it is in the cache: out = activation(product + bias).
struct UnitMatMulArgs : MatMulArgs {
  const float* bias = nullptr;                 // (rows); null: none
  decltype(KernelTable::gate) gate = nullptr;  // which takes it through `activation`; null: none does
  Activation activation = Activation::kRelu;
  // Not null: to there as the activations of another product, without low parts, instead of to `out`. Where the row of
  // the first token begins, a group's first, and row 0 of the weights; UnitRowBytes of those rows. What pads the last
  // 32 values is zero. Activations then are 2^-12 of their values off at most, before they lose 2^-8.
  uint8_t* out_acts = nullptr;
  size_t out_act_bytes = 0;
  // With out_acts and `gate`, not null: a second matrix of the same shape and type, which multiplies the same
  // activations; the result is activation(product + bias) times its product, to which `up_bias` is added.
  const uint8_t* up_panels = nullptr;
  const float* up_bias = nullptr;
};
using UnitMatMulFn = void (*)(const UnitMatMulArgs& args);

struct UnitKernels {
  // As KernelTable::matmul, from the same panels; activations as `split` leaves them, from a group's first row on,
  // act_stride_bytes = UnitRowBytes. Null where the type is no weight, and for kI8Row: KernelTable::matmul multiplies
  // whole numbers by the unit, with the same sums as ever. Index with MatMulIndex().
  UnitMatMulFn matmul[kMatMulTypes];
  // The same with weights that are floats rounded as those in blocks are: activations without low parts for all types.
  UnitMatMulFn rounded_matmul[kMatMulTypes];
  // K floats to the row of activations that begins at `out` (UnitRowAt): without low parts rounded to the nearest, to
  // even where two are as near, subnormal numbers to 0. NaN or infinity in gives unspecified results
  // of that row alone.
  void (*split)(const float* x, size_t k, bool low, void* out);
  // As KernelTable::attention where keys and values are cached as F16. `scratch`: UnitAttentionBytes, aligned to 64.
  // Infinite values count as the largest float16, NaN as one of the two.
  void (*attention)(const AttentionArgs& args);
  // The same with queries, keys, weights and values rounded to one bfloat16 each.
  void (*rounded_attention)(const AttentionArgs& args);
  // As KernelTable::cache_key of kF16 for the kCachePanel positions of one panel, whose keys are `stride` floats apart:
  // the same bits.
  void (*cache_key_panel)(const float* x, size_t stride, size_t dim, uint8_t* panel);
};
static_assert(sizeof(UnitKernels::matmul) == sizeof(KernelTable::matmul));
static_assert(sizeof(UnitKernels::rounded_matmul) == sizeof(KernelTable::matmul));

// Those of the same instruction set; null where it has none.
const UnitKernels* UnitKernelsOf(const KernelTable& table);

// Scratch memory that any product of the table may want.
inline size_t MatMulScratchBytes(const KernelTable& table) {
  return UnitKernelsOf(table) == nullptr ? kMatMulScratchBytes : kUnitScratchBytes;
}

}  // namespace mote::simd

#endif  // MOTE_SIMD_UNIT_H_
