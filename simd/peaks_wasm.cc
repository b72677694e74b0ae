// Peak loops of WebAssembly SIMD, and of relaxed SIMD where the build has it. A module either has an instruction or
// does not validate, so nothing is asked for at run time.
#include "simd/peaks_impl.h"

#if defined(__wasm_simd128__)
#include <wasm_simd128.h>

namespace mote::simd {
namespace {

// The host's instructions in the end: latencies of 4 cycles, two started per cycle, and 16 registers at least.
constexpr size_t kChains = 12;

// One vector per chain. There is no register constraint for vectors here, and the host's compiler would merge equal
// products besides: the first operand of every chain comes from memory of its own, whose address is hidden in each
// round.
struct Operands {
  alignas(16) int8_t bytes[kChains][16];
};

// `step`(acc, a, b) as in MOTE_PEAK_LOOP, inlined.
template <class Lane, class Step>
inline PeakCount Loop(uint64_t rounds, uint64_t macs, v128_t operand, v128_t b, Step step) {
  Operands operands;
  v128_t accs[kChains];
  for (size_t i = 0; i < kChains; ++i) {
    wasm_v128_store(operands.bytes[i], operand);
    accs[i] = wasm_i32x4_splat(0);
  }
  const Operands* a = &operands;
  for (uint64_t round = 0; round < rounds; ++round) {
    asm volatile("" : "+r"(a) : : "memory");
#pragma GCC unroll 12
    for (size_t i = 0; i < kChains; ++i) accs[i] = step(accs[i], wasm_v128_load(a->bytes[i]), b);
  }
  double sum = 0;
  for (size_t i = 0; i < kChains; ++i) {
    Lane lanes[4];
    memcpy(lanes, &accs[i], sizeof(lanes));
    for (const Lane lane : lanes) sum += static_cast<double>(lane);
  }
  return {rounds * kChains * macs * 2, sum};
}

#if defined(__wasm_relaxed_simd__)
// The second operand has 7 bits, 0..127: here the 3, so that every host agrees.
PeakCount Int8RelaxedDot(uint64_t rounds) {
  return Loop<int32_t>(rounds, 16, wasm_i8x16_splat(-2), wasm_i8x16_splat(3), [](v128_t acc, v128_t a, v128_t b) {
    return wasm_i32x4_relaxed_dot_i8x16_i7x16_add(a, b, acc);
  });
}
PeakCount F32RelaxedMadd(uint64_t rounds) {
  return Loop<float>(rounds, 4, wasm_f32x4_splat(1), wasm_f32x4_splat(1),
                     [](v128_t acc, v128_t a, v128_t b) { return wasm_f32x4_relaxed_madd(a, b, acc); });
}
#endif

// Operands already widened to 16 bits.
PeakCount Int16Dot(uint64_t rounds) {
  return Loop<int32_t>(rounds, 8, wasm_i16x8_splat(-2), wasm_i16x8_splat(3),
                       [](v128_t acc, v128_t a, v128_t b) { return wasm_i32x4_add(acc, wasm_i32x4_dot_i16x8(a, b)); });
}
// A 32-bit lane holds two bfloat16 values: one is shifted, the other masked into place.
PeakCount Bf16MulAdd(uint64_t rounds) {
  return Loop<float>(rounds, 8, wasm_i32x4_splat(0x3F803F80), wasm_f32x4_splat(1), [](v128_t acc, v128_t a, v128_t b) {
    const v128_t high = wasm_v128_and(a, wasm_i32x4_splat(static_cast<int>(0xFFFF0000)));
    return wasm_f32x4_add(wasm_f32x4_add(acc, wasm_f32x4_mul(high, b)), wasm_f32x4_mul(wasm_i32x4_shl(a, 16), b));
  });
}
PeakCount F32MulAdd(uint64_t rounds) {
  return Loop<float>(rounds, 4, wasm_f32x4_splat(1), wasm_f32x4_splat(1),
                     [](v128_t acc, v128_t a, v128_t b) { return wasm_f32x4_add(acc, wasm_f32x4_mul(a, b)); });
}

MOTE_PEAK_READ(ReadSum, , v128_t, wasm_i64x2_splat(0), wasm_v128_load, wasm_i64x2_add)

}  // namespace

void AddWasmPeaks(std::vector<PeakLoop>& loops, std::vector<ReadLoop>& reads) {
#if defined(__wasm_relaxed_simd__)
  loops.push_back({PeakKind::kInt8, "i32x4.relaxed_dot_i8x16_i7x16_add_s", "", Int8RelaxedDot});
  loops.push_back({PeakKind::kF32, "f32x4.relaxed_madd", "", F32RelaxedMadd});
#endif
  loops.push_back({PeakKind::kInt8, "i32x4.dot_i16x8_s", "", Int16Dot});
  loops.push_back({PeakKind::kBf16, "i32x4.shl, f32x4.mul, f32x4.add", "", Bf16MulAdd});
  loops.push_back({PeakKind::kF32, "f32x4.mul, f32x4.add", "", F32MulAdd});
  reads.push_back({"128 bit", "", ReadSum});
}

}  // namespace mote::simd

#else

namespace mote::simd {
void AddWasmPeaks(std::vector<PeakLoop>&, std::vector<ReadLoop>&) {}
}  // namespace mote::simd

#endif
