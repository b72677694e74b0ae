// Block-sparse products beside dense ones of the same shape: how much of the time goes with the blocks.
//
//   sparse_bench [TYPE ...]     I8, F16, BF16, Q4_0; all of them
//
// Workers share 16384 rows of 2048 columns, 32 MiB of int8, as a step does. Each line is a number of tokens;
// its columns are the median time of the dense kernel divided by that of the sparse one, by share of blocks kept,
// rounds interleaved; time is that of the processors, for a machine that others use too. I8 stands beside two dense
// kernels: Q8_0, and its own with every place kept.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bench/kernels_of_bench.h"
#include "engine/core/buffer.h"
#include "engine/core/context.h"
#include "quant/block_sparse.h"
#include "quant/codec.h"
#include "simd/kernels.h"
#include "simd/sparse.h"

namespace {

using namespace mote;  // NOLINT: a program of one file

constexpr uint64_t kRows = 16384;
constexpr uint64_t kCols = 2048;
// Of a call, as a step makes them.
constexpr uint64_t kFewTileGroups = 16, kTileGroups = 4;
constexpr size_t kFewTokens = 16;
constexpr int kRounds = 7;
constexpr size_t kScratchBytes = std::max(simd::kMatMulScratchBytes, simd::kSparseTilesScratchBytes);

struct Matrix {
  std::string name;
  SparseMatrix sparse;
  std::vector<uint64_t> starts;
  bool all = false;
  DType dense_type = DType::kF32;  // of panels, where there are some
  Buffer panels;
  size_t act_stride = 0;
  const void* acts = nullptr;
  const void* tiles = nullptr;  // S8Tiles; null: there are no products with them
  std::vector<double> seconds;
};

struct Job {
  const simd::KernelTable* kernels;
  const Matrix* matrix;
  size_t m;
  float* out;
  Buffer* scratch;
  uint64_t workers;
  simd::FetchAhead ahead = simd::FetchAheadOfCpu();

  static void Run(void* self, int worker) {
    const Job& job = *static_cast<const Job*>(self);
    const Matrix& matrix = *job.matrix;
    const uint64_t step = job.m <= kFewTokens ? kFewTileGroups : kTileGroups;
    const uint64_t tiles = kRows / kSparseRows / step;
    const uint64_t begin = tiles * static_cast<uint64_t>(worker) / job.workers * step;
    const uint64_t end = tiles * (static_cast<uint64_t>(worker) + 1) / job.workers * step;
    for (uint64_t group = begin; group < end; group += step) {
      if (matrix.panels.size() != 0) {
        simd::MatMulArgs args;
        args.panels = matrix.panels.data() + group * kSparseRows * RowBytes(matrix.dense_type, kCols);
        args.rows = step * kSparseRows;
        args.k = kCols;
        args.acts = matrix.acts;
        args.act_stride_bytes = matrix.act_stride;
        args.m = job.m;
        args.out = job.out + group * kSparseRows;
        args.out_stride = kRows;
        args.scratch = job.scratch[worker].data();
        args.ahead = job.ahead;
        simd::MatMulOf(*job.kernels, matrix.dense_type)(args);
        continue;
      }
      simd::SparseMatMulArgs args = simd::SparseArgs(matrix.sparse.view(), matrix.all ? nullptr : matrix.starts.data());
      args.first_group = group;
      args.groups = step;
      args.acts = matrix.acts;
      args.act_stride_bytes = matrix.act_stride;
      args.m = job.m;
      args.out = job.out + group * kSparseRows;
      args.out_stride = kRows;
      args.scratch = job.scratch[worker].data();
      args.ahead = job.ahead;
      const simd::SparseKernels& kernels = simd::SparseKernelsOf(*job.kernels);
      if (matrix.tiles != nullptr && job.m >= simd::kS8TilesFrom) {
        args.acts = matrix.tiles;
        kernels.matmul_i8_tiles(args);
      } else {
        kernels.MatMulOf(matrix.sparse.shape.type)(args);
      }
    }
  }
};

SparseMatrix Random(DType type, double density, uint64_t* state) {
  SparseMatrix matrix;
  matrix.shape = {type, kRows, kCols};
  std::vector<float> group(kSparseRows * kCols);
  for (uint64_t g = 0; g < matrix.shape.groups(); ++g) {
    for (size_t c = 0; c < kCols; c += SparseBlockCols(type)) {
      *state = *state * 6364136223846793005u + 1442695040888963407u;
      const bool keeps = static_cast<double>(*state >> 40) / (1 << 24) < density;
      for (size_t r = 0; r < kSparseRows; ++r) {
        for (size_t i = 0; i < SparseBlockCols(type); ++i) {
          *state = *state * 6364136223846793005u + 1442695040888963407u;
          group[r * kCols + c + i] = keeps ? static_cast<float>(*state >> 40) / (1 << 24) - 0.5f : 0.0f;
        }
      }
    }
    AppendSparseGroupOfFloats(group.data(), kSparseRows, &matrix);
  }
  return matrix;
}

void Pack(const simd::KernelTable& kernels, const SparseMatrix& from, Matrix* to) {
  to->dense_type = SparseDenseType(from.shape.type);
  to->panels = std::move(Buffer::Create(simd::PackedBytes(kernels, to->dense_type, kRows, kCols), "panels")).value();
  const size_t row_bytes = from.shape.DenseRowBytes();
  std::vector<uint8_t> dense(64 * row_bytes);
  const std::vector<uint64_t> starts = SparseStarts(from.view());
  for (uint64_t row = 0; row < kRows; row += 64) {
    for (uint64_t r = 0; r < 64; ++r) {
      DecodeSparseRow(from.view(), row + r, starts[(row + r) / kSparseRows], &dense[r * row_bytes]);
    }
    kernels.pack({to->dense_type, dense.data(), 64, kCols, to->panels.data() + row * row_bytes});
  }
}

// The same rows as every kernel wants them.
struct Activations {
  std::vector<float> x;
  Buffer a8, s8, tiles;
};

Activations RandomActivations(const simd::KernelTable& kernels, size_t rows, uint64_t* state) {
  Activations acts;
  acts.x.resize(rows * kCols);
  for (float& value : acts.x) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    value = static_cast<float>(*state >> 40) / (1 << 24) - 0.5f;
  }
  const size_t s8_bytes = simd::S8RowBytes(kCols);
  acts.a8 = std::move(Buffer::Create(rows * simd::A8RowBytes(kCols), "a8")).value();
  acts.s8 = std::move(Buffer::Create(rows * s8_bytes, "s8")).value();
  acts.tiles = std::move(Buffer::Create(rows * s8_bytes, "s8 tiles")).value();
  const simd::SparseKernels& sparse = simd::SparseKernelsOf(kernels);
  for (size_t t = 0; t < rows; ++t) {
    const float* row = &acts.x[t * kCols];
    kernels.quantize_a8(row, kCols, 32, acts.a8.data() + t * simd::A8RowBytes(kCols));
    sparse.quantize_s8(row, kCols, acts.s8.data() + t * s8_bytes);
    if (sparse.quantize_s8_tiles == nullptr || t % simd::kS8TileRows != 0) continue;
    sparse.quantize_s8_tiles(row, kCols, kCols, std::min(simd::kS8TileRows, rows - t),
                             acts.tiles.data() + t * s8_bytes);
  }
  return acts;
}

void Measure(DType type, const simd::KernelTable& kernels, ThreadPool& pool) {
  const size_t tokens[] = {1, 2, 4, 8, 16, 32, 64, 512};
  uint64_t state = 7;
  const Activations acts = RandomActivations(kernels, 512, &state);
  std::vector<Matrix> matrices;
  for (const double density : {1.0, 0.9, 0.8, 0.7, 0.5, 0.4, 0.25}) {
    Matrix matrix;
    char name[16];
    snprintf(name, sizeof(name), "%.0f %%", density * 100);
    matrix.name = name;
    matrix.sparse = Random(type, density, &state);
    matrix.starts = SparseStarts(matrix.sparse.view());
    if (density == 1.0) {
      Matrix dense;
      dense.name = DTypeName(SparseDenseType(type));
      Pack(kernels, matrix.sparse, &dense);
      matrices.push_back(std::move(dense));
      if (type == DType::kI8) {
        Matrix all;
        all.name = "all";
        all.sparse = matrix.sparse;
        all.starts = matrix.starts;
        all.all = true;
        matrices.push_back(std::move(all));
      }
    }
    matrices.push_back(std::move(matrix));
  }
  for (Matrix& matrix : matrices) {
    const bool panels = matrix.panels.size() != 0;
    const DType of = panels ? matrix.dense_type : type;
    if (!panels && type == DType::kI8) {
      matrix.acts = acts.s8.data();
      if (simd::SparseKernelsOf(kernels).matmul_i8_tiles != nullptr) matrix.tiles = acts.tiles.data();
      matrix.act_stride = simd::S8RowBytes(kCols);
    } else if (simd::UsesA8(of)) {
      matrix.acts = acts.a8.data();
      matrix.act_stride = simd::A8RowBytes(kCols);
    } else {
      matrix.acts = acts.x.data();
      matrix.act_stride = kCols * sizeof(float);
    }
  }
  Buffer out = std::move(Buffer::Create(512 * kRows * sizeof(float), "out")).value();
  std::vector<Buffer> scratch;
  for (int i = 0; i < pool.num_workers(); ++i)
    scratch.push_back(std::move(Buffer::Create(kScratchBytes, "scratch")).value());
  printf("\n%s, %s, %d workers: time of the first column's kernel / time of this one\n| tokens |", DTypeName(type),
         kernels.name, pool.num_workers());
  for (const Matrix& matrix : matrices) printf(" %s |", matrix.name.c_str());
  printf(" ns per token of the first |\n");
  for (const size_t m : tokens) {
    for (Matrix& matrix : matrices) matrix.seconds.clear();
    const int rounds = m == 512 ? 3 : kRounds;
    const int repeats = m >= 64 ? 1 : 3;
    for (int round = 0; round <= rounds; ++round) {
      for (Matrix& matrix : matrices) {
        Job job = {&kernels, &matrix, m, out.As<float>(), scratch.data(), static_cast<uint64_t>(pool.num_workers())};
        const double start = CpuSeconds();
        for (int i = 0; i < repeats; ++i) pool.Run(&Job::Run, &job);
        if (round > 0) matrix.seconds.push_back((CpuSeconds() - start) / repeats);
      }
    }
    const double first = Median(matrices[0].seconds);
    printf("| %zu |", m);
    for (const Matrix& matrix : matrices) printf(" %.2f |", first / Median(matrix.seconds));
    printf(" %.0f |\n", first / static_cast<double>(m) * 1e9);
    fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::unique_ptr<Platform> platform = CreatePlatform();
  const std::unique_ptr<ThreadPool> pool = std::move(platform->CreateThreadPool(0)).value();
  const simd::KernelTable* kernels = KernelsAskedFor();
  if (kernels == nullptr) return 2;
  for (const DType type : {DType::kI8, DType::kF16, DType::kBF16, DType::kQ4_0}) {
    bool wanted = argc == 1;
    for (int i = 1; i < argc; ++i) wanted = wanted || strcmp(argv[i], DTypeName(type)) == 0;
    if (wanted) Measure(type, *kernels, *pool);
  }
  return 0;
}
