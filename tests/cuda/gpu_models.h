// Models on a GPU, emulated or real, beside the CPU's: what the tests of whole models share.
#ifndef MOTE_TESTS_CUDA_GPU_MODELS_H_
#define MOTE_TESTS_CUDA_GPU_MODELS_H_

#include <gtest/gtest.h>
#include <math.h>
#include <string.h>

#include <algorithm>
#include <memory>
#include <span>
#include <vector>

#include "engine/graph/gpu.h"
#include "engine/run/session.h"
#include "tests/run/run_support.h"
#include "tests/run/same_bits.h"
#include "tests/support/tiny_model.h"

namespace mote::testing {

struct Where {
  const char* device = "cuda";
  int32_t gpu_layers = kAllLayers;
  CacheTypes cache = {};
  uint32_t context = 0;
  uint32_t max_batch = 512;
  SparsePath sparse = SparsePath::kAuto;
  bool fast_prompts = false;
  bool persistent = false;
};

inline std::unique_ptr<Model> LoadOn(std::span<const uint8_t> bytes, const Where& where) {
  std::vector<std::unique_ptr<ByteSource>> parts;
  parts.push_back(CreateMemorySource(bytes, "memory"));
  Result<std::unique_ptr<GgufFile>> file = GgufFile::FromSources(std::move(parts));
  if (!file.ok()) return nullptr;
  ModelParams params;
  params.threads = 2;
  params.context = where.context;
  params.max_batch = where.max_batch;
  params.cache = where.cache;
  params.isa = "scalar";
  params.device = {where.device, where.gpu_layers};
  params.sparse = where.sparse;
  params.fast_prompts = where.fast_prompts;
  params.persistent_steps = where.persistent;
  Result<std::unique_ptr<Model>> model = Model::Load(std::move(file).value(), params);
  EXPECT_TRUE(model.ok()) << model.status().message();
  return model.ok() ? std::move(model).value() : nullptr;
}

inline double RelativeError(const std::vector<float>& got, const std::vector<float>& want) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double d = static_cast<double>(got[i]) - want[i];
    error += d * d;
    norm += static_cast<double>(want[i]) * want[i];
  }
  return sqrt(error / norm);
}

inline double WorstError(const std::vector<std::vector<float>>& got, const std::vector<std::vector<float>>& want) {
  double worst = got.size() == want.size() && !want.empty() ? 0 : INFINITY;
  for (size_t i = 0; i < want.size() && i < got.size(); ++i) {
    const double error = RelativeError(got[i], want[i]);
    if (!(error <= worst)) worst = error;
  }
  return worst;
}

// What differs with F32 weights: attention's queries and weights are halves here (each off by up to 2^-11 of itself)
// and floats there.
inline constexpr double kFloatBound = 2e-3;
// Both round activations to 8 bits alike; but what differs by 5e-4 of itself comes out as another code with a
// probability of up to 127 * 5e-4, 6 %, and a code is as large a step as the whole rounding is uncertain by: so the two
// differ by about as much as either does from floats. The products themselves are held to much less in matmul_test.cc.
// Measured worst: 0.027 (Q5_K), 0.032 with Q8_0 caches.
inline constexpr double kBound = 5e-2;

// Logits of all tokens: the first `prefix` at once, the others in calls of `chunk`.
inline std::vector<std::vector<float>> LogitsAfter(Model& model, std::span<const int32_t> tokens, size_t prefix,
                                                   size_t chunk) {
  Result<std::unique_ptr<Session>> session = Session::Create(model, 0);
  if (!session.ok()) return {};
  LogitsCollector collector;
  EvalOptions options;
  options.sink = {LogitsCollector::Add, &collector};
  for (size_t at = 0; at < tokens.size();) {
    const size_t count = at == 0 ? prefix : std::min(chunk, tokens.size() - at);
    const Status status = (*session)->Eval(tokens.subspan(at, count), options);
    EXPECT_TRUE(status.ok()) << status.message();
    if (!status.ok()) return {};
    at += count;
  }
  return std::move(collector.rows);
}

inline bool HasGpu() {
  return CountGpus().ok();
}

inline double ErrorOf(const TinyModelOptions& options, const Where& where, size_t count, size_t chunk = 0) {
  const std::vector<uint8_t> bytes = MakeTinyModel(options);
  Where on_cpu = where;
  on_cpu.device = "cpu";
  const std::unique_ptr<Model> cpu = LoadOn(bytes, on_cpu);
  const std::unique_ptr<Model> gpu = LoadOn(bytes, where);
  if (cpu == nullptr || gpu == nullptr) return INFINITY;
  const std::vector<int32_t> tokens = SomeTokens(count, cpu->vocab_size());
  return WorstError(AllLogits(*gpu, tokens, chunk), AllLogits(*cpu, tokens));
}

class CudaModel : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!HasGpu()) GTEST_SKIP() << "no GPU";
  }
};

}  // namespace mote::testing

#endif  // MOTE_TESTS_CUDA_GPU_MODELS_H_
