// Distances that weights are fetched ahead: chosen while a model is loaded, remembered, and never seen in a result.
#include <gtest/gtest.h>
#include <string.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "targets/cpu/fetch_choice.h"
#include "targets/cpu/fetch_lines.h"
#include "tests/run/run_support.h"
#include "tests/support/sparse_file.h"
#include "tests/support/tiny_model.h"

namespace mote::testing {
namespace {

std::unique_ptr<Model> LoadTuned(const std::vector<uint8_t>& bytes, const Tuning& tuning, int threads = 2) {
  std::vector<std::unique_ptr<ByteSource>> parts;
  parts.push_back(CreateMemorySource(bytes, "memory"));
  Result<std::unique_ptr<GgufFile>> file = GgufFile::FromSources(std::move(parts));
  EXPECT_TRUE(file.ok()) << file.status().message();
  ModelParams params;
  params.threads = threads;
  params.isa = IsaUnderTest();
  params.tuning = tuning;
  Result<std::unique_ptr<Model>> model = Model::Load(std::move(file).value(), params);
  EXPECT_TRUE(model.ok()) << model.status().message();
  return model.ok() ? std::move(model).value() : nullptr;
}

// Small matrices too.
Tuning MeasureAll() {
  Tuning tuning;
  tuning.measure = true;
  tuning.least_bytes = 0;
  return tuning;
}
Tuning KnowAll(const std::string& known) {
  Tuning tuning = MeasureAll();
  tuning.measure = false;
  tuning.known = known;
  return tuning;
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t at = 0; at < text.size(); at = text.find('\n', at) + 1) {
    lines.push_back(text.substr(at, text.find('\n', at) - at));
  }
  return lines;
}

// The lines with other distances: those of candidate `which` of the first one, of the next one in the second, ...
std::string WithDistances(const std::string& text, size_t which) {
  const std::vector<simd::FetchAhead> candidates = FetchCandidates();
  std::string changed;
  for (std::string line : Lines(text)) {
    for (int i = 0; i < 3; ++i) line.resize(line.rfind('\t'));
    changed += line + "\t" + FetchFields(candidates[which++ % candidates.size()]) + "\n";
  }
  return changed;
}

using Logits = std::vector<std::vector<float>>;

bool SameLogits(const Logits& a, const Logits& b) {
  if (a.size() != b.size() || a.empty()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].size() != b[i].size() || memcmp(a[i].data(), b[i].data(), a[i].size() * sizeof(float)) != 0) return false;
  }
  return true;
}

// One token at a time, few together, and all at once.
Logits LogitsOf(Model& model) {
  const std::vector<int32_t> tokens = SomeTokens(24, model.vocab_size());
  Logits all;
  for (const size_t chunk : {1u, 5u, 0u}) {
    for (std::vector<float>& row : AllLogits(model, tokens, chunk)) all.push_back(std::move(row));
  }
  return all;
}

std::vector<std::vector<uint8_t>> SomeModels() {
  std::vector<std::vector<uint8_t>> models;
  for (const DType type : {DType::kF16, DType::kQ4_0, DType::kQ8_0, DType::kQ4_K, DType::kQ6_K}) {
    TinyModelOptions options;
    options.type = type;
    models.push_back(MakeTinyModel(options));
  }
  TinyModelOptions options;
  options.architecture = "qwen3moe";
  options.type = DType::kQ8_0;
  models.push_back(MakeTinyModel(options));
  options = {};
  for (const DType type : {DType::kI8, DType::kF16}) {
    models.push_back(MakeSparseFile(MakeTinyModel(options), {.type = type, .density = 0.5}));
  }
  return models;
}

TEST(Autotune, NeverChangesABit) {
  if (!kFetchVaries) GTEST_SKIP() << "one distance alone on this architecture";
  for (const std::vector<uint8_t>& bytes : SomeModels()) {
    ASSERT_FALSE(bytes.empty());
    const std::unique_ptr<Model> plain = LoadTuned(bytes, {});
    ASSERT_NE(plain, nullptr);
    EXPECT_EQ(plain->program().tuning(), "");
    const Logits wanted = LogitsOf(*plain);
    const std::unique_ptr<Model> tuned = LoadTuned(bytes, MeasureAll());
    ASSERT_NE(tuned, nullptr);
    const std::string found = tuned->program().tuning();
    ASSERT_FALSE(found.empty());
    EXPECT_TRUE(SameLogits(wanted, LogitsOf(*tuned))) << found;
    for (size_t which = 0; which < FetchCandidates().size(); ++which) {
      const std::string other = WithDistances(found, which);
      const std::unique_ptr<Model> told = LoadTuned(bytes, KnowAll(other));
      ASSERT_NE(told, nullptr);
      EXPECT_EQ(told->program().tuning(), other);  // what its weights are fetched by
      EXPECT_TRUE(SameLogits(wanted, LogitsOf(*told))) << other;
    }
  }
}

TEST(Autotune, OneLineForEachShape) {
  if (!kFetchVaries) GTEST_SKIP() << "one distance alone on this architecture";
  TinyModelOptions options;
  options.type = DType::kQ8_0;
  const std::unique_ptr<Model> model = LoadTuned(MakeTinyModel(options), MeasureAll());
  ASSERT_NE(model, nullptr);
  std::set<std::string> shapes;
  for (std::string line : Lines(model->program().tuning())) {
    for (int i = 0; i < 3; ++i) line.resize(line.rfind('\t'));
    const std::string shape = line.substr(line.find("Q8_0"));
    EXPECT_TRUE(shapes.insert(shape).second) << line;
  }
  // Queries and their output, keys and values, gate and up, down.
  for (const char* shape : {"Q8_0\t256\t256", "Q8_0\t128\t256", "Q8_0\t512\t256", "Q8_0\t256\t512"}) {
    EXPECT_EQ(shapes.count(shape), 1u) << shape;
  }
}

TEST(Autotune, WhatIsKnownIsNotMeasured) {
  if (!kFetchVaries) GTEST_SKIP() << "one distance alone on this architecture";
  TinyModelOptions options;
  options.type = DType::kQ4_0;
  const std::vector<uint8_t> bytes = MakeTinyModel(options);
  const std::unique_ptr<Model> first = LoadTuned(bytes, MeasureAll());
  ASSERT_NE(first, nullptr);
  // Distances that tiny matrices would hardly all be given by a measurement.
  const std::string known = WithDistances(first->program().tuning(), 1);
  Tuning tuning = MeasureAll();
  tuning.known = known;
  const std::unique_ptr<Model> again = LoadTuned(bytes, tuning);
  ASSERT_NE(again, nullptr);
  EXPECT_EQ(again->program().tuning(), known);
  // A part of it: the rest is measured, or is not.
  const std::string one_line = Lines(known)[2] + "\n";
  const std::unique_ptr<Model> part = LoadTuned(bytes, KnowAll(one_line));
  ASSERT_NE(part, nullptr);
  EXPECT_EQ(part->program().tuning(), one_line);
  tuning.known = one_line;
  const std::unique_ptr<Model> rest = LoadTuned(bytes, tuning);
  ASSERT_NE(rest, nullptr);
  EXPECT_EQ(Lines(rest->program().tuning()).size(), Lines(known).size());
  EXPECT_NE(rest->program().tuning().find(one_line), std::string::npos);
  // Of another number of threads nothing is known.
  const std::unique_ptr<Model> alone = LoadTuned(bytes, KnowAll(known), 1);
  ASSERT_NE(alone, nullptr);
  EXPECT_EQ(alone->program().tuning(), "");
}

TEST(Autotune, SmallModelsAreLeftAlone) {
  TinyModelOptions options;
  options.type = DType::kQ8_0;
  Tuning tuning;
  tuning.measure = true;
  const std::unique_ptr<Model> model = LoadTuned(MakeTinyModel(options), tuning);
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(model->program().tuning(), "");
}

TEST(Autotune, ForeignWordsChangeNothing) {
  TinyModelOptions options;
  options.type = DType::kQ8_0;
  const std::vector<uint8_t> bytes = MakeTinyModel(options);
  const std::unique_ptr<Model> plain = LoadTuned(bytes, {});
  ASSERT_NE(plain, nullptr);
  const Logits wanted = LogitsOf(*plain);
  std::string junk;
  for (int i = 0; i < 5000; ++i) junk += static_cast<char>(i * 7919 >> 3);
  for (const std::string& words :
       {junk, std::string(100000, '\n'), std::string("mote-fetch-2\t\t\t\t\t\t\t\t\t\n"),
        std::string("mote-fetch-2\tx\tavx2\t2\tQ8_0\t256\t256\t4294967295\t4294967295\t4\n")}) {
    const std::unique_ptr<Model> model = LoadTuned(bytes, KnowAll(words));
    ASSERT_NE(model, nullptr);
    EXPECT_EQ(model->program().tuning(), "");
    EXPECT_TRUE(SameLogits(wanted, LogitsOf(*model)));
  }
}

}  // namespace
}  // namespace mote::testing
