#include "engine/format/imatrix.h"

#include <gtest/gtest.h>
#include <math.h>
#include <string.h>

#include <string>
#include <utility>
#include <vector>

#include "engine/format/gguf.h"
#include "tests/support/gguf_builder.h"

namespace mote {
namespace {

using Bytes = testing::GgufBuilder::Bytes;
using testing::GgufBuilder;

Bytes FloatBytes(const std::vector<float>& values) {
  Bytes bytes(values.size() * sizeof(float));
  memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

Result<Imatrix> Read(const Bytes& bytes, uint32_t chunk_size = 512) {
  return Imatrix::FromSource(CreateMemorySource(bytes, "some.imatrix"), chunk_size);
}

std::vector<float> Means(const Imatrix& imatrix, const char* name) {
  const Imatrix::Entry* entry = imatrix.Find(name);
  if (entry == nullptr) return {};
  std::vector<float> means(static_cast<size_t>(entry->values));
  Imatrix::Means(*entry, means.data());
  return means;
}

// As llama-imatrix writes it: a dense weight, and one of three experts of which one met no token.
GgufBuilder Sample() {
  GgufBuilder builder;
  builder.String("general.type", "imatrix").Strings("imatrix.datasets", {"wiki.txt"});
  builder.Uint32("imatrix.chunk_count", 7).Uint32("imatrix.chunk_size", 256);
  builder.Tensor("blk.0.attn_q.weight.in_sum2", {2, 1}, 0, FloatBytes({6, 12}));
  builder.Tensor("blk.0.attn_q.weight.counts", {1, 1}, 0, FloatBytes({3}));
  builder.Tensor("blk.0.ffn_up_exps.weight.in_sum2", {2, 3}, 0, FloatBytes({2, 4, 0, 0, 9, 3}));
  builder.Tensor("blk.0.ffn_up_exps.weight.counts", {1, 3}, 0, FloatBytes({2, 0, 3}));
  return builder;
}

TEST(Imatrix, GgufForm) {
  const auto imatrix = Read(Sample().Build());
  ASSERT_TRUE(imatrix.ok()) << imatrix.status().message();
  EXPECT_EQ(imatrix->entries().size(), 2u);
  EXPECT_EQ(Means(*imatrix, "blk.0.attn_q.weight"), (std::vector<float>{2, 4}));
  EXPECT_EQ(Means(*imatrix, "blk.0.ffn_up_exps.weight"), (std::vector<float>{1, 2, 1, 1, 3, 1}));
  EXPECT_EQ(imatrix->chunk_count, 7u);
  EXPECT_EQ(imatrix->chunk_size, 256u);
  EXPECT_EQ(imatrix->datasets, std::vector<std::string>{"wiki.txt"});
  EXPECT_EQ(imatrix->source_name, "some.imatrix");
  EXPECT_EQ(imatrix->Find("blk.1.attn_q.weight"), nullptr);
}

struct Legacy {
  Bytes bytes;
  Legacy& Int(int32_t value) {
    bytes.resize(bytes.size() + 4);
    memcpy(bytes.data() + bytes.size() - 4, &value, 4);
    return *this;
  }
  Legacy& Text(const std::string& text) {
    bytes.insert(bytes.end(), text.begin(), text.end());
    return *this;
  }
  Legacy& Floats(const std::vector<float>& values) {
    const Bytes floats = FloatBytes(values);
    bytes.insert(bytes.end(), floats.begin(), floats.end());
    return *this;
  }
  // Means times chunks.
  Legacy& Entry(const std::string& name, int32_t chunks, const std::vector<float>& values) {
    return Int(static_cast<int32_t>(name.size()))
        .Text(name)
        .Int(chunks)
        .Int(static_cast<int32_t>(values.size()))
        .Floats(values);
  }
};

TEST(Imatrix, OlderForm) {
  Legacy file;
  file.Int(2).Entry("blk.0.attn_q.weight", 4, {8, 20}).Entry("blk.0.attn_k.weight", 0, {3, 5});
  for (const bool has_tail : {false, true}) {
    if (has_tail) file.Int(4).Int(8).Text("wiki.txt");
    const auto imatrix = Read(file.bytes);
    ASSERT_TRUE(imatrix.ok()) << imatrix.status().message();
    EXPECT_EQ(Means(*imatrix, "blk.0.attn_q.weight"), (std::vector<float>{2, 5}));
    EXPECT_EQ(Means(*imatrix, "blk.0.attn_k.weight"), (std::vector<float>{3, 5}));
    EXPECT_EQ(imatrix->Find("blk.0.attn_q.weight")->counts[0], 4u * 512);
    EXPECT_EQ(imatrix->chunk_count, 4u);
    EXPECT_EQ(imatrix->datasets.size(), has_tail ? 1u : 0u);
  }
}

TEST(Imatrix, OlderFormCutAnywhereIsRefusedOrWhole) {
  Legacy file;
  file.Int(2).Entry("blk.0.attn_q.weight", 4, {8, 20}).Entry("blk.0.attn_k.weight", 4, {3, 5});
  const size_t whole = file.bytes.size();
  file.Int(4).Int(8).Text("wiki.txt");
  for (size_t size = 0; size < file.bytes.size(); ++size) {
    const auto imatrix = Read(Bytes(file.bytes.begin(), file.bytes.begin() + static_cast<ptrdiff_t>(size)));
    // The name of the text may be left out.
    EXPECT_EQ(imatrix.ok(), size == whole || (size >= whole + 4 && size < whole + 8)) << size;
    EXPECT_EQ(imatrix.ok() ? Code::kMalformed : imatrix.status().code(), Code::kMalformed) << size;
  }
}

TEST(Imatrix, HostileOlderForms) {
  const std::vector<Legacy> files = {
      Legacy().Int(-1),
      Legacy().Int(2147483647).Entry("a", 1, {1}),
      Legacy().Int(1).Int(-5).Text("abcde"),
      Legacy().Int(1).Int(2147483647).Text("abcde"),
      Legacy().Int(1).Int(1).Text("a").Int(1).Int(2147483647).Floats({1, 2}),
      Legacy().Int(1).Int(1).Text("a").Int(1).Int(0),
      Legacy().Int(1).Entry("", 1, {1}),
      Legacy().Int(1).Entry(std::string(256, 'a'), 1, {1}),
      Legacy().Int(2).Entry("a", 1, {1}).Entry("a", 1, {1}),
      Legacy().Int(1).Entry("a", 1, {NAN}),
      Legacy().Int(1).Entry("a", 1, {-1}),
      Legacy().Int(1).Entry("a", 1, {INFINITY}),
      Legacy().Int(1).Entry("a", 1, {3e38f}),  // becomes infinite as a sum
      Legacy().Int(1).Entry("a", 1, {1}).Int(1).Int(100).Text("short"),
  };
  for (size_t i = 0; i < files.size(); ++i) {
    const auto imatrix = Read(files[i].bytes);
    EXPECT_FALSE(imatrix.ok()) << i;
    EXPECT_EQ(imatrix.status().code(), Code::kMalformed) << i;
    EXPECT_NE(imatrix.status().message().find("some.imatrix"), std::string::npos) << imatrix.status().message();
  }
}

TEST(Imatrix, WrongGgufFiles) {
  const Bytes one = FloatBytes({1});
  const std::pair<GgufBuilder, const char*> files[] = {
      {GgufBuilder().String("general.type", "model").Tensor("w", {1}, 0, one), "no importance matrix"},
      {GgufBuilder().Tensor("w.in_sum2", {1}, 0, one), ".counts"},
      {GgufBuilder().Tensor("w.in_sum2", {1}, 0, one).Tensor("w.counts", {1}, 26, one), "F32"},
      {GgufBuilder().Tensor("w.in_sum2", {3}, 0, FloatBytes({1, 2, 3})).Tensor("w.counts", {2}, 0, FloatBytes({1, 1})),
       "3 values for 2 matrices"},
      {GgufBuilder().Tensor("w.in_sum2", {1}, 0, FloatBytes({NAN})).Tensor("w.counts", {1}, 0, one), "finite"},
      {GgufBuilder().Tensor("w.in_sum2", {1}, 0, FloatBytes({-1})).Tensor("w.counts", {1}, 0, one), "not negative"},
      {GgufBuilder().Tensor("w.in_sum2", {1}, 0, one).Tensor("w.counts", {1}, 0, FloatBytes({NAN})), "count"},
      {GgufBuilder().Tensor("w.in_sum2", {1}, 0, one).Tensor("w.counts", {1}, 0, FloatBytes({-2})), "count"},
      {GgufBuilder().Tensor("w.in_sum2", {1}, 0, one).Tensor("w.counts", {1}, 0, FloatBytes({1e30f})), "count"},
  };
  for (const auto& [builder, says] : files) {
    const auto imatrix = Read(builder.Build());
    ASSERT_FALSE(imatrix.ok()) << says;
    EXPECT_NE(imatrix.status().message().find(says), std::string::npos) << imatrix.status().message();
  }
}

TEST(Imatrix, WhatIsWrittenIsWhatIsRead) {
  Imatrix imatrix;
  imatrix.datasets = {"a.txt", "b.txt"};
  imatrix.chunk_count = 3;
  imatrix.chunk_size = 128;
  const std::vector<double> squares = {1.5, 2.5, 0};
  ASSERT_TRUE(imatrix.Add("blk.1.ffn_down_exps.weight", 1, 2, squares, 5).ok());
  ASSERT_TRUE(imatrix.Add("blk.1.ffn_down_exps.weight", 1, 2, squares, 5).ok());
  ASSERT_TRUE(imatrix.Add("blk.0.attn_q.weight", 0, 1, squares, 10).ok());
  const auto bytes = imatrix.Write();
  ASSERT_TRUE(bytes.ok()) << bytes.status().message();
  const auto again = Read(Bytes(bytes->data(), bytes->data() + bytes->size()));
  ASSERT_TRUE(again.ok()) << again.status().message();
  EXPECT_EQ(again->datasets, imatrix.datasets);
  EXPECT_EQ(again->chunk_count, 3u);
  EXPECT_EQ(again->chunk_size, 128u);
  ASSERT_EQ(again->entries().size(), 2u);
  EXPECT_EQ(again->entries()[0]->name, "blk.0.attn_q.weight");  // sorted
  EXPECT_EQ(again->Find("blk.1.ffn_down_exps.weight")->counts, (std::vector<uint64_t>{0, 10}));
  EXPECT_EQ(Means(*again, "blk.1.ffn_down_exps.weight"), (std::vector<float>{1, 1, 1, 0.3f, 0.5f, 0}));
  EXPECT_EQ(Means(*again, "blk.0.attn_q.weight"), (std::vector<float>{0.15f, 0.25f, 0}));
}

TEST(Imatrix, Merging) {
  auto imatrix = Read(Sample().Build());
  ASSERT_TRUE(imatrix.ok());
  const auto same = Read(Sample().Build());
  ASSERT_TRUE(imatrix->Merge(*same).ok());
  EXPECT_EQ(Means(*imatrix, "blk.0.ffn_up_exps.weight"), (std::vector<float>{1, 2, 1, 1, 3, 1}));
  EXPECT_EQ(imatrix->Find("blk.0.attn_q.weight")->counts[0], 6u);
  EXPECT_EQ(imatrix->chunk_count, 14u);
  EXPECT_EQ(imatrix->datasets.size(), 2u);
  // A file of the older form: one count for all experts.
  const auto older = Read(Legacy().Int(1).Entry("blk.0.ffn_up_exps.weight", 1, {1, 1, 1, 1, 1, 1}).bytes, 4);
  ASSERT_TRUE(older.ok());
  ASSERT_TRUE(imatrix->Merge(*older).ok());
  EXPECT_EQ(imatrix->Find("blk.0.ffn_up_exps.weight")->counts, (std::vector<uint64_t>{8, 4, 10}));
  const auto other = Read(Legacy().Int(1).Entry("blk.0.attn_q.weight", 1, {1, 1, 1}).bytes);
  ASSERT_TRUE(other.ok());
  EXPECT_EQ(imatrix->Merge(*other).code(), Code::kMalformed);
}

TEST(Imatrix, AddRefusesWhatDoesNotFit) {
  Imatrix imatrix;
  ASSERT_TRUE(imatrix.Add("w", 0, 1, std::vector<double>{1, 2}, 1).ok());
  EXPECT_EQ(imatrix.Add("w", 0, 1, std::vector<double>{1, 2, 3}, 1).code(), Code::kMalformed);
  EXPECT_EQ(imatrix.Add("w", 2, 2, std::vector<double>{1}, 1).code(), Code::kInvalidArgument);
  EXPECT_EQ(imatrix.Add("v", 0, 1, std::vector<double>{NAN}, 1).code(), Code::kMalformed);
}

}  // namespace
}  // namespace mote
