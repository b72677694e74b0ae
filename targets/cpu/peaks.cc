#include "targets/cpu/peaks.h"

#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <algorithm>
#include <atomic>
#include <memory>
#include <utility>

#include "engine/core/buffer.h"
#include "engine/graph/read_rate.h"
#include "simd/peaks.h"

namespace mote::cpu {
namespace {

using simd::PeakKind;
using simd::PeakLoop;
using simd::ReadLoop;

bool HasAll(const CpuInfo& info, std::string_view needs) {
  while (!needs.empty()) {
    const size_t space = needs.find(' ');
    if (!info.Has(needs.substr(0, space))) return false;
    if (space == std::string_view::npos) break;
    needs.remove_prefix(space + 1);
  }
  return true;
}

ReadLoop BestReadLoop(const CpuInfo& info, std::string_view isa = "") {
  const std::vector<ReadLoop> all = simd::AllReadLoops();
  for (const ReadLoop& loop : all) {
    if (HasAll(info, loop.needs) && simd::PeakWithinIsa(isa, loop.needs, &loop == &all.back())) return loop;
  }
  return all.back();  // which needs nothing
}

// Null `run` where there is none.
PeakLoop BestPeakLoop(const CpuInfo& info, PeakKind kind, std::string_view isa) {
  for (const PeakLoop& loop : simd::AllPeakLoops()) {
    const bool is_scalar = strcmp(loop.primitive, "scalar") == 0;
    if (loop.kind == kind && HasAll(info, loop.needs) && simd::PeakWithinIsa(isa, loop.needs, is_scalar)) return loop;
  }
  return {kind, "", "", nullptr};
}

Rate Summary(std::vector<double> samples) {
  std::sort(samples.begin(), samples.end());
  return {samples.front(), samples[samples.size() / 2], samples.back()};
}

// Work of one worker: `repeats` times whatever one repeat is. The result is kept, so that no compiler drops the work.
struct Work {
  virtual ~Work() = default;
  virtual uint64_t Do(int worker, uint64_t repeats) = 0;
};

// Times `repeats` repeats on the first `workers` workers: from all of them being ready to the last being done.
class Timer {
 public:
  Timer(ThreadPool& pool, const Clock& clock, int workers) : pool_(pool), clock_(clock), workers_(workers) {}

  double Seconds(Work& work, uint64_t repeats) {
    work_ = &work;
    repeats_ = repeats;
    if (workers_ == 1) {
      Body(0, /*sync=*/false);
    } else {
      pool_.Run([](void* self, int worker) { static_cast<Timer*>(self)->Body(worker, true); }, this);
    }
    return end_ - start_;
  }

 private:
  void Body(int worker, bool sync) {
    if (sync) pool_.Sync();
    if (worker == 0) start_ = clock_.Seconds();
    sink_.fetch_add(work_->Do(worker, repeats_), std::memory_order_relaxed);
    if (sync) pool_.Sync();
    if (worker == 0) end_ = clock_.Seconds();
  }

  ThreadPool& pool_;
  const Clock& clock_;
  const int workers_;
  Work* work_ = nullptr;
  uint64_t repeats_ = 0;
  double start_ = 0;
  double end_ = 0;
  std::atomic<uint64_t> sink_{0};
};

struct Plan {
  double sample_seconds = 0;  // a shorter round is too short to be trusted
  int rounds = 1;
  double budget_seconds = 0;  // on a machine that is busy with other things, rounds end here, but not before the third
};

// Rounds of one row, over all passes.
struct Samples {
  std::vector<double> rates;
  uint64_t repeats = 1;  // in one round, found by the first ones
};

// One pass: adds rounds. `units` per repeat (bytes, operations), all workers together; rates are units per second.
void Measure(Timer& timer, Work& work, double units, const Plan& plan, Samples* samples) {
  double spent = 0;
  size_t done = 0;
  const size_t rounds = static_cast<size_t>(std::max(plan.rounds, 1));
  while (done < rounds && (done < 3 || spent < plan.budget_seconds)) {
    const double seconds = timer.Seconds(work, samples->repeats);
    if (seconds < plan.sample_seconds / 2 && samples->repeats < (uint64_t{1} << 40)) {
      // Samples so far came from rounds that somebody interrupted, or they would have been as short.
      samples->rates.clear();
      spent = 0;
      done = 0;
      // Interruptions only lengthen, so that this does not overshoot; the bound is for clocks that stand still.
      samples->repeats *= static_cast<uint64_t>(std::clamp(plan.sample_seconds / std::max(seconds, 1e-9), 2.0, 16.0));
      continue;
    }
    spent += seconds;
    ++done;
    // A clock may stand still for short work (browsers round to milliseconds); no rate is infinite.
    samples->rates.push_back(units * static_cast<double>(samples->repeats) / std::max(seconds, 1e-9));
  }
}

struct ComputeWork final : Work {
  PeakLoop loop = {};
  uint64_t Do(int, uint64_t repeats) override {
    const simd::PeakCount count = loop.run(repeats);
    return static_cast<uint64_t>(static_cast<int64_t>(count.sum));
  }
};

// A buffer, of which each worker has a part.
struct ReadData {
  uint8_t* data = nullptr;
  size_t stride = 0;      // bytes from one worker's part to the next's
  size_t part_bytes = 0;  // at most stride
};

// Streams that memory is read in besides one: a core of Zen 5 reads 1.05 to 1.1 times as fast so, and some products do
// (FetchAhead::streams); others read one stream faster. What a machine can do is the better of both.
constexpr size_t kStreams = 4;

// Each worker reads its own part from its start to its end, again and again; or as several streams, a block of each in
// turn.
struct ReadWork final : Work {
  ReadLoop loop = {};
  std::shared_ptr<const ReadData> parts;
  size_t streams = 1;
  uint64_t Do(int worker, uint64_t repeats) override {
    const uint8_t* part = parts->data + static_cast<size_t>(worker) * parts->stride;
    const size_t stream_bytes = parts->part_bytes / streams;
    const size_t block = streams == 1 ? stream_bytes : simd::kReadBlockBytes;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < repeats; ++i) {
      for (size_t at = 0; at < stream_bytes; at += block) {
        for (size_t s = 0; s < streams; ++s) sum += loop.sum(part + s * stream_bytes + at, block);
      }
    }
    return sum;
  }
};

// Writes every page of the parts once, from the worker that will read it: pages that were never written all show the
// same zero page, which lies in the first cache, and a page lies on the node of the worker that touched it first. Makes
// the parts smaller, though not below `least` bytes, where that takes longer than `budget` seconds: a virtual machine
// may get its memory from the host only now, a hundred times slower than it is afterwards.
void Touch(ThreadPool& pool, const Clock& clock, ReadData& work, uint64_t least, double budget) {
  struct Touching {
    const ReadData& work;
    size_t begin;
    size_t end;
  } touching = {work, 0, 0};
  constexpr size_t kStep = size_t{16} << 20;
  const double start = clock.Seconds();
  while (touching.end < work.part_bytes && (touching.end < least || clock.Seconds() - start < budget)) {
    touching.begin = touching.end;
    touching.end += std::min(kStep, work.part_bytes - touching.end);
    pool.Run(
        [](void* argument, int worker) {
          const Touching& t = *static_cast<Touching*>(argument);
          memset(t.work.data + static_cast<size_t>(worker) * t.work.stride + t.begin, worker + 1, t.end - t.begin);
        },
        &touching);
  }
  work.part_bytes = touching.end;
}

// Asks for huge pages, where the system gives them to those who ask: touching a gigabyte takes a fifth of the time, and
// what is measured is the memory and not the walks through the page tables.
void AdviseHugePages([[maybe_unused]] uint8_t* data, [[maybe_unused]] uint64_t bytes) {
#if defined(__linux__)
  constexpr uintptr_t kPage = 2 << 20;
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(data) + kPage - 1) & ~(kPage - 1);
  const uintptr_t end = (reinterpret_cast<uintptr_t>(data) + static_cast<uintptr_t>(bytes)) & ~(kPage - 1);
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#endif
}

// At most 2 x 4 compute rows, 2 x 3 cache rows and 2 memory rows, each of two loops: 14 * 0.08 + 4 * 0.4 s a pass on a
// machine so busy that the budgets end the rounds; a quarter of that on an idle one.
Plan RowPlan(const PeakOptions& options) {
  return {options.sample_seconds, options.rounds, 0.08};
}
Plan MemoryPlan(int rounds) {
  return {0, rounds, 0.4};
}

uint64_t RoundDown(uint64_t value, uint64_t unit) {
  return value / unit * unit;
}

uint64_t LastCacheBytes(const CpuInfo& info) {
  return std::max({info.l1d.bytes, info.l2.bytes, info.l3.bytes});
}

struct Level {
  const char* name;
  uint64_t part_bytes;  // of one worker
};

// Working sets of half of a cache: small enough for the rest of the program beside it. A cache shared by several
// workers is parted among them; what is left must be well above the level below, or it would measure that.
std::vector<Level> CacheLevels(const CpuInfo& info, int workers) {
  std::vector<Level> levels;
  uint64_t below = 0;
  const int threads_per_core = std::max(1, info.logical_cpus / std::max(1, info.physical_cores));
  const std::pair<const char*, CacheInfo> caches[] = {{"L1", info.l1d}, {"L2", info.l2}, {"L3", info.l3}};
  for (const auto& [name, cache] : caches) {
    if (cache.bytes == 0) continue;
    // In cores: a cache that only the threads of one core share is that core's own.
    const int cores = std::max(1, cache.shared_by / threads_per_core);
    const uint64_t sharers = static_cast<uint64_t>(std::min(workers, cores));
    const uint64_t part = RoundDown(cache.bytes / 2 / sharers, simd::kReadBlockBytes);
    if (part >= 2 * below && part > 0) levels.push_back({name, part});
    below = cache.bytes;
  }
  return levels;
}

// A row that is being measured.
struct Job {
  std::shared_ptr<Work> work;
  int workers = 1;
  double units = 0;  // see Measure
  Plan plan;
  Samples samples;
};

// Collects what there is to measure, and the memory that it takes; then measures it in passes.
class Measurement {
 public:
  Measurement(ThreadPool& pool, const Clock& clock) : pool_(pool), clock_(clock) {}

  // Parts of `bytes` of all workers together; less where touching them is slow, but not below `least`.
  Status AddMemory(const ReadLoop& loop, uint64_t bytes, uint64_t least, int rounds, bool also_one) {
    const uint64_t parts = static_cast<uint64_t>(pool_.num_workers());
    constexpr uint64_t kUnit = kStreams * simd::kReadBlockBytes;
    const uint64_t part = std::max(RoundDown(bytes / parts, kUnit), kUnit);
    MOTE_ASSIGN_OR_RETURN(Buffer buffer, Buffer::Create(part * parts, "memory test"));
    AdviseHugePages(buffer.data(), part * parts);
    const auto data = NewData(std::move(buffer), part);
    Touch(pool_, clock_, *data, least / parts, 0.7);
    AddBandwidth("memory", loop, data, also_one, /*most_streams=*/kStreams, MemoryPlan(rounds));
    return Status();
  }

  Status AddCaches(const CpuInfo& info, const PeakOptions& options, const ReadLoop& loop) {
    for (const Level& level : CacheLevels(info, pool_.num_workers())) {
      MOTE_ASSIGN_OR_RETURN(
          Buffer buffer, Buffer::Create(level.part_bytes * static_cast<uint64_t>(pool_.num_workers()), "cache test"));
      const auto data = NewData(std::move(buffer), level.part_bytes);
      Touch(pool_, clock_, *data, level.part_bytes, 0);
      AddBandwidth(level.name, loop, data, /*also_one=*/true, /*most_streams=*/1, RowPlan(options));
    }
    return Status();
  }

  void AddCompute(const CpuInfo& info, const PeakOptions& options) {
    const std::pair<PeakKind, const char*> kinds[] = {{PeakKind::kInt8, "int8"}, {PeakKind::kBf16, "bf16"},
                                                      {PeakKind::kF16, "f16"},   {PeakKind::kF32, "f32"},
                                                      {PeakKind::kTile, "tile"}, {PeakKind::kTileInt8, "tile_int8"}};
    for (const auto& [kind, name] : kinds) {
      const auto work = std::make_shared<ComputeWork>();
      work->loop = BestPeakLoop(info, kind, options.isa);
      if (work->loop.run == nullptr) continue;
      const double ops = static_cast<double>(work->loop.run(1).ops);
      for (int workers = 1;; workers = pool_.num_workers()) {
        compute_.push_back({name, work->loop.primitive, workers, {}});
        compute_jobs_.push_back({work, workers, ops * workers, RowPlan(options), {}});
        if (workers == pool_.num_workers()) break;
      }
    }
  }

  Peaks Run(int passes) {
    for (int pass = 0; pass < std::max(passes, 1); ++pass) {
      for (std::vector<Job>* jobs : {&compute_jobs_, &bandwidth_jobs_}) {
        for (Job& job : *jobs) {
          Timer timer(pool_, clock_, job.workers);
          Measure(timer, *job.work, job.units, job.plan, &job.samples);
        }
      }
    }
    for (size_t i = 0; i < compute_.size(); ++i) {
      compute_[i].ops_per_second = Summary(std::move(compute_jobs_[i].samples.rates));
    }
    for (size_t i = 0; i < bandwidth_jobs_.size(); ++i) {
      const Rate rate = Summary(std::move(bandwidth_jobs_[i].samples.rates));
      Rate& best = bandwidth_[row_of_job_[i]].bytes_per_second;
      if (rate.median > best.median) best = rate;
    }
    Peaks peaks;
    peaks.bandwidth = std::move(bandwidth_);
    peaks.compute = std::move(compute_);
    return peaks;
  }

 private:
  std::shared_ptr<ReadData> NewData(Buffer buffer, uint64_t part) {
    const size_t bytes = static_cast<size_t>(part);  // fits, since the buffer does
    buffers_.push_back(std::move(buffer));
    return std::make_shared<ReadData>(ReadData{buffers_.back().data(), bytes, bytes});
  }
  void AddBandwidth(const char* level, const ReadLoop& loop, const std::shared_ptr<ReadData>& data, bool also_one,
                    size_t most_streams, const Plan& plan) {
    for (int workers = also_one ? 1 : pool_.num_workers();; workers = pool_.num_workers()) {
      const uint64_t bytes = data->part_bytes * static_cast<uint64_t>(workers);
      bandwidth_.push_back({level, bytes, workers, {}});
      for (size_t streams = 1;; streams = most_streams) {
        auto work = std::make_shared<ReadWork>();
        work->loop = loop;
        work->parts = data;
        work->streams = streams;
        bandwidth_jobs_.push_back({work, workers, static_cast<double>(bytes), plan, {}});
        row_of_job_.push_back(bandwidth_.size() - 1);
        if (streams == most_streams) break;
      }
      if (workers == pool_.num_workers()) break;
    }
  }

  ThreadPool& pool_;
  const Clock& clock_;
  std::vector<Buffer> buffers_;
  std::vector<BandwidthRow> bandwidth_;
  std::vector<Job> bandwidth_jobs_;
  std::vector<size_t> row_of_job_;  // the best of a row's counts
  std::vector<ComputeRow> compute_;
  std::vector<Job> compute_jobs_;
};

template <class Row>
const Row* MostWorkers(const std::vector<Row>& rows, const char* Row::*key, const char* wanted) {
  const Row* best = nullptr;
  for (const Row& row : rows) {
    if (strcmp(row.*key, wanted) == 0 && (best == nullptr || row.workers > best->workers)) best = &row;
  }
  return best;
}

}  // namespace

const BandwidthRow* Peaks::Bandwidth(const char* level) const {
  return MostWorkers(bandwidth, &BandwidthRow::level, level);
}

const ComputeRow* Peaks::Compute(const char* kind) const {
  return MostWorkers(compute, &ComputeRow::kind, kind);
}

uint64_t MemoryTestBytes(const CpuInfo& info) {
  constexpr uint64_t kGiB = uint64_t{1} << 30;
  uint64_t bytes = std::clamp(4 * LastCacheBytes(info), kGiB, 2 * kGiB);
  if (sizeof(size_t) == 4) bytes = kGiB / 4;
  if (info.memory_available > 0) bytes = std::min(bytes, info.memory_available / 4);
  return bytes;
}

Result<Peaks> MeasurePeaks(ThreadPool& pool, const Clock& clock, const CpuInfo& info, const PeakOptions& options) {
  Measurement measurement(pool, clock);
  if (options.compute) measurement.AddCompute(info, options);
  if (options.bandwidth) {
    const ReadLoop loop = BestReadLoop(info, options.isa);
    MOTE_RETURN_IF_ERROR(measurement.AddCaches(info, options, loop));
    const uint64_t bytes = options.memory_bytes != 0 ? options.memory_bytes : MemoryTestBytes(info);
    MOTE_RETURN_IF_ERROR(
        measurement.AddMemory(loop, bytes, 4 * LastCacheBytes(info), options.rounds, /*also_one=*/true));
  }
  return measurement.Run(options.passes);
}

Result<Rate> MeasureReadBandwidth(ThreadPool& pool, const Clock& clock, uint64_t bytes, int rounds) {
  Measurement measurement(pool, clock);
  MOTE_RETURN_IF_ERROR(measurement.AddMemory(BestReadLoop(DetectCpu()), bytes, bytes, rounds, /*also_one=*/false));
  return measurement.Run(/*passes=*/1).bandwidth[0].bytes_per_second;
}

}  // namespace mote::cpu

namespace mote {

Result<double> MeasureReadRate(const Context& context) {
  constexpr uint64_t kBytes = uint64_t{128} << 20;
  MOTE_ASSIGN_OR_RETURN(const cpu::Rate rate,
                        cpu::MeasureReadBandwidth(*context.pool, context.platform->clock(), kBytes, /*rounds=*/3));
  return rate.max;
}

}  // namespace mote
