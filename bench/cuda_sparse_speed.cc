// Block-sparse products of a GPU beside the dense ones of the same sizes: microseconds, and bytes of weights a second.
// Blocks are kept at random. On request: scripts do not run it.
#include <stdint.h>
#include <stdio.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <vector>

#include "targets/cuda/launch.h"
#include "targets/cuda/pack_sparse.h"
#include "targets/cuda/runtime.h"

namespace {

using namespace mote::cuda;  // NOLINT: a small program
using mote::DType;

bool failed = false;
void Check(const char* text) {
  if (text != nullptr && !failed) fprintf(stderr, "cuda_sparse_speed: %s\n", text);
  failed = failed || text != nullptr;
}

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The median of five graphs of 32 launches, of one of them.
template <class Work>
double Measure(void* stream, Work work) {
  void* graph = nullptr;
  Check(BeginCapture(stream));
  for (uint32_t i = 0; i < 32; ++i) work(i);
  Check(EndCapture(stream, &graph));
  std::vector<double> times;
  for (int round = 0; round < 6 && !failed; ++round) {
    const double start = Now();
    Check(LaunchGraph(graph, stream));
    Check(Wait(stream));
    if (round > 0) times.push_back(Now() - start);
  }
  if (failed) return 1e30;
  FreeGraph(graph);
  std::sort(times.begin(), times.end());
  return times[times.size() / 2] / 32;
}

mote::SparseMatrix RandomMatrix(const mote::SparseShape& shape, double density) {
  std::minstd_rand random(3);
  mote::SparseMatrix m;
  m.shape = shape;
  for (uint64_t g = 0; g < shape.groups(); ++g) {
    for (uint64_t s = 0; s < shape.stretches(); ++s) {
      const size_t before = m.index.size();
      for (uint64_t p = 0; p < shape.places(s); ++p) {
        if (static_cast<double>(random()) < density * 2147483647.0) m.index.push_back(static_cast<uint8_t>(p));
      }
      m.counts.push_back(static_cast<uint8_t>(m.index.size() - before));
    }
  }
  m.scales.assign(2 * shape.num_scales(), 0x2c);
  m.values.assign(m.index.size() * mote::kSparseBlockBytes, 0x2c);
  return m;
}

// Packed, in host memory; its bytes without what the layout sets aside.
std::vector<uint8_t> Packed(const mote::SparseMatrix& matrix, const SparseLayout& layout, uint64_t* bytes) {
  const mote::SparseView view = matrix.view();
  const std::vector<uint32_t> pairs = PairStarts(view);
  const std::vector<uint64_t> blocks = mote::SparseStarts(view);
  const uint64_t units = RowUnits(view.shape.type, view.shape.cols);
  std::vector<uint8_t> out(layout.bytes);
  std::copy(pairs.begin(), pairs.end(), reinterpret_cast<uint32_t*>(out.data() + layout.starts_at));
  for (uint64_t g = 0; g < view.shape.groups(); ++g) {
    const uint32_t* own = pairs.data() + g * units;
    PackSparseGroup(view, g, blocks[g], own,
                    out.data() + layout.scales_at + g * units * UnitScaleBytes(view.shape.type),
                    out.data() + layout.index_at + uint64_t{own[0]} * 2,
                    out.data() + layout.values_at + uint64_t{own[0]} * kPairBytes);
  }
  *bytes = layout.bytes - (layout.pairs - pairs.back()) * (kPairBytes + 2);
  return out;
}

struct Device {
  void* stream = nullptr;
  uint8_t *weights = nullptr, *acts = nullptr, *out = nullptr, *counts = nullptr;
};
constexpr uint64_t kWeightBytes = uint64_t{1} << 30;

MatMulArgs ArgsOf(const Device& d, DType type, uint32_t rows, uint32_t cols) {
  MatMulArgs args = {};
  args.matrices = 1;
  args.matrix[0].out = reinterpret_cast<float*>(d.out);
  args.matrix[0].rows = rows;
  args.row_tiles = RowTiles(cols);
  args.cols = cols;
  args.acts = d.acts;
  args.act_bytes = ActRowBytes(ActsOf(type), cols);
  args.counts = reinterpret_cast<const StepCounts*>(d.counts);
  args.activation = kNoActivation;
  return args;
}

// Several copies, so that no cache holds them.
void MeasureShape(const Device& d, DType type, uint32_t rows, uint32_t cols, double density) {
  const mote::SparseMatrix matrix = RandomMatrix({type, rows, cols}, density);
  const SparseLayout layout(matrix.shape, matrix.index.size());
  uint64_t bytes = 0;
  const std::vector<uint8_t> packed = Packed(matrix, layout, &bytes);
  const uint64_t distance = (layout.bytes + 255) / 256 * 256;
  const uint32_t copies = static_cast<uint32_t>(std::min<uint64_t>(32, kWeightBytes / distance));
  const DType dense = type == DType::kI8 ? DType::kQ8_0 : type;
  const uint64_t dense_bytes = PackedBytes(dense, rows, cols);
  for (const uint32_t tokens : {1u, 2u, 4u, 8u, 16u, 32u, 64u, 512u}) {
    StepCounts host = {};
    host.rows[0] = tokens;
    Check(CopyIn(d.counts, &host, sizeof(host), d.stream));
    for (uint32_t i = 0; i < copies; ++i) {
      Check(CopyIn(d.weights + i * distance, packed.data(), packed.size(), d.stream));
    }
    Check(Wait(d.stream));
    const double sparse = Measure(d.stream, [&](uint32_t i) {
      SparseMatMulArgs args = {ArgsOf(d, type, rows, cols), {}};
      args.matrix[0] = layout.At(d.weights + i % copies * distance);
      LaunchSparseMatMul(type, args, tokens, d.stream);
    });
    const double time = Measure(d.stream, [&](uint32_t i) {
      MatMulArgs args = ArgsOf(d, dense, rows, cols);
      args.matrix[0].weights = d.weights + i % (kWeightBytes / dense_bytes) * dense_bytes;
      LaunchMatMul(dense, args, tokens, 0, d.stream);
    });
    if (failed) return;
    printf("| %s %u x %u, %.0f %% | %u | %.1f | %.0f | %.1f | %.0f | %.2f |\n", mote::DTypeName(type), rows, cols,
           100 * density, tokens, sparse * 1e6, static_cast<double>(bytes) / sparse / 1e9, time * 1e6,
           static_cast<double>(dense_bytes) / time / 1e9, time / sparse);
  }
}

}  // namespace

int main() {
  Device d;
  int devices = 0;
  Check(CountDevices(&devices));
  if (failed || devices == 0) return 1;
  Check(UseDevice(0));
  Check(CreateStream(&d.stream));
  const auto allocate = [](uint64_t bytes, uint8_t** to) {
    void* memory = nullptr;
    Check(Allocate(bytes, &memory));
    *to = static_cast<uint8_t*>(memory);
  };
  allocate(kWeightBytes, &d.weights);
  allocate(64 << 20, &d.acts);
  allocate(64 << 20, &d.out);
  allocate(sizeof(StepCounts), &d.counts);
  if (failed) return 1;
  const std::vector<uint8_t> some(64 << 20, 0x2c);
  Check(CopyIn(d.acts, some.data(), some.size(), d.stream));
  printf(
      "| weights | tokens | sparse us | GB/s | dense us | GB/s | times as fast "
      "|\n|---|---:|---:|---:|---:|---:|---:|\n");
  for (const DType type : {DType::kI8, DType::kF16}) {
    for (const double density : {0.5, 0.25}) {
      MeasureShape(d, type, 14336, 4096, density);
      MeasureShape(d, type, 4096, 4096, density);
    }
  }
  return failed ? 1 : 0;
}
