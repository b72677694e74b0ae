#include "engine/core/buffer.h"

#include <gtest/gtest.h>
#include <string.h>

#include <algorithm>
#include <utility>

namespace mote {
namespace {

TEST(Buffer, IsAlignedAndReadablePastItsEnd) {
  for (const uint64_t bytes : {0, 1, 63, 64, 65, 1000, 100000}) {
    auto buffer = Buffer::CreateZeroed(bytes, "test");
    ASSERT_TRUE(buffer.ok());
    EXPECT_EQ(buffer->size(), bytes);
    ASSERT_NE(buffer->data(), nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer->data()) % kCacheLineBytes, 0u);
    // A whole vector from the last byte on; the address sanitizer watches.
    EXPECT_TRUE(
        std::all_of(buffer->data(), buffer->data() + bytes + kCacheLineBytes, [](uint8_t b) { return b == 0; }));
  }
}

TEST(Buffer, EmptyOneIsHarmless) {
  Buffer buffer;
  EXPECT_EQ(buffer.data(), nullptr);
  EXPECT_EQ(buffer.size(), 0u);
  Buffer other(std::move(buffer));
  EXPECT_EQ(other.data(), nullptr);
}

TEST(Buffer, MovesItsMemory) {
  Buffer first = Buffer::Create(100, "test").value();
  memset(first.data(), 7, 100);
  const uint8_t* data = first.data();
  Buffer second(std::move(first));
  EXPECT_EQ(second.data(), data);
  EXPECT_EQ(second.size(), 100u);
  EXPECT_EQ(first.data(), nullptr);  // NOLINT: what a move leaves is stated
  EXPECT_EQ(first.size(), 0u);       // NOLINT
  Buffer third = Buffer::Create(10, "test").value();
  third = std::move(second);
  EXPECT_EQ(third.data(), data);
  EXPECT_EQ(third.As<uint8_t>()[99], 7);
  Buffer& alias = third;
  third = std::move(alias);
  EXPECT_EQ(third.data(), data);
}

TEST(Buffer, TooLargeIsAnError) {
  for (const uint64_t bytes : {UINT64_MAX, UINT64_MAX - 127, uint64_t{1} << 63, uint64_t{1} << 62}) {
    for (const bool zeroed : {false, true}) {
      const auto buffer = zeroed ? Buffer::CreateZeroed(bytes, "cache") : Buffer::Create(bytes, "cache");
      ASSERT_FALSE(buffer.ok());
      EXPECT_EQ(buffer.status().code(), Code::kOutOfMemory);
      EXPECT_NE(buffer.status().message().find("cache: could not allocate"), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace mote
