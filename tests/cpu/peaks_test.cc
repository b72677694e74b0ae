// Peaks: that the loops do the work that they count, and that the rows are there. How fast is no test.
#include "targets/cpu/peaks.h"

#include <gtest/gtest.h>
#include <stdint.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "engine/core/buffer.h"
#include "engine/core/context.h"
#include "simd/peaks.h"
#include "targets/cpu/cpu_info.h"

namespace mote::cpu {
namespace {

bool CanRun(const CpuInfo& info, std::string needs) {
  while (!needs.empty()) {
    const size_t space = needs.find(' ');
    if (!info.Has(needs.substr(0, space))) return false;
    needs = space == std::string::npos ? "" : needs.substr(space + 1);
  }
  return true;
}

TEST(PeakLoops, DoWhatTheyCount) {
  const CpuInfo info = DetectCpu();
  int ran = 0;
  for (const simd::PeakLoop& loop : simd::AllPeakLoops()) {
    if (!CanRun(info, loop.needs)) continue;
    ++ran;
    const bool whole = loop.kind == simd::PeakKind::kInt8 || loop.kind == simd::PeakKind::kTileInt8;
    for (const uint64_t rounds : {0, 1, 2, 1000, 65535}) {
      const simd::PeakCount count = loop.run(rounds);
      const double products = static_cast<double>(count.ops) / 2;
      EXPECT_EQ(count.sum, products * (whole ? 3 * -2 : 1)) << loop.primitive;
      EXPECT_EQ(count.ops, rounds * loop.run(1).ops) << loop.primitive;
    }
    EXPECT_GT(loop.run(1).ops, 0u) << loop.primitive;
  }
  EXPECT_GE(ran, 2);  // the scalar ones
}

TEST(PeakLoops, LastOnesNeedNothing) {
  std::string last_needs[6] = {"none", "none", "none", "none", "none", "none"};
  for (const simd::PeakLoop& loop : simd::AllPeakLoops()) last_needs[static_cast<int>(loop.kind)] = loop.needs;
  EXPECT_EQ(last_needs[static_cast<int>(simd::PeakKind::kInt8)], "");
  EXPECT_EQ(last_needs[static_cast<int>(simd::PeakKind::kBf16)], "");
  EXPECT_EQ(last_needs[static_cast<int>(simd::PeakKind::kF32)], "");
  ASSERT_FALSE(simd::AllReadLoops().empty());
  EXPECT_STREQ(simd::AllReadLoops().back().needs, "");
}

TEST(PeakLoops, ReadEveryWord) {
  const CpuInfo info = DetectCpu();
  constexpr size_t kBytes = 64 * simd::kReadBlockBytes;
  Result<Buffer> buffer = Buffer::Create(kBytes, "test");
  ASSERT_TRUE(buffer.ok());
  uint64_t* words = buffer->As<uint64_t>();
  uint64_t expected = 0;
  uint64_t state = 1;
  for (size_t i = 0; i < kBytes / 8; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    words[i] = state;
    expected += state;
  }
  for (const simd::ReadLoop& loop : simd::AllReadLoops()) {
    if (!CanRun(info, loop.needs)) continue;
    EXPECT_EQ(loop.sum(words, 0), 0u) << loop.name;
    EXPECT_EQ(loop.sum(words, kBytes), expected) << loop.name;
    EXPECT_EQ(loop.sum(words, simd::kReadBlockBytes) +
                  loop.sum(words + simd::kReadBlockBytes / 8, kBytes - simd::kReadBlockBytes),
              expected)
        << loop.name;
    // Each word counts: with one changed, the sum is another.
    for (size_t i = 0; i < 2 * simd::kReadBlockBytes / 8; ++i) {
      words[i] ^= 1;
      ASSERT_NE(loop.sum(words, kBytes), expected) << loop.name << ", word " << i;
      words[i] ^= 1;
    }
  }
}

void ExpectOrdered(const Rate& rate) {
  EXPECT_GT(rate.min, 0);
  EXPECT_LE(rate.min, rate.median);
  EXPECT_LE(rate.median, rate.max);
}

class PeaksTest : public ::testing::TestWithParam<int> {};

// Tiny work: this is about the rows.
TEST_P(PeaksTest, RowsAreInOrder) {
  const std::unique_ptr<Platform> platform = CreatePlatform();
  Result<std::unique_ptr<ThreadPool>> pool = platform->CreateThreadPool(GetParam());
  ASSERT_TRUE(pool.ok());
  const int workers = (*pool)->num_workers();
  CpuInfo info = DetectCpu();
  info.l1d = {32768, 1};
  info.l2 = {1 << 20, 1};
  info.l3 = {32 << 20, 8};
  const PeakOptions options = {.sample_seconds = 1e-4, .rounds = 2, .memory_bytes = 1 << 20};
  const Result<Peaks> peaks = MeasurePeaks(**pool, platform->clock(), info, options);
  ASSERT_TRUE(peaks.ok()) << peaks.status().message();

  std::vector<std::string> expected;
  for (const char* level : {"L1", "L2", "L3", "memory"}) {
    expected.push_back(std::string(level) + " 1");
    if (workers > 1) expected.push_back(level + (" " + std::to_string(workers)));
  }
  std::vector<std::string> found;
  for (const BandwidthRow& row : peaks->bandwidth) {
    found.push_back(row.level + (" " + std::to_string(row.workers)));
    ExpectOrdered(row.bytes_per_second);
    EXPECT_GT(row.bytes, 0u);
  }
  EXPECT_EQ(found, expected);
  EXPECT_EQ(peaks->bandwidth.front().bytes, 16384u);

  found.clear();
  expected.clear();
  for (const char* kind : {"int8", "bf16", "f16", "f32", "tile", "tile_int8"}) {
    if (peaks->Compute(kind) == nullptr) continue;
    expected.push_back(std::string(kind) + " 1");
    if (workers > 1) expected.push_back(kind + (" " + std::to_string(workers)));
  }
  for (const ComputeRow& row : peaks->compute) {
    found.push_back(row.kind + (" " + std::to_string(row.workers)));
    ExpectOrdered(row.ops_per_second);
    EXPECT_STRNE(row.primitive, "");
  }
  EXPECT_EQ(found, expected);
  ASSERT_NE(peaks->Compute("int8"), nullptr);
  ASSERT_NE(peaks->Compute("f32"), nullptr);
  EXPECT_EQ(peaks->Compute("int8")->workers, workers);
  EXPECT_EQ(peaks->Bandwidth("memory")->workers, workers);
  EXPECT_EQ(peaks->Bandwidth("L4"), nullptr);
}

INSTANTIATE_TEST_SUITE_P(Workers, PeaksTest, ::testing::Values(1, 2, 5));

TEST(Peaks, UnknownCachesAreLeftOut) {
  const std::unique_ptr<Platform> platform = CreatePlatform();
  Result<std::unique_ptr<ThreadPool>> pool = platform->CreateThreadPool(1);
  ASSERT_TRUE(pool.ok());
  CpuInfo nothing;  // no features either
  const PeakOptions options = {.sample_seconds = 1e-4, .rounds = 1, .memory_bytes = 1};
  const Result<Peaks> peaks = MeasurePeaks(**pool, platform->clock(), nothing, options);
  ASSERT_TRUE(peaks.ok());
  ASSERT_EQ(peaks->bandwidth.size(), 1u);
  EXPECT_STREQ(peaks->bandwidth[0].level, "memory");
  std::vector<std::string> kinds;
  for (const ComputeRow& row : peaks->compute) kinds.push_back(row.kind);
  kinds.erase(std::remove(kinds.begin(), kinds.end(), "f16"), kinds.end());  // Arm converts it without a feature
  EXPECT_EQ(kinds, (std::vector<std::string>{"int8", "bf16", "f32"}));
}

TEST(Peaks, OnlyWhatIsAskedFor) {
  const std::unique_ptr<Platform> platform = CreatePlatform();
  Result<std::unique_ptr<ThreadPool>> pool = platform->CreateThreadPool(1);
  ASSERT_TRUE(pool.ok());
  PeakOptions options = {.sample_seconds = 1e-4, .rounds = 1, .passes = 3, .memory_bytes = 1};
  options.bandwidth = false;
  options.isa = "scalar";
  Result<Peaks> peaks = MeasurePeaks(**pool, platform->clock(), DetectCpu(), options);
  ASSERT_TRUE(peaks.ok());
  EXPECT_TRUE(peaks->bandwidth.empty());
  ASSERT_EQ(peaks->compute.size(), 3u);
  for (const ComputeRow& row : peaks->compute) EXPECT_STREQ(row.primitive, "scalar");
  options.bandwidth = true;
  options.compute = false;
  peaks = MeasurePeaks(**pool, platform->clock(), CpuInfo(), options);
  ASSERT_TRUE(peaks.ok());
  EXPECT_EQ(peaks->bandwidth.size(), 1u);
  EXPECT_TRUE(peaks->compute.empty());
}

TEST(PeakLoops, KnowTheirRow) {
  using simd::PeakWithinIsa;
  EXPECT_TRUE(PeakWithinIsa("", "avx512f avx512_bf16", false));
  EXPECT_TRUE(PeakWithinIsa("scalar", "", true));
  EXPECT_FALSE(PeakWithinIsa("scalar", "", false));
  EXPECT_TRUE(PeakWithinIsa("sse4", "", false));
  EXPECT_TRUE(PeakWithinIsa("sse4", "ssse3", false));
  EXPECT_FALSE(PeakWithinIsa("sse4", "avx2", false));
  EXPECT_TRUE(PeakWithinIsa("avx2", "avx2 fma", false));
  EXPECT_FALSE(PeakWithinIsa("avx2", "avx2 avx_vnni", false));
  EXPECT_FALSE(PeakWithinIsa("avx512", "avx512f avx512bw avx512vl avx512_vnni", false));
  EXPECT_TRUE(PeakWithinIsa("avx512_vnni", "avx512f avx512bw avx512vl avx512_vnni", false));
  EXPECT_FALSE(PeakWithinIsa("avx512_vnni", "avx512_vnni amx_tile amx_bf16", false));
  EXPECT_TRUE(PeakWithinIsa("avx512_amx", "avx512_vnni amx_tile amx_bf16", false));
  EXPECT_FALSE(PeakWithinIsa("neon", "dotprod", false));
  EXPECT_TRUE(PeakWithinIsa("neon_dot", "dotprod", false));
}

TEST(Peaks, MemoryThatIsNotThereIsAnError) {
  const std::unique_ptr<Platform> platform = CreatePlatform();
  Result<std::unique_ptr<ThreadPool>> pool = platform->CreateThreadPool(2);
  ASSERT_TRUE(pool.ok());
  const Result<Rate> rate = MeasureReadBandwidth(**pool, platform->clock(), UINT64_MAX, 1);
  ASSERT_FALSE(rate.ok());
  EXPECT_EQ(rate.status().code(), Code::kOutOfMemory);
}

TEST(Peaks, BandwidthOfOddSizes) {
  const std::unique_ptr<Platform> platform = CreatePlatform();
  Result<std::unique_ptr<ThreadPool>> pool = platform->CreateThreadPool(3);
  ASSERT_TRUE(pool.ok());
  for (const uint64_t bytes : {uint64_t{0}, uint64_t{1}, uint64_t{1023}, uint64_t{3073}, uint64_t{1000001}}) {
    for (const int rounds : {1, 4}) {
      const Result<Rate> rate = MeasureReadBandwidth(**pool, platform->clock(), bytes, rounds);
      ASSERT_TRUE(rate.ok());
      ExpectOrdered(*rate);
    }
  }
}

TEST(Peaks, MemoryTestIsLargerThanCachesAndSmallerThanMemory) {
  CpuInfo info;
  info.memory_available = uint64_t{64} << 30;
  info.l3.bytes = 32 << 20;
  const uint64_t usual = MemoryTestBytes(info);
  EXPECT_GE(usual, sizeof(size_t) == 4 ? uint64_t{1} << 28 : uint64_t{1} << 30);
  EXPECT_LE(usual, uint64_t{2} << 30);
  info.memory_available = 400 << 20;
  EXPECT_LE(MemoryTestBytes(info), uint64_t{100} << 20);
  info.l3.bytes = uint64_t{400} << 20;
  info.memory_available = uint64_t{64} << 30;
  if (sizeof(size_t) > 4) {
    EXPECT_EQ(MemoryTestBytes(info), uint64_t{4} * 400 << 20);
  }
}

}  // namespace
}  // namespace mote::cpu
