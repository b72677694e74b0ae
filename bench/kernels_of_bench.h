// What the programs that time kernels share.
#ifndef MOTE_BENCH_KERNELS_OF_BENCH_H_
#define MOTE_BENCH_KERNELS_OF_BENCH_H_

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <algorithm>
#include <vector>

#include "simd/kernels.h"

namespace mote {

// Random bytes whose 16-bit fields are small float16 numbers wherever a scale may lie: speed must not depend on NaN or
// subnormals, and no format's layout needs to be known. Whole words of 8 bytes are written.
inline void FillWithSmallHalves(uint8_t* bytes, size_t count) {
  uint64_t state = 0x9e3779b97f4a7c15u;
  for (size_t i = 0; i + 8 <= count; i += 8) {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    const uint64_t word = (state & 0xbfffbfffbfffbfffu) | 0x2000200020002000u;
    memcpy(bytes + i, &word, sizeof(word));
  }
}

// That all threads of the process have had of the processors.
inline double CpuSeconds() {
  timespec now = {};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

inline double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Of MOTE_ISA, or the best that there are here; null, and said why, where that cannot be run.
inline const simd::KernelTable* KernelsAskedFor() {
  const char* isa = getenv("MOTE_ISA");
  const simd::KernelTable* kernels = isa == nullptr ? &simd::BestTable() : simd::FindTable(isa);
  if (kernels != nullptr && simd::CanRun(*kernels)) return kernels;
  fprintf(stderr, "MOTE_ISA=%s is not possible here\n", isa == nullptr ? "" : isa);
  return nullptr;
}

}  // namespace mote

#endif  // MOTE_BENCH_KERNELS_OF_BENCH_H_
