#include "engine/run/importance.h"

#include <gtest/gtest.h>
#include <math.h>
#include <string.h>

#include "engine/run/session.h"
#include "tests/run/run_support.h"
#include "tests/support/tiny_model.h"

namespace mote::testing {
namespace {

bool WantAll(void*, uint32_t, std::span<const float>) {
  return true;
}

// What a model's matrices saw of `tokens` tokens.
Imatrix Collect(const std::vector<uint8_t>& bytes, size_t tokens, bool with_output, int threads) {
  Imatrix imatrix;
  const std::unique_ptr<Model> model = LoadModel(bytes, {.threads = threads, .context = 64, .max_batch = 16});
  EXPECT_NE(model, nullptr);
  if (model == nullptr) return imatrix;
  const std::unique_ptr<Session> session = std::move(Session::Create(*model, 0)).value();
  ImportanceCollector collector(with_output);
  model->program().Observe(collector.observer());
  EvalOptions options;
  options.sink.row = WantAll;
  EXPECT_TRUE(session->Eval(SomeTokens(tokens, model->vocab_size()), options).ok());
  model->program().Observe({});
  EXPECT_TRUE(session->Eval(SomeTokens(5, model->vocab_size()), options).ok());  // not seen any more
  EXPECT_TRUE(collector.AddTo(&imatrix).ok());
  return imatrix;
}

std::vector<float> Floats(const GgufFile& file, const char* name) {
  const TensorInfo* tensor = file.FindTensor(name);
  std::vector<float> values(static_cast<size_t>(tensor->values()));
  DecodeRow(tensor->type, file.TensorBytes(*tensor)->data(), values.data(), values.size());
  return values;
}

// The first matrices multiply the normed embeddings, which are easy to compute again.
TEST(Importance, FirstMatricesSeeTheNormedEmbeddings) {
  const std::vector<uint8_t> bytes = MakeTinyModel({});
  const std::unique_ptr<Model> model = LoadModel(bytes, {});
  ASSERT_NE(model, nullptr);
  const std::vector<float> table = Floats(model->file(), "token_embd.weight");
  const std::vector<float> norm = Floats(model->file(), "blk.0.attn_norm.weight");
  const size_t width = norm.size();
  const double epsilon = *model->file().RequireFloat("llama.attention.layer_norm_rms_epsilon");
  std::vector<double> expected(width);
  for (const int32_t token : SomeTokens(40, model->vocab_size())) {
    const float* row = table.data() + static_cast<size_t>(token) * width;
    double squares = 0;
    for (size_t i = 0; i < width; ++i) squares += static_cast<double>(row[i]) * static_cast<double>(row[i]);
    const double inverse = 1 / sqrt(squares / static_cast<double>(width) + epsilon);
    for (size_t i = 0; i < width; ++i) {
      const double x = static_cast<double>(row[i]) * inverse * static_cast<double>(norm[i]);
      expected[i] += x * x;
    }
  }
  const Imatrix imatrix = Collect(bytes, 40, false, 2);
  for (const char* name : {"blk.0.attn_q.weight", "blk.0.attn_k.weight", "blk.0.attn_v.weight"}) {
    const Imatrix::Entry* entry = imatrix.Find(name);
    ASSERT_NE(entry, nullptr) << name;
    EXPECT_EQ(entry->counts, std::vector<uint64_t>{40});
    ASSERT_EQ(entry->values, width);
    for (size_t i = 0; i < width; ++i) {
      EXPECT_NEAR(static_cast<double>(entry->sums.As<float>()[i]), expected[i], 1e-5 * expected[i] + 1e-9);
    }
  }
}

TEST(Importance, EveryMatrixOnceInEveryFamily) {
  for (const char* family : {"llama", "qwen2", "qwen3", "qwen3moe", "gemma3", "phi3"}) {
    TinyModelOptions options;
    options.architecture = family;
    const std::vector<uint8_t> bytes = MakeTinyModel(options);
    const Imatrix imatrix = Collect(bytes, 20, false, 1);
    const std::unique_ptr<Model> model = LoadModel(bytes, {});
    ASSERT_NE(model, nullptr);
    for (const TensorInfo& tensor : model->file().tensors()) {
      const bool matrix = tensor.num_dims >= 2 && tensor.name.starts_with("blk.");
      const Imatrix::Entry* entry = imatrix.Find(tensor.name);
      EXPECT_EQ(entry != nullptr, matrix) << family << " " << tensor.name;
      if (entry == nullptr) continue;
      EXPECT_EQ(entry->values, tensor.cols() * tensor.shape[2]) << tensor.name;
      uint64_t count = 0;
      for (const uint64_t tokens : entry->counts) count += tokens;
      const bool experts = tensor.shape[2] > 1;
      const uint64_t used = experts ? *model->file().RequireUint("qwen3moe.expert_used_count") : 1;
      EXPECT_EQ(count, 20 * used) << family << " " << tensor.name;
    }
    // The expert's own sums: gate and up read the same rows.
    const Imatrix::Entry* gate = imatrix.Find("blk.0.ffn_gate_exps.weight");
    const Imatrix::Entry* up = imatrix.Find("blk.0.ffn_up_exps.weight");
    if (gate == nullptr) continue;
    EXPECT_EQ(gate->counts, up->counts);
    EXPECT_EQ(memcmp(gate->sums.data(), up->sums.data(), gate->sums.size()), 0);
  }
}

TEST(Importance, ThreadsDoNotShow) {
  for (const char* family : {"llama", "qwen3moe"}) {
    TinyModelOptions options;
    options.architecture = family;
    options.type = DType::kQ8_0;
    const std::vector<uint8_t> bytes = MakeTinyModel(options);
    const Imatrix one = Collect(bytes, 30, true, 1);
    const Imatrix three = Collect(bytes, 30, true, 3);
    const auto a = one.Write();
    const auto b = three.Write();
    ASSERT_TRUE(a.ok() && b.ok());
    ASSERT_EQ(a->size(), b->size());
    EXPECT_EQ(memcmp(a->data(), b->data(), a->size()), 0) << family;
  }
}

TEST(Importance, OutputMatrixOnRequest) {
  const std::vector<uint8_t> bytes = MakeTinyModel({});
  const auto seen = [](const Imatrix& imatrix) {
    return imatrix.Find("output.weight") != nullptr || imatrix.Find("token_embd.weight") != nullptr;
  };
  EXPECT_FALSE(seen(Collect(bytes, 10, false, 1)));
  EXPECT_TRUE(seen(Collect(bytes, 10, true, 1)));
}

}  // namespace
}  // namespace mote::testing
