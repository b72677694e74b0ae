// Kernels alone: products by type, tokens (m), columns (k) and rows (n), with weights that come from memory; attention;
// and the row operations between them.
//
//   kernel_bench [--isa=avx2] [--benchmark_filter=matmul/Q8_0/m:1/] [Google Benchmark's options]
//
// Each iteration takes the next matrix of a pool that is larger than the caches. Beside multiply-adds per second and
// weight bytes per second stand their shares of the machine's limits, measured at the start: of_peak (of the 8-bit
// units for quantised weights, of the float units for others) and of_read (the memory's read bandwidth). threads:2 runs
// two at once, each on a pool of its own.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "bench/kernels_of_bench.h"
#include "engine/core/context.h"
#include "quant/codec.h"
#include "simd/kernels.h"
#include "simd/unit.h"
#include "targets/cpu/cpu_info.h"
#include "targets/cpu/peaks.h"

namespace {

using mote::DType;

constexpr size_t kPoolBytes = size_t{192} << 20;  // per thread: several times a shared L3 cache

struct Shape {
  size_t m, k, n;
};

std::vector<uint8_t> Pool(size_t bytes) {
  std::vector<uint8_t> pool(bytes);
  mote::FillWithSmallHalves(pool.data(), bytes);
  return pool;
}

// What one thread, and two at once, can do at most; operations and bytes per second.
struct Limits {
  double int8[3] = {};  // by threads
  double f32[3] = {};
  double read[3] = {};
};

Limits MeasureLimits(const mote::simd::KernelTable& table) {
  Limits limits;
  const std::unique_ptr<mote::Platform> platform = mote::CreatePlatform();
  const mote::cpu::CpuInfo info = mote::cpu::DetectCpu();
  mote::cpu::PeakOptions options;
  options.bandwidth = false;
  options.passes = 5;
  options.isa = table.name;
  for (const int threads : {1, 2}) {
    auto pool = platform->CreateThreadPool(threads);
    if (!pool.ok()) continue;
    const auto peaks = mote::cpu::MeasurePeaks(**pool, platform->clock(), info, options);
    if (peaks.ok()) {
      limits.int8[threads] = peaks->Compute("int8")->ops_per_second.max;
      limits.f32[threads] = peaks->Compute("f32")->ops_per_second.max;
    }
    const auto read = mote::cpu::MeasureReadBandwidth(**pool, platform->clock(), kPoolBytes * 4, 9);
    if (read.ok()) limits.read[threads] = read->max;
  }
  return limits;
}

// A product whose weights are never in a cache. The only place that knows how the kernels want their operands.
class ColdProduct {
 public:
  ColdProduct(const mote::simd::KernelTable& table, DType type, const Shape& shape)
      : matmul_(mote::simd::MatMulOf(table, type)),
        matrix_bytes_(mote::simd::PackedBytes(table, type, shape.n, shape.k)),
        pool_(Pool((kPoolBytes / matrix_bytes_ + 1) * matrix_bytes_)),
        out_(shape.m * shape.n),
        scratch_(mote::simd::MatMulScratchBytes(table) + 64) {
    const bool a8 = mote::simd::UsesA8(type), r8 = mote::simd::UsesR8(type);
    const size_t stride = a8   ? mote::simd::A8RowBytes(shape.k)
                          : r8 ? mote::simd::R8RowBytes(shape.k)
                               : shape.k * sizeof(float);
    std::vector<float> x(shape.k);
    for (size_t i = 0; i < shape.k; ++i) x[i] = static_cast<float>(i * 37 % 101) / 50 - 1;
    acts_.resize(stride * shape.m + 64);
    for (size_t t = 0; t < shape.m; ++t) {
      if (a8) {
        table.quantize_a8(x.data(), shape.k, mote::simd::ActGroup(type), &acts_[t * stride]);
      } else if (r8) {
        table.quantize_r8(x.data(), shape.k, &acts_[t * stride]);
      } else {
        memcpy(&acts_[t * stride], x.data(), stride);
      }
    }
    args_.rows = shape.n;
    args_.k = shape.k;
    args_.acts = acts_.data();
    args_.act_stride_bytes = stride;
    args_.m = shape.m;
    args_.out = out_.data();
    args_.out_stride = shape.n;
    args_.ahead = mote::simd::FetchAheadOfCpu();
    args_.scratch = scratch_.data() + (64 - reinterpret_cast<uintptr_t>(scratch_.data()) % 64) % 64;
  }

  size_t matrix_bytes() const { return matrix_bytes_; }

  void Run() {
    args_.panels = pool_.data() + next_;
    next_ += matrix_bytes_;
    if (next_ + matrix_bytes_ > pool_.size()) next_ = 0;
    matmul_(args_);
    benchmark::DoNotOptimize(out_.data());
    benchmark::ClobberMemory();
  }

 private:
  mote::simd::MatMulFn matmul_;
  size_t matrix_bytes_;
  std::vector<uint8_t> pool_;
  std::vector<float> out_;
  std::vector<uint8_t> scratch_;
  std::vector<uint8_t> acts_;
  mote::simd::MatMulArgs args_;
  size_t next_ = 0;
};

void MatMul(benchmark::State& state, const mote::simd::KernelTable* table, const Limits* limits, DType type,
            Shape shape) {
  ColdProduct product(*table, type, shape);
  for (auto _ : state) product.Run();
  using benchmark::Counter;
  const double macs = static_cast<double>(state.iterations() * shape.m * shape.k * shape.n);
  const double bytes = static_cast<double>(state.iterations() * product.matrix_bytes());
  const int threads = state.threads();
  const double peak = mote::simd::UsesFloats(type) ? limits->f32[threads] : limits->int8[threads];
  state.SetBytesProcessed(static_cast<int64_t>(bytes));
  state.counters["MAC/s"] = Counter(macs, Counter::kIsRate);
  if (peak > 0) state.counters["of_peak"] = Counter(2 * macs / peak, Counter::kIsRate);
  if (limits->read[threads] > 0) state.counters["of_read"] = Counter(bytes / limits->read[threads], Counter::kIsRate);
}

// One key/value head over a cache that lies in it alone; queries of one token, and of many.
void Attention(benchmark::State& state, const mote::simd::KernelTable* table, mote::simd::CacheType type, size_t tokens,
               size_t heads, size_t positions) {
  constexpr size_t kDim = 64;
  const std::vector<float> x(kDim, 0.1f);
  const std::vector<float> q(tokens * heads * kDim, 0.1f);
  std::vector<float> out(tokens * heads * kDim);
  std::vector<uint8_t> keys(mote::simd::CachePanels(positions) * mote::simd::CachePanelBytes(type, kDim) + 64);
  std::vector<uint8_t> values(keys.size());
  for (size_t p = 0; p < positions; ++p) {
    table->cache_key(type, x.data(), kDim, p, keys.data());
    table->cache_value(type, x.data(), kDim, p, values.data());
  }
  std::vector<uint8_t> scratch(mote::simd::AttentionScratchBytes(tokens * heads, kDim, kDim) + 64);
  mote::simd::AttentionArgs args;
  args.key_type = args.value_type = type;
  args.k = keys.data();
  args.v = values.data();
  args.key_dim = args.value_dim = kDim;
  args.q = q.data();
  args.q_token_stride = args.out_token_stride = heads * kDim;
  args.q_head_stride = args.out_head_stride = kDim;
  args.tokens = tokens;
  args.heads = heads;
  args.position = positions - tokens;
  args.scale = 0.125f;
  args.out = out.data();
  args.scratch = scratch.data() + (64 - reinterpret_cast<uintptr_t>(scratch.data()) % 64) % 64;
  for (auto _ : state) {
    table->attention(args);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * keys.size() * 2));
}

void RegisterProducts(const mote::simd::KernelTable* table, const Limits* limits) {
  // (k, n) of the two models that scripts/bench peers makes: square, up, down, keys, and many rows.
  const std::pair<size_t, size_t> matrices[] = {{2048, 2048}, {2048, 8192},   {8192, 2048}, {2048, 512},
                                                {896, 4864},  {2048, 128256}, {576, 1536}};
  for (uint32_t id = 0; id < mote::simd::kMatMulTypes; ++id) {
    const DType type = id == mote::simd::MatMulIndex(DType::kI8Row) ? DType::kI8Row : static_cast<DType>(id);
    if (mote::simd::MatMulOf(*table, type) == nullptr) continue;
    for (const auto& [k, n] : matrices) {
      if (k % mote::DTypeInfoOf(type)->block_values != 0) continue;
      for (const size_t m : {1, 2, 4, 8, 16, 32, 64, 128, 512}) {
        char name[96];
        snprintf(name, sizeof(name), "matmul/%s/m:%zu/k:%zu/n:%zu", mote::DTypeName(type), m, k, n);
        const Shape shape = {m, k, n};
        auto* registered = benchmark::RegisterBenchmark(
            name, [=](benchmark::State& state) { MatMul(state, table, limits, type, shape); });
        registered->UseRealTime()->Threads(1)->Threads(2);
      }
    }
  }
}

// What stands between the products, for a row of 8192 values in the first caches.
void RegisterRows(const mote::simd::KernelTable* table) {
  constexpr size_t kWidth = 8192;
  const auto add = [](const char* name, auto function) {
    benchmark::RegisterBenchmark(name, [=](benchmark::State& state) {
      std::vector<float> memory(4 * kWidth + 16, 0.5f);
      float* x = memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64) / sizeof(float);
      for (size_t i = 0; i < kWidth; ++i) x[i] = static_cast<float>(i * 37 % 101) / 50 - 1;
      for (auto _ : state) {
        function(x, x + kWidth, x + 2 * kWidth);
        benchmark::ClobberMemory();
      }
      using benchmark::Counter;
      state.counters["values/s"] = Counter(static_cast<double>(state.iterations() * kWidth), Counter::kIsRate);
    });
  };
  add("row/quantize_a8:32", [=](float* x, float*, float* out) { table->quantize_a8(x, kWidth, 32, out); });
  add("row/quantize_a8:256", [=](float* x, float*, float* out) { table->quantize_a8(x, kWidth, 256, out); });
  add("row/rms_norm", [=](float* x, float* y, float* out) { table->rms_norm(x, y, kWidth, 1e-5f, out); });
  add("row/layer_norm", [=](float* x, float* y, float* out) { table->layer_norm(x, y, y, kWidth, 1e-5f, out); });
  add("row/silu",
      [=](float* x, float* y, float* out) { table->gate(mote::simd::Activation::kSilu, x, y, kWidth, out); });
  add("row/gelu",
      [=](float* x, float* y, float* out) { table->gate(mote::simd::Activation::kGelu, x, y, kWidth, out); });
  add("row/gelu_tanh",
      [=](float* x, float* y, float* out) { table->gate(mote::simd::Activation::kGeluTanh, x, y, kWidth, out); });
  add("row/add", [=](float* x, float* y, float* out) { table->add(x, y, kWidth, out); });
  add("row/softmax", [=](float* x, float*, float* out) { table->softmax(x, kWidth, out); });
}

void RegisterAttention(const mote::simd::KernelTable* table) {
  using mote::simd::CacheType;
  const std::pair<CacheType, const char*> types[] = {{CacheType::kF16, "F16"}, {CacheType::kQ8_0, "Q8_0"}};
  for (const auto& [type, type_name] : types) {
    for (const size_t tokens : {1, 64}) {
      for (const size_t heads : {1, 4, 7}) {
        char name[96];
        snprintf(name, sizeof(name), "attention/%s/tokens:%zu/heads:%zu/positions:4096", type_name, tokens, heads);
        benchmark::RegisterBenchmark(
            name, [=, type = type](benchmark::State& state) { Attention(state, table, type, tokens, heads, 4096); });
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const mote::simd::KernelTable* table = &mote::simd::BestTable();
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    if (strncmp(argv[i], "--isa=", 6) != 0) {
      argv[kept++] = argv[i];
      continue;
    }
    table = mote::simd::FindTable(argv[i] + 6);
    if (table == nullptr || !mote::simd::CanRun(*table)) {
      fprintf(stderr, "kernel_bench: no row '%s' that this machine can run; there are:", argv[i] + 6);
      for (const mote::simd::KernelTable* row : mote::simd::Tables()) {
        if (mote::simd::CanRun(*row)) fprintf(stderr, " %s", row->name);
      }
      fprintf(stderr, "\n");
      return 2;
    }
  }
  argc = kept;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  const Limits limits = MeasureLimits(*table);
  benchmark::AddCustomContext("row", table->name);
  char text[160];
  snprintf(text, sizeof(text), "int8 %.0f and %.0f Gop/s, f32 %.0f and %.0f Gop/s, read %.1f and %.1f GB/s",
           limits.int8[1] / 1e9, limits.int8[2] / 1e9, limits.f32[1] / 1e9, limits.f32[2] / 1e9, limits.read[1] / 1e9,
           limits.read[2] / 1e9);
  benchmark::AddCustomContext("limits of one thread and of two", text);
  RegisterProducts(table, &limits);
  RegisterAttention(table);
  RegisterRows(table);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
