// Launches that products and attention make unnecessary: how many of a layer are left, and the same bits in every order
// of a block's threads. (The same bits as without: model_test.cc.)
#include <string>

#include "tests/cuda/emulator/runtime.h"
#include "tests/cuda/kernels.h"
#include "tests/run/run_support.h"
#include "tests/support/tiny_model.h"

namespace mote::testing {
namespace {

// Norms of 512 columns are whole rows', and eight heads of 32 a block of activations.
TinyModelOptions Options(const std::string& architecture, DType type, uint32_t layers) {
  TinyModelOptions options;
  options.architecture = architecture;
  options.type = type;
  options.layers = layers;
  options.width = 512;
  options.ff = 256;
  options.heads = 16;
  options.kv_heads = 2;
  return options;
}

std::unique_ptr<Model> Load(std::span<const uint8_t> bytes, CacheTypes cache = {}) {
  std::vector<std::unique_ptr<ByteSource>> parts;
  parts.push_back(CreateMemorySource(bytes, "memory"));
  ModelParams params;
  params.threads = 1;
  params.max_batch = 64;
  params.isa = "scalar";
  params.cache = cache;
  params.device = {"cuda", kAllLayers};
  Result<std::unique_ptr<Model>> model =
      Model::Load(std::move(GgufFile::FromSources(std::move(parts))).value(), params);
  EXPECT_TRUE(model.ok()) << model.status().message();
  return model.ok() ? std::move(model).value() : nullptr;
}

// Kernels of a step of `rows` tokens of one session.
uint64_t LaunchesOf(const TinyModelOptions& options, CacheTypes cache, uint32_t rows) {
  const std::vector<uint8_t> bytes = MakeTinyModel(options);
  const std::unique_ptr<Model> model = Load(bytes, cache);
  if (model == nullptr) return 0;
  const std::unique_ptr<Session> session = std::move(Session::Create(*model, 0)).value();
  const uint64_t before = mote_emulator::Device().launches;
  EXPECT_TRUE(session->Eval(SomeTokens(rows, model->vocab_size()), {}).ok());
  return mote_emulator::Device().launches - before;
}

TEST(CudaFuse, LaunchesOfALayer) {
  struct Case {
    const char* architecture;
    DType type;
    CacheTypes cache;
    uint64_t left[4];  // of 1, 5, 20 and 40 rows
  };
  constexpr CacheTypes kHalves = {}, kBytes = {DType::kQ8_0, DType::kQ8_0};
  const Case kCases[] = {
      {"llama", DType::kQ4_0, kHalves, {5, 7, 9, 10}},  {"llama", DType::kQ8_0, kBytes, {6, 8, 9, 10}},
      {"llama", DType::kQ4_K, kHalves, {5, 8, 9, 10}},  {"llama", DType::kF16, kHalves, {9, 9, 10, 10}},
      {"llama", DType::kF32, kHalves, {9, 9, 9, 9}},    {"qwen2", DType::kQ4_0, kHalves, {6, 8, 9, 10}},
      {"gemma3", DType::kQ8_0, kHalves, {8, 8, 9, 10}}, {"llama", DType::kI8Row, kHalves, {5, 8, 9, 10}},
  };
  for (const Case& c : kCases) {
    for (size_t i = 0; i < 4; ++i) {
      const uint32_t rows = std::vector<uint32_t>{1, 5, 20, 40}[i];
      const uint64_t one = LaunchesOf(Options(c.architecture, c.type, 1), c.cache, rows);
      const uint64_t two = LaunchesOf(Options(c.architecture, c.type, 2), c.cache, rows);
      EXPECT_EQ(two - one, c.left[i]) << c.architecture << ", " << DTypeName(c.type) << ", " << rows << " rows";
    }
  }
}

TEST(CudaFuse, TheOrderOfThreadsDoesNotShow) {
  for (const DType type : {DType::kQ4_0, DType::kQ6_K}) {
    const std::vector<uint8_t> bytes = MakeTinyModel(Options("llama", type, 2));
    for (const size_t chunk : {1u, 4u}) {
      ExpectTheSameInEveryOrder(
          [&] {
            const std::unique_ptr<Model> model = Load(bytes);
            return AllLogits(*model, SomeTokens(8, model->vocab_size()), chunk);
          },
          DTypeName(type) + (", " + std::to_string(chunk)) + " at once");
    }
  }
}

}  // namespace
}  // namespace mote::testing
