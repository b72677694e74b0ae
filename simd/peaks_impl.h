// Between simd/peaks.cc and its one file per instruction set. A file whose set the compiler does not have adds nothing.
#ifndef MOTE_SIMD_PEAKS_IMPL_H_
#define MOTE_SIMD_PEAKS_IMPL_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <vector>

#include "simd/peaks.h"

namespace mote::simd {

void AddX86Peaks(std::vector<PeakLoop>& loops, std::vector<ReadLoop>& reads);
void AddArmPeaks(std::vector<PeakLoop>& loops, std::vector<ReadLoop>& reads);
void AddWasmPeaks(std::vector<PeakLoop>& loops, std::vector<ReadLoop>& reads);

// Hides a value's origin: the compiler may neither fold the arithmetic on it nor merge accumulators that start equal.
#define MOTE_PEAK_OPAQUE(reg, value) asm volatile("" : "+" reg(value))
#if defined(__SSE2__)
#define MOTE_PEAK_FLOAT_REGISTER "x"
#elif defined(__aarch64__)
#define MOTE_PEAK_FLOAT_REGISTER "w"
#elif defined(__wasm__)
#define MOTE_PEAK_FLOAT_REGISTER "r"
#else
#define MOTE_PEAK_FLOAT_REGISTER "m"  // slow, but right everywhere
#endif

// Defines PeakCount name(uint64_t rounds): `chains` accumulators of type Vec, independent of each other, each going
// through `step` once per round. `step` is an expression in acc (one accumulator), a and b, whose value replaces acc; a
// part of it that does not depend on acc must start with MOTE_PEAK_OPAQUE, or it leaves the loop. `macs` is the number
// of multiply-accumulates of one step; Lane the accumulators' lane type. A macro, since a function's target attribute
// does not reach the lambdas and templates that it would otherwise be made of.
#define MOTE_PEAK_LOOP(name, target_attribute, reg, Vec, Lane, chains, macs, zero, a_init, b_init, step) \
  target_attribute PeakCount name(uint64_t rounds) {                                                     \
    Vec accs[chains];                                                                                    \
    for (size_t i = 0; i < chains; ++i) {                                                                \
      Vec start = zero;                                                                                  \
      MOTE_PEAK_OPAQUE(reg, start);                                                                      \
      accs[i] = start;                                                                                   \
    }                                                                                                    \
    auto a = a_init;                                                                                     \
    auto b = b_init;                                                                                     \
    MOTE_PEAK_OPAQUE(reg, a);                                                                            \
    MOTE_PEAK_OPAQUE(reg, b);                                                                            \
    for (uint64_t round = 0; round < rounds; ++round) {                                                  \
      _Pragma("GCC unroll 16") for (size_t i = 0; i < chains; ++i) {                                     \
        const Vec acc = accs[i];                                                                         \
        accs[i] = step;                                                                                  \
      }                                                                                                  \
    }                                                                                                    \
    double sum = 0;                                                                                      \
    _Pragma("GCC unroll 16") for (size_t i = 0; i < chains; ++i) {                                       \
      const Vec acc = accs[i];                                                                           \
      Lane lanes[sizeof(Vec) / (sizeof(Lane))];                                                          \
      memcpy(lanes, &acc, sizeof(acc));                                                                  \
      for (const Lane lane : lanes) sum += static_cast<double>(lane);                                    \
    }                                                                                                    \
    return {rounds * chains * macs * 2, sum};                                                            \
  }

// Defines uint64_t name(const void* data, size_t bytes) for ReadLoop::sum. Eight accumulators: with fewer, the latency
// of the addition would show in the first-level cache.
#define MOTE_PEAK_READ(name, target_attribute, Vec, zero, load, add) \
  target_attribute uint64_t name(const void* data, size_t bytes) {   \
    const uint8_t* p = static_cast<const uint8_t*>(data);            \
    const uint8_t* const end = p + bytes;                            \
    Vec accs[8];                                                     \
    for (size_t i = 0; i < 8; ++i) accs[i] = zero;                   \
    while (p != end) {                                               \
      _Pragma("GCC unroll 8") for (size_t i = 0; i < 8; ++i) {       \
        accs[i] = add(accs[i], load(p + i * sizeof(Vec)));           \
      }                                                              \
      p += 8 * sizeof(Vec);                                          \
    }                                                                \
    uint64_t sum = 0;                                                \
    _Pragma("GCC unroll 8") for (size_t i = 0; i < 8; ++i) {         \
      const Vec acc = accs[i];                                       \
      uint64_t words[sizeof(Vec) / (sizeof(uint64_t))];              \
      memcpy(words, &acc, sizeof(acc));                              \
      for (const uint64_t word : words) sum += word;                 \
    }                                                                \
    return sum;                                                      \
  }

}  // namespace mote::simd

#endif  // MOTE_SIMD_PEAKS_IMPL_H_
