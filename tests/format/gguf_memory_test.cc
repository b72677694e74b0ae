// What a parse costs: heap bytes, allocations that fail, and files of random edits.
#include <gtest/gtest.h>

#include <random>

#include "engine/format/gguf.h"
#include "tests/format/open.h"
#include "tests/format/sample.h"
#include "tests/support/effort.h"
#include "tests/support/gguf_builder.h"
#include "tests/support/heap_meter-inl.h"

namespace mote {
namespace {

using namespace testing;  // NOLINT: the helpers of this test

// Other platforms run under an emulator.
#if defined(__x86_64__)
constexpr int kKeys = Effort(1000000, 100000);
constexpr int kEditedFiles = Effort(10000, 1000);
#else
constexpr int kKeys = 100000;
constexpr int kEditedFiles = 2000;
#endif

// The promise of docs/formats.md.
uint64_t HeapLimit(uint64_t header_bytes) {
  return 4 * header_bytes + (uint64_t{16} << 20);
}

struct Parsed {
  GgufResult file;
  uint64_t peak;  // heap bytes of the parse
};

Parsed Measure(const Bytes& bytes, bool header_only = false) {
  std::vector<std::unique_ptr<ByteSource>> parts;
  parts.push_back(CreateMemorySource(bytes, "test.gguf"));
  const uint64_t before = g_heap.live;
  g_heap.Start();
  GgufResult file =
      header_only ? GgufFile::FromSourcesHeaderOnly(std::move(parts)) : GgufFile::FromSources(std::move(parts));
  return {std::move(file), g_heap.peak - before};
}

TEST(GgufMemory, TheMeterCounts) {
  const uint64_t before = g_heap.live;
  g_heap.Start();
  auto block = std::make_unique<uint8_t[]>(100000);
  block[0] = 1;
  EXPECT_GE(g_heap.peak - before, 100000u);
  EXPECT_GE(g_heap.largest_throwing, 100000u);
  block.reset();
  EXPECT_EQ(g_heap.live, before);
}

// Without the 16 MiB, on the dearest headers per byte: the shortest keys, strings and tensors.
TEST(GgufMemory, G6ManyKeys) {
  Bytes bytes;
  {
    GgufBuilder builder;
    char key[8];
    for (int i = 0; i < kKeys; ++i) {
      snprintf(key, sizeof(key), "%x", i);
      builder.Scalar<uint8_t>(key, kIdUint8, 1);
    }
    bytes = builder.Header();
  }
  const Parsed parsed = Measure(bytes);
  ASSERT_TRUE(parsed.file.ok()) << parsed.file.status().message();
  EXPECT_EQ(parsed.file.value()->metadata().size(), static_cast<size_t>(kKeys));
  EXPECT_LE(parsed.peak, 4 * bytes.size());
  EXPECT_NE(parsed.file.value()->Find("ffff"), nullptr);
  EXPECT_EQ(parsed.file.value()->Find("0ffff"), nullptr);
}

TEST(GgufMemory, G6ManyEmptyStrings) {
  GgufBuilder builder;
  for (int i = 0; i < Effort(100, 20); ++i) builder.Strings("s" + std::to_string(i), std::vector<std::string>(10000));
  const Bytes bytes = builder.Header();
  const Parsed parsed = Measure(bytes);
  ASSERT_TRUE(parsed.file.ok());
  EXPECT_LE(parsed.peak, bytes.size());
}

TEST(GgufMemory, G6ManyTensors) {
  GgufBuilder builder;
  const int count = 100000;
  char name[16];
  for (int i = 0; i < count; ++i) {
    snprintf(name, sizeof(name), "%x", i);
    builder.TensorEntry(name, 1, {8}, 24, static_cast<uint64_t>(i) * 32);
  }
  const Bytes bytes = builder.Header();
  const Parsed parsed = Measure(bytes, /*header_only=*/true);
  ASSERT_TRUE(parsed.file.ok()) << parsed.file.status().message();
  EXPECT_LE(parsed.peak, 4 * bytes.size());
  EXPECT_EQ(parsed.file.value()->tensors().size(), static_cast<size_t>(count));
  EXPECT_EQ(parsed.file.value()->FindTensor("1869f")->offset % 32, 0u);
}

// Counts that the bytes seem to allow must not be believed either: nothing here is what it claims.
TEST(GgufMemory, G6CountsThatTheFileDoesNotHold) {
  const Bytes zeros(8 << 20, 0);
  for (const bool in_tensors : {false, true}) {
    GgufBuilder builder;
    if (in_tensors) {
      builder.claimed_tensors = zeros.size() / 64;
    } else {
      builder.claimed_entries = zeros.size() / 64;
    }
    builder.Data(zeros);
    const Bytes bytes = builder.Build();
    const Parsed parsed = Measure(bytes);
    EXPECT_FALSE(parsed.file.ok());
    EXPECT_LE(parsed.peak, 4096u);
  }
}

// G1 again, for what it costs.
TEST(GgufMemory, G1LyingLengthsCostNothing) {
  const Bytes good = SampleFile();
  for (const size_t at : LengthFields(good)) {
    for (const uint64_t value :
         {uint64_t{1} << 28, uint64_t{1} << 31, uint64_t{1} << 61, uint64_t{1} << 63, UINT64_MAX - 7, UINT64_MAX}) {
      Bytes bad = good;
      memcpy(&bad[at], &value, 8);
      const Parsed parsed = Measure(bad);
      EXPECT_FALSE(parsed.file.ok());
      EXPECT_LE(parsed.peak, 65536u) << "field at " << at << " = " << value;
    }
  }
}

// G7: whatever is sized by the file may fail to be allocated; what may not is small.
TEST(GgufMemory, G7EveryAllocationFailsOnce) {
  const Bytes bytes = SampleFile();
  const Parsed parsed = Measure(bytes);
  ASSERT_TRUE(parsed.file.ok());
  const uint64_t allocations = g_heap.allocations;
  ASSERT_GE(allocations, 5u);  // entries, string offsets, two indices, tensors, their order
  for (uint64_t k = 1; k <= allocations; ++k) {
    std::vector<std::unique_ptr<ByteSource>> parts;
    parts.push_back(CreateMemorySource(bytes, "test.gguf"));
    const uint64_t live = g_heap.live;
    g_heap.Start(/*fail=*/k);
    {
      const GgufResult file = GgufFile::FromSources(std::move(parts));
      ASSERT_FALSE(file.ok()) << k;
      EXPECT_EQ(file.status().code(), Code::kOutOfMemory) << file.status().message();
    }
    g_heap.Start();
    EXPECT_LE(g_heap.live, live) << "leak where allocation " << k << " fails";
  }
  GgufBuilder large;
  for (int i = 0; i < 5000; ++i) large.Uint32("key." + std::to_string(i), 1);
  large.Strings("strings", std::vector<std::string>(5000, "x"));
  const Bytes many = large.Header();
  ASSERT_TRUE(Measure(many).file.ok());
  EXPECT_LE(g_heap.largest_throwing, 2048u);
}

// One of the ways in which a file can be damaged or forged.
void Edit(std::mt19937& random, const std::vector<size_t>& fields, Bytes* bytes) {
  const size_t size = bytes->size();
  const size_t at = random() % size;
  static const uint64_t kHostile[] = {0,          1,          0x7F,
                                      0x80,       0xFFFF,     0x7FFFFFFF,
                                      0x80000000, 0xFFFFFFFF, uint64_t{1} << 32,
                                      INT64_MAX,  UINT64_MAX, uint64_t{1} << 63};
  const uint64_t hostile = kHostile[random() % std::size(kHostile)];
  switch (random() % 7) {
    case 0:
      (*bytes)[at] = static_cast<uint8_t>(random());
      break;
    case 1:
      (*bytes)[at] ^= static_cast<uint8_t>(1u << random() % 8);
      break;
    case 2: {
      const size_t width = size_t{1} << random() % 4;
      if (at + width <= size) memcpy(&(*bytes)[at], &hostile, width);
      break;
    }
    case 3: {
      const size_t field = fields[random() % fields.size()];
      uint64_t value = 0;
      if (field + 8 > size) break;
      memcpy(&value, &(*bytes)[field], 8);
      value = random() % 2 == 0 ? value + random() % 5 - 2 : hostile;
      memcpy(&(*bytes)[field], &value, 8);
      break;
    }
    case 4: {
      const size_t from = random() % size;
      const size_t count = std::min<size_t>(random() % 64, size - std::max(at, from));
      memmove(&(*bytes)[at], &(*bytes)[from], count);
      break;
    }
    case 5:
      if (random() % 8 == 0) bytes->resize(std::max<size_t>(1, at));
      break;
    default: {
      const size_t field = fields[random() % fields.size()];
      const size_t near = field + random() % 48;
      if (near < size) (*bytes)[near] = static_cast<uint8_t>(random() % 16);
      break;
    }
  }
}

// Ten thousand 64 KiB files of random edits of a valid one: an error that says something, or a file that can be read
// through.
TEST(GgufMemory, RandomEdits) {
  GgufBuilder builder = SampleBuilder();
  std::vector<std::string> tokens;
  for (int i = 0; i < 1500; ++i) tokens.push_back("token" + std::to_string(i * i));
  builder.Strings("tokenizer.ggml.tokens", tokens).Array("scores", kIdFloat32, std::vector<float>(1500, 0.5f));
  for (int i = 0; i < 100; ++i) {
    builder.Tensor("blk." + std::to_string(i) + ".w", {32, 2}, i % 2 == 0 ? 2 : 8, PatternBytes(i % 2 == 0 ? 36 : 68));
  }
  Bytes good = builder.Build();
  ASSERT_LE(good.size(), 65536u);
  good.resize(65536);
  ASSERT_TRUE(OpenBytes(good).ok());
  const std::vector<size_t> fields = LengthFields(good);
  std::mt19937 random(42);
  int opened = 0;
  for (int round = 0; round < kEditedFiles; ++round) {
    Bytes bytes = good;
    const int edits = 1 + static_cast<int>(random() % 12);
    for (int i = 0; i < edits; ++i) Edit(random, fields, &bytes);
    const Parsed parsed = Measure(bytes);
    if (parsed.file.ok()) {
      ++opened;
      ASSERT_LE(parsed.peak, HeapLimit(parsed.file.value()->header_bytes()));
      ASSERT_NE(TouchAll(*parsed.file.value(), true), 0u);
    } else {
      ASSERT_LE(parsed.peak, HeapLimit(bytes.size()));
      ASSERT_EQ(parsed.file.status().message().find("test.gguf: "), 0u) << parsed.file.status().message();
      ASSERT_GT(parsed.file.status().message().size(), 30u) << parsed.file.status().message();
      for (const char c : parsed.file.status().message()) ASSERT_TRUE(c >= 0x20 && c < 0x7F);
    }
  }
  // Both ends are met: edits of values pass, edits of lengths do not.
  EXPECT_GT(opened, kEditedFiles / 100);
  EXPECT_LT(opened, kEditedFiles * 9 / 10);
}

}  // namespace
}  // namespace mote
