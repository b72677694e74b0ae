#include "targets/cpu/peaks.h"

#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <algorithm>
#include <atomic>
#include <utility>

#include "engine/core/buffer.h"
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

ReadLoop BestReadLoop(const CpuInfo& info) {
  const std::vector<ReadLoop> all = simd::AllReadLoops();
  for (const ReadLoop& loop : all) {
    if (HasAll(info, loop.needs)) return loop;
  }
  return all.back();  // which needs nothing
}

// Null `run` where there is none.
PeakLoop BestPeakLoop(const CpuInfo& info, PeakKind kind) {
  for (const PeakLoop& loop : simd::AllPeakLoops()) {
    if (loop.kind == kind && HasAll(info, loop.needs)) return loop;
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

// `units` per repeat (bytes, operations), all workers together; units per second.
Rate Measure(Timer& timer, Work& work, double units, const Plan& plan) {
  std::vector<double> samples;
  double spent = 0;
  uint64_t repeats = 1;
  const size_t rounds = static_cast<size_t>(std::max(plan.rounds, 1));
  while (samples.size() < rounds && (samples.size() < 3 || spent < plan.budget_seconds)) {
    const double seconds = timer.Seconds(work, repeats);
    if (seconds < plan.sample_seconds / 2 && repeats < (uint64_t{1} << 40)) {
      // Samples so far came from rounds that somebody interrupted, or they would have been as short.
      samples.clear();
      spent = 0;
      // Interruptions only lengthen, so that this does not overshoot; the bound is for clocks that stand still.
      repeats *= static_cast<uint64_t>(std::clamp(plan.sample_seconds / std::max(seconds, 1e-9), 2.0, 16.0));
      continue;
    }
    spent += seconds;
    // A clock may stand still for short work (browsers round to milliseconds); no rate is infinite.
    samples.push_back(units * static_cast<double>(repeats) / std::max(seconds, 1e-9));
  }
  return Summary(std::move(samples));
}

struct ComputeWork final : Work {
  PeakLoop loop = {};
  uint64_t Do(int, uint64_t repeats) override {
    const simd::PeakCount count = loop.run(repeats);
    return static_cast<uint64_t>(static_cast<int64_t>(count.sum));
  }
};

// Each worker reads its own part of the buffer from its start to its end, again and again.
struct ReadWork final : Work {
  ReadLoop loop = {};
  uint8_t* data = nullptr;
  size_t stride = 0;      // bytes from one worker's part to the next's
  size_t part_bytes = 0;  // at most stride
  uint64_t Do(int worker, uint64_t repeats) override {
    uint64_t sum = 0;
    for (uint64_t i = 0; i < repeats; ++i) sum += loop.sum(data + static_cast<size_t>(worker) * stride, part_bytes);
    return sum;
  }
};

// Writes every page of the parts once, from the worker that will read it: pages that were never written all show the
// same zero page, which lies in the first cache, and a page lies on the node of the worker that touched it first. Makes
// the parts smaller, though not below `least` bytes, where that takes longer than `budget` seconds: a virtual machine
// may get its memory from the host only now, a hundred times slower than it is afterwards.
void Touch(ThreadPool& pool, const Clock& clock, ReadWork& work, uint64_t least, double budget) {
  struct Touching {
    const ReadWork& work;
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

// At most 2 x 3 compute rows, 2 x 3 cache rows and 2 memory rows: 12 * 0.08 + 2 * 0.4 s on a machine so busy that the
// budgets end the rounds; a quarter of that on an idle one.
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

// The rows of one working set, of one worker (where asked for) and of all; the same where the pool has one.
struct MemoryRates {
  BandwidthRow one;
  BandwidthRow all;
};

// `least`: bytes that are measured even if touching them is slow, at most `bytes`.
Result<MemoryRates> MeasureMemory(ThreadPool& pool, const Clock& clock, const ReadLoop& loop, uint64_t bytes,
                                  uint64_t least, int rounds, bool also_one) {
  const int workers = pool.num_workers();
  const uint64_t parts = static_cast<uint64_t>(workers);
  const uint64_t part = std::max<uint64_t>(RoundDown(bytes / parts, simd::kReadBlockBytes), simd::kReadBlockBytes);
  MOTE_ASSIGN_OR_RETURN(Buffer buffer, Buffer::Create(part * parts, "memory test"));
  AdviseHugePages(buffer.data(), part * parts);
  ReadWork work;
  work.loop = loop;
  work.data = buffer.data();
  work.stride = work.part_bytes = static_cast<size_t>(part);  // fits, since the buffer does
  Touch(pool, clock, work, least / parts, 0.7);
  MemoryRates rates = {{"memory", work.part_bytes, 1, {}}, {"memory", work.part_bytes * parts, workers, {}}};
  Timer all(pool, clock, workers);
  rates.all.bytes_per_second = Measure(all, work, static_cast<double>(rates.all.bytes), MemoryPlan(rounds));
  if (workers == 1) rates.one = rates.all;
  if (workers == 1 || !also_one) return rates;
  Timer one(pool, clock, 1);
  rates.one.bytes_per_second = Measure(one, work, static_cast<double>(rates.one.bytes), MemoryPlan(rounds));
  return rates;
}

Status MeasureCaches(ThreadPool& pool, const Clock& clock, const CpuInfo& info, const PeakOptions& options,
                     const ReadLoop& loop, std::vector<BandwidthRow>& rows) {
  const int all_workers = pool.num_workers();
  const std::vector<Level> levels = CacheLevels(info, all_workers);
  uint64_t most = 0;
  for (const Level& level : levels) most = std::max(most, level.part_bytes);
  if (most == 0) return Status();
  MOTE_ASSIGN_OR_RETURN(Buffer buffer, Buffer::Create(most * static_cast<uint64_t>(all_workers), "cache test"));
  for (const Level& level : levels) {
    ReadWork work;
    work.loop = loop;
    work.data = buffer.data();
    work.stride = work.part_bytes = static_cast<size_t>(level.part_bytes);
    Touch(pool, clock, work, level.part_bytes, 0);
    for (int workers = 1;; workers = all_workers) {
      Timer timer(pool, clock, workers);
      const uint64_t bytes = level.part_bytes * static_cast<uint64_t>(workers);
      const Rate rate = Measure(timer, work, static_cast<double>(bytes), RowPlan(options));
      rows.push_back({level.name, bytes, workers, rate});
      if (workers == all_workers) break;
    }
  }
  return Status();
}

void MeasureCompute(ThreadPool& pool, const Clock& clock, const CpuInfo& info, const PeakOptions& options,
                    std::vector<ComputeRow>& rows) {
  const std::pair<PeakKind, const char*> kinds[] = {
      {PeakKind::kInt8, "int8"}, {PeakKind::kBf16, "bf16"}, {PeakKind::kF32, "f32"}};
  for (const auto& [kind, name] : kinds) {
    ComputeWork work;
    work.loop = BestPeakLoop(info, kind);
    if (work.loop.run == nullptr) continue;
    const uint64_t ops = work.loop.run(1).ops;
    for (int workers = 1;; workers = pool.num_workers()) {
      Timer timer(pool, clock, workers);
      const Rate rate = Measure(timer, work, static_cast<double>(ops) * workers, RowPlan(options));
      rows.push_back({name, work.loop.primitive, workers, rate});
      if (workers == pool.num_workers()) break;
    }
  }
}

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
  const ReadLoop loop = BestReadLoop(info);
  Peaks peaks;
  MeasureCompute(pool, clock, info, options, peaks.compute);
  MOTE_RETURN_IF_ERROR(MeasureCaches(pool, clock, info, options, loop, peaks.bandwidth));
  const uint64_t bytes = options.memory_bytes != 0 ? options.memory_bytes : MemoryTestBytes(info);
  const uint64_t least = 4 * LastCacheBytes(info);
  MOTE_ASSIGN_OR_RETURN(const MemoryRates memory,
                        MeasureMemory(pool, clock, loop, bytes, least, options.rounds, /*also_one=*/true));
  peaks.bandwidth.push_back(memory.one);
  if (pool.num_workers() > 1) peaks.bandwidth.push_back(memory.all);
  return peaks;
}

Result<Rate> MeasureReadBandwidth(ThreadPool& pool, const Clock& clock, uint64_t bytes, int rounds) {
  MOTE_ASSIGN_OR_RETURN(const MemoryRates memory, MeasureMemory(pool, clock, BestReadLoop(DetectCpu()), bytes, bytes,
                                                                rounds, /*also_one=*/false));
  return memory.all.bytes_per_second;
}

}  // namespace mote::cpu
