// Clock, monitor and files, as every platform has to provide them. Files come from the repository, so that this runs
// where nothing can be written.
#include <gtest/gtest.h>
#include <stdint.h>
#include <stdio.h>

#include <memory>
#include <string>
#include <vector>

#include "engine/core/context.h"

namespace mote {
namespace {

constexpr char kFile[] = "engine/core/context.h";

std::vector<uint8_t> ReadWithStdio(const char* path) {
  std::vector<uint8_t> bytes;
  FILE* file = fopen(path, "rb");
  if (file == nullptr) return bytes;
  uint8_t block[4096];
  for (size_t got = 0; (got = fread(block, 1, sizeof(block), file)) > 0;) bytes.insert(bytes.end(), block, block + got);
  fclose(file);
  return bytes;
}

TEST(Clock, IsMonotonicAndMoves) {
  const std::unique_ptr<Platform> platform = CreatePlatform();
  const Clock& clock = platform->clock();
  const double start = clock.Seconds();
  double last = start;
  for (int i = 0; i < 100000000 && last < start + 0.001; ++i) {
    const double now = clock.Seconds();
    ASSERT_GE(now, last);
    last = now;
  }
  EXPECT_GT(last, start);
  EXPECT_GT(clock.UnixSeconds(), 1735689600);  // 2025-01-01
}

TEST(Monitor, LocksAndUnlocks) {
  const std::unique_ptr<Monitor> monitor = CreatePlatform()->CreateMonitor();
  ASSERT_NE(monitor, nullptr);
  int value = 0;
  for (int i = 0; i < 3; ++i) {
    MonitorLock lock(*monitor);
    ++value;
    monitor->NotifyAll();
  }
  EXPECT_EQ(value, 3);
}

TEST(Files, ViewIsTheFile) {
  const std::unique_ptr<Platform> platform = CreatePlatform();
  Result<std::unique_ptr<ByteSource>> source = platform->files().Open(kFile);
  ASSERT_TRUE(source.ok()) << source.status().message();
  const std::vector<uint8_t> expected = ReadWithStdio(kFile);
  ASSERT_FALSE(expected.empty());
  ASSERT_EQ((*source)->size(), expected.size());
  EXPECT_EQ((*source)->name(), kFile);
  const Result<std::span<const uint8_t>> all = (*source)->View(0, expected.size());
  ASSERT_TRUE(all.ok());
  EXPECT_TRUE(std::equal(all->begin(), all->end(), expected.begin(), expected.end()));
  const Result<std::span<const uint8_t>> part = (*source)->View(100, 7);
  ASSERT_TRUE(part.ok());
  ASSERT_EQ(part->size(), 7u);
  EXPECT_TRUE(std::equal(part->begin(), part->end(), expected.begin() + 100));
}

TEST(Files, ViewOutsideIsRefused) {
  const std::unique_ptr<Platform> platform = CreatePlatform();
  Result<std::unique_ptr<ByteSource>> source = platform->files().Open(kFile);
  ASSERT_TRUE(source.ok()) << source.status().message();
  const uint64_t size = (*source)->size();
  const uint64_t cases[][2] = {{0, size + 1},   {size, 1},       {size + 1, 0},           {1, size},
                               {UINT64_MAX, 1}, {1, UINT64_MAX}, {UINT64_MAX, 0},         {UINT64_MAX, UINT64_MAX},
                               {1ull << 32, 1}, {0, 1ull << 32}, {1ull << 63, 1ull << 63}};
  for (const auto& [offset, bytes] : cases) {
    const Result<std::span<const uint8_t>> view = (*source)->View(offset, bytes);
    ASSERT_FALSE(view.ok()) << offset << " " << bytes;
    EXPECT_EQ(view.status().code(), Code::kInvalidArgument);
    EXPECT_NE(view.status().message().find(kFile), std::string::npos);
    EXPECT_NE(view.status().message().find(std::to_string(size)), std::string::npos) << view.status().message();
  }
  const Result<std::span<const uint8_t>> end = (*source)->View(size, 0);
  ASSERT_TRUE(end.ok());
  EXPECT_TRUE(end->empty());
}

TEST(Files, ReleaseKeepsTheBytes) {
  const std::unique_ptr<Platform> platform = CreatePlatform();
  Result<std::unique_ptr<ByteSource>> source = platform->files().Open(kFile);
  ASSERT_TRUE(source.ok()) << source.status().message();
  const std::vector<uint8_t> expected = ReadWithStdio(kFile);
  const uint64_t size = (*source)->size();
  const uint64_t cases[][2] = {{0, size}, {0, UINT64_MAX}, {1, size - 1}, {size, 1}, {UINT64_MAX, UINT64_MAX}, {0, 0}};
  for (const auto& [offset, bytes] : cases) {
    (*source)->Release(offset, bytes);
    const Result<std::span<const uint8_t>> all = (*source)->View(0, size);
    ASSERT_TRUE(all.ok());
    EXPECT_TRUE(std::equal(all->begin(), all->end(), expected.begin(), expected.end()));
  }
}

TEST(Files, WhatCannotBeOpenedIsNamed) {
  const std::unique_ptr<Platform> platform = CreatePlatform();
  const Result<std::unique_ptr<ByteSource>> missing = platform->files().Open("engine/core/no such file");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.status().code(), Code::kNotFound);
  EXPECT_NE(missing.status().message().find("engine/core/no such file: No such file"), std::string::npos)
      << missing.status().message();

  const Result<std::unique_ptr<ByteSource>> below = platform->files().Open("engine/core/context.h/x");
  ASSERT_FALSE(below.ok());
  EXPECT_EQ(below.status().code(), Code::kNotFound);

  const Result<std::unique_ptr<ByteSource>> folder = platform->files().Open("engine/core");
  ASSERT_FALSE(folder.ok());
  EXPECT_EQ(folder.status().code(), Code::kInvalidArgument);
  EXPECT_NE(folder.status().message().find("directory"), std::string::npos) << folder.status().message();

  EXPECT_FALSE(platform->files().Open("").ok());
}

}  // namespace
}  // namespace mote
