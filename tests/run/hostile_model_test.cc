// Containers that parse, with contents that lie: every hyper-parameter at 0, small, huge, negative and of another type;
// tensors missing, of the wrong shape or of the wrong type. Each must be refused with a message, or load and compute
// a step without touching memory that is not its own (the sanitizer builds look).
#include <gtest/gtest.h>

#include <functional>

#include "tests/run/rewrite.h"
#include "tests/run/run_support.h"
#include "tests/support/tiny_model.h"

namespace mote::testing {
namespace {

// Loads, and computes a step if it loads. Small limits, as a hostile file may honestly ask for a long context.
Status TryToRun(const std::vector<uint8_t>& bytes) {
  const Result<std::unique_ptr<Model>> model = TryLoad(bytes, {.threads = 1, .context = 16, .max_batch = 8});
  if (!model.ok()) return model.status();
  MOTE_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, Session::Create(**model, 0));
  const int32_t tokens[] = {1, 300, 2};
  return session->Eval(tokens, {});
}

TinyModelOptions SmallOptions(const char* architecture) {
  TinyModelOptions options;
  options.architecture = architecture;
  options.layers = 2;
  options.width = 64;
  options.heads = 4;
  options.kv_heads = 2;
  options.head_dim = 16;
  options.ff = 64;
  return options;
}

TEST(HostileModel, TheUntouchedFileRuns) {
  for (const char* family : {"llama", "qwen3moe", "gemma3", "phi3"}) {
    EXPECT_TRUE(TryToRun(Rewrite(MakeTinyModel(SmallOptions(family)), [](GgufWriter&) {})).ok()) << family;
  }
}

TEST(HostileModel, EveryCountAtEveryValue) {
  const char* keys[] = {"context_length",
                        "embedding_length",
                        "block_count",
                        "feed_forward_length",
                        "attention.head_count",
                        "attention.head_count_kv",
                        "attention.key_length",
                        "attention.value_length",
                        "rope.dimension_count",
                        "attention.sliding_window",
                        "expert_count",
                        "expert_used_count",
                        "expert_feed_forward_length",
                        "vocab_size",
                        "attention.sliding_window_pattern"};
  for (const char* family : {"llama", "qwen3moe", "gemma3"}) {
    const std::vector<uint8_t> good = MakeTinyModel(SmallOptions(family));
    for (const char* key : keys) {
      const std::string name = std::string(family) + "." + key;
      for (const uint64_t value :
           {uint64_t{0}, uint64_t{1}, uint64_t{3}, uint64_t{7}, uint64_t{1} << 16, uint64_t{1} << 24, uint64_t{1} << 31,
            uint64_t{UINT32_MAX}, uint64_t{1} << 32, uint64_t{1} << 63, UINT64_MAX}) {
        const Status status = TryToRun(Rewrite(good, [&](GgufWriter& w) { w.SetUint64(name, value); }));
        EXPECT_TRUE(status.ok() || !status.message().empty()) << name << " = " << value;
        EXPECT_NE(status.code(), Code::kInternal) << name << " = " << value << ": " << status.message();
      }
      for (const int32_t value : {-1, INT32_MIN}) {
        const Status status = TryToRun(Rewrite(good, [&](GgufWriter& w) { w.SetInt32(name, value); }));
        EXPECT_NE(status.code(), Code::kInternal) << name << " = " << value << ": " << status.message();
      }
      (void)TryToRun(Rewrite(good, [&](GgufWriter& w) { w.SetString(name, "many"); }));
      (void)TryToRun(Rewrite(good, [&](GgufWriter& w) { w.SetFloat32(name, 2.5f); }));
      (void)TryToRun(Rewrite(good, [&](GgufWriter& w) { w.SetUint32s(name, std::vector<uint32_t>{1}); }));
    }
  }
}

TEST(HostileModel, ZeroCountsAreRefusedByName) {
  const std::vector<uint8_t> good = MakeTinyModel(SmallOptions("llama"));
  for (const char* key :
       {"llama.context_length", "llama.embedding_length", "llama.block_count", "llama.attention.head_count",
        "llama.attention.head_count_kv", "llama.attention.key_length", "llama.rope.dimension_count"}) {
    const Status status = TryToRun(Rewrite(good, [&](GgufWriter& w) { w.SetUint32(key, 0); }));
    EXPECT_EQ(status.code(), Code::kMalformed) << key;
    EXPECT_NE(status.message().find(key), std::string::npos) << status.message();
  }
}

TEST(HostileModel, FloatsOutOfRange) {
  const std::vector<uint8_t> good = MakeTinyModel(SmallOptions("llama"));
  for (const char* key : {"llama.attention.layer_norm_rms_epsilon", "llama.rope.freq_base"}) {
    for (const float value : {0.0f, -1.0f, INFINITY, -INFINITY, NAN}) {
      EXPECT_EQ(TryToRun(Rewrite(good, [&](GgufWriter& w) { w.SetFloat32(key, value); })).code(), Code::kMalformed)
          << key << " = " << value;
    }
  }
  TinyModelOptions scaled = SmallOptions("llama");
  scaled.rope_scaling = "yarn";
  const std::vector<uint8_t> yarn = MakeTinyModel(scaled);
  for (const char* key :
       {"llama.rope.scaling.factor", "llama.rope.scaling.attn_factor", "llama.rope.scaling.yarn_beta_fast",
        "llama.rope.scaling.yarn_beta_slow", "llama.rope.scaling.yarn_ext_factor"}) {
    for (const float value : {-1.0f, INFINITY, NAN}) {
      const Status status = TryToRun(Rewrite(yarn, [&](GgufWriter& w) { w.SetFloat32(key, value); }));
      EXPECT_EQ(status.code(), Code::kMalformed) << key << " = " << value;
    }
  }
}

TEST(HostileModel, FactorsThatMakeLogitsNaN) {
  const auto expect_refused = [](const std::vector<uint8_t>& good, const char* key, std::vector<float> values) {
    for (const float value : values) {
      const Status status = TryToRun(Rewrite(good, [&](GgufWriter& w) { w.SetFloat32(key, value); }));
      EXPECT_EQ(status.code(), Code::kMalformed) << key << " = " << value;
    }
  };
  for (const char* type : {"yarn", "linear"}) {
    TinyModelOptions scaled = SmallOptions("llama");
    scaled.rope_scaling = type;
    expect_refused(MakeTinyModel(scaled), "llama.rope.scaling.factor", {1e-44f});
  }
  const std::vector<uint8_t> gemma = MakeTinyModel(SmallOptions("gemma3"));
  expect_refused(gemma, "gemma3.rope.freq_base_swa", {0.0f, -1.0f, INFINITY, NAN});
  expect_refused(gemma, "gemma3.final_logit_softcapping", {-1.0f, INFINITY, NAN});
  expect_refused(MakeTinyModel(SmallOptions("qwen3moe")), "qwen3moe.expert_weights_scale", {-1.0f, INFINITY, NAN});
}

// The head's size comes from the width where no key gives it: the same bounds hold.
TEST(HostileModel, HeadsDerivedFromTheWidthAreBounded) {
  const std::vector<uint8_t> good = MakeTinyModel(SmallOptions("llama"));
  const auto widen = [](GgufWriter& w) {
    w.SetUint32("llama.embedding_length", 1u << 20);
    w.SetUint32("llama.attention.head_count", 1);
    w.SetUint32("llama.attention.head_count_kv", 1);
  };
  for (const char* key : {"llama.attention.key_length", "llama.attention.value_length"}) {
    const std::vector<uint8_t> bytes = Rewrite(good, widen, nullptr, key);
    const Status status = ReadHyperParams(*Parse(bytes)).status();
    EXPECT_EQ(status.code(), Code::kMalformed) << key;
    EXPECT_NE(status.message().find("1048576"), std::string::npos) << status.message();
  }
}

TEST(HostileModel, MissingTensorsAndKeysAreNamed) {
  for (const char* family : {"llama", "qwen3moe", "gemma3", "phi3"}) {
    const std::vector<uint8_t> good = MakeTinyModel(SmallOptions(family));
    const std::unique_ptr<GgufFile> file = Parse(good);
    for (const TensorInfo& tensor : file->tensors()) {
      const Status status = TryToRun(Rewrite(
          good, [](GgufWriter&) {}, [&](TensorInfo& t) { return t.name != tensor.name; }));
      if (tensor.name == "output.weight") continue;  // then the embedding is tied
      EXPECT_FALSE(status.ok()) << tensor.name;
      EXPECT_NE(status.message().find(tensor.name), std::string::npos) << status.message();
    }
    for (const GgufFile::Entry& entry : file->metadata()) {
      (void)TryToRun(Rewrite(
          good, [](GgufWriter&) {}, nullptr, std::string(entry.key)));
    }
  }
}

TEST(HostileModel, WrongShapesAndTypesAreNamed) {
  const std::vector<uint8_t> good = MakeTinyModel(SmallOptions("qwen3moe"));
  const std::unique_ptr<GgufFile> file = Parse(good);
  for (const TensorInfo& tensor : file->tensors()) {
    for (int kind = 0; kind < 5; ++kind) {
      const Status status = TryToRun(Rewrite(
          good, [](GgufWriter&) {},
          [&](TensorInfo& t) {
            if (t.name != tensor.name) return true;
            if (kind == 0) t.shape[0] *= 2;
            if (kind == 1) t.shape[1] += 1, t.num_dims = std::max(t.num_dims, 2);
            if (kind == 2) t.type = DType::kI32;
            if (kind == 3) std::swap(t.shape[0], t.shape[1]), t.num_dims = std::max(t.num_dims, 2);
            if (kind == 4) t.shape[0] = 32;
            return true;
          }));
      if (tensor.name == "token_embd.weight" && kind == 1) continue;  // one more token: consistent with the file
      if (tensor.name == "rope_freqs.weight") continue;
      const bool square = tensor.shape[0] == tensor.shape[1] && kind == 3;
      EXPECT_TRUE(square || !status.ok()) << tensor.name << " kind " << kind;
    }
  }
}

}  // namespace
}  // namespace mote::testing
