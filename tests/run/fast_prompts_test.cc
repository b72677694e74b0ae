// Prompts by a matrix unit: near what they are without it, and the same bits however they are read.
#include <gtest/gtest.h>
#include <string.h>

#include <cmath>
#ifndef __wasm__
#include <thread>
#endif

#include "engine/run/session.h"
#include "tests/run/reference_model.h"
#include "tests/run/run_support.h"
#include "tests/support/effort.h"
#include "tests/support/tiny_model.h"

namespace mote::testing {
namespace {

using Logits = std::vector<std::vector<float>>;

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

bool SameBits(const Logits& a, const Logits& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!SameBits(a[i], b[i])) return false;
  }
  return true;
}

// Root of the mean square of the difference, over that of the reference.
double Error(const Logits& logits, const std::vector<Row>& reference) {
  double error = 0, size = 0;
  for (size_t i = 0; i < reference.size(); ++i) {
    for (size_t j = 0; j < reference[i].size(); ++j) {
      const double d = static_cast<double>(logits[i][j]) - reference[i][j];
      error += d * d;
      size += reference[i][j] * reference[i][j];
    }
  }
  return std::sqrt(error / size);
}

struct Variant {
  const char* architecture;
  DType type;
};
constexpr Variant kVariants[] = {{"llama", DType::kF32},     {"llama", DType::kF16},     {"llama", DType::kQ8_0},
                                 {"qwen2", DType::kQ4_K},    {"qwen3moe", DType::kQ6_K}, {"phi3", DType::kBF16},
                                 {"gemma3", DType::kIQ4_XS}, {"phi3", DType::kQ5_1}};

TinyModelOptions OptionsOf(const Variant& variant) {
  TinyModelOptions options;
  options.architecture = variant.architecture;
  options.type = variant.type;
  options.ff = 256;
  options.experts = 4;
  return options;
}
std::vector<uint8_t> Bytes(const Variant& variant) {
  return MakeTinyModel(OptionsOf(variant));
}

std::unique_ptr<Model> Fast(const std::vector<uint8_t>& bytes, LoadOptions options = {}) {
  options.fast_prompts = true;
  return LoadModel(bytes, options);
}

// A model reads from the bytes as long as it lives.
std::unique_ptr<Model> Fast(std::vector<uint8_t>&& bytes, LoadOptions options = {}) = delete;

bool HasUnit() {
  const std::vector<uint8_t> bytes = Bytes({"llama", DType::kQ8_0});
  const std::unique_ptr<Model> model = Fast(bytes);
  return model != nullptr && model->fast_prompts();
}
#define MOTE_NEEDS_UNIT() \
  if (!HasUnit()) GTEST_SKIP() << "this processor, or MOTE_ISA, has no matrix unit"

TEST(FastPrompts, WithoutAUnitNothingChanges) {
  const std::vector<uint8_t> bytes = Bytes({"llama", DType::kQ8_0});
  const std::unique_ptr<Model> plain = LoadModel(bytes);
  const std::unique_ptr<Model> fast = Fast(bytes);
  ASSERT_TRUE(plain != nullptr && fast != nullptr);
  EXPECT_FALSE(plain->fast_prompts());
  const std::vector<int32_t> tokens = SomeTokens(20, plain->vocab_size());
  if (fast->fast_prompts()) {  // then one by one they are generated ones
    EXPECT_TRUE(SameBits(AllLogits(*plain, tokens), AllLogits(*fast, tokens, 1)));
  } else {
    EXPECT_TRUE(SameBits(AllLogits(*plain, tokens), AllLogits(*fast, tokens)));
  }
}

// Weights in blocks: nearer to sums in double than activations of 8 bits bring it. Floats: 16 bits of 24 are enough, as
// the cache has 11.
TEST(FastPrompts, NearerToTheReference) {
  MOTE_NEEDS_UNIT();
  for (const Variant& variant : kVariants) {
    const std::vector<uint8_t> bytes = Bytes(variant);
    const std::unique_ptr<Model> plain = LoadModel(bytes);
    const std::unique_ptr<Model> fast = Fast(bytes);
    ASSERT_TRUE(plain != nullptr && fast != nullptr);
    const std::vector<int32_t> tokens = SomeTokens(40, plain->vocab_size());
    ReferenceModel reference(plain->file(), OptionsOf(variant));
    std::vector<Row> want;
    for (const int32_t token : tokens) want.push_back(reference.Step(token));
    const Logits logits = AllLogits(*fast, tokens), others = AllLogits(*plain, tokens);
    const double error = Error(logits, want), other = Error(others, want);
    printf("%s %s: error %.2g, %.2g without the unit\n", variant.architecture, DTypeName(variant.type), error, other);
    EXPECT_FALSE(SameBits(logits, others)) << variant.architecture << ": the unit was not asked";
    const bool floats = DTypeInfoOf(variant.type)->block_values == 1;
    EXPECT_LT(error, floats ? 4e-4 : 0.9 * other) << variant.architecture << " " << DTypeName(variant.type);
  }
}

TEST(FastPrompts, ThreadsAndBatchesDoNotShow) {
  MOTE_NEEDS_UNIT();
  for (const Variant& variant : kVariants) {
    const std::vector<uint8_t> bytes = Bytes(variant);
    Logits expected;
    for (const int threads : {1, 3}) {
      for (const uint32_t max_batch : {512u, 7u}) {
        const std::unique_ptr<Model> model = Fast(bytes, {.threads = threads, .max_batch = max_batch});
        ASSERT_NE(model, nullptr);
        const std::vector<int32_t> tokens = SomeTokens(47, model->vocab_size());
        if (kSlowTests && (threads == 3) != (max_batch == 7)) continue;
        for (const size_t chunk : {0u, 5u}) {  // with a rest of two: of one it would be a generated row
          const Logits logits = AllLogits(*model, tokens, chunk);
          if (expected.empty()) expected = logits;
          EXPECT_TRUE(SameBits(logits, expected))
              << variant.architecture << " " << DTypeName(variant.type) << ", threads " << threads << ", batch "
              << max_batch << ", chunk " << chunk;
        }
      }
    }
  }
}

// int8 with a scale a row is multiplied by the unit anyway, with the usual bits; attention alone is another.
TEST(FastPrompts, WholeNumbersAreTheUsualOnes) {
  MOTE_NEEDS_UNIT();
  const std::vector<uint8_t> bytes = Bytes({"llama", DType::kI8Row});
  const std::unique_ptr<Model> plain = LoadModel(bytes), without = LoadModel(bytes, {.isa = "avx512_vnni"});
  const std::unique_ptr<Model> fast = Fast(bytes);
  ASSERT_TRUE(plain != nullptr && without != nullptr && fast != nullptr);
  const std::vector<int32_t> tokens = SomeTokens(40, plain->vocab_size());
  const Logits logits = AllLogits(*plain, tokens);
  EXPECT_TRUE(SameBits(logits, AllLogits(*without, tokens))) << "the unit's products are not VNNI's";
  EXPECT_TRUE(SameBits(AllLogits(*fast, tokens), AllLogits(*fast, tokens, 5)));
}

TEST(FastPrompts, LargeStepsGiveTheSameAsSmallOnes) {
  MOTE_NEEDS_UNIT();
  for (const DType type : {DType::kF16, DType::kQ8_0}) {
    const std::vector<uint8_t> bytes = Bytes({"qwen2", type});  // products with a bias
    Logits expected;
    for (const int threads : {1, 3}) {
      const std::unique_ptr<Model> model = Fast(bytes, {.threads = threads, .context = 1300, .max_batch = 1200});
      ASSERT_NE(model, nullptr);
      const std::vector<int32_t> tokens = SomeTokens(Effort(1153u, 547u), model->vocab_size());
      const Logits logits = AllLogits(*model, tokens, threads == 1 ? 100 : 0);
      if (expected.empty()) expected = logits;
      EXPECT_TRUE(SameBits(logits, expected)) << DTypeName(type) << ", threads " << threads;
    }
  }
}

// What is cached of a prompt does not show, be it all but its last token.
TEST(FastPrompts, CachedPrefixesDoNotShow) {
  MOTE_NEEDS_UNIT();
  const std::vector<uint8_t> bytes = Bytes({"llama", DType::kQ8_0});
  const std::unique_ptr<Model> model = Fast(bytes);
  ASSERT_NE(model, nullptr);
  const std::vector<int32_t> prompt = SomeTokens(33, model->vocab_size());
  std::vector<float> last;
  for (const uint32_t cached : {0u, 1u, 20u, 32u}) {
    Result<std::unique_ptr<Session>> session = Session::Create(*model, 0);
    ASSERT_TRUE(session.ok());
    if (cached > 0) {
      ASSERT_TRUE((*session)->Eval(std::span(prompt).first(cached == 1 ? 2 : cached), EvalOptions()).ok());
      (*session)->Truncate(cached);
    }
    LogitsCollector collector;
    EvalOptions options;
    options.sink = {LogitsCollector::Add, &collector};
    ASSERT_TRUE((*session)->Eval(prompt, cached, options).ok());
    if (cached == 0) last = collector.rows.back();
    EXPECT_TRUE(SameBits(collector.rows.back(), last)) << cached << " cached";
  }
}

#ifndef __wasm__
// Some read while others generate, in the same steps.
TEST(FastPrompts, NeighboursDoNotShow) {
  MOTE_NEEDS_UNIT();
  for (const DType type : {DType::kQ8_0, DType::kF16}) {
    const std::vector<uint8_t> bytes = Bytes({"llama", type});
    const std::unique_ptr<Model> model = Fast(bytes, {.threads = 2});
    ASSERT_NE(model, nullptr);
    constexpr int kSessions = 8;
    std::vector<std::vector<int32_t>> prompts;
    std::vector<Logits> alone(kSessions), together(kSessions);
    const auto chunk_of = [](int i) -> size_t { return i % 2 == 0 ? 1 : 7; };
    for (int i = 0; i < kSessions; ++i) {
      prompts.push_back(SomeTokens(23 + static_cast<size_t>(i) * 7, model->vocab_size(), static_cast<uint32_t>(i)));
      alone[i] = AllLogits(*model, prompts[i], chunk_of(i));
    }
    for (int round = 0; round < Effort(5, 2); ++round) {
      std::vector<std::thread> threads;
      for (int i = 0; i < kSessions; ++i) {
        threads.emplace_back([&, i] { together[i] = AllLogits(*model, prompts[i], chunk_of(i)); });
      }
      for (std::thread& thread : threads) thread.join();
      for (int i = 0; i < kSessions; ++i) {
        EXPECT_TRUE(SameBits(alone[i], together[i])) << DTypeName(type) << " session " << i;
      }
    }
  }
}
#endif

}  // namespace
}  // namespace mote::testing
