// Models in several files.
#include "engine/format/gguf_split.h"

#include <gtest/gtest.h>

#include "engine/format/gguf.h"
#include "tests/format/open.h"
#include "tests/support/gguf_builder.h"

namespace mote {
namespace {

using namespace testing;  // NOLINT: the helpers of this test

// As llama.cpp's gguf-split writes them: uint16 numbers, int32 total, the model's metadata in the first part.
GgufBuilder Part(uint16_t no, uint16_t count, int32_t tensors) {
  GgufBuilder builder;
  if (no == 0) builder.String("general.architecture", "llama");
  builder.Scalar<uint16_t>("split.no", kIdUint16, no);
  builder.Scalar<uint16_t>("split.count", kIdUint16, count);
  builder.Scalar<int32_t>("split.tensors.count", kIdInt32, tensors);
  return builder;
}

// Three parts, two tensors in each of the last two, none in the first.
FakeFiles ThreeParts(const std::string& prefix) {
  FakeFiles files;
  files.files[prefix + "-00001-of-00003.gguf"] = Part(0, 3, 4).Build();
  files.files[prefix + "-00002-of-00003.gguf"] =
      Part(1, 3, 4).Tensor("a", {8}, 0, PatternBytes(32, 1)).Tensor("b", {8}, 0, PatternBytes(32, 2)).Build();
  files.files[prefix + "-00003-of-00003.gguf"] =
      Part(2, 3, 4).Tensor("c", {8}, 0, PatternBytes(32, 3)).Tensor("d", {8}, 0, PatternBytes(32, 4)).Build();
  return files;
}

std::string MessageOf(const GgufResult& result) {
  return result.ok() ? "opened" : result.status().message();
}

TEST(GgufSplit, NamesOfParts) {
  const auto name = ParsePartName("some dir/x-00002-of-00017.gguf");
  ASSERT_TRUE(name.has_value());
  EXPECT_EQ(name->prefix, "some dir/x");
  EXPECT_EQ(name->number, 2u);
  EXPECT_EQ(name->count, 17u);
  EXPECT_EQ(PartPath(*name, 2), "some dir/x-00002-of-00017.gguf");
  EXPECT_EQ(PartPath(*name, 17), "some dir/x-00017-of-00017.gguf");
  EXPECT_TRUE(ParsePartName("-00001-of-00001.gguf").has_value());
  for (const char* bad :
       {"", "x.gguf", "x-00000-of-00003.gguf", "x-00004-of-00003.gguf", "x-0001-of-0003.gguf", "x-00001-of-00003.GGUF",
        "x-00001-of-00003.gguf ", "x-0000a-of-00003.gguf", "x-00001-of--0003.gguf", "x_00001-of-00003.gguf",
        "x-00001_of_00003.gguf", "x-00001-of-99999.gguf", "00001-of-00003.gguf"}) {
    EXPECT_FALSE(ParsePartName(bad).has_value()) << bad;
  }
}

TEST(GgufSplit, AnyPartOpensTheWhole) {
  for (const char* number : {"00001", "00002", "00003"}) {
    FakeFiles files = ThreeParts("models/m");
    const GgufResult opened = GgufFile::Open(files, std::string("models/m-") + number + "-of-00003.gguf");
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    const GgufFile& file = *opened.value();
    EXPECT_EQ(file.num_parts(), 3u);
    EXPECT_EQ(file.name(), "models/m-00001-of-00003.gguf");
    EXPECT_EQ(file.RequireString("general.architecture").value(), "llama");
    ASSERT_EQ(file.tensors().size(), 4u);
    EXPECT_EQ(file.tensors()[0].part, 1u);
    EXPECT_EQ(file.tensors()[3].part, 2u);
    const char* names[] = {"a", "b", "c", "d"};
    for (int i = 0; i < 4; ++i) {
      const TensorInfo* tensor = file.FindTensor(names[i]);
      ASSERT_NE(tensor, nullptr);
      const auto bytes = file.TensorBytes(*tensor);
      ASSERT_TRUE(bytes.ok());
      EXPECT_EQ(Bytes(bytes->begin(), bytes->end()), PatternBytes(32, static_cast<uint8_t>(i + 1)));
    }
    uint64_t total = 0;
    for (const auto& [path, bytes] : files.files) total += bytes.size();
    EXPECT_EQ(file.file_bytes(), total);
    // The data of the last two parts, 32 bytes a tensor, and less than 32 bytes of padding in each part.
    EXPECT_LE(file.header_bytes(), total - 4 * 32);
    EXPECT_GT(file.header_bytes(), total - 4 * 32 - 3 * 32);
    for (const std::string& path : files.opened) EXPECT_TRUE(files.files.contains(path)) << path;
  }
}

TEST(GgufSplit, MissingPartIsNamed) {
  FakeFiles files = ThreeParts("m");
  files.files.erase("m-00002-of-00003.gguf");
  const GgufResult opened = GgufFile::Open(files, "m-00001-of-00003.gguf");
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.status().code(), Code::kNotFound);
  EXPECT_EQ(opened.status().message(), "part 2 of 3 of the model: m-00002-of-00003.gguf: no such file");
}

TEST(GgufSplit, WholeFilesUnderAnyName) {
  FakeFiles files;
  GgufBuilder plain;
  plain.Uint32("n", 1);
  // What llama.cpp's merge tool leaves behind.
  GgufBuilder merged = Part(0, 0, 1);
  merged.Tensor("t", {8}, 0, PatternBytes(32));
  files.files["x-00001-of-00003.gguf"] = plain.Build();
  files.files["merged.gguf"] = merged.Build();
  files.files["one.gguf"] = Part(0, 1, 0).Build();
  for (const auto& [path, bytes] : files.files) {
    const GgufResult opened = GgufFile::Open(files, path);
    EXPECT_TRUE(opened.ok()) << path << ": " << MessageOf(opened);
  }
}

TEST(GgufSplit, PartUnderAnotherNameIsExplained) {
  FakeFiles files;
  files.files["renamed.gguf"] = Part(1, 3, 4).Build();
  const std::string message = MessageOf(GgufFile::Open(files, "renamed.gguf"));
  EXPECT_NE(message.find("renamed.gguf: this is part 2 of 3"), std::string::npos) << message;
  EXPECT_NE(message.find("-00002-of-00003.gguf"), std::string::npos) << message;
}

TEST(GgufSplit, InconsistentPartsAreRefused) {
  const auto open = [](FakeFiles files) { return MessageOf(GgufFile::Open(files, "m-00001-of-00003.gguf")); };
  FakeFiles files = ThreeParts("m");
  files.files["m-00001-of-00003.gguf"] = Part(0, 4, 4).Build();
  EXPECT_EQ(open(files), "m-00001-of-00003.gguf: the name says 3 parts, split.count says 4");

  files = ThreeParts("m");
  std::swap(files.files["m-00002-of-00003.gguf"], files.files["m-00003-of-00003.gguf"]);
  EXPECT_EQ(open(files), "m-00002-of-00003.gguf: split.no says part 3 of 3, but it stands in the place of part 2");

  files = ThreeParts("m");
  files.files["m-00003-of-00003.gguf"] = GgufBuilder().Build();
  EXPECT_EQ(open(files), "m-00003-of-00003.gguf: this is a whole file (no split.count), not part 3 of 3");

  files = ThreeParts("m");
  files.files["m-00003-of-00003.gguf"] = Part(2, 3, 4).Tensor("c", {8}, 0, PatternBytes(32)).Build();
  EXPECT_EQ(open(files), "m-00001-of-00003.gguf: split.tensors.count is 4, but the 3 parts hold 3 tensors");

  files = ThreeParts("m");
  files.files["m-00003-of-00003.gguf"] =
      Part(2, 3, 4).Tensor("c", {8}, 0, PatternBytes(32)).Tensor("a", {8}, 0, PatternBytes(32)).Build();
  EXPECT_EQ(open(files), "m-00003-of-00003.gguf: tensor \"a\" is there twice");

  files = ThreeParts("m");
  files.files["m-00002-of-00003.gguf"].resize(30);
  EXPECT_EQ(open(files).find("m-00002-of-00003.gguf: "), 0u) << open(files);
  EXPECT_NE(open(files).find("is cut off"), std::string::npos) << open(files);

  files = ThreeParts("m");
  GgufBuilder wrong;
  wrong.String("split.no", "0").Uint32("split.count", 3);
  files.files["m-00001-of-00003.gguf"] = wrong.Build();
  EXPECT_EQ(open(files), "m-00001-of-00003.gguf: metadata key \"split.no\" is string; a non-negative integer is right");
}

// Hostile numbers do not become file names, wrap, or open anything.
TEST(GgufSplit, HostileNumbers) {
  for (const uint64_t hostile : {uint64_t{2}, uint64_t{65536}, uint64_t{1} << 32, uint64_t{1} << 63, UINT64_MAX}) {
    for (const bool in_count : {false, true}) {
      FakeFiles files = ThreeParts("m");
      GgufBuilder first;
      first.Scalar<uint64_t>("split.no", kIdUint64, in_count ? 0 : hostile);
      first.Scalar<uint64_t>("split.count", kIdUint64, in_count ? hostile : 3);
      files.files["m-00001-of-00003.gguf"] = first.Build();
      const GgufResult opened = GgufFile::Open(files, "m-00001-of-00003.gguf");
      EXPECT_FALSE(opened.ok());
      EXPECT_LE(files.opened.size(), 3u);
    }
  }
}

TEST(GgufSplit, SourcesInOrder) {
  const FakeFiles files = ThreeParts("m");
  const auto open = [&files](const std::vector<int>& order) {
    std::vector<std::unique_ptr<ByteSource>> parts;
    for (const int number : order) {
      const std::string path = "m-0000" + std::to_string(number) + "-of-00003.gguf";
      parts.push_back(CreateMemorySource(files.files.at(path), path));
    }
    return GgufFile::FromSources(std::move(parts));
  };
  EXPECT_TRUE(open({1, 2, 3}).ok());
  EXPECT_FALSE(open({1, 3, 2}).ok());
  EXPECT_FALSE(open({2, 1, 3}).ok());
  EXPECT_FALSE(open({1, 2}).ok());
  EXPECT_FALSE(open({1}).ok());
  EXPECT_FALSE(open({1, 2, 3, 3}).ok());
  EXPECT_FALSE(open({1, 1, 1}).ok());
  EXPECT_EQ(open({}).status().code(), Code::kInvalidArgument);
  std::vector<std::unique_ptr<ByteSource>> null_part(1);
  EXPECT_EQ(GgufFile::FromSources(std::move(null_part)).status().code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace mote
