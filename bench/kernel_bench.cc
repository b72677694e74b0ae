// Kernels alone: products by type, tokens (m), columns (k) and rows (n), with weights that come from memory.
//
//   kernel_bench [--isa=avx2] [--benchmark_filter=matmul/Q8_0/m:1/] [Google Benchmark's options]
//
// Each iteration takes the next matrix of a pool that is larger than the caches. Weight bytes per second stand beside
// multiply-adds per second: compare the first with the row "read", a plain walk over the same pool, the second with the
// machine's 8-bit or float peak (`mote doctor`). threads:2 runs two at once, each on a pool of its own.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "quant/codec.h"
#include "simd/kernels.h"

namespace {

using mote::DType;

constexpr size_t kPoolBytes = size_t{192} << 20;  // per thread: several times a shared L3 cache

struct Shape {
  size_t m, k, n;
};

// Random bytes whose 16-bit fields are small float16 numbers wherever a scale may lie: speed must not depend on NaN or
// subnormals, and no format's layout needs to be known.
std::vector<uint8_t> Pool(size_t bytes) {
  std::vector<uint8_t> pool(bytes);
  uint64_t state = 0x9e3779b97f4a7c15u;
  for (size_t i = 0; i + 8 <= bytes; i += 8) {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    const uint64_t word = (state & 0xbfffbfffbfffbfffu) | 0x2000200020002000u;
    memcpy(&pool[i], &word, sizeof(word));
  }
  return pool;
}

void MatMul(benchmark::State& state, const mote::simd::KernelTable* table, DType type, Shape shape) {
  const size_t matrix_bytes = mote::simd::PackedBytes(*table, type, shape.n, shape.k);
  const size_t matrices = kPoolBytes / matrix_bytes + 1;
  const std::vector<uint8_t> pool = Pool(matrices * matrix_bytes);
  std::vector<float> x(shape.k);
  for (size_t i = 0; i < shape.k; ++i) x[i] = static_cast<float>(i * 37 % 101) / 50 - 1;
  const bool a8 = mote::simd::UsesA8(type);
  const size_t stride = a8 ? mote::simd::A8RowBytes(shape.k) : shape.k * sizeof(float);
  std::vector<uint8_t> acts(stride * shape.m + 64);
  for (size_t t = 0; t < shape.m; ++t) {
    if (a8) {
      table->quantize_a8(x.data(), shape.k, mote::simd::ActGroup(type), &acts[t * stride]);
    } else {
      memcpy(&acts[t * stride], x.data(), stride);
    }
  }
  std::vector<float> out(shape.m * shape.n);
  alignas(64) static thread_local uint8_t scratch[mote::simd::kMatMulScratchBytes];
  mote::simd::MatMulArgs args;
  args.scratch = scratch;
  args.rows = shape.n;
  args.k = shape.k;
  args.acts = acts.data();
  args.act_stride_bytes = stride;
  args.m = shape.m;
  args.out = out.data();
  args.out_stride = shape.n;
  const mote::simd::MatMulFn matmul = mote::simd::MatMulOf(*table, type);
  size_t next = 0;
  for (auto _ : state) {
    args.panels = pool.data() + next * matrix_bytes;
    next = next + 1 < matrices ? next + 1 : 0;
    matmul(args);
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
  }
  using benchmark::Counter;
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * matrix_bytes));
  state.counters["MAC/s"] =
      Counter(static_cast<double>(state.iterations() * shape.m * shape.k * shape.n), Counter::kIsRate);
}

// What a thread can read at most: the sum of a pool, eight chains.
void Read(benchmark::State& state) {
  const std::vector<uint8_t> pool = Pool(kPoolBytes);
  for (auto _ : state) {
    uint64_t sums[8] = {};
    for (size_t i = 0; i + 64 <= pool.size(); i += 64) {
      for (size_t j = 0; j < 8; ++j) {
        uint64_t word;
        memcpy(&word, &pool[i + j * 8], sizeof(word));
        sums[j] += word;
      }
    }
    benchmark::DoNotOptimize(sums);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * pool.size()));
}

void Attention(benchmark::State& state, const mote::simd::KernelTable* table, size_t heads, size_t dim,
               size_t positions) {
  std::vector<float> q(heads * dim, 0.1f), out(heads * dim);
  std::vector<uint16_t> keys(positions * dim, mote::F32ToF16(0.3f)), values(positions * dim, mote::F32ToF16(0.2f));
  mote::simd::AttentionArgs args;
  args.q = q.data();
  args.q_stride = dim;
  args.heads = heads;
  args.k = keys.data();
  args.v = values.data();
  args.key_dim = args.value_dim = dim;
  args.end = positions;
  args.scale = 0.125f;
  args.out = out.data();
  args.out_stride = dim;
  for (auto _ : state) {
    table->attention(args);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * positions * dim * 4));
}

void RegisterAll(const mote::simd::KernelTable* table) {
  const Shape shapes[] = {{1, 2048, 2048},  {1, 576, 1536},   {4, 2048, 2048},   {8, 2048, 2048},
                          {16, 2048, 2048}, {64, 2048, 2048}, {512, 2048, 2048}, {512, 8192, 2048}};
  benchmark::RegisterBenchmark("read", Read)->Threads(1)->Threads(2)->UseRealTime();
  for (uint32_t id = 0; id < 40; ++id) {
    if (table->matmul[id] == nullptr) continue;
    const DType type = static_cast<DType>(id);
    for (const Shape& shape : shapes) {
      if (shape.k % mote::DTypeInfoOf(type)->block_values != 0) continue;
      char name[96];
      snprintf(name, sizeof(name), "matmul/%s/m:%zu/k:%zu/n:%zu", mote::DTypeName(type), shape.m, shape.k, shape.n);
      auto* registered = benchmark::RegisterBenchmark(
          name, [table, type, shape](benchmark::State& state) { MatMul(state, table, type, shape); });
      registered->UseRealTime()->Threads(1);
      if (shape.m == 1) registered->Threads(2);
    }
  }
  for (size_t heads : {1, 3, 4, 8}) {
    const std::string name = "attention/heads:" + std::to_string(heads) + "/dim:64/positions:1024";
    benchmark::RegisterBenchmark(name.c_str(),
                                 [table, heads](benchmark::State& state) { Attention(state, table, heads, 64, 1024); });
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
  benchmark::AddCustomContext("row", table->name);
  RegisterAll(table);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
