// The emulated GPU itself: what other tests lean on.
#include "tests/cuda/emulator/emulator.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace mote::cuda {
namespace {

using mote_emulator::Order;

TEST(Emulator, ThreadsMeetAtBarriersInAnyOrder) {
  for (const Order order : {Order::kForward, Order::kReverse, Order::kShuffled}) {
    mote_emulator::SetOrder(order);
    std::vector<int> out(96 * 2);
    mote_emulator::Run({2, 1, 1}, 96, 96 * sizeof(int), [&] {
      int* shared = reinterpret_cast<int*>(SharedMemory());
      shared[threadIdx.x] = static_cast<int>(threadIdx.x + blockIdx.x);
      SyncBlock();
      out[blockIdx.x * 96 + threadIdx.x] = shared[95 - threadIdx.x];
    });
    for (int i = 0; i < 96; ++i) {
      EXPECT_EQ(out[static_cast<size_t>(i)], 95 - i);
      EXPECT_EQ(out[static_cast<size_t>(96 + i)], 96 - i);
    }
  }
  mote_emulator::SetOrder(Order::kForward);
}

// Without the barrier the order of the threads shows: that is how a missing one is found.
TEST(Emulator, AMissingBarrierShows) {
  const auto run = [](Order order) {
    mote_emulator::SetOrder(order);
    std::vector<int> out(64);
    mote_emulator::Run({1, 1, 1}, 64, 64 * sizeof(int), [&] {
      int* shared = reinterpret_cast<int*>(SharedMemory());
      shared[threadIdx.x] = static_cast<int>(threadIdx.x);
      out[threadIdx.x] = shared[63 - threadIdx.x];
    });
    mote_emulator::SetOrder(Order::kForward);
    return out;
  };
  EXPECT_NE(run(Order::kForward), run(Order::kReverse));
}

TEST(Emulator, ShufflesReachTheirLanes) {
  std::vector<float> out(64);
  std::vector<uint32_t> from(64);
  mote_emulator::Run({1, 1, 1}, 64, 0, [&] {
    out[threadIdx.x] = ShuffleXor(static_cast<float>(threadIdx.x), 5);
    from[threadIdx.x] = ShuffleFrom(threadIdx.x, static_cast<int>(threadIdx.x) + 1);
  });
  for (uint32_t i = 0; i < 64; ++i) {
    EXPECT_EQ(out[i], static_cast<float>(i ^ 5));
    EXPECT_EQ(from[i], i / 32 * 32 + (i + 1) % 32);
  }
}

TEST(Emulator, LanesFindThoseLikeThem) {
  std::vector<uint32_t> out(32), bits(32);
  mote_emulator::Run({1, 1, 1}, 32, 0, [&] {
    out[threadIdx.x] = LanesLike(threadIdx.x % 3);
    bits[threadIdx.x] = CountBits(out[threadIdx.x]);
  });
  for (uint32_t i = 0; i < 32; ++i) {
    EXPECT_EQ(out[i], i % 3 == 0 ? 0x49249249u : i % 3 == 1 ? 0x92492492u : 0x24924924u);
    EXPECT_EQ(bits[i], i % 3 == 2 ? 10u : 11u);
  }
}

TEST(Emulator, WarpsAdd) {
  std::vector<uint32_t> out(64);
  mote_emulator::Run({1, 1, 1}, 64, 0, [&] { out[threadIdx.x] = WarpAdd(threadIdx.x); });
  for (uint32_t i = 0; i < 64; ++i) EXPECT_EQ(out[i], i < 32 ? 31 * 16 : 31 * 16 + 32 * 32);
}

// Fragments as mma.h describes them, against the sum written out.
TEST(Emulator, MatrixInstructionsMultiply) {
  std::minstd_rand random(3);
  int8_t a[16][32], b[32][8];
  for (auto& row : a) {
    for (int8_t& v : row) v = static_cast<int8_t>(random() % 256);
  }
  for (auto& row : b) {
    for (int8_t& v : row) v = static_cast<int8_t>(random() % 256);
  }
  int got[16][8] = {}, got16[16][8] = {}, got_mixed[16][8] = {}, got_unsigned[16][8] = {}, got_mixed32[16][8] = {},
      got_unsigned32[16][8] = {};
  const auto pack = [](const auto& at) {
    uint32_t word = 0;
    for (int i = 0; i < 4; ++i) word |= static_cast<uint32_t>(static_cast<uint8_t>(at(i))) << 8 * i;
    return word;
  };
  mote_emulator::Run({1, 1, 1}, 32, 0, [&] {
    const int g = static_cast<int>(threadIdx.x) / 4, t = static_cast<int>(threadIdx.x) % 4;
    uint32_t fa[4];
    for (int r = 0; r < 4; ++r) fa[r] = pack([&](int i) { return a[g + r % 2 * 8][r / 2 * 16 + 4 * t + i]; });
    const uint32_t b0 = pack([&](int i) { return b[4 * t + i][g]; });
    const uint32_t b1 = pack([&](int i) { return b[16 + 4 * t + i][g]; });
    int32_t d[4], d16[4] = {0, 0, 0, 0}, mixed[4] = {0, 0, 0, 0}, unsigned16[4] = {0, 0, 0, 0},
                  mixed32[4] = {1, 1, 1, 1}, unsigned32[4] = {1, 1, 1, 1};
    const int32_t ones[4] = {1, 1, 1, 1};
    MmaBytes32(d, ones, fa, b0, b1);
    MmaBytes16(d16, fa[0], fa[1], b0);
    MmaUnsigned16<false>(mixed, fa[0], fa[1], b0);
    MmaUnsigned16<true>(unsigned16, fa[0], fa[1], b0);
    MmaUnsigned32<false>(mixed32, fa, b0, b1);
    MmaUnsigned32<true>(unsigned32, fa, b0, b1);
    for (int i = 0; i < 4; ++i) {
      got[g + i / 2 * 8][2 * t + i % 2] = d[i];
      got16[g + i / 2 * 8][2 * t + i % 2] = d16[i];
      got_mixed[g + i / 2 * 8][2 * t + i % 2] = mixed[i];
      got_unsigned[g + i / 2 * 8][2 * t + i % 2] = unsigned16[i];
      got_mixed32[g + i / 2 * 8][2 * t + i % 2] = mixed32[i];
      got_unsigned32[g + i / 2 * 8][2 * t + i % 2] = unsigned32[i];
    }
  });
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 8; ++column) {
      int want = 1, want16 = 0, want_mixed = 0, want_unsigned = 0, want_mixed32 = 1, want_unsigned32 = 1;
      for (int k = 0; k < 32; ++k) {
        want += a[row][k] * b[k][column];
        want_mixed32 += static_cast<uint8_t>(a[row][k]) * b[k][column];
        want_unsigned32 += static_cast<uint8_t>(a[row][k]) * static_cast<uint8_t>(b[k][column]);
      }
      for (int k = 0; k < 16; ++k) {
        want16 += a[row][k] * b[k][column];
        want_mixed += static_cast<uint8_t>(a[row][k]) * b[k][column];
        want_unsigned += static_cast<uint8_t>(a[row][k]) * static_cast<uint8_t>(b[k][column]);
      }
      EXPECT_EQ(got[row][column], want);
      EXPECT_EQ(got16[row][column], want16);
      EXPECT_EQ(got_mixed[row][column], want_mixed);
      EXPECT_EQ(got_unsigned[row][column], want_unsigned);
      EXPECT_EQ(got_mixed32[row][column], want_mixed32);
      EXPECT_EQ(got_unsigned32[row][column], want_unsigned32);
    }
  }
}

TEST(Emulator, TransposedLoadsFeedTheHalvesInstruction) {
  float a[16][16], b[16][8], got[16][8];
  std::vector<uint16_t> rows(16 * 16);  // of b, padded
  std::minstd_rand random(4);
  for (int k = 0; k < 16; ++k) {
    for (int i = 0; i < 16; ++i) a[i][k] = static_cast<float>(static_cast<int>(random() % 17) - 8);
    for (int i = 0; i < 8; ++i) {
      b[k][i] = static_cast<float>(static_cast<int>(random() % 17) - 8);
      rows[static_cast<size_t>(k * 16 + i)] = F32ToF16(b[k][i]);
    }
  }
  alignas(16) static uint16_t shared[16 * 16];
  std::copy(rows.begin(), rows.end(), shared);
  mote_emulator::Run({1, 1, 1}, 32, 0, [&] {
    const int lane = static_cast<int>(threadIdx.x), g = lane / 4, t = lane % 4;
    const auto pair = [](float low, float high) {
      return uint32_t{FloatToHalf(low)} | uint32_t{FloatToHalf(high)} << 16;
    };
    uint32_t fa[4], b0, b1;
    for (int r = 0; r < 4; ++r) {
      const int row = g + r % 2 * 8, k = r / 2 * 8 + 2 * t;
      fa[r] = pair(a[row][k], a[row][k + 1]);
    }
    LoadTransposed(shared + lane % 16 * 16, &b0, &b1);
    float d[4] = {0, 0, 0, 0};
    MmaHalves(d, fa, b0, b1);
    for (int i = 0; i < 4; ++i) got[g + i / 2 * 8][2 * t + i % 2] = d[i];
  });
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 8; ++column) {
      float want = 0;
      for (int k = 0; k < 16; ++k) want += a[row][k] * b[k][column];
      EXPECT_EQ(got[row][column], want);
    }
  }
}

// Four matrices of 8 x 8 at once, each by its own eight lanes' rows.
TEST(Emulator, FourMatrices) {
  alignas(16) static uint16_t shared[16 * 16];
  for (uint16_t i = 0; i < 16 * 16; ++i) shared[i] = i;
  mote_emulator::Run({1, 1, 1}, 32, 0, [&] {
    const uint32_t lane = threadIdx.x, g = lane / 4, t = lane % 4;
    const uint16_t* row = shared + lane % 16 * 16 + lane / 16 * 8;
    uint32_t plain[4], turned[4];
    LoadMatrices(row, plain);
    LoadTransposedMatrices(row, turned);
    for (uint32_t i = 0; i < 4; ++i) {
      const uint32_t begin = i % 2 * 8 * 16 + i / 2 * 8;
      const uint32_t own = begin + g * 16 + 2 * t, down = begin + 2 * t * 16 + g;
      EXPECT_EQ(plain[i], own | (own + 1) << 16);
      EXPECT_EQ(turned[i], down | (down + 16) << 16);
    }
  });
}

#if !defined(__SANITIZE_ADDRESS__)
TEST(EmulatorDeathTest, WhatWouldHangOrTearApartIsAFault) {
  EXPECT_DEATH(mote_emulator::Run({1, 1, 1}, 64, 0,
                                  [] {
                                    if (threadIdx.x != 3) SyncBlock();
                                  }),
               "threads wait");
  EXPECT_DEATH(mote_emulator::Run({1, 1, 1}, 32, 0,
                                  [] {
                                    if (threadIdx.x % 2 == 0) {
                                      SyncWarp();
                                    } else {
                                      ShuffleXor(1, 1);
                                    }
                                  }),
               "different words");
  EXPECT_DEATH(mote_emulator::Run({1, 1, 1}, 33, 0, [] {}), "32 to 1024");
}
#endif

}  // namespace
}  // namespace mote::cuda
