#include "engine/format/convert.h"

#include <gtest/gtest.h>
#include <string.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "quant/codec.h"
#include "tests/format/open.h"
#include "tests/support/gguf_builder.h"

namespace mote {
namespace {

using testing::Bytes;
using testing::GgufBuilder;

struct Random {
  uint64_t state = 3;
  float Next() {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<float>(static_cast<double>(state >> 40) / (1 << 23) - 1) * 0.1f;
  }
};

Bytes WeightBytes(DType type, size_t values, Random* random) {
  std::vector<float> x(values);
  for (float& value : x) value = random->Next();
  Bytes bytes(RowBytes(type, values));
  EXPECT_TRUE(EncodeRow(type, x.data(), bytes.data(), values));
  return bytes;
}

struct ModelOptions {
  std::string architecture = "llama";
  uint32_t layers = 16;
  uint32_t heads = 4;
  uint32_t kv_heads = 2;
  uint32_t experts = 0;
  bool tied = false;
  uint64_t cols = 256;
  DType type = DType::kF16;
};

// Tiny, with the names that the rules look at.
GgufBuilder ModelBuilder(const ModelOptions& options) {
  Random random;
  GgufBuilder builder;
  const std::string& arch = options.architecture;
  builder.String("general.architecture", arch).Uint32("general.file_type", 1);
  builder.Uint32(arch + ".block_count", options.layers).Uint32(arch + ".attention.head_count", options.heads);
  builder.Array<uint32_t>(arch + ".attention.head_count_kv", testing::kIdUint32,
                          std::vector<uint32_t>(options.layers, options.kv_heads));
  if (options.experts != 0) builder.Uint32(arch + ".expert_count", options.experts);
  builder.Strings("tokenizer.ggml.tokens", {"a", "", "\xE2\x96\x81"}).Float32("x.y", 0.25f);
  const uint32_t type = static_cast<uint32_t>(options.type);
  const auto weight = [&](const std::string& name, uint64_t cols, uint64_t rows) {
    builder.Tensor(name, {cols, rows}, type, WeightBytes(options.type, static_cast<size_t>(cols * rows), &random));
  };
  const auto vector = [&](const std::string& name, uint64_t cols) {
    builder.Tensor(name, {cols}, 0, WeightBytes(DType::kF32, static_cast<size_t>(cols), &random));
  };
  weight("token_embd.weight", options.cols, 3);
  for (uint32_t layer = 0; layer < options.layers; ++layer) {
    const std::string prefix = "blk." + std::to_string(layer) + ".";
    vector(prefix + "attn_norm.weight", options.cols);
    for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_down"}) {
      weight(prefix + name + ".weight", options.cols, 2);
    }
    vector(prefix + "attn_q.bias", 5);
    if (options.experts != 0) {
      builder.Tensor(prefix + "ffn_gate_inp.weight", {options.cols, 2}, 0,
                     WeightBytes(DType::kF32, static_cast<size_t>(options.cols) * 2, &random));
      builder.Tensor(prefix + "ffn_up_exps.weight", {options.cols, 2, 2}, type,
                     WeightBytes(options.type, static_cast<size_t>(options.cols) * 4, &random));
    }
  }
  vector("output_norm.weight", options.cols);
  builder.Tensor("rope_freqs.ids", {4, 2}, 26, testing::PatternBytes(32));
  if (!options.tied) weight("output.weight", options.cols, 3);
  return builder;
}

struct Output {
  Bytes bytes;
  size_t pieces = 0;
  size_t fail_at_piece = SIZE_MAX;
  size_t cancel_at_tick = SIZE_MAX;
  std::vector<QuantizeProgress> ticks;
};

Status WritePiece(void* user, const uint8_t* bytes, size_t size) {
  Output& output = *static_cast<Output*>(user);
  EXPECT_LE(size, size_t{1} << 20);
  if (output.pieces++ == output.fail_at_piece) return Error(Code::kIo, "no space left on device");
  output.bytes.insert(output.bytes.end(), bytes, bytes + size);
  return Status();
}

bool OnTick(void* user, const QuantizeProgress& progress) {
  Output& output = *static_cast<Output*>(user);
  output.ticks.push_back(progress);
  output.ticks.back().tensor = {};
  return output.ticks.size() <= output.cancel_at_tick;
}

Status Quantize(const GgufFile& in, const std::string& type, Output* output) {
  QuantizeOptions options;
  options.type = type;
  options.allow_requantize = true;
  return QuantizeFile(in, options, nullptr, {WritePiece, OnTick, output});
}

// Types by tensor name.
std::map<std::string, DType> Plan(const ModelOptions& options, const std::string& type, QuantizeOptions quantize = {}) {
  const Bytes bytes = ModelBuilder(options).Build();
  const auto in = testing::OpenBytes(bytes);
  EXPECT_TRUE(in.ok()) << in.status().message();
  quantize.type = type;
  const auto plan = PlanQuantization(**in, quantize);
  EXPECT_TRUE(plan.ok()) << plan.status().message();
  std::map<std::string, DType> types;
  for (const TensorInfo& tensor : plan->tensors) types[tensor.name] = tensor.type;
  return types;
}

std::vector<std::string> AllNames() {
  std::vector<std::string> names;
  std::string name;
  for (const char c : QuantizeTypeNames() + ",") {
    if (c == ',') {
      names.push_back(name);
      name.clear();
    } else if (c != ' ') {
      name += c;
    }
  }
  return names;
}

// Every tensor of the output must be what decoding the input and encoding that gives, or the same bytes.
void CheckAgainst(const GgufFile& in, const GgufFile& out) {
  ASSERT_EQ(in.tensors().size(), out.tensors().size());
  for (size_t i = 0; i < in.tensors().size(); ++i) {
    const TensorInfo& from = in.tensors()[i];
    const TensorInfo& to = out.tensors()[i];
    ASSERT_EQ(from.name, to.name);
    ASSERT_EQ(from.shape, to.shape);
    ASSERT_EQ(from.num_dims, to.num_dims);
    const auto source = in.TensorBytes(from);
    const auto result = out.TensorBytes(to);
    ASSERT_TRUE(source.ok() && result.ok());
    Bytes want(source->begin(), source->end());
    if (from.type != to.type) {
      const size_t cols = static_cast<size_t>(from.cols());
      std::vector<float> decoded(cols);
      want.assign(RowBytes(to.type, cols) * from.rows(), 0);
      for (size_t r = 0; r < from.rows(); ++r) {
        DecodeRow(from.type, source->data() + r * RowBytes(from.type, cols), decoded.data(), cols);
        ASSERT_TRUE(EncodeRow(to.type, decoded.data(), want.data() + r * RowBytes(to.type, cols), cols));
      }
    }
    EXPECT_TRUE(std::equal(want.begin(), want.end(), result->begin(), result->end())) << from.name;
  }
}

TEST(Quantize, EveryTypeGivesAFileThatHoldsTheSameModel) {
  for (DType source : {DType::kF16, DType::kF32, DType::kBF16, DType::kQ8_0, DType::kQ4_K}) {
    ModelOptions options;
    options.layers = 2;
    options.type = source;
    const Bytes bytes = ModelBuilder(options).Build();
    const auto in = testing::OpenBytes(bytes);
    ASSERT_TRUE(in.ok()) << in.status().message();
    for (const std::string& type : AllNames()) {
      if (type == "Q2_K_S") continue;  // needs importances: see below
      SCOPED_TRACE(type + " from " + DTypeName(source));
      Output output;
      const Status status = Quantize(**in, type, &output);
      ASSERT_TRUE(status.ok()) << status.message();
      const auto out = testing::OpenBytes(output.bytes);
      ASSERT_TRUE(out.ok()) << out.status().message();
      CheckAgainst(**in, **out);
      EXPECT_EQ((*out)->file_bytes(), output.bytes.size());
      uint64_t version = 0;
      ASSERT_NE((*out)->Find("general.quantization_version"), nullptr);
      EXPECT_TRUE((*out)->Find("general.quantization_version")->GetUint(&version));
      EXPECT_EQ(version, 2u);
      EXPECT_EQ((*out)->metadata().size(), (*in)->metadata().size() + (type == "I8" ? 2 : 1));
      std::string_view token;
      ASSERT_NE((*out)->Find("tokenizer.ggml.tokens"), nullptr);
      EXPECT_TRUE((*out)->Find("tokenizer.ggml.tokens")->StringAt(2, &token));
      EXPECT_EQ(token, "\xE2\x96\x81");
      ASSERT_FALSE(output.ticks.empty());
      EXPECT_EQ(output.ticks.back().bytes_written, output.bytes.size());
      for (const QuantizeProgress& tick : output.ticks) EXPECT_EQ(tick.bytes_total, output.bytes.size());
    }
  }
}

// Rows with a scale of their own are decoded and encoded whole, however long they are.
TEST(Quantize, I8ToOtherTypesAndLongRows) {
  ModelOptions options;
  options.layers = 1;
  options.type = DType::kF32;
  const Bytes bytes = ModelBuilder(options).Build();
  const auto in = testing::OpenBytes(bytes);
  ASSERT_TRUE(in.ok());
  Output int8;
  ASSERT_TRUE(Quantize(**in, "I8", &int8).ok());
  const auto middle = testing::OpenBytes(int8.bytes);
  ASSERT_TRUE(middle.ok());
  EXPECT_EQ((*middle)->FindTensor("blk.0.attn_q.weight")->type, DType::kI8Row);
  QuantizeOptions unasked;
  unasked.type = "Q4_0";
  EXPECT_EQ(PlanQuantization(**middle, unasked).status().code(), Code::kUnsupported);
  for (const char* type : {"Q4_0", "F16", "Q6_K"}) {
    Output output;
    ASSERT_TRUE(Quantize(**middle, type, &output).ok()) << type;
    const auto out = testing::OpenBytes(output.bytes);
    ASSERT_TRUE(out.ok());
    EXPECT_EQ((*out)->Find("mote.i8_rows.version"), nullptr);
    CheckAgainst(**middle, **out);
  }
  options.cols = 33024;  // more than are converted at a time
  const Bytes wide = ModelBuilder(options).Build();
  const auto long_rows = testing::OpenBytes(wide);
  ASSERT_TRUE(long_rows.ok());
  Output output;
  ASSERT_TRUE(Quantize(**long_rows, "I8", &output).ok());
  const auto out = testing::OpenBytes(output.bytes);
  ASSERT_TRUE(out.ok());
  CheckAgainst(**long_rows, **out);
  options.cols = 42;  // no multiple of 4
  EXPECT_EQ(Plan(options, "I8").at("blk.0.attn_q.weight"), DType::kF16);
}

TEST(Quantize, FileTypeIsTheNumberThatOthersExpect) {
  ModelOptions options;
  options.layers = 1;
  const Bytes bytes = ModelBuilder(options).Build();
  const auto in = testing::OpenBytes(bytes);
  ASSERT_TRUE(in.ok());
  const std::map<std::string, uint64_t> kFileTypes = {
      {"F32", 0},     {"f16", 1},     {"Q4_0", 2},    {"Q4_1", 3},    {"q8_0", 7},    {"I8", 7},      {"Q5_0", 8},
      {"Q5_1", 9},    {"Q2_K", 10},   {"Q3_K_S", 11}, {"Q3_K_M", 12}, {"Q3_K_L", 13}, {"Q4_K_S", 14}, {"q4_k_m", 15},
      {"Q5_K_S", 16}, {"Q5_K_M", 17}, {"Q6_K", 18},   {"IQ4_NL", 25}, {"iq4_xs", 30}, {"BF16", 32},   {"MXFP4", 38}};
  for (const auto& [type, number] : kFileTypes) {
    Output output;
    ASSERT_TRUE(Quantize(**in, type, &output).ok()) << type;
    const auto out = testing::OpenBytes(output.bytes);
    ASSERT_TRUE(out.ok());
    EXPECT_EQ((*out)->UintOr("general.file_type", 1000).value(), number) << type;
  }
}

TEST(Quantize, NormsBiasesAndIntegersStay) {
  for (const char* type : {"Q8_0", "Q4_K_M", "F16", "F32"}) {
    const auto types = Plan({}, type);
    EXPECT_EQ(types.at("blk.0.attn_norm.weight"), DType::kF32);
    EXPECT_EQ(types.at("blk.3.attn_q.bias"), DType::kF32);
    EXPECT_EQ(types.at("output_norm.weight"), DType::kF32);
    EXPECT_EQ(types.at("rope_freqs.ids"), DType::kI32);
  }
  EXPECT_EQ(Plan({}, "Q8_0").at("output.weight"), DType::kQ8_0);
  EXPECT_EQ(Plan({}, "F32").at("output.weight"), DType::kF32);
  EXPECT_EQ(Plan({}, "Q4_0").at("output.weight"), DType::kQ6_K);
  EXPECT_EQ(Plan({}, "Q4_0").at("token_embd.weight"), DType::kQ4_0);
}

TEST(Quantize, Q4_K_MGivesMoreBitsWhereTheyCount) {
  const auto types = Plan({}, "Q4_K_M");  // 16 layers
  const std::vector<int> more = {0, 1, 4, 7, 10, 13, 14, 15};
  for (int layer = 0; layer < 16; ++layer) {
    const bool has_more = std::find(more.begin(), more.end(), layer) != more.end();
    const std::string prefix = "blk." + std::to_string(layer) + ".";
    EXPECT_EQ(types.at(prefix + "attn_v.weight"), has_more ? DType::kQ6_K : DType::kQ4_K) << layer;
    EXPECT_EQ(types.at(prefix + "ffn_down.weight"), has_more ? DType::kQ6_K : DType::kQ4_K) << layer;
    EXPECT_EQ(types.at(prefix + "attn_q.weight"), DType::kQ4_K);
    EXPECT_EQ(types.at(prefix + "attn_output.weight"), DType::kQ4_K);
  }
  EXPECT_EQ(types.at("output.weight"), DType::kQ6_K);
  EXPECT_EQ(types.at("token_embd.weight"), DType::kQ4_K);
}

TEST(Quantize, OtherMixes) {
  const auto q4s = Plan({}, "Q4_K_S");
  EXPECT_EQ(q4s.at("blk.3.attn_v.weight"), DType::kQ5_K);
  EXPECT_EQ(q4s.at("blk.4.attn_v.weight"), DType::kQ4_K);
  EXPECT_EQ(q4s.at("blk.1.ffn_down.weight"), DType::kQ5_K);
  EXPECT_EQ(q4s.at("blk.2.ffn_down.weight"), DType::kQ4_K);
  const auto q3m = Plan({}, "Q3_K_M");
  EXPECT_EQ(q3m.at("blk.1.attn_v.weight"), DType::kQ5_K);
  EXPECT_EQ(q3m.at("blk.2.attn_v.weight"), DType::kQ4_K);
  EXPECT_EQ(q3m.at("blk.0.ffn_down.weight"), DType::kQ5_K);
  EXPECT_EQ(q3m.at("blk.1.ffn_down.weight"), DType::kQ4_K);
  EXPECT_EQ(q3m.at("blk.1.attn_output.weight"), DType::kQ4_K);
  EXPECT_EQ(q3m.at("blk.1.ffn_gate.weight"), DType::kQ3_K);
  const auto q2 = Plan({}, "Q2_K");
  EXPECT_EQ(q2.at("blk.5.attn_v.weight"), DType::kQ3_K);  // 2 query heads per key/value head
  EXPECT_EQ(q2.at("blk.5.ffn_down.weight"), DType::kQ3_K);
  EXPECT_EQ(q2.at("blk.5.attn_q.weight"), DType::kQ2_K);
  ModelOptions grouped;
  grouped.heads = 8;
  EXPECT_EQ(Plan(grouped, "Q2_K").at("blk.5.attn_v.weight"), DType::kQ4_K);
  EXPECT_EQ(Plan(grouped, "IQ4_XS").at("blk.9.attn_v.weight"), DType::kQ5_K);
  EXPECT_EQ(Plan({}, "IQ4_XS").at("blk.9.attn_v.weight"), DType::kIQ4_XS);
  EXPECT_EQ(Plan({}, "IQ4_NL").at("blk.1.ffn_down.weight"), DType::kQ5_K);
}

TEST(Quantize, PlainNamesAreTheMixesWithM) {
  for (const char* type : {"Q3_K", "Q4_K", "Q5_K"}) EXPECT_EQ(Plan({}, type), Plan({}, type + std::string("_M")));
}

TEST(Quantize, PureMakesNoExceptions) {
  for (const char* type : {"Q3_K_M", "Q4_K_S", "Q4_0", "Q6_K", "IQ4_XS"}) {
    QuantizeOptions options;
    options.pure = true;
    const DType mixed = Plan({}, type).at("blk.5.attn_q.weight");
    for (const auto& [name, got] : Plan({}, type, options)) {
      if (!name.ends_with("weight") || name.find("norm") != std::string::npos) continue;
      EXPECT_EQ(got, mixed) << name;
    }
  }
}

TEST(Quantize, TiedEmbeddingsAreTheOutput) {
  ModelOptions tied;
  tied.tied = true;
  EXPECT_EQ(Plan(tied, "Q4_0").at("token_embd.weight"), DType::kQ6_K);
  EXPECT_EQ(Plan(tied, "Q8_0").at("token_embd.weight"), DType::kQ8_0);
  EXPECT_EQ(Plan(tied, "MXFP4").at("token_embd.weight"), DType::kQ8_0);
}

TEST(Quantize, Experts) {
  ModelOptions options;
  options.architecture = "qwen3moe";
  options.experts = 64;
  const auto types = Plan(options, "Q4_K_M");
  EXPECT_EQ(types.at("blk.0.ffn_gate_inp.weight"), DType::kF32);
  EXPECT_EQ(types.at("blk.0.ffn_up_exps.weight"), DType::kQ4_K);
  const auto mxfp4 = Plan(options, "MXFP4_MOE");
  EXPECT_EQ(mxfp4.at("blk.0.ffn_up_exps.weight"), DType::kMXFP4);
  EXPECT_EQ(mxfp4.at("blk.0.attn_q.weight"), DType::kQ8_0);
  options.experts = 8;
  EXPECT_EQ(Plan(options, "Q4_K_M").at("blk.7.attn_v.weight"), DType::kQ8_0);
  EXPECT_EQ(Plan(options, "Q4_K_M").at("blk.7.attn_output.weight"), DType::kQ5_K);
}

TEST(Quantize, BlocksThatDoNotDivideTheColumnsGiveWay) {
  ModelOptions options;
  options.cols = 96;
  const std::map<std::string, DType> kSmaller = {
      {"Q2_K", DType::kQ4_0}, {"Q3_K", DType::kQ4_0}, {"Q4_K", DType::kQ5_0},     {"Q5_K", DType::kQ5_1},
      {"Q6_K", DType::kQ8_0}, {"Q4_0", DType::kQ4_0}, {"IQ4_XS", DType::kIQ4_NL}, {"MXFP4", DType::kMXFP4}};
  for (const auto& [type, smaller] : kSmaller) {
    EXPECT_EQ(Plan(options, type).at("blk.9.attn_q.weight"), smaller) << type;
  }
  options.cols = 40;
  for (const auto& [type, smaller] : kSmaller) {
    EXPECT_EQ(Plan(options, type).at("blk.9.attn_q.weight"), DType::kF16) << type;
  }
}

TEST(Quantize, UnknownTypeNamesTheOnesThereAre) {
  const Bytes bytes = ModelBuilder({}).Build();
  const auto in = testing::OpenBytes(bytes);
  ASSERT_TRUE(in.ok());
  for (const char* type : {"", "Q4", "Q4_K_XL", "IQ2_XXS", "I32"}) {
    Output output;
    const Status status = Quantize(**in, type, &output);
    EXPECT_EQ(status.code(), Code::kInvalidArgument) << type;
    EXPECT_NE(status.message().find("Q4_K_M"), std::string::npos) << status.message();
    EXPECT_TRUE(output.bytes.empty());
  }
}

TEST(Quantize, FailuresAndCancellationStopTheWork) {
  const Bytes bytes = ModelBuilder({}).Build();
  const auto in = testing::OpenBytes(bytes);
  ASSERT_TRUE(in.ok());
  Output whole;
  ASSERT_TRUE(Quantize(**in, "Q4_K_M", &whole).ok());
  for (size_t at : {size_t{0}, size_t{1}, whole.pieces / 2, whole.pieces - 1}) {
    Output output;
    output.fail_at_piece = at;
    const Status status = Quantize(**in, "Q4_K_M", &output);
    EXPECT_EQ(status.code(), Code::kIo);
    EXPECT_NE(status.message().find("no space"), std::string::npos);
    EXPECT_EQ(output.pieces, at + 1);
  }
  for (size_t at : {size_t{0}, whole.ticks.size() / 2, whole.ticks.size() - 1}) {
    Output output;
    output.cancel_at_tick = at;
    EXPECT_EQ(Quantize(**in, "Q4_K_M", &output).code(), Code::kCancelled);
    EXPECT_EQ(output.ticks.size(), at + 1);
  }
  QuantizeOptions options;
  options.type = "Q8_0";
  EXPECT_EQ(QuantizeFile(**in, options, nullptr, {}).code(), Code::kInvalidArgument);
}

TEST(Quantize, ValuesThatCannotBeEncodedAreNamed) {
  for (const auto& [bad, code] : {std::pair{std::nanf(""), Code::kMalformed}, std::pair{INFINITY, Code::kMalformed},
                                  std::pair{1e30f, Code::kUnsupported}}) {
    std::vector<float> x(512, 0.5f);
    x[256 + 17] = bad;
    Bytes data(2048);
    memcpy(data.data(), x.data(), data.size());
    const Bytes bytes =
        GgufBuilder().String("general.architecture", "llama").Tensor("w.weight", {256, 2}, 0, data).Build();
    const auto in = testing::OpenBytes(bytes);
    ASSERT_TRUE(in.ok());
    for (const char* type : {"Q8_0", "Q4_K", "F16"}) {
      Output output;
      const Status status = Quantize(**in, type, &output);
      EXPECT_EQ(status.code(), code) << type << " " << bad;
      EXPECT_NE(status.message().find("w.weight"), std::string::npos) << status.message();
      EXPECT_NE(status.message().find("row 1, column 17"), std::string::npos) << status.message();
    }
  }
}

// Longer than one chunk, with an odd end.
TEST(Quantize, LongTensorsAreWhole) {
  Random random;
  const size_t rows = 301;
  const Bytes data = WeightBytes(DType::kF16, 256 * rows, &random);
  const Bytes bytes =
      GgufBuilder().String("general.architecture", "llama").Tensor("a.weight", {256, rows}, 1, data).Build();
  const auto in = testing::OpenBytes(bytes);
  ASSERT_TRUE(in.ok());
  for (const char* type : {"Q4_0", "Q6_K", "F32", "F16"}) {
    Output output;
    ASSERT_TRUE(Quantize(**in, type, &output).ok());
    const auto out = testing::OpenBytes(output.bytes);
    ASSERT_TRUE(out.ok());
    CheckAgainst(**in, **out);
  }
}

}  // namespace
}  // namespace mote
