// Dynamic sparsity: a row has the same logits however it is computed, and files that say nonsense of it are refused.
#include <gtest/gtest.h>
#include <math.h>
#include <string.h>

#include <functional>
#include <string>
#include <vector>

#include "engine/format/activation_rules.h"
#include "engine/format/convert.h"
#include "engine/run/session.h"
#include "tests/run/rewrite.h"
#include "tests/run/run_support.h"
#include "tests/support/sparse_file.h"
#include "tests/support/tiny_model.h"

namespace mote::testing {
namespace {

using Logits = std::vector<std::vector<float>>;

bool Same(const Logits& a, const Logits& b) {
  if (a.empty() || a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (memcmp(a[i].data(), b[i].data(), a[i].size() * sizeof(float)) != 0) return false;
  }
  return true;
}

// The file with a threshold for every matrix of a layer.
std::vector<uint8_t> WithRules(const std::vector<uint8_t>& bytes, float threshold, uint32_t width = 4) {
  std::vector<ActivationEntry> entries;
  const std::unique_ptr<GgufFile> file = Parse(bytes);
  const auto add = [&](const TensorInfo& tensor) {
    if (tensor.num_dims == 2 && tensor.name.rfind("blk.", 0) == 0) entries.push_back({tensor.name, threshold, 0.5f});
  };
  for (const TensorInfo& tensor : file->tensors()) add(tensor);
  for (const TensorInfo& tensor : file->sparse_tensors()) add(tensor);
  return Rewrite(bytes, [&](GgufWriter& writer) { SetActivationRules(width, entries, &writer); });
}

struct Dynamic {
  SparsePath path = SparsePath::kAuto;
  int threads = 1;
  bool on = true;
};

Result<std::unique_ptr<Model>> TryLoadDynamic(const std::vector<uint8_t>& bytes, const Dynamic& how) {
  std::vector<std::unique_ptr<ByteSource>> parts;
  parts.push_back(CreateMemorySource(bytes, "memory"));
  MOTE_ASSIGN_OR_RETURN(std::unique_ptr<GgufFile> file, GgufFile::FromSources(std::move(parts)));
  ModelParams params;
  params.threads = how.threads;
  params.isa = IsaUnderTest();
  params.sparse = how.path;
  params.dynamic_sparsity = how.on;
  return Model::Load(std::move(file), params);
}

Logits LogitsOf(const std::vector<uint8_t>& bytes, const Dynamic& how, size_t chunk, double* zero = nullptr) {
  Result<std::unique_ptr<Model>> model = TryLoadDynamic(bytes, how);
  EXPECT_TRUE(model.ok()) << model.status().message();
  if (!model.ok()) return {};
  Logits logits = AllLogits(**model, SomeTokens(14, (*model)->vocab_size()), chunk);
  const Program::LiveCount count = (*model)->program().live_count();
  if (zero != nullptr) *zero = count.met == 0 ? -1 : static_cast<double>(count.zero) / static_cast<double>(count.met);
  return logits;
}

TinyModelOptions WideOptions() {
  TinyModelOptions options;
  options.width = 288;
  options.heads = 6;
  options.kv_heads = 3;
  options.ff = 416;
  return options;
}

std::vector<std::pair<std::string, std::vector<uint8_t>>> Files() {
  const std::vector<uint8_t> floats = MakeTinyModel(WideOptions());
  return {{"F32", floats},
          {"F16", MakeSparseFile(floats, {.type = DType::kF16, .density = 1, .dense = true})},
          {"Q8_0", MakeSparseFile(floats, {.type = DType::kI8, .density = 1, .dense = true})},
          {"I8", MakeSparseFile(floats, {.type = DType::kI8, .density = 0.5})}};
}

TEST(DynamicSparsity, ARowIsTheSameHoweverItIsComputed) {
  for (const auto& [name, bytes] : Files()) {
    SCOPED_TRACE(name);
    const std::vector<uint8_t> ruled = WithRules(bytes, 1.0f);
    double zero = 0;
    const Logits wanted = LogitsOf(ruled, {}, 0, &zero);
    EXPECT_EQ(zero, -1) << "no step had one row";
    EXPECT_TRUE(Same(wanted, LogitsOf(ruled, {.path = SparsePath::kDense}, 1, &zero)));
    EXPECT_GT(zero, 0.15) << "what goes must be worth passing over";
    EXPECT_LT(zero, 1);
    EXPECT_TRUE(Same(wanted, LogitsOf(ruled, {.path = SparsePath::kSparse, .threads = 3}, 1)));
    EXPECT_TRUE(Same(wanted, LogitsOf(ruled, {.threads = 2}, 3)));
    // Off unless asked for, and not without effect.
    const Logits off = LogitsOf(bytes, {.on = false}, 1);
    EXPECT_TRUE(Same(off, LogitsOf(ruled, {.on = false}, 1, &zero)));
    EXPECT_EQ(zero, -1);
    EXPECT_FALSE(Same(off, wanted));
  }
}

TEST(DynamicSparsity, AThresholdOfZeroChangesNothing) {
  for (const auto& [name, bytes] : Files()) {
    SCOPED_TRACE(name);
    const Logits off = LogitsOf(bytes, {.on = false}, 0);
    for (const uint32_t width : {1u, 32u}) EXPECT_TRUE(Same(off, LogitsOf(WithRules(bytes, 0.0f, width), {}, 1)));
  }
}

std::string RefusalOf(const std::vector<uint8_t>& bytes, bool on = true) {
  const auto model = TryLoadDynamic(bytes, {.on = on});
  return model.ok() ? "" : std::string(CodeName(model.status().code())) + ": " + model.status().message();
}

TEST(DynamicSparsity, RefusesWhatMakesNoSense) {
  const std::vector<uint8_t> floats = MakeTinyModel({});
  EXPECT_NE(RefusalOf(floats).find("has no thresholds"), std::string::npos) << RefusalOf(floats);
  const std::vector<uint8_t> good = WithRules(floats, 0.1f);
  EXPECT_EQ(RefusalOf(good), "");
  const std::unique_ptr<GgufFile> file = Parse(good);
  const Result<ActivationRules> rules = ReadActivationRules(*file);
  ASSERT_TRUE(rules.ok()) << rules.status().message();
  const size_t count = rules->rules.size();
  ASSERT_GT(count, 2u);
  std::vector<std::string> names;
  for (const ActivationRule& rule : rules->rules) names.push_back(rule.tensor->name);
  const auto with = [&](const std::function<void(GgufWriter&)>& edit) { return RefusalOf(Rewrite(good, edit)); };
  const auto with_names = [&](size_t at, const std::string& name) {
    std::vector<std::string> changed = names;
    changed[at] = name;
    return with([&](GgufWriter& w) { w.SetStrings("mote.dynamic.names", changed); });
  };
  const auto with_threshold = [&](float value) {
    std::vector<float> changed(count, 0.1f);
    changed[1] = value;
    return with([&](GgufWriter& w) { w.SetFloats("mote.dynamic.thresholds", changed); });
  };
  const std::pair<std::string, const char*> cases[] = {
      {with([](GgufWriter& w) { w.SetUint32("mote.dynamic.version", 2); }), "reads version 1"},
      {with([](GgufWriter& w) { w.SetUint32("mote.dynamic.width", 3); }), "mote.dynamic.width is 3"},
      {with([](GgufWriter& w) { w.SetUint32("mote.dynamic.names", 3); }), "an array of string is right"},
      {with([](GgufWriter& w) { w.SetFloats("mote.dynamic.shares", std::vector<float>(1, 0.5f)); }), "has 1 elements"},
      {with([&](GgufWriter& w) { w.SetFloats("mote.dynamic.shares", std::vector<float>(count, 2)); }), "0 to 1"},
      {with_names(0, "blk.0.nothing.weight"), "is no matrix of this file"},
      {with_names(0, "output_norm.weight"), "is no matrix of this file"},
      {with_names(0, names[1]), "twice"},
      {with_threshold(-1), "element 1 is -1"},
      {with_threshold(NAN), "element 1 is"},
      {with_threshold(INFINITY), "element 1 is inf"},
      {RefusalOf(Rewrite(
           good, [](GgufWriter&) {}, nullptr, "mote.dynamic.thresholds")),
       "is missing"},
  };
  for (const auto& [refusal, told] : cases) EXPECT_NE(refusal.find(told), std::string::npos) << told << ": " << refusal;
  // Nobody looks where it is off.
  EXPECT_EQ(RefusalOf(Rewrite(good, [](GgufWriter& w) { w.SetUint32("mote.dynamic.version", 2); }), false), "");
}

TEST(DynamicSparsity, RunsOnTheCpuAlone) {
  const std::vector<uint8_t> good = WithRules(MakeTinyModel({}), 0.1f);
  ModelParams params;
  params.dynamic_sparsity = true;
  params.device.device = "cuda";
  const auto model = Model::Load(Parse(good), params);
  ASSERT_FALSE(model.ok());
  EXPECT_NE(model.status().message().find("on the CPU alone"), std::string::npos) << model.status().message();
}

}  // namespace
}  // namespace mote::testing
