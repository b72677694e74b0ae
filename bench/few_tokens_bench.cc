// Products of few tokens: what several tokens at once cost beside one, with weights that come from memory.
//
//   few_tokens_bench [TYPE ...]     as mote quantize names them; those that docs/performance.md has
//
// Workers share matrices of 8192 x 2048 in large pages, 256 rows at a time as a step does, matrix after matrix and type
// after type, so that none is in a cache when its turn comes again. Each line is a type: the share of a plain read
// loop's speed that one token has, and the median time of 2 to 16 tokens over that of one, rounds interleaved. Time is
// that of the processors, for a machine that others use too.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/kernels_of_bench.h"
#include "engine/core/buffer.h"
#include "engine/core/context.h"
#include "quant/codec.h"
#include "simd/kernels.h"
#include "simd/peaks.h"
#include "simd/unit.h"
#include "targets/cpu/cpu_info.h"

namespace {

using namespace mote;  // NOLINT: a program of one file

constexpr uint64_t kRows = 8192;
constexpr uint64_t kCols = 2048;
constexpr uint64_t kTileRows = 256;
constexpr uint64_t kPoolBytes = uint64_t{192} << 20;  // of each type
constexpr size_t kTokens[] = {1, 2, 3, 4, 5, 6, 8, 12, 16};
constexpr size_t kMostTokens = 16;
constexpr int kRounds = 25;

struct Subject {
  DType type = DType::kF32;
  Buffer panels;  // `matrices` of them, one after the other
  uint64_t matrix_bytes = 0, matrices = 0, next = 0;
  Buffer acts;
  size_t act_stride = 0;
  std::vector<double> seconds[std::size(kTokens)];  // of one matrix
};

Subject NewSubject(DType type, const simd::KernelTable& kernels, Platform& platform) {
  Subject subject;
  subject.type = type;
  subject.matrix_bytes = simd::PackedBytes(kernels, type, kRows, kCols);
  subject.matrices = kPoolBytes / subject.matrix_bytes;
  subject.panels = std::move(Buffer::Create(subject.matrix_bytes * subject.matrices, "panels")).value();
  platform.PreferLargePages(subject.panels.data(), subject.panels.size());
  FillWithSmallHalves(subject.panels.data(), subject.panels.size());
  std::vector<float> x(kCols);
  subject.act_stride = simd::UsesA8(type)   ? simd::A8RowBytes(kCols)
                       : simd::UsesR8(type) ? simd::R8RowBytes(kCols)
                                            : kCols * sizeof(float);
  subject.acts = std::move(Buffer::Create(subject.act_stride * kMostTokens, "activations")).value();
  for (size_t t = 0; t < kMostTokens; ++t) {
    for (size_t i = 0; i < kCols; ++i) x[i] = static_cast<float>((i + 11 * t) * 37 % 101) / 50 - 1;
    uint8_t* row = subject.acts.data() + t * subject.act_stride;
    if (simd::UsesA8(type)) {
      kernels.quantize_a8(x.data(), kCols, simd::ActGroup(type), row);
    } else if (simd::UsesR8(type)) {
      kernels.quantize_r8(x.data(), kCols, row);
    } else {
      memcpy(row, x.data(), subject.act_stride);
    }
  }
  return subject;
}

struct Job {
  simd::MatMulFn matmul;
  simd::MatMulArgs args;  // of the first row
  uint64_t row_bytes, workers;
  const std::vector<Buffer>* scratch;

  static void Run(void* self, int worker) {
    const Job& job = *static_cast<const Job*>(self);
    const uint64_t tiles = kRows / kTileRows;
    const uint64_t begin = tiles * static_cast<uint64_t>(worker) / job.workers;
    const uint64_t end = tiles * (static_cast<uint64_t>(worker) + 1) / job.workers;
    for (uint64_t tile = begin; tile < end; ++tile) {
      simd::MatMulArgs args = job.args;
      args.panels += tile * kTileRows * job.row_bytes;
      args.out += tile * kTileRows;
      args.rows = kTileRows;
      args.scratch = const_cast<uint8_t*>((*job.scratch)[static_cast<size_t>(worker)].data());
      job.matmul(args);
    }
  }
};

// Each worker reads its part of one matrix.
struct ReadJob {
  simd::ReadLoop loop;
  const uint8_t* bytes;
  uint64_t part;

  static void Run(void* self, int worker) {
    const ReadJob& job = *static_cast<const ReadJob*>(self);
    volatile uint64_t sum = job.loop.sum(job.bytes + static_cast<uint64_t>(worker) * job.part, job.part);
    static_cast<void>(sum);
  }
};

// The fastest whose CPU features are there.
simd::ReadLoop BestReadLoop() {
  const cpu::CpuInfo info = cpu::DetectCpu();
  for (const simd::ReadLoop& loop : simd::AllReadLoops()) {
    bool has = true;
    for (std::string_view needs = loop.needs; has && !needs.empty();) {
      const size_t space = std::min(needs.find(' '), needs.size());
      has = info.Has(needs.substr(0, space));
      needs.remove_prefix(std::min(space + 1, needs.size()));
    }
    if (has) return loop;
  }
  return simd::AllReadLoops().back();  // which needs nothing
}

// Seconds of all workers together for one matrix after the other, so many that their bytes take some milliseconds.
template <class MakeJob>
double Time(ThreadPool& pool, Subject* subject, const MakeJob& make) {
  constexpr uint64_t kTimed = 5;
  const double start = CpuSeconds();
  for (uint64_t i = 0; i < kTimed; ++i) {
    auto job = make(subject->panels.data() + subject->next * subject->matrix_bytes);
    subject->next = (subject->next + 1) % subject->matrices;
    pool.Run(&decltype(job)::Run, &job);
  }
  return (CpuSeconds() - start) / kTimed;
}

void Measure(const simd::KernelTable& kernels, ThreadPool& pool, Platform& platform, const std::vector<DType>& types) {
  std::vector<Subject> subjects;
  for (const DType type : types) subjects.push_back(NewSubject(type, kernels, platform));
  std::vector<float> out(kMostTokens * kRows);
  std::vector<Buffer> scratch;
  for (int i = 0; i < pool.num_workers(); ++i) {
    scratch.push_back(std::move(Buffer::Create(simd::MatMulScratchBytes(kernels), "scratch")).value());
  }
  const uint64_t workers = static_cast<uint64_t>(pool.num_workers());
  const simd::ReadLoop loop = BestReadLoop();
  const simd::FetchAhead ahead = simd::FetchAheadOfCpu();
  std::vector<std::vector<double>> reading(subjects.size());
  for (int round = 0; round <= kRounds; ++round) {
    for (size_t i = 0; i < subjects.size(); ++i) {
      Subject& subject = subjects[i];
      const uint64_t part = subject.matrix_bytes / workers / simd::kReadBlockBytes * simd::kReadBlockBytes;
      const double read = Time(pool, &subject, [&](const uint8_t* bytes) { return ReadJob{loop, bytes, part}; });
      if (round > 0) reading[i].push_back(read);
      // Another one first in each round: what comes after the reading found memory slower (Zen 5).
      for (size_t n = 0; n < std::size(kTokens); ++n) {
        const size_t m = (n + static_cast<size_t>(round)) % std::size(kTokens);
        const double seconds = Time(pool, &subject, [&](const uint8_t* panels) {
          Job job = {simd::MatMulOf(kernels, subject.type), {}, subject.matrix_bytes / kRows, workers, &scratch};
          job.args.panels = panels;
          job.args.k = kCols;
          job.args.acts = subject.acts.data();
          job.args.act_stride_bytes = subject.act_stride;
          job.args.m = kTokens[m];
          job.args.out = out.data();
          job.args.out_stride = kRows;
          job.args.ahead = ahead;
          return job;
        });
        if (round > 0) subject.seconds[m].push_back(seconds);
      }
    }
  }
  printf("%s, %d workers\n| type | GB/s a worker | of reading |", kernels.name, pool.num_workers());
  for (const size_t m : kTokens) {
    if (m > 1) printf(" %zu |", m);
  }
  printf("\n");
  for (size_t i = 0; i < subjects.size(); ++i) {
    const double one = Median(subjects[i].seconds[0]);
    printf("| %s | %.1f | %.0f %% |", DTypeName(subjects[i].type),
           static_cast<double>(subjects[i].matrix_bytes) / one * 1e-9, Median(reading[i]) / one * 100);
    for (size_t m = 1; m < std::size(kTokens); ++m) printf(" %.2f |", Median(subjects[i].seconds[m]) / one);
    printf("\n");
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::unique_ptr<Platform> platform = CreatePlatform();
  const std::unique_ptr<ThreadPool> pool = std::move(platform->CreateThreadPool(0)).value();
  const simd::KernelTable* kernels = KernelsAskedFor();
  if (kernels == nullptr) return 2;
  std::vector<DType> types = {DType::kQ4_0,   DType::kQ8_0, DType::kQ4_K, DType::kQ6_K, DType::kIQ4_NL,
                              DType::kIQ4_XS, DType::kF16,  DType::kBF16, DType::kI8Row};
  if (argc > 1) types.clear();
  for (int i = 1; i < argc; ++i) {
    DType type = DType::kF32;
    if (!DTypeFromName(argv[i], &type) || simd::MatMulOf(*kernels, type) == nullptr) {
      fprintf(stderr, "no products with weights of type '%s'\n", argv[i]);
      return 2;
    }
    types.push_back(type);
  }
  Measure(*kernels, *pool, *platform, types);
  return 0;
}
