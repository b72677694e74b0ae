// Loops that do nothing but keep one execution unit busy: the denominators of every speed that mote tells.
//
// These are no kernels: they compute nothing that anybody wants. They are written in intrinsics, not in Highway,
// because the point is the very instruction; and they return what they did, so that a test can tell that they did it.
#ifndef MOTE_SIMD_PEAKS_H_
#define MOTE_SIMD_PEAKS_H_

#include <stddef.h>
#include <stdint.h>

#include <string_view>
#include <vector>

namespace mote::simd {

struct PeakCount {
  uint64_t ops = 0;  // multiplications plus additions done
  double sum = 0;    // of all accumulators: what the operands below give, exact while `rounds` is below 2^16
};

// What a loop computes, and its operands, the same in every lane.
enum class PeakKind : uint8_t {
  kInt8,      // int32 += uint8 or int8 * int8: 3 and -2, so sum = -6 * ops / 2
  kBf16,      // float32 += bfloat16 * bfloat16: 1 and 1, so sum = ops / 2
  kF16,       // float32 += float16 * float32: likewise (no kernel adds up in float16)
  kF32,       // float32 += float32 * float32: 1 and 1, so sum = ops / 2
  kTile,      // float32 += bfloat16 * bfloat16 by a matrix unit, where there is one: likewise
  kTileInt8,  // int32 += uint8 * int8 by it: as kInt8
};

struct PeakLoop {
  PeakKind kind;
  const char* primitive;  // the instruction, with its width where there are several: "vpdpbusd zmm"
  const char* needs;      // CPU features, separated by spaces, by the names of targets/cpu/cpu_info.h; "": none
  // `rounds` times through an unrolled block of independent multiply-accumulates, enough of them to hide the latency.
  PeakCount (*run)(uint64_t rounds);
};

// Sums the 64-bit words of `data`, modulo 2^64. `data` aligned to 64 bytes; `bytes` a multiple of kReadBlockBytes.
inline constexpr size_t kReadBlockBytes = 1024;
struct ReadLoop {
  const char* name;  // "512 bit", "scalar"
  const char* needs;
  uint64_t (*sum)(const void* data, size_t bytes);
};

// All that were compiled in, the fastest first (of each kind). The last ReadLoop needs nothing; so do the last loops of
// kInt8, kBf16 and kF32.
std::vector<PeakLoop> AllPeakLoops();
std::vector<ReadLoop> AllReadLoops();

// Whether a loop that needs `needs` stays within what the kernels of the row `isa` ("avx2", "neon") may use. A row that
// is not known allows everything; the scalar row allows what `is_scalar` is set for.
bool PeakWithinIsa(std::string_view isa, std::string_view needs, bool is_scalar);

}  // namespace mote::simd

#endif  // MOTE_SIMD_PEAKS_H_
