// Between simd/peaks.cc and its one file per instruction set. A file whose set the compiler does not have adds nothing.
#ifndef MOTE_SIMD_PEAKS_IMPL_H_
#define MOTE_SIMD_PEAKS_IMPL_H_

#include <vector>

#include "simd/peaks.h"

namespace mote::simd {

void AddX86Peaks(std::vector<PeakLoop>& loops, std::vector<ReadLoop>& reads);
void AddArmPeaks(std::vector<PeakLoop>& loops, std::vector<ReadLoop>& reads);
void AddWasmPeaks(std::vector<PeakLoop>& loops, std::vector<ReadLoop>& reads);

// Hides a value's origin: the compiler may neither fold the arithmetic on it nor merge accumulators that start equal.
#define MOTE_PEAK_OPAQUE(constraint, value) asm volatile("" : "+" constraint(value))

}  // namespace mote::simd

#endif  // MOTE_SIMD_PEAKS_IMPL_H_
