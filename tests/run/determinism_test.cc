// Same input, same output: bit by bit, whatever the number of threads, the size of batches and the neighbours.
#include <gtest/gtest.h>
#include <string.h>

#ifndef __wasm__
#include <thread>
#endif

#include "engine/run/session.h"
#include "tests/run/run_support.h"
#include "tests/run/same_bits.h"
#include "tests/support/effort.h"
#include "tests/support/tiny_model.h"

namespace mote::testing {
namespace {

struct Variant {
  const char* architecture;
  DType type;
};
constexpr Variant kVariants[] = {{"llama", DType::kF32},     {"llama", DType::kF16},     {"llama", DType::kQ8_0},
                                 {"qwen2", DType::kQ4_K},    {"qwen3moe", DType::kQ6_K}, {"qwen3moe", DType::kF16},
                                 {"gemma3", DType::kIQ4_XS}, {"phi3", DType::kQ5_1},     {"qwen2", DType::kI8Row},
                                 {"qwen3moe", DType::kI8Row}};

TEST(Determinism, ThreadsAndBatchesDoNotShow) {
  for (const Variant& variant : kVariants) {
    const std::vector<uint8_t> bytes = MakeTinyModel(Options(variant.architecture, variant.type));
    std::vector<std::vector<float>> expected;
    for (const int threads : {1, 2, 3, 64}) {
      const std::unique_ptr<Model> model = LoadModel(bytes, {.threads = threads});
      ASSERT_NE(model, nullptr);
      const std::vector<int32_t> tokens = SomeTokens(27, model->vocab_size());
      // All at once, one by one, and by 5 (past the rows that workers quantise for themselves, with a rest of 2).
      for (const size_t chunk : {0u, 1u, 5u}) {
        if (threads != 3 && chunk == 1 && !expected.empty()) continue;
        if (kSlowTests && threads == 2) continue;
        if (threads == 64 && (chunk != 0 || kSlowTests)) continue;  // 64 workers on a few cores are slow
        const auto logits = AllLogits(*model, tokens, chunk);
        if (expected.empty()) expected = logits;
        EXPECT_TRUE(SameBits(logits, expected))
            << variant.architecture << " " << DTypeName(variant.type) << ", threads " << threads << ", chunk " << chunk;
      }
    }
  }
}

// Past the end of a split of positions, where decoding shares them out among workers: kept as they come, and as Q8_0,
// with one key/value head, and with a window (gemma3) that leaves the first split behind.
TEST(Determinism, LongContextsAndCacheTypes) {
  struct Case {
    const char* architecture;
    uint32_t kv_heads;
    CacheTypes cache;
  };
  constexpr Case kCases[] = {{"llama", 1, {}},
                             {"llama", 4, {DType::kQ8_0, DType::kQ8_0}},
                             {"gemma3", 1, {DType::kQ8_0, DType::kF16}},
                             {"qwen3", 2, {DType::kF16, DType::kQ8_0}}};
  for (const Case& c : kCases) {
    TinyModelOptions options = Options(c.architecture, DType::kQ8_0);
    options.width = 64;
    options.ff = 64;
    options.layers = Effort(options.layers, 1u);
    options.kv_heads = c.kv_heads;
    const std::vector<uint8_t> bytes = MakeTinyModel(options);
    std::vector<std::vector<float>> expected;
    for (const int threads : {1, 3}) {
      const std::unique_ptr<Model> model = LoadModel(bytes, {.threads = threads, .context = 700, .cache = c.cache});
      ASSERT_NE(model, nullptr);
      const std::vector<int32_t> tokens = SomeTokens(560, model->vocab_size());
      for (const size_t chunk : {0u, 1u, 7u}) {
        if ((threads == 1) != (chunk == 0)) continue;
        const auto logits = AllLogits(*model, tokens, chunk);
        if (expected.empty()) expected = logits;
        EXPECT_TRUE(SameBits(logits, expected))
            << c.architecture << ", threads " << threads << ", chunk " << chunk << ", keys " << DTypeName(c.cache.keys);
      }
    }
  }
}

// Where a gate's result has the place of what its products read, floats here: not before all tiles have read it.
TEST(Determinism, GatesDoNotWriteWhatProductsStillRead) {
  TinyModelOptions options = Options("llama", DType::kF16);
  options.width = 256;
  options.ff = 256;
  const std::vector<uint8_t> bytes = MakeTinyModel(options);
  const std::unique_ptr<Model> model = LoadModel(bytes, {.threads = 1});
  ASSERT_NE(model, nullptr);
  const std::vector<int32_t> tokens = SomeTokens(27, model->vocab_size());
  EXPECT_TRUE(SameBits(AllLogits(*model, tokens), AllLogits(*model, tokens, 1)));
}

TEST(Determinism, SmallPlansGiveTheSameAsLargeOnes) {
  const std::vector<uint8_t> bytes = MakeTinyModel(Options("llama", DType::kQ4_0));
  const std::unique_ptr<Model> large = LoadModel(bytes, {.max_batch = 512});
  const std::unique_ptr<Model> small = LoadModel(bytes, {.threads = 2, .max_batch = 7});
  ASSERT_TRUE(large != nullptr && small != nullptr);
  const std::vector<int32_t> tokens = SomeTokens(60, large->vocab_size());
  EXPECT_TRUE(SameBits(AllLogits(*large, tokens), AllLogits(*small, tokens)));
}

// Steps of so many rows multiply in chunks of them, as towers do.
TEST(Determinism, LargeStepsGiveTheSameAsSmallOnes) {
  for (const DType type : {DType::kF16, DType::kQ8_0, DType::kQ4_K}) {
    TinyModelOptions options = Options("qwen2", type);  // products with a bias
    options.layers = 1;
    const std::vector<uint8_t> bytes = MakeTinyModel(options);
    std::vector<std::vector<float>> expected;
    for (const int threads : {1, 3}) {
      const std::unique_ptr<Model> model = LoadModel(bytes, {.threads = threads, .context = 800, .max_batch = 800});
      ASSERT_NE(model, nullptr);
      const std::vector<int32_t> tokens = SomeTokens(Effort(719u, 531u), model->vocab_size());
      for (const size_t chunk : {size_t{100}, size_t{0}}) {
        if (chunk != 0 && !expected.empty()) continue;
        const auto logits = AllLogits(*model, tokens, chunk);
        if (expected.empty()) expected = logits;
        EXPECT_TRUE(SameBits(logits, expected)) << DTypeName(type) << ", threads " << threads << ", chunk " << chunk;
      }
    }
  }
}

#ifndef __wasm__
TEST(Determinism, NeighboursDoNotShow) {
  const std::vector<uint8_t> bytes = MakeTinyModel(Options("llama", DType::kQ8_0));
  const std::unique_ptr<Model> model = LoadModel(bytes, {.threads = 2});
  ASSERT_NE(model, nullptr);
  constexpr int kSessions = 8;
  std::vector<std::vector<int32_t>> prompts;
  std::vector<std::vector<std::vector<float>>> alone(kSessions), together(kSessions);
  for (int i = 0; i < kSessions; ++i) {
    prompts.push_back(SomeTokens(20 + static_cast<size_t>(i) * 9, model->vocab_size(), static_cast<uint32_t>(i)));
    alone[i] = AllLogits(*model, prompts[i], 3);
  }
  std::vector<std::thread> threads;
  for (int i = 0; i < kSessions; ++i) {
    threads.emplace_back([&, i] { together[i] = AllLogits(*model, prompts[i], i % 2 == 0 ? 1 : 7); });
  }
  for (std::thread& thread : threads) thread.join();
  for (int i = 0; i < kSessions; ++i) EXPECT_TRUE(SameBits(alone[i], together[i])) << "session " << i;
}
#endif

}  // namespace
}  // namespace mote::testing
