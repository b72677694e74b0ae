// Whole models on the emulated GPU beside the CPU: every family, every type of weights and of caches, prompts at once
// and token by token, and the same bits however tokens are batched.
#include <gtest/gtest.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <algorithm>
#include <string_view>
#include <thread>

#include "engine/graph/gpu.h"
#include "engine/run/generation.h"
#include "engine/run/session.h"
#include "tests/cuda/gpu_models.h"
#include "tests/run/run_support.h"
#include "tests/run/vision_support.h"
#include "tests/support/effort.h"
#include "tests/support/sparse_file.h"
#include "tests/support/tiny_model.h"

namespace mote::testing {
namespace {

TEST_F(CudaModel, FamiliesAgreeWithTheCpu) {
  for (const char* family : {"llama", "qwen2", "qwen3", "qwen3moe", "gemma3", "phi3"}) {
    const double error = ErrorOf(Options(family, DType::kF32), {}, 20);
    printf("worst of %s: %.2g\n", family, error);
    EXPECT_LT(error, kFloatBound) << family;
  }
}

TEST_F(CudaModel, TypesAgreeWithTheCpu) {
  for (const DType type : {DType::kF16, DType::kBF16, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1,
                           DType::kQ8_0, DType::kQ2_K, DType::kQ3_K, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K,
                           DType::kIQ4_NL, DType::kIQ4_XS, DType::kMXFP4, DType::kI8Row}) {
    const double error = ErrorOf(Options("llama", type), {}, 9);
    printf("worst of %s: %.2g\n", DTypeName(type), error);
    EXPECT_LT(error, kBound) << DTypeName(type);
  }
}

TEST_F(CudaModel, MixturesOfExpertsInEveryKindOfActivations) {
  for (const DType type : {DType::kF16, DType::kQ8_0, DType::kQ4_K, DType::kI8Row}) {
    EXPECT_LT(ErrorOf(Options("qwen3moe", type), {}, 12), kBound) << DTypeName(type);
  }
}

// int8 with a scale a row: columns that fill neither a tile nor the 256 activations of a scale, in every product. All
// experts are used: CPU and GPU round activations in groups of their own, and of 4 they chose others at 3 of 288
// positions (several seeds), where two were nearly alike.
TEST_F(CudaModel, ColumnsOfInt8NeedNotFillTiles) {
  for (const char* architecture : {"llama", "qwen3moe"}) {
    TinyModelOptions options = Options(architecture, DType::kI8Row);
    options.width = 544;
    options.ff = 172;
    options.experts = 2;
    options.heads = 12;  // 384 columns for the output of attention
    options.kv_heads = 2;
    options.layers = 1;
    const double prompt = ErrorOf(options, {}, 12), single = ErrorOf(options, {}, 3, 1);
    printf("worst of %s: %.2g, token by token %.2g\n", architecture, prompt, single);
    EXPECT_LT(prompt, kBound) << architecture;
    EXPECT_LT(single, kBound) << architecture;
  }
}

// Past a split of positions, so that prompts and single tokens are computed in different ways; windows that leave
// the first split behind; caches of both types, heads of 32 shared by 8 or by 1.
TEST_F(CudaModel, LongContextsAndCacheTypes) {
  struct Case {
    const char* architecture;
    uint32_t kv_heads;
    CacheTypes cache;
  };
  constexpr Case kCases[] = {
      {"llama", 1, {}}, {"qwen3", 8, {DType::kQ8_0, DType::kQ8_0}}, {"gemma3", 2, {DType::kQ8_0, DType::kF16}}};
  for (const Case& c : kCases) {
    TinyModelOptions options = Options(c.architecture, DType::kQ8_0);
    options.width = 64;
    options.ff = 64;
    options.layers = 1;
    options.kv_heads = c.kv_heads;
    const std::vector<uint8_t> bytes = MakeTinyModel(options);
    const std::unique_ptr<Model> cpu = LoadOn(bytes, {.device = "cpu", .cache = c.cache, .context = 700});
    const std::unique_ptr<Model> gpu = LoadOn(bytes, {.cache = c.cache, .context = 700});
    ASSERT_TRUE(cpu != nullptr && gpu != nullptr);
    const std::vector<int32_t> tokens = SomeTokens(290, cpu->vocab_size());
    const auto prompt = AllLogits(*gpu, tokens);
    const double error = WorstError(prompt, AllLogits(*cpu, tokens));
    printf("worst of %s with %u key/value heads: %.2g\n", c.architecture, c.kv_heads, error);
    EXPECT_LT(error, kBound) << c.architecture;
    // The last ones in fives, and one by one.
    EXPECT_TRUE(SameBits(LogitsAfter(*gpu, tokens, 270, 5), prompt)) << c.architecture;
    EXPECT_TRUE(SameBits(LogitsAfter(*gpu, tokens, 284, 1), prompt)) << c.architecture;
  }
}

TEST_F(CudaModel, BatchesDoNotShow) {
  struct Variant {
    const char* architecture;
    DType type;
  };
  for (const Variant v : {Variant{"llama", DType::kF32}, Variant{"llama", DType::kF16}, Variant{"qwen2", DType::kQ4_K},
                          Variant{"qwen3moe", DType::kQ6_K}, Variant{"gemma3", DType::kIQ4_XS},
                          Variant{"qwen3moe", DType::kI8Row}, Variant{"phi3", DType::kI8Row}}) {
    const std::unique_ptr<Model> model = LoadOn(MakeTinyModel(Options(v.architecture, v.type)), {});
    ASSERT_NE(model, nullptr);
    const std::vector<int32_t> tokens = SomeTokens(36, model->vocab_size());
    const auto all = AllLogits(*model, tokens);
    for (const size_t chunk : {3u, 33u}) {
      EXPECT_TRUE(SameBits(AllLogits(*model, tokens, chunk), all)) << v.architecture << ", " << chunk << " at once";
    }
  }
}

// Prompts by products of their own, where the GPU has them: near the CPU, whose activations have 8 bits, and nearer to
// what the same weights are as floats; the same bits in chunks (of at least two: of one it would be a generated row);
// and generated rows are as ever.
TEST_F(CudaModel, FastPrompts) {
  struct Variant {
    const char* architecture;
    DType type;
  };
  for (const Variant v : {Variant{"llama", DType::kF16}, Variant{"llama", DType::kBF16}, Variant{"qwen2", DType::kQ4_0},
                          Variant{"gemma3", DType::kQ4_K}, Variant{"phi3", DType::kQ6_K},
                          Variant{"llama", DType::kI8Row}, Variant{"qwen3moe", DType::kQ8_0}}) {
    TinyModelOptions options = Options(v.architecture, v.type);
    // The last layer goes on with the rows that are asked for alone.
    options.layers = v.type == DType::kQ4_0 || v.type == DType::kBF16 || v.type == DType::kI8Row ? 2 : 1;
    options.experts = 2;  // all are used: activations of 8 bits would choose others
    const std::vector<uint8_t> bytes = MakeTinyModel(options);
    const std::unique_ptr<Model> cpu = LoadOn(bytes, {.device = "cpu"});
    const std::unique_ptr<Model> plain = LoadOn(bytes, {});
    const std::unique_ptr<Model> fast = LoadOn(bytes, {.fast_prompts = true});
    ASSERT_TRUE(cpu != nullptr && plain != nullptr && fast != nullptr);
    if (!fast->fast_prompts()) GTEST_SKIP() << "this GPU has no products of four warps";
    const std::vector<int32_t> tokens = SomeTokens(22, cpu->vocab_size());
    const auto all = AllLogits(*fast, tokens), others = AllLogits(*plain, tokens);
    const double error = WorstError(all, AllLogits(*cpu, tokens));
    printf("worst of %s %s: %.2g from the CPU, %.2g from what it is without\n", v.architecture, DTypeName(v.type),
           error, WorstError(all, others));
    EXPECT_LT(error, kBound) << v.architecture << " " << DTypeName(v.type);
    if (options.layers == 2 && v.type != DType::kBF16)
      EXPECT_FALSE(SameBits(all, others)) << DTypeName(v.type) << ": nobody was asked";
    EXPECT_TRUE(SameBits(AllLogits(*fast, tokens, 5), all)) << v.architecture << " " << DTypeName(v.type);
    EXPECT_TRUE(SameBits(AllLogits(*fast, tokens, 1), others)) << v.architecture << " " << DTypeName(v.type);
  }
}

// Some read while others generate, in the same steps.
TEST_F(CudaModel, FastPromptsOfSomeDoNotShowToOthers) {
  const std::vector<uint8_t> bytes = MakeTinyModel(Options("llama", DType::kQ4_0));
  const std::unique_ptr<Model> model = LoadOn(bytes, {.fast_prompts = true});
  ASSERT_NE(model, nullptr);
  constexpr size_t kSessions = 4;
  std::vector<std::vector<int32_t>> prompts;
  std::vector<std::vector<std::vector<float>>> alone(kSessions), together(kSessions);
  for (size_t i = 0; i < kSessions; ++i) {
    prompts.push_back(SomeTokens(9 + i * 5, model->vocab_size(), static_cast<uint32_t>(i)));
    alone[i] = AllLogits(*model, prompts[i], i % 2 == 0 ? 1 : 7);
  }
  for (int round = 0; round < Effort(2, 1); ++round) {
    std::vector<std::thread> threads;
    for (size_t i = 0; i < kSessions; ++i) {
      threads.emplace_back([&, i] { together[i] = AllLogits(*model, prompts[i], i % 2 == 0 ? 1 : 7); });
    }
    for (std::thread& thread : threads) thread.join();
    for (size_t i = 0; i < kSessions; ++i) EXPECT_TRUE(SameBits(alone[i], together[i])) << "session " << i;
  }
}

// Products that do the norms, gates and rotations around them, for up to 1 row, 8 and 32, beside launches for each (35
// rows). Norms of more than 256 columns are whole rows', and eight heads of 32 a block of activations.
TEST_F(CudaModel, WhatProductsDoBesidesDoesNotShow) {
  struct Variant {
    const char* architecture;
    DType type;
    uint32_t width;
  };
  for (const Variant v :
       {Variant{"llama", DType::kQ4_0, 512}, Variant{"llama", DType::kQ8_0, 768}, Variant{"llama", DType::kQ4_K, 2304},
        Variant{"llama", DType::kQ6_K, 512}, Variant{"llama", DType::kIQ4_XS, 512}, Variant{"llama", DType::kQ5_1, 544},
        Variant{"llama", DType::kF16, 512}, Variant{"qwen2", DType::kMXFP4, 512}, Variant{"qwen3", DType::kQ4_0, 512},
        Variant{"llama", DType::kI8Row, 544}, Variant{"gemma3", DType::kQ4_K, 512}}) {
    TinyModelOptions options = Options(v.architecture, v.type);
    options.width = v.width;
    options.ff = v.width == 2304 ? 768 : 256;  // groups of a gate that share a scale: three, or one
    options.layers = v.width == 768 ? 2 : 1;
    options.heads = 16;
    options.kv_heads = 2;
    const std::unique_ptr<Model> model = LoadOn(MakeTinyModel(options), {});
    ASSERT_NE(model, nullptr);
    const std::vector<int32_t> tokens = SomeTokens(35, model->vocab_size());
    const auto all = AllLogits(*model, tokens);
    EXPECT_TRUE(SameBits(LogitsAfter(*model, tokens, 17, 1), all)) << v.architecture << ", " << DTypeName(v.type);
    EXPECT_TRUE(SameBits(LogitsAfter(*model, tokens, 5, 5), all)) << v.architecture << ", " << DTypeName(v.type);
  }
}

// Gates of one model that are not equally wide: parts and counters of all of them lie in one piece of memory.
TEST_F(CudaModel, LayersNeedNotBeEquallyWide) {
  for (const DType type : {DType::kQ4_K, DType::kI8Row}) {
    TinyModelOptions options = Options("llama", type);
    options.width = 512;
    options.layers = 4;
    options.layer_ff = {256, 1024, 256, 1024};
    options.heads = 16;
    options.kv_heads = 2;
    const std::unique_ptr<Model> model = LoadOn(MakeTinyModel(options), {});
    ASSERT_NE(model, nullptr);
    const std::vector<int32_t> tokens = SomeTokens(9, model->vocab_size());
    const auto all = AllLogits(*model, tokens);
    EXPECT_TRUE(SameBits(AllLogits(*model, tokens, 1), all)) << DTypeName(type);
  }
}

// Columns that are no whole stretches; one tensor for queries, keys and values, cut at groups of rows; embeddings that
// are scaled and the output as well. Nearly full matrices of halves, and all of 4 bits, run dense.
TEST_F(CudaModel, BlockSparseWeightsAgreeWithTheCpu) {
  struct Variant {
    const char* architecture;
    DType type;
    double density;
  };
  for (const Variant v :
       {Variant{"phi3", DType::kI8, 0.5}, Variant{"gemma3", DType::kI8, 0.1}, Variant{"phi3", DType::kF16, 0.5},
        Variant{"gemma3", DType::kF16, 0.3}, Variant{"qwen2", DType::kBF16, 0.5}, Variant{"llama", DType::kF16, 1},
        Variant{"phi3", DType::kQ4_0, 0.5}, Variant{"llama", DType::kI8, 1}}) {
    TinyModelOptions options = Options(v.architecture, DType::kF32);
    options.width = 288;
    options.heads = 6;
    options.kv_heads = 3;
    options.ff = 416;
    const std::vector<uint8_t> bytes = MakeSparseFile(MakeTinyModel(options), {.type = v.type, .density = v.density});
    const std::unique_ptr<Model> cpu = LoadOn(bytes, {.device = "cpu"});
    const std::unique_ptr<Model> gpu = LoadOn(bytes, {});
    ASSERT_TRUE(cpu != nullptr && gpu != nullptr);
    const std::vector<int32_t> tokens = SomeTokens(36, cpu->vocab_size());
    const auto all = AllLogits(*gpu, tokens);
    const double error = WorstError(all, AllLogits(*cpu, tokens));
    printf("worst of %s, %s, %.1f of the blocks: %.2g\n", v.architecture, DTypeName(v.type), v.density, error);
    EXPECT_LT(error, kBound) << v.architecture << ", " << DTypeName(v.type);
    EXPECT_TRUE(SameBits(AllLogits(*gpu, tokens, 5), all)) << v.architecture << ", " << DTypeName(v.type);
  }
}

// Halves run as they are or dense, as is asked for; int8 has one way.
TEST_F(CudaModel, TheSparsePathIsTheOneAskedFor) {
  struct Variant {
    DType type;
    double density;
    SparsePath automatic;
  };
  for (const Variant v : {Variant{DType::kF16, 0.5, SparsePath::kSparse}, Variant{DType::kBF16, 1, SparsePath::kDense},
                          Variant{DType::kI8, 0.5, SparsePath::kSparse}}) {
    TinyModelOptions options = Options("llama", DType::kF32);
    options.layers = 1;
    const std::vector<uint8_t> bytes = MakeSparseFile(MakeTinyModel(options), {.type = v.type, .density = v.density});
    const std::vector<int32_t> tokens = SomeTokens(12, 300);
    const std::unique_ptr<Model> cpu = LoadOn(bytes, {.device = "cpu"});
    std::unique_ptr<Model> gpu[3];
    for (const SparsePath path : {SparsePath::kAuto, SparsePath::kSparse, SparsePath::kDense}) {
      std::unique_ptr<Model>& model = gpu[static_cast<int>(path)];
      model = LoadOn(bytes, {.sparse = path});
      ASSERT_TRUE(cpu != nullptr && model != nullptr);
      EXPECT_LT(WorstError(AllLogits(*model, tokens), AllLogits(*cpu, tokens)), kBound) << DTypeName(v.type);
    }
    const auto weights = [&](SparsePath path) { return gpu[static_cast<int>(path)]->device().gpu_need.weight_bytes; };
    const auto logits = [&](SparsePath path) { return AllLogits(*gpu[static_cast<int>(path)], tokens); };
    EXPECT_EQ(weights(SparsePath::kAuto), weights(v.automatic)) << DTypeName(v.type);
    EXPECT_TRUE(SameBits(logits(SparsePath::kAuto), logits(v.automatic))) << DTypeName(v.type);
    EXPECT_EQ(weights(SparsePath::kSparse) != weights(SparsePath::kDense), v.type != DType::kI8) << DTypeName(v.type);
    printf("%s, sparse and dense: %s bits\n", DTypeName(v.type),
           SameBits(logits(SparsePath::kSparse), logits(SparsePath::kDense)) ? "the same" : "different");
  }
}

// The first layers on the CPU, the others on the GPU.
TEST_F(CudaModel, LayersOnBoth) {
  for (const char* family : {"llama", "gemma3", "qwen3moe"}) {
    // With experts a router's tie may fall either way: the less noise, the rarer.
    TinyModelOptions options = Options(family, strcmp(family, "qwen3moe") == 0 ? DType::kF32 : DType::kQ8_0);
    options.layers = 3;
    for (const int32_t layers : {1, 2}) {
      const double error = ErrorOf(options, {.gpu_layers = layers}, 10, 4);
      EXPECT_LT(error, kBound) << family << ", " << layers << " layers";
    }
    const std::unique_ptr<Model> model = LoadOn(MakeTinyModel(options), {.gpu_layers = 2});
    ASSERT_NE(model, nullptr);
    EXPECT_EQ(model->device().gpu_layers, 2u);
    EXPECT_NE(model->backend_description().find("1 layers on cpu"), std::string::npos);
  }
}

// A model that was trained, whose logits are not noise: float32 weights, so what differs is attention in halves.
TEST_F(CudaModel, ATrainedModelChoosesTheSameWords) {
  FILE* file = fopen("../shared/data/stories260K.gguf", "rb");
  if (file == nullptr) GTEST_SKIP() << "no ../shared/data/stories260K.gguf";
  std::vector<uint8_t> bytes(4 << 20);
  bytes.resize(fread(bytes.data(), 1, bytes.size(), file));
  fclose(file);
  const std::unique_ptr<Model> cpu = LoadOn(bytes, {.device = "cpu"});
  const std::unique_ptr<Model> gpu = LoadOn(bytes, {.context = 256, .max_batch = 64});
  ASSERT_TRUE(cpu != nullptr && gpu != nullptr);
  const std::vector<int32_t> tokens = *cpu->tokenizer().Encode("Once upon a time, there was a little girl who", {});
  const auto want = AllLogits(*cpu, tokens), got = AllLogits(*gpu, tokens);
  const double error = WorstError(got, want);
  printf("worst of stories260K: %.2g\n", error);
  EXPECT_LT(error, kFloatBound);
  for (size_t i = 0; i < want.size(); ++i) {
    EXPECT_EQ(std::max_element(got[i].begin(), got[i].end()) - got[i].begin(),
              std::max_element(want[i].begin(), want[i].end()) - want[i].begin())
        << i;
  }
}

// What a session had read is another's: keys and values of both types, past a split.
TEST_F(CudaModel, PrefixesAreCopied) {
  TinyModelOptions options = Options("llama", DType::kF32);
  options.width = options.ff = 64;
  options.layers = 1;
  options.head_dim = 24;
  const std::vector<uint8_t> bytes = MakeTinyModel(options);
  for (const CacheTypes cache : {CacheTypes{DType::kF16, DType::kF16}, CacheTypes{DType::kQ8_0, DType::kQ8_0}}) {
    const std::unique_ptr<Model> model = LoadOn(bytes, {.cache = cache, .context = 300});
    ASSERT_NE(model, nullptr);
    const std::vector<int32_t> tokens = SomeTokens(280, model->vocab_size());
    std::unique_ptr<Session> source = std::move(Session::Create(*model, 0)).value();
    ASSERT_TRUE(source->Eval(tokens, {}).ok());
    const std::vector<float> want(source->logits().begin(), source->logits().end());
    for (const uint32_t length : {65u, 270u}) {
      std::unique_ptr<Session> session = std::move(Session::Create(*model, 0)).value();
      ASSERT_EQ(session->CopyPrefix(*source, length), length);
      ASSERT_TRUE(session->Eval(std::span(tokens).subspan(length), {}).ok());
      EXPECT_EQ(std::vector<float>(session->logits().begin(), session->logits().end()), want) << length;
    }
  }
}

// What Generate does, with all logits of every step.
std::vector<int32_t> ChooseFromAll(Model& model, const std::vector<int32_t>& prompt, const SamplerParams& params,
                                   size_t count) {
  std::unique_ptr<Session> session = std::move(Session::Create(model, 0)).value();
  Sampler sampler = std::move(Sampler::Create(params, static_cast<int32_t>(model.vocab_size()))).value();
  for (const int32_t token : prompt) sampler.Accept(token);
  std::vector<int32_t> chosen;
  EXPECT_TRUE(session->Eval(prompt, {}).ok());
  while (chosen.size() < count) {
    const Result<int32_t> token = sampler.Sample(session->logits());
    EXPECT_TRUE(token.ok()) << token.status().message();
    if (!token.ok() || model.tokenizer().IsEndOfGeneration(*token)) break;
    sampler.Accept(*token);
    chosen.push_back(*token);
    if (chosen.size() < count) EXPECT_TRUE(session->Eval(std::span(&chosen.back(), 1), {}).ok());
  }
  return chosen;
}

// The GPU hands over the best logits where they decide, and the same tokens are chosen: streams alone, and together
// with some that need all.
TEST_F(CudaModel, TheBestLogitsChooseTheSameTokens) {
  constexpr uint32_t kTokens = 8;
  const std::vector<uint8_t> bytes = MakeTinyModel(Options("llama", DType::kF16));
  for (const int32_t layers : {kAllLayers, 1}) {
    const std::unique_ptr<Model> model = LoadOn(bytes, {.gpu_layers = layers});
    ASSERT_NE(model, nullptr);
    const std::vector<int32_t> prompt = SomeTokens(7, model->vocab_size());
    std::vector<GenerateParams> all(5);
    all[0].sampler.temperature = 0;
    all[1].sampler.temperature = 3;
    all[2].sampler.temperature = 2;
    all[2].sampler.repeat_penalty = 1.4f;
    all[2].sampler.frequency_penalty = 0.3f;
    all[2].sampler.logit_bias = {{5, -1.0f}, {9, -INFINITY}};
    all[3].sampler.temperature = 2;
    all[3].sampler.top_k = 0;
    all[4].sampler.temperature = 2;
    all[4].top_logprobs = 0;
    all[4].on_token = [](void*, const TokenInfo& info) { return info.logprob < 0; };
    std::vector<std::unique_ptr<Session>> sessions;
    std::vector<std::unique_ptr<Generation>> together;
    std::vector<std::vector<int32_t>> want;
    for (size_t i = 0; i < all.size(); ++i) {
      all[i].max_tokens = kTokens;
      all[i].sampler.seed = i;
      want.push_back(ChooseFromAll(*model, prompt, all[i].sampler, kTokens));
      sessions.push_back(std::move(Session::Create(*model, 0)).value());
      const Result<GenerateResult> alone = Generate(*sessions[i], prompt, all[i]);
      ASSERT_TRUE(alone.ok()) << alone.status().message();
      EXPECT_EQ(alone->tokens, want[i]) << i;
      EXPECT_EQ(sessions[i]->logits().empty(), i < 3) << i;
      sessions[i]->Truncate(0);
      together.push_back(std::move(Generation::Begin(*sessions[i], prompt, all[i])).value());
    }
    for (bool going = true; going;) {
      std::vector<Job*> jobs;
      for (const auto& g : together) {
        if (!g->finished()) jobs.push_back(&g->job());
      }
      model->scheduler().RunOnce(jobs);
      going = false;
      for (const auto& g : together) {
        if (!g->finished()) g->Advance();
        going = going || !g->finished();
      }
    }
    for (size_t i = 0; i < all.size(); ++i) EXPECT_EQ(together[i]->TakeResult()->tokens, want[i]) << i << " together";
  }
}

// Towers: their rows beside the CPU's, for every way of joining patches. One type of weights for each: the products of
// all are in matmul_test.cc.
TEST_F(CudaModel, PicturesAgreeWithTheCpu) {
  constexpr std::string_view kAgain[] = {"idefics3", "idefics3-F16", "idefics3-single", "qwen2.5vl-F16",
                                         "qwen2.5vl-Q8_0"};
  for (const PeerVisionModel& peer : PeerVisionModels()) {
    if (std::find(std::begin(kAgain), std::end(kAgain), peer.name) != std::end(kAgain)) continue;
    std::vector<EncodedImage> rows[2];
    for (const bool on_gpu : {false, true}) {
      LoadOptions options{.threads = 2};
      if (on_gpu) options.device = {"cuda", kAllLayers};
      SeeingModel seeing(peer.name, options);
      ASSERT_NE(seeing.model, nullptr) << peer.name;
      std::vector<Image> images;
      images.push_back(Picture(5, 40, 30));
      rows[on_gpu] = EncodeAll(*seeing.model, images);
    }
    ASSERT_EQ(rows[0].size(), rows[1].size());
    std::vector<float> want, got;
    for (const bool on_gpu : {false, true}) {
      for (const EncodedImage::Part& part : rows[on_gpu][0].parts) {
        const float* values = part.rows->values.As<float>();
        std::vector<float>& to = on_gpu ? got : want;
        to.insert(to.end(), values, values + uint64_t{part.rows->rows} * part.rows->cols);
      }
    }
    ASSERT_FALSE(want.empty());
    ASSERT_EQ(got.size(), want.size());
    const double error = RelativeError(got, want);
    printf("worst of %s: %.2g\n", peer.name.c_str(), error);
    EXPECT_LT(error, kBound) << peer.name;
  }
}

}  // namespace
}  // namespace mote::testing
