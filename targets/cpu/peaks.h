// The machine's own limits, measured: read bandwidth by working set, and peaks of the 8-bit, bfloat16, float16 and
// float32 units.
//
// Speeds of mote are told as shares of these. A shared machine is noisy, so every figure is a best of several rounds,
// with the median and the minimum beside it: the maximum is what the hardware can do, the median what it does today.
// Two virtual CPUs may share a core for a while, which only rounds far apart can tell (PeakOptions::passes).
#ifndef MOTE_TARGETS_CPU_PEAKS_H_
#define MOTE_TARGETS_CPU_PEAKS_H_

#include <stdint.h>

#include <string>
#include <vector>

#include "engine/core/context.h"
#include "engine/core/status.h"
#include "targets/cpu/cpu_info.h"

namespace mote::cpu {

// Rates of several rounds of the same work.
struct Rate {
  double min = 0;
  double median = 0;
  double max = 0;
};

struct BandwidthRow {
  const char* level = "";  // "L1", "L2", "L3", "memory"
  uint64_t bytes = 0;      // working set, all workers together
  int workers = 1;
  Rate bytes_per_second;
};

struct ComputeRow {
  const char* kind = "";       // "int8", "bf16", "f16", "f32"
  const char* primitive = "";  // the instruction measured: "vpdpbusd zmm", "sdot", "vfmadd ymm"
  int workers = 1;
  Rate ops_per_second;  // a multiplication and an addition are two operations
};

// Rows in this order: L1, L2, L3, memory (a level that is absent or unknown is left out), each with one worker and,
// where the pool has more, with all; int8, bf16, f16 (where the CPU converts it), f32 likewise.
struct Peaks {
  std::vector<BandwidthRow> bandwidth;
  std::vector<ComputeRow> compute;

  // The row with the most workers; null if there is none.
  const BandwidthRow* Bandwidth(const char* level) const;
  const ComputeRow* Compute(const char* kind) const;
};

struct PeakOptions {
  // Least length of one round, of all but the memory rows. Shorter than a scheduler's time slice (3 ms and more), so
  // that beside other programs some rounds pass undisturbed; far longer than waking the workers (0.05 ms).
  double sample_seconds = 0.001;
  int rounds = 15;            // of each row in each pass
  int passes = 1;             // through all rows, one after the other
  uint64_t memory_bytes = 0;  // 0: MemoryTestBytes(info)
  // Rows to measure.
  bool compute = true;
  bool bandwidth = true;
  // A row of the kernel table ("avx2"): only what its kernels may use is measured. Empty: what the CPU has.
  std::string isa;
};

// Large enough to be memory and not cache: 4x the last cache, between 1 and 2 GiB, but never above a quarter of the
// memory that is available (and 256 MiB where addresses have 32 bits).
uint64_t MemoryTestBytes(const CpuInfo& info);

// All rows, in 1 to 3 s a pass; where memory comes slowly (a virtual machine's first use of it), of less memory.
// Memory's are those of the faster of two loops: a worker reads its part as one stream, or as four in turn.
// kOutOfMemory where the memory test does not fit.
Result<Peaks> MeasurePeaks(ThreadPool& pool, const Clock& clock, const CpuInfo& info, const PeakOptions& options = {});

// Read bandwidth of all workers of the pool, by the faster of both loops, over a fresh working set of `bytes`, each
// worker reading its own part (touched by itself first, so that it lies on its node). `rounds` >= 1. In bytes per
// second.
Result<Rate> MeasureReadBandwidth(ThreadPool& pool, const Clock& clock, uint64_t bytes, int rounds = 9);

}  // namespace mote::cpu

#endif  // MOTE_TARGETS_CPU_PEAKS_H_
