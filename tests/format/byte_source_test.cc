#include <gtest/gtest.h>

#include <algorithm>

#include "engine/format/gguf.h"
#include "tests/format/open.h"
#include "tests/format/sample.h"
#include "tests/support/gguf_builder.h"

namespace mote {
namespace {

using namespace testing;  // NOLINT: the helpers of this test

TEST(MemorySource, ViewsStayInside) {
  const Bytes bytes = PatternBytes(100);
  const auto source = CreateMemorySource(bytes, "some name");
  EXPECT_EQ(source->size(), 100u);
  EXPECT_EQ(source->name(), "some name");
  const auto all = source->View(0, 100);
  ASSERT_TRUE(all.ok());
  EXPECT_EQ(all->data(), bytes.data());
  EXPECT_EQ((*source->View(99, 1))[0], bytes[99]);
  EXPECT_EQ(source->View(100, 0)->size(), 0u);
  for (const auto& [offset, count] : std::vector<std::pair<uint64_t, uint64_t>>{
           {0, 101}, {100, 1}, {101, 0}, {1, UINT64_MAX}, {UINT64_MAX, 1}, {UINT64_MAX, UINT64_MAX}, {1ull << 32, 1}}) {
    EXPECT_EQ(source->View(offset, count).status().code(), Code::kIo) << offset << " " << count;
  }
  source->Release(0, 100);
}

// How the callback under test answers.
struct Reader {
  const Bytes* bytes;
  uint64_t most = UINT64_MAX;  // at most so many bytes a call
  uint64_t ends_at = UINT64_MAX;
  int64_t answer = 0;  // instead of the truth, where not 0
  uint64_t calls = 0;
  uint64_t largest = 0;
};

int64_t ReadFrom(void* user, uint64_t offset, void* buffer, uint64_t bytes) {
  Reader& reader = *static_cast<Reader*>(user);
  ++reader.calls;
  reader.largest = std::max(reader.largest, bytes);
  if (reader.answer != 0) return reader.answer;
  const uint64_t end = std::min<uint64_t>(reader.bytes->size(), reader.ends_at);
  if (offset >= end) return 0;
  const uint64_t count = std::min({bytes, reader.most, end - offset});
  memcpy(buffer, reader.bytes->data() + offset, static_cast<size_t>(count));
  return static_cast<int64_t>(count);
}

TEST(CallbackSource, ReadsAllInPieces) {
  const Bytes bytes = SampleFile();
  for (const uint64_t most : {uint64_t{1}, uint64_t{7}, UINT64_MAX}) {
    Reader reader{&bytes, most};
    auto source = CreateCallbackSource(ReadFrom, &reader, bytes.size(), "callback");
    ASSERT_TRUE(source.ok()) << source.status().message();
    const auto view = source.value()->View(0, bytes.size());
    ASSERT_TRUE(view.ok());
    EXPECT_EQ(Bytes(view->begin(), view->end()), bytes);
    std::vector<std::unique_ptr<ByteSource>> parts;
    parts.push_back(std::move(source).value());
    const GgufResult file = GgufFile::FromSources(std::move(parts));
    ASSERT_TRUE(file.ok()) << file.status().message();
    EXPECT_EQ(file.value()->name(), "callback");
    EXPECT_NE(TouchAll(*file.value(), true), 0u);
  }
}

TEST(CallbackSource, LargeFilesComeInChunks) {
  const Bytes bytes = PatternBytes((32 << 20) + 5);
  Reader reader{&bytes};
  auto source = CreateCallbackSource(ReadFrom, &reader, bytes.size(), "callback");
  ASSERT_TRUE(source.ok());
  EXPECT_EQ(reader.calls, 3u);
  EXPECT_LE(reader.largest, uint64_t{16} << 20);
  const auto view = source.value()->View(0, bytes.size());
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), view->begin(), view->end()));
}

TEST(CallbackSource, Failures) {
  const Bytes bytes = PatternBytes(1000);
  Reader early{&bytes};
  early.ends_at = 600;
  const Status short_file = CreateCallbackSource(ReadFrom, &early, 1000, "c").status();
  EXPECT_EQ(short_file.code(), Code::kIo);
  EXPECT_EQ(short_file.message(), "c: ended at byte 600 of 1000");
  for (const int64_t answer : {int64_t{-1}, INT64_MIN, int64_t{1001}, INT64_MAX}) {
    Reader liar{&bytes};
    liar.answer = answer;
    EXPECT_EQ(CreateCallbackSource(ReadFrom, &liar, 1000, "c").status().code(), Code::kIo) << answer;
    EXPECT_EQ(liar.calls, 1u);
  }
  Reader none{&bytes};
  EXPECT_EQ(CreateCallbackSource(nullptr, &none, 1000, "c").status().code(), Code::kInvalidArgument);
  for (const uint64_t size : {UINT64_MAX, uint64_t{1} << 63, uint64_t{1} << 50}) {
    EXPECT_EQ(CreateCallbackSource(ReadFrom, &none, size, "c").status().code(), Code::kOutOfMemory) << size;
  }
  EXPECT_EQ(none.calls, 0u);
  const auto empty = CreateCallbackSource(ReadFrom, &none, 0, "c");
  ASSERT_TRUE(empty.ok());
  EXPECT_EQ(empty.value()->size(), 0u);
}

}  // namespace
}  // namespace mote
