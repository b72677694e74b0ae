// A GPU of one multiprocessor made of fibers: the words of targets/cuda/vocabulary.h and mma.h for the CPU, so that the
// kernels' own sources can be run, and judged, where there is no GPU.
//
// Included before everything else (-include) when .cu files are compiled as C++. What it keeps honest: a block's
// threads are fibers that run until they must wait, in an order that tests choose (Order), so that a missing barrier
// shows; what is copied in the background is there when it was waited for and not before, and what was in its place is
// gone at once; every lane of a warp must arrive at the same word at the same time; shared memory and device memory
// begin as NaNs and end where they were asked to end (address sanitizers see a step beyond). What it cannot know: time,
// caches, registers, and whether the hardware adds up a matrix product in another order than the one here.
#ifndef MOTE_TESTS_CUDA_EMULATOR_EMULATOR_H_
#define MOTE_TESTS_CUDA_EMULATOR_EMULATOR_H_

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <functional>

#include "quant/codec.h"

#define MOTE_CUDA_EMULATED 1

struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};
struct alignas(8) uint2 {
  uint32_t x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};

namespace mote_emulator {

struct Dim {
  uint32_t x = 1, y = 1, z = 1;
};

// In which order the threads of a block get their turns.
enum class Order { kForward, kReverse, kShuffled };
void SetOrder(Order order);

struct Place {
  Dim thread;
  Dim block;
  Dim grid;
  Dim threads;  // of the block
};
// Of the thread that runs.
const Place& Current();
uint8_t* Shared();
void SyncBlock();
// The threads with the own threadIdx.y.
void SyncTeam();
// Until the word is no longer `seen`.
void AwaitChange(const uint32_t* word, uint32_t seen);
// vocabulary.h
void CopyAsync(void* shared, const void* global, uint32_t bytes);
void CommitCopies();
void WaitCopies(uint32_t pending);
// All lanes of the warp lay down `bytes` (up to 64) and see what the others laid down: 32 places of 64 bytes. `word`
// names the operation: lanes that differ are a fault. Valid until the lane's second next exchange.
const uint8_t* Exchange(const char* word, const void* mine, size_t bytes);

struct Shape {
  Dim grid;
  uint32_t threads;       // of a team
  uint32_t teams = 1;     // of a block
  bool resident = false;  // all blocks at once, and not one after the other
  size_t shared_bytes = 0;
};
// Runs a kernel's blocks. Ends the process with a message where threads wait for ever.
void Run(const Shape& shape, const std::function<void()>& kernel);
inline void Run(const Dim& grid, uint32_t threads, size_t shared_bytes, const std::function<void()>& kernel) {
  Run({grid, threads, 1, false, shared_bytes}, kernel);
}
// The same when the stream comes to it (runtime.cc): a captured launch runs with its graph.
void Launch(void* stream, const Shape& shape, std::function<void()> kernel);

// Of blocks that stay, on a multiprocessor.
uint32_t ResidentBlocks();

[[noreturn]] void Fault(const char* message);

}  // namespace mote_emulator

#define threadIdx (mote_emulator::Current().thread)
#define blockIdx (mote_emulator::Current().block)
#define gridDim (mote_emulator::Current().grid)
#define blockDim (mote_emulator::Current().threads)

#define MOTE_DEVICE static inline
#define MOTE_KERNEL(threads, blocks) static void
#define MOTE_LAUNCH(kernel, grid, threads, shared, stream, arguments)                        \
  mote_emulator::Launch(stream, {{(grid).x, (grid).y, (grid).z}, threads, 1, false, shared}, \
                        [function = kernel, given = arguments] { function(given); })
#define MOTE_LAUNCH_RESIDENT(kernel, blocks, threads, teams, shared, stream, arguments) \
  mote_emulator::Launch(stream, {{blocks, 1, 1}, threads, teams, true, shared},         \
                        [function = kernel, given = arguments] { function(given); })
#define MOTE_RESIDENT_BLOCKS(kernel, threads, shared) mote_emulator::ResidentBlocks()
#define MOTE_ALLOW_SHARED(kernel, of_stream) \
  do {                                       \
  } while (false)

namespace mote::cuda {

MOTE_DEVICE uint8_t* SharedMemory() {
  return mote_emulator::Shared();
}
MOTE_DEVICE void SyncBlock() {
  mote_emulator::SyncTeam();  // with one team, all of the block
}
MOTE_DEVICE void SyncTeams() {
  mote_emulator::SyncBlock();
}
MOTE_DEVICE void ArriveOnly(uint32_t* arrived) {
  ++*arrived;
}
MOTE_DEVICE void AwaitArrivals(const uint32_t* arrived, uint32_t count) {
  for (uint32_t there = *arrived; there < count; there = *arrived) mote_emulator::AwaitChange(arrived, there);
}
MOTE_DEVICE uint32_t Arrive(uint32_t* arrived) {
  return (*arrived)++;
}
template <class T>
MOTE_DEVICE T LoadFresh(const T* p) {
  return *p;
}
MOTE_DEVICE void LetNextBegin() {}
MOTE_DEVICE void WaitForPrevious() {}
MOTE_DEVICE void SyncWarp() {
  mote_emulator::Exchange("SyncWarp", nullptr, 0);
}
template <class T>
MOTE_DEVICE T FromLane(const uint8_t* places, int lane) {
  T value;
  memcpy(&value, places + 64 * lane, sizeof(value));
  return value;
}
MOTE_DEVICE float ShuffleXor(float x, int mask) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  return FromLane<float>(mote_emulator::Exchange("ShuffleXor", &x, sizeof(x)), lane ^ mask);
}
MOTE_DEVICE uint32_t ShuffleFrom(uint32_t x, int lane) {
  return FromLane<uint32_t>(mote_emulator::Exchange("ShuffleFrom", &x, sizeof(x)), lane & 31);
}
MOTE_DEVICE uint32_t WarpAdd(uint32_t x) {
  const uint8_t* places = mote_emulator::Exchange("WarpAdd", &x, sizeof(x));
  uint32_t sum = 0;
  for (int lane = 0; lane < 32; ++lane) sum += FromLane<uint32_t>(places, lane);
  return sum;
}
MOTE_DEVICE uint32_t LanesLike(uint32_t x) {
  const uint8_t* places = mote_emulator::Exchange("LanesLike", &x, sizeof(x));
  uint32_t lanes = 0;
  for (int lane = 0; lane < 32; ++lane) lanes |= (FromLane<uint32_t>(places, lane) == x ? 1u : 0u) << lane;
  return lanes;
}
MOTE_DEVICE uint32_t CountBits(uint32_t x) {
  return static_cast<uint32_t>(__builtin_popcount(x));
}
MOTE_DEVICE uint32_t PickBytes(uint32_t low, uint32_t high, uint32_t selector) {
  const uint64_t both = uint64_t{high} << 32 | low;
  uint32_t picked = 0;
  for (int i = 0; i < 4; ++i) {
    const uint32_t from = selector >> 4 * i & 15;
    if (from > 7) mote_emulator::Fault("PickBytes: a selector above 7 means another instruction");
    picked |= static_cast<uint32_t>(both >> 8 * from & 255) << 8 * i;
  }
  return picked;
}
MOTE_DEVICE float HalfToFloat(uint32_t bits) {
  return F16ToF32(static_cast<uint16_t>(bits));
}
MOTE_DEVICE uint16_t FloatToHalf(float x) {
  return F32ToF16(x);
}
MOTE_DEVICE uint32_t FloatsToHalves(float low, float high) {
  return uint32_t{FloatToHalf(low)} | uint32_t{FloatToHalf(high)} << 16;
}
MOTE_DEVICE float BitsToFloat(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof(x));
  return x;
}
MOTE_DEVICE uint32_t FloatToBits(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof(bits));
  return bits;
}
MOTE_DEVICE int RoundToInt(float x) {
  return static_cast<int>(nearbyintf(x));
}
MOTE_DEVICE void CopyAsync16(void* shared, const void* global) {
  mote_emulator::CopyAsync(shared, global, 16);
}
template <int kOffset>
MOTE_DEVICE void CopyAsync16Behind(void* shared, const void* global) {
  CopyAsync16(static_cast<uint8_t*>(shared) + kOffset, static_cast<const uint8_t*>(global) + kOffset);
}
MOTE_DEVICE void CopyAsync8(void* shared, const void* global) {
  mote_emulator::CopyAsync(shared, global, 8);
}
MOTE_DEVICE void CommitCopies() {
  mote_emulator::CommitCopies();
}
template <int kPending>
MOTE_DEVICE void WaitCopies() {
  mote_emulator::WaitCopies(kPending);
}

// mma.h's, from its description.
struct MmaOperands {
  uint32_t a[4];
  uint32_t b[2];
};
MOTE_DEVICE uint32_t WordOf(const uint8_t* places, int lane, int word) {
  uint32_t value;
  memcpy(&value, places + 64 * lane + 4 * word, sizeof(value));
  return value;
}
MOTE_DEVICE int ByteAt(uint32_t word, int i, bool has_sign) {
  const uint8_t byte = static_cast<uint8_t>(word >> 8 * i);
  return has_sign ? static_cast<int8_t>(byte) : byte;
}
struct Signs {
  bool a = true, b = true;
};
MOTE_DEVICE void MmaBytes(const char* word, int32_t d[4], const MmaOperands& mine, int k_halves, Signs signs = {}) {
  const uint8_t* places = mote_emulator::Exchange(word, &mine, sizeof(mine));
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int g = lane / 4, t = lane % 4;
  for (int i = 0; i < 4; ++i) {
    const int row = g + i / 2 * 8, column = 2 * t + i % 2;
    for (int four = 0; four < 4 * k_halves; ++four) {  // k = 4 four ..
      const uint32_t a = WordOf(places, row % 8 * 4 + four % 4, four / 4 * 2 + row / 8);
      const uint32_t b = WordOf(places, column * 4 + four % 4, 4 + four / 4);
      for (int k = 0; k < 4; ++k) d[i] += ByteAt(a, k, signs.a) * ByteAt(b, k, signs.b);
    }
  }
}
MOTE_DEVICE void MmaBytes16(int32_t d[4], uint32_t a0, uint32_t a1, uint32_t b0) {
  MmaBytes("MmaBytes16", d, {{a0, a1, 0, 0}, {b0, 0}}, 1);
}
template <bool kUnsignedB>
MOTE_DEVICE void MmaUnsigned16(int32_t d[4], uint32_t a0, uint32_t a1, uint32_t b0) {
  MmaBytes("MmaUnsigned16", d, {{a0, a1, 0, 0}, {b0, 0}}, 1, {false, !kUnsignedB});
}
template <bool kUnsignedB>
MOTE_DEVICE void MmaUnsigned32(int32_t d[4], const uint32_t a[4], uint32_t b0, uint32_t b1) {
  MmaBytes("MmaUnsigned32", d, {{a[0], a[1], a[2], a[3]}, {b0, b1}}, 2, {false, !kUnsignedB});
}
MOTE_DEVICE void MmaBytes32(int32_t d[4], const int32_t start[4], const uint32_t a[4], uint32_t b0, uint32_t b1) {
  for (int i = 0; i < 4; ++i) d[i] = start[i];
  MmaBytes("MmaBytes32", d, {{a[0], a[1], a[2], a[3]}, {b0, b1}}, 2);
}
template <float (*kConvert)(uint16_t)>
MOTE_DEVICE void MmaFloats(const char* word, float d[4], const MmaOperands& mine) {
  const uint8_t* places = mote_emulator::Exchange(word, &mine, sizeof(mine));
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int g = lane / 4, t = lane % 4;
  for (int i = 0; i < 4; ++i) {
    const int row = g + i / 2 * 8, column = 2 * t + i % 2;
    float sum = 0;
    for (int two = 0; two < 8; ++two) {  // k = 2 two, and the next
      const uint32_t a = WordOf(places, row % 8 * 4 + two % 4, two / 4 * 2 + row / 8);
      const uint32_t b = WordOf(places, column * 4 + two % 4, 4 + two / 4);
      sum += kConvert(static_cast<uint16_t>(a)) * kConvert(static_cast<uint16_t>(b));
      sum += kConvert(static_cast<uint16_t>(a >> 16)) * kConvert(static_cast<uint16_t>(b >> 16));
    }
    d[i] += sum;
  }
}
MOTE_DEVICE void MmaHalves(float d[4], const uint32_t a[4], uint32_t b0, uint32_t b1) {
  MmaFloats<F16ToF32>("MmaHalves", d, {{a[0], a[1], a[2], a[3]}, {b0, b1}});
}
MOTE_DEVICE void MmaBf16(float d[4], const uint32_t a[4], uint32_t b0, uint32_t b1) {
  MmaFloats<BF16ToF32>("MmaBf16", d, {{a[0], a[1], a[2], a[3]}, {b0, b1}});
}
// wgmma.h's, from its description; but what is not waited for is there all the same.
MOTE_DEVICE uint64_t GroupOperand(const uint8_t* b) {
  if (reinterpret_cast<uintptr_t>(b) % 1024 != 0) mote_emulator::Fault("GroupOperand: not aligned to 1024 bytes");
  return reinterpret_cast<uint64_t>(b);
}
MOTE_DEVICE uint64_t NextOperand(uint64_t b) {
  return b + 32;
}
MOTE_DEVICE void GroupSees() {}
MOTE_DEVICE void BeginGroup() {}
MOTE_DEVICE void EndGroup() {}
template <int kPending>
MOTE_DEVICE void WaitGroups() {}
MOTE_DEVICE void TakeSums(float*) {}
template <float (*kConvert)(uint16_t)>
MOTE_DEVICE void GroupFloats(const char* word, float d[64], const uint32_t a[4], uint64_t b) {
  const uint8_t* places = mote_emulator::Exchange(word, a, 16);
  const uint32_t lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
  float rows[2][16];
  for (uint32_t k = 0; k < 16; ++k) {
    for (uint32_t r = 0; r < 2; ++r) {
      const uint32_t two = WordOf(places, static_cast<int>(g * 4 + k % 8 / 2), static_cast<int>(k / 8 * 2 + r));
      rows[r][k] = kConvert(static_cast<uint16_t>(two >> k % 2 * 16));
    }
  }
  for (uint32_t i = 0; i < 32; ++i) {
    const uint32_t column = i / 2 * 8 + 2 * t + i % 2;
    float sums[2] = {0, 0};
    for (uint32_t k = 0; k < 16; ++k) {
      const uint64_t at = b + column / 8 * 1024 + column % 8 * 128 + 2 * k;
      const float value = kConvert(*reinterpret_cast<const uint16_t*>(at ^ (at >> 7 & 7) << 4));
      sums[0] += rows[0][k] * value;
      sums[1] += rows[1][k] * value;
    }
    d[column / 8 * 4 + column % 2] += sums[0];
    d[column / 8 * 4 + 2 + column % 2] += sums[1];
  }
}
MOTE_DEVICE void GroupHalves(float d[64], const uint32_t a[4], uint64_t b) {
  GroupFloats<F16ToF32>("GroupHalves", d, a, b);
}
MOTE_DEVICE void GroupBf16(float d[64], const uint32_t a[4], uint64_t b) {
  GroupFloats<BF16ToF32>("GroupBf16", d, a, b);
}
template <class F>
MOTE_DEVICE uint32_t EachHalf(F f) {
  return uint32_t{F32ToF16(f(0))} | uint32_t{F32ToF16(f(16))} << 16;
}
MOTE_DEVICE float HalfAt(uint32_t word, int shift) {
  return F16ToF32(static_cast<uint16_t>(word >> shift));
}
MOTE_DEVICE uint32_t AddHalves(uint32_t x, uint32_t y) {
  return EachHalf([&](int i) { return HalfAt(x, i) + HalfAt(y, i); });
}
MOTE_DEVICE uint32_t MultiplyHalves(uint32_t x, uint32_t y) {
  return EachHalf([&](int i) { return HalfAt(x, i) * HalfAt(y, i); });
}
MOTE_DEVICE uint32_t MultiplyAddHalves(uint32_t x, uint32_t y, uint32_t z) {
  return EachHalf([&](int i) { return fmaf(HalfAt(x, i), HalfAt(y, i), HalfAt(z, i)); });
}
// ldmatrix .x2.trans: lanes 0..15 name rows; thread (g, t) gets elements [2t, 2t + 1][g] of each half of the rows.
MOTE_DEVICE void LoadTransposed(const uint16_t* row, uint32_t* b0, uint32_t* b1) {
  if (reinterpret_cast<uintptr_t>(row) % 16 != 0) mote_emulator::Fault("LoadTransposed: not aligned to 16 bytes");
  const uint8_t* places = mote_emulator::Exchange("LoadTransposed", &row, sizeof(row));
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int g = lane / 4, t = lane % 4;
  const auto at = [&](int k) { return uint32_t{FromLane<const uint16_t*>(places, k)[g]}; };
  *b0 = at(2 * t) | at(2 * t + 1) << 16;
  *b1 = at(8 + 2 * t) | at(8 + 2 * t + 1) << 16;
}
// ldmatrix .x4, and .x4.trans: lanes 8 i .. name the rows of matrix i.
MOTE_DEVICE void LoadFourMatrices(const char* word, const uint16_t* row, bool transposed, uint32_t m[4]) {
  if (reinterpret_cast<uintptr_t>(row) % 16 != 0) mote_emulator::Fault("LoadMatrices: not aligned to 16 bytes");
  const uint8_t* places = mote_emulator::Exchange(word, &row, sizeof(row));
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int g = lane / 4, t = lane % 4;
  for (int i = 0; i < 4; ++i) {
    const auto at = [&](int k, int column) { return uint32_t{FromLane<const uint16_t*>(places, 8 * i + k)[column]}; };
    m[i] = transposed ? at(2 * t, g) | at(2 * t + 1, g) << 16 : at(g, 2 * t) | at(g, 2 * t + 1) << 16;
  }
}
MOTE_DEVICE void LoadMatrices(const uint16_t* row, uint32_t m[4]) {
  LoadFourMatrices("LoadMatrices", row, false, m);
}
MOTE_DEVICE void LoadTransposedMatrices(const uint16_t* row, uint32_t m[4]) {
  LoadFourMatrices("LoadTransposedMatrices", row, true, m);
}

}  // namespace mote::cuda

#endif  // MOTE_TESTS_CUDA_EMULATOR_EMULATOR_H_
