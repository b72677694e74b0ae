// The picture kernels of every row, byte for byte, beside sums in 64 bits.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "tests/simd/rows.h"
#include "tests/support/guarded.h"

namespace mote {
namespace {

using testing::Guarded;
using testing::Poison;
using testing::Random;
using testing::RunnableRows;

uint8_t Rounded(int64_t sum) {
  return static_cast<uint8_t>(std::clamp<int64_t>((sum + (1 << 21)) >> 22, 0, 255));
}

// `count` weights whose sum is one, magnitudes together below two; every fourth set as far out as is allowed, so that
// sums leave 0..255 on both sides and come near to the ends of 32 bits.
std::vector<int32_t> Weights(Random& random, size_t count) {
  constexpr int32_t kOne = 1 << simd::kPixelWeightBits;
  std::vector<int32_t> weights(count);
  if (random.Below(4) == 0) {
    weights[random.Below(count)] += kOne * 3 / 2 - 1;
    weights[random.Below(count)] -= kOne / 2 - 1;
    return weights;
  }
  for (int32_t& weight : weights) weight = static_cast<int32_t>(random.Uniform() * kOne / static_cast<float>(count));
  return weights;
}

std::vector<uint8_t> RandomBytes(Random& random, size_t count) {
  std::vector<uint8_t> bytes(count);
  const bool hard = random.Below(3) == 0;  // black and white alone
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(hard ? random.Below(2) * 255 : random.Below(256));
  return bytes;
}

TEST(BlendRows, EveryRowGivesTheSameBytes) {
  Random random(1);
  for (const simd::KernelTable* table : RunnableRows()) {
    SCOPED_TRACE(table->name);
    for (int round = 0; round < 200; ++round) {
      const size_t bytes = random.Below(3) == 0 ? random.Below(600) + 1 : random.Below(70) + 1;
      const size_t count = random.Below(40) + 1;
      std::vector<std::vector<uint8_t>> sources;
      std::vector<const uint8_t*> rows;
      for (size_t j = 0; j < count; ++j) {
        sources.push_back(RandomBytes(random, bytes));  // each its own allocation: a read outside is seen by sanitizers
        rows.push_back(sources.back().data());
      }
      const std::vector<int32_t> weights = Weights(random, count);
      const size_t misalign = random.Below(64);
      Guarded<uint8_t> first(bytes, misalign, Poison::kFirst), second(bytes, misalign, Poison::kSecond);
      table->blend_rows(rows.data(), weights.data(), count, bytes, first.data());
      table->blend_rows(rows.data(), weights.data(), count, bytes, second.data());
      ASSERT_TRUE(first.GuardsIntact() && second.GuardsIntact());
      for (size_t i = 0; i < bytes; ++i) {
        int64_t sum = 0;
        for (size_t j = 0; j < count; ++j) sum += int64_t{weights[j]} * rows[j][i];
        ASSERT_EQ(first[i], Rounded(sum)) << i << " of " << bytes << ", " << count << " rows";
        ASSERT_EQ(second[i], Rounded(sum)) << i << " of " << bytes << ", " << count << " rows";
      }
    }
  }
}

struct Problem {
  size_t width, rows, out_width, stride, out_stride, tap_stride;
  std::vector<int32_t> taps;
  std::vector<uint8_t> source;
};

Problem RandomProblem(Random& random) {
  Problem p;
  p.width = random.Below(80) + 1;
  p.rows = random.Below(11) + 1;
  p.out_width = random.Below(60) + 1;
  p.stride = 3 * p.width + random.Below(5);
  p.out_stride = 3 * p.out_width + random.Below(9);
  const size_t most = random.Below(p.width) + 1;
  p.tap_stride = 2 + most + random.Below(3);
  p.taps.assign(p.out_width * p.tap_stride, INT32_MIN);  // what is past a count must not be used
  for (size_t x = 0; x < p.out_width; ++x) {
    const size_t count = random.Below(most) + 1;
    int32_t* tap = &p.taps[x * p.tap_stride];
    tap[0] = static_cast<int32_t>(random.Below(p.width - count + 1));
    tap[1] = static_cast<int32_t>(count);
    const std::vector<int32_t> weights = Weights(random, count);
    std::copy(weights.begin(), weights.end(), tap + 2);
  }
  p.source = RandomBytes(random, (p.rows - 1) * p.stride + 3 * p.width);  // ends with its last pixel
  return p;
}

// Compares one output row; true if all is right.
bool RowIsRight(const Problem& p, size_t row, const uint8_t* out) {
  for (size_t x = 0; x < p.out_width; ++x) {
    const int32_t* tap = &p.taps[x * p.tap_stride];
    for (size_t c = 0; c < 3; ++c) {
      int64_t sum = 0;
      for (int32_t j = 0; j < tap[1]; ++j) {
        sum += int64_t{tap[2 + j]} * p.source[row * p.stride + 3 * static_cast<size_t>(tap[0] + j) + c];
      }
      if (out[3 * x + c] != Rounded(sum)) return false;
    }
  }
  return true;
}

TEST(ResizeRows, EveryRowGivesTheSameBytes) {
  Random random(2);
  for (const simd::KernelTable* table : RunnableRows()) {
    SCOPED_TRACE(table->name);
    for (int round = 0; round < 300; ++round) {
      const Problem p = RandomProblem(random);
      Guarded<uint8_t> scratch(simd::PixelScratchBytes(p.width), random.Below(64));
      for (const Poison poison : {Poison::kFirst, Poison::kSecond}) {
        Guarded<uint8_t> out((p.rows - 1) * p.out_stride + 3 * p.out_width, random.Below(64), poison);
        table->resize_rows(p.source.data(), p.stride, p.width, p.rows, p.taps.data(), p.tap_stride, p.out_width,
                           out.data(), p.out_stride, scratch.data());
        ASSERT_TRUE(out.GuardsIntact());
        ASSERT_TRUE(scratch.GuardsIntact());
        for (size_t row = 0; row < p.rows; ++row) {
          ASSERT_TRUE(RowIsRight(p, row, out.data() + row * p.out_stride))
              << "row " << row << " of " << p.rows << ", " << p.width << " to " << p.out_width;
          // Between the rows nothing is written.
          for (size_t i = 3 * p.out_width; row + 1 < p.rows && i < p.out_stride; ++i) {
            ASSERT_TRUE(out.IsPoison(row * p.out_stride + i)) << i;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace mote
