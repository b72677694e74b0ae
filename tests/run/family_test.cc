// Every family, every rope scaling and every weight type against the double-precision reference.
#include <gtest/gtest.h>
#include <stdio.h>

#include <algorithm>

#include "engine/run/session.h"
#include "tests/run/reference_model.h"
#include "tests/run/rewrite.h"
#include "tests/run/run_support.h"
#include "tests/support/effort.h"

namespace mote::testing {
namespace {

// Root of the mean squared difference over the root of the mean squared reference.
double RelativeError(const std::vector<float>& got, const Row& want) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double d = static_cast<double>(got[i]) - want[i];
    error += d * d;
    norm += want[i] * want[i];
  }
  return sqrt(error / norm);  // NaN anywhere makes this NaN, which no comparison below accepts
}

// The worst relative error over `count` positions, prompt evaluated as one batch.
double WorstError(const std::vector<uint8_t>& bytes, const TinyModelOptions& options, size_t count, uint32_t context) {
  EXPECT_FALSE(bytes.empty());
  const std::unique_ptr<Model> model = LoadModel(bytes, {.threads = 2, .context = context});
  if (model == nullptr) return INFINITY;
  const std::vector<int32_t> tokens = SomeTokens(count, model->vocab_size());
  const std::vector<std::vector<float>> logits = AllLogits(*model, tokens);
  ReferenceModel reference(model->file(), options);
  reference.long_context = model->context() > options.context / 4;
  double worst = logits.size() == count ? 0 : INFINITY;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double error = RelativeError(logits[i], reference.Step(tokens[i]));
    if (!(error <= worst)) worst = error;
  }
  return worst;
}
double WorstError(const TinyModelOptions& options, size_t count, uint32_t context = 0) {
  return WorstError(MakeTinyModel(options), options, count, context);
}

// A model of F32 with some of its tensors encoded in Q8_0: those whose name holds one of `words`.
std::vector<uint8_t> WithQ8(const std::vector<uint8_t>& bytes, const std::vector<std::string>& words) {
  std::vector<std::unique_ptr<ByteSource>> parts;
  parts.push_back(CreateMemorySource(bytes, "memory"));
  const std::unique_ptr<GgufFile> file = std::move(GgufFile::FromSources(std::move(parts))).value();
  GgufWriter writer;
  for (const GgufFile::Entry& entry : file->metadata()) writer.Copy(entry);
  std::vector<std::vector<uint8_t>> data;
  for (TensorInfo tensor : file->tensors()) {
    const std::span<const uint8_t> from = *file->TensorBytes(tensor);
    data.emplace_back(from.begin(), from.end());
    for (const std::string& word : words) {
      if (tensor.name.find(word) == std::string::npos) continue;
      const std::vector<uint8_t> floats = data.back();
      tensor.type = DType::kQ8_0;
      const size_t row_bytes = RowBytes(tensor.type, tensor.cols());
      data.back().resize(row_bytes * tensor.rows());
      for (uint64_t row = 0; row < tensor.rows(); ++row) {
        EncodeRow(tensor.type, reinterpret_cast<const float*>(floats.data()) + row * tensor.cols(),
                  data.back().data() + row * row_bytes, tensor.cols());
      }
    }
    writer.AddTensor(tensor);
  }
  const auto layout = writer.Finish();
  if (!layout.ok()) return {};
  std::vector<uint8_t> out = layout->header;
  out.resize(layout->file_bytes);
  for (size_t i = 0; i < data.size(); ++i) {
    std::copy(data[i].begin(), data[i].end(), out.begin() + static_cast<ptrdiff_t>(layout->tensors[i].offset));
  }
  return out;
}

// float32 sums of up to 512 terms through two layers leave about 1e-5. What dominates is the cache: a key or value that
// float32 puts on the other side of a float16 rounding boundary than double does is off by 2^-11 of itself. Measured
// worst: 1.4e-4.
constexpr double kFloatBound = 4e-4;

TEST(Family, CappedLogitsAreTheOthersCapped) {
  TinyModelOptions options;
  options.architecture = "gemma3";
  const std::vector<uint8_t> bytes = MakeTinyModel(options);
  constexpr float kCap = 0.5f;
  const std::vector<uint8_t> capped = Rewrite(
      bytes, [](GgufWriter& writer) { writer.SetFloat32("gemma3.final_logit_softcapping", kCap); }, nullptr,
      "gemma3.final_logit_softcapping");
  const std::unique_ptr<Model> plain = LoadModel(bytes, {.threads = 2});
  const std::unique_ptr<Model> model = LoadModel(capped, {.threads = 2});
  ASSERT_TRUE(plain != nullptr && model != nullptr);
  const std::vector<int32_t> tokens = SomeTokens(40, model->vocab_size());
  const auto want = AllLogits(*plain, tokens);
  const auto got = AllLogits(*model, tokens);
  ASSERT_EQ(got.size(), want.size());
  double most = 0;  // else the cap would not show
  for (size_t i = 0; i < got.size(); ++i) {
    for (size_t v = 0; v < got[i].size(); ++v) {
      ASSERT_NEAR(got[i][v], kCap * std::tanh(want[i][v] / kCap), 1e-5);
      most = std::max(most, std::abs(double{want[i][v]}));
    }
  }
  EXPECT_GT(most, kCap);
}

TEST(Family, FloatWeightsMatchTheReference) {
  for (const char* family : {"llama", "qwen2", "qwen3", "qwen3moe", "gemma3", "phi3"}) {
    TinyModelOptions options;
    options.architecture = family;
    EXPECT_LT(WorstError(options, 16), kFloatBound) << family;
    options.type = DType::kF16;
    options.seed = 2;
    EXPECT_LT(WorstError(options, 6), kFloatBound) << family << " F16";
  }
}

TEST(Family, GemmaAlternatesLocalAndGlobalLayers) {
  TinyModelOptions options;
  options.architecture = "gemma3";
  options.layers = 7;
  options.width = 64;
  options.heads = 2;
  options.kv_heads = 1;
  options.ff = 64;
  options.window = 8;
  EXPECT_LT(WorstError(options, 40), kFloatBound);
}

TEST(Family, SlidingWindow) {
  TinyModelOptions options;
  options.window = 5;
  EXPECT_LT(WorstError(options, 24), kFloatBound);
}

TEST(Family, RopeScalings) {
  for (const char* scaling : {"linear", "yarn", "llama3"}) {
    TinyModelOptions options;
    options.rope_scaling = scaling;
    EXPECT_LT(WorstError(options, 24), kFloatBound) << scaling;
    options.architecture = "qwen2";
    EXPECT_LT(WorstError(options, 12), kFloatBound) << scaling << " split";
  }
}

TEST(Family, LongRopeChoosesItsFactorsByContext) {
  TinyModelOptions options;
  options.architecture = "phi3";
  options.rope_scaling = "longrope";
  EXPECT_LT(WorstError(options, 16, options.context), kFloatBound) << "long";
  EXPECT_LT(WorstError(options, 16, options.context / 4), kFloatBound) << "short";
}

// Quantised weights are exact in the reference; the error is that of 8-bit activations, 1/254 of the largest of 32
// values per product, through seven products in a chain of two layers. Measured with the scalar kernels: 0.5 to 1.2 %.
TEST(Family, EveryWeightType) {
  for (const DType type :
       {DType::kBF16, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0, DType::kQ2_K, DType::kQ3_K,
        DType::kQ4_K, DType::kQ5_K, DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS, DType::kMXFP4, DType::kI8Row}) {
    TinyModelOptions options;
    options.type = type;
    options.layers = Effort(2u, 1u);
    options.ff = 256;
    const double bound = type == DType::kBF16 ? kFloatBound : 0.03;
    EXPECT_LT(WorstError(options, 6), bound) << DTypeName(type);
  }
  TinyModelOptions options;
  options.architecture = "qwen3moe";
  options.type = DType::kQ4_K;
  options.layers = Effort(2u, 1u);
  options.experts = 4;
  options.ff = 256;
  EXPECT_LT(WorstError(options, 6), 0.05) << "experts";
  options.type = DType::kI8Row;
  EXPECT_LT(WorstError(options, 6), 0.05) << "experts of int8";
}

// Router, gate, up and down each take quantised activations or floats, in every mix; one row, few, and more than a
// worker quantises for itself. Feed-forward columns that are no multiple of 32 stay floats.
TEST(Family, ExpertsOfMixedTypes) {
  const char* names[] = {"ffn_gate_inp", "ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"};
  for (const uint32_t ff : {64u, 72u}) {
    TinyModelOptions options;
    options.architecture = "qwen3moe";
    options.width = 64;
    options.heads = 2;
    options.kv_heads = 1;
    options.ff = ff;
    options.seed = 3;  // with the first seed two experts are so close that 8-bit rounding chooses the other one
    const std::vector<uint8_t> floats = MakeTinyModel(options);
    for (int mix = 0; mix < 16; ++mix) {
      if (ff % 32 != 0 && (mix & 8) != 0) continue;
      std::vector<std::string> words;
      for (int i = 0; i < 4; ++i) {
        if ((mix >> i & 1) != 0) words.push_back(names[i]);
      }
      const std::vector<uint8_t> bytes = WithQ8(floats, words);
      for (const size_t count : {1u, 3u, 9u}) {
        EXPECT_LT(WorstError(bytes, options, count, 0), mix == 0 ? kFloatBound : 0.05)
            << "mix " << mix << ", " << count << " rows, ff " << ff;
      }
    }
  }
}

}  // namespace
}  // namespace mote::testing
