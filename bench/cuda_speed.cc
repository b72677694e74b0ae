// A GPU's own limit, and its matrix products beside it: copies of device memory, then weights times 1 to 2048 tokens,
// as bytes of weights a second and as a share of what the copies reached in this run. For bench/cuda_check.sh.
#include <stdint.h>
#include <stdio.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "targets/cuda/launch.h"
#include "targets/cuda/runtime.h"

namespace {

using namespace mote::cuda;  // NOLINT: a small program

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

bool Fails(const char* text, const char* doing) {
  if (text != nullptr) fprintf(stderr, "cuda_speed: %s: %s\n", doing, text);
  return text != nullptr;
}

// The median of five times of `work`.
template <class Work>
double Median(void* stream, Work work) {
  std::vector<double> times;
  for (int round = 0; round < 6; ++round) {
    const double start = Now();
    work();
    if (Fails(Wait(stream), "running")) return 1e30;
    if (round > 0) times.push_back(Now() - start);
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

// The same of one of `count` launches, which are one graph: what the GPU takes, not what launching does.
template <class Work>
double MedianOfGraph(void* stream, int count, Work work) {
  void* graph = nullptr;
  if (Fails(BeginCapture(stream), "capturing")) return 1e30;
  for (int i = 0; i < count; ++i) work(i);
  if (Fails(EndCapture(stream, &graph), "capturing")) return 1e30;
  const double time = Median(stream, [&] { Fails(LaunchGraph(graph, stream), "running"); });
  FreeGraph(graph);
  return time / count;
}

// Random bytes whose pairs are small positive halves: no operand is zero, no scale infinite.
bool FillRandom(uint8_t* memory, uint64_t bytes, void* stream) {
  std::vector<uint8_t> some(16 << 20);
  uint64_t state = 0x9E3779B97F4A7C15u;
  for (uint8_t& byte : some) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    byte = static_cast<uint8_t>(state >> 58);
  }
  for (uint64_t at = 0; at < bytes; at += some.size()) {
    const uint64_t count = std::min<uint64_t>(some.size(), bytes - at);
    if (Fails(CopyIn(memory + at, some.data(), count, stream), "copying")) return false;
  }
  return !Fails(Wait(stream), "copying");
}

struct Shape {
  mote::DType type;
  uint32_t rows;
  uint32_t cols;
};

}  // namespace

int main() {
  int devices = 0;
  if (Fails(CountDevices(&devices), "looking for a GPU") || devices == 0) return 1;
  void *stream = nullptr, *memory = nullptr, *out = nullptr, *acts = nullptr, *counts = nullptr;
  constexpr uint64_t kBytes = uint64_t{1} << 30, kOutBytes = 128 << 20;
  DeviceFacts facts = {};
  if (Fails(ReadDevice(0, &facts), "the GPU")) return 1;
  if (Fails(UseDevice(0), "the GPU") || Fails(CreateStream(&stream), "a stream")) return 1;
  if (Fails(Allocate(kBytes, &memory), "memory") || Fails(Allocate(kOutBytes, &out), "memory")) return 1;
  if (Fails(Allocate(64 << 20, &acts), "memory") || Fails(Allocate(sizeof(StepCounts), &counts), "memory")) return 1;
  if (!FillRandom(static_cast<uint8_t*>(memory), kBytes, stream)) return 1;
  if (!FillRandom(static_cast<uint8_t*>(acts), 64 << 20, stream)) return 1;
  // As large as there is room for: 2 GiB are several times the largest cache.
  void* copied = nullptr;
  uint64_t copy_bytes = uint64_t{4} << 30;
  while (copy_bytes > kBytes && Allocate(copy_bytes, &copied) != nullptr) copy_bytes /= 2;
  if (copied == nullptr) {
    copied = memory;
    copy_bytes = kBytes;
  }
  // Not as a graph, whose copies are done by a slower engine.
  const double copy =
      Median(stream,
             [&] {
               for (int i = 0; i < 4; ++i) {
                 CopyWithin(copied, static_cast<uint8_t*>(copied) + copy_bytes / 2, copy_bytes / 2, stream);
               }
             }) /
      4;
  const double bandwidth = static_cast<double>(copy_bytes) / copy;  // half of them read, half written
  if (copied != memory) Free(copied);
  printf(
      "copy of device memory: %.1f GB/s\n\n| weights | tokens | us | GB/s of weights | of the copy | T operations/s "
      "|\n|---|---:|---:|---:|---:|---:|\n",
      bandwidth / 1e9);
  using mote::DType;
  for (const Shape& shape :
       {Shape{DType::kQ4_0, 14336, 4096}, Shape{DType::kQ4_K, 14336, 4096}, Shape{DType::kQ6_K, 14336, 4096},
        Shape{DType::kQ8_0, 14336, 4096}, Shape{DType::kI8Row, 14336, 4096}, Shape{DType::kF16, 14336, 4096},
        Shape{DType::kQ4_0, 4096, 4096}, Shape{DType::kQ4_K, 4096, 14336}}) {
    for (const uint32_t tokens : {1u, 2u, 4u, 8u, 16u, 32u, 512u, 2048u}) {
      StepCounts host = {};
      host.rows[0] = tokens;
      if (Fails(CopyIn(counts, &host, sizeof(host), stream), "copy")) return 1;
      const uint64_t bytes = PackedBytes(shape.type, shape.rows, shape.cols);
      const uint64_t copies = std::max<uint64_t>(1, kBytes / bytes);  // so that no cache holds them
      const auto tell = [&](const char* how, double time) {
        const double speed = static_cast<double>(bytes) / time;
        printf("| %s %u x %u | %u%s | %.1f | %.1f | %.0f %% | %.1f |\n", mote::DTypeName(shape.type), shape.rows,
               shape.cols, tokens, how, time * 1e6, speed / 1e9, 100 * speed / bandwidth,
               2e-12 * shape.rows * shape.cols * tokens / time);
      };
      const auto args_of = [&](int i) {
        MatMulArgs args = {};
        args.matrices = 1;
        args.matrix[0].weights = static_cast<uint8_t*>(memory) + static_cast<uint64_t>(i) % copies * bytes;
        args.matrix[0].out = static_cast<float*>(out);
        args.matrix[0].rows = shape.rows;
        args.row_tiles = RowTiles(shape.cols);
        args.cols = shape.cols;
        args.acts = static_cast<uint8_t*>(acts);
        args.act_bytes = ActRowBytes(ActsOf(shape.type), shape.cols);
        args.counts = static_cast<StepCounts*>(counts);
        args.activation = kNoActivation;
        return args;
      };
      tell("", MedianOfGraph(stream, 32, [&](int i) { LaunchMatMul(shape.type, args_of(i), tokens, 0, stream); }));
      if (tokens < 512 || !facts.has_groups) continue;
      tell(" read", MedianOfGraph(stream, 32, [&](int i) {
             ReadArgs read = {};
             read.product = args_of(i);
             read.padded_rows = PaddedReadRows(tokens);
             read.scales = static_cast<float*>(acts);
             read.product.acts = static_cast<uint8_t*>(acts) + read.padded_rows * sizeof(float);
             LaunchReadMatMul(shape.type, read, tokens, stream);
           }));
    }
  }
  return 0;
}
