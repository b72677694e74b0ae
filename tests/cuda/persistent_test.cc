// Whole models whose layers are one persistent kernel in steps of one row, beside the same ones launch by launch: the
// same bits.
#include <gtest/gtest.h>

#include "tests/cuda/gpu_models.h"

namespace mote::testing {
namespace {

// A model whose layers are products and attention alone.
TinyModelOptions Layered(DType type) {
  TinyModelOptions options = Options("llama", type);
  options.width = 512;
  options.layers = 3;
  options.heads = 16;
  options.kv_heads = 2;
  return options;
}

// Behind a prompt of `prefix` tokens.
void ExpectTheSame(const TinyModelOptions& options, size_t prefix, size_t generated) {
  const std::vector<uint8_t> bytes = MakeTinyModel(options);
  const std::unique_ptr<Model> plain = LoadOn(bytes, {});
  const std::unique_ptr<Model> persistent = LoadOn(bytes, {.persistent = true});
  ASSERT_TRUE(plain != nullptr && persistent != nullptr);
  const std::vector<int32_t> tokens = SomeTokens(prefix + generated, plain->vocab_size());
  EXPECT_TRUE(SameBits(LogitsAfter(*persistent, tokens, prefix, 1), LogitsAfter(*plain, tokens, prefix, 1)))
      << DTypeName(options.type) << " behind " << prefix << " tokens";
}

using CudaPersistent = CudaModel;

TEST_F(CudaPersistent, TheSameBits) {
  for (const DType type : {DType::kQ4_0, DType::kQ8_0, DType::kQ4_K, DType::kQ6_K}) ExpectTheSame(Layered(type), 1, 4);
}

// As Q4_K_M mixes them: values and the way down of some layers, and with them products of one input that are two.
TEST_F(CudaPersistent, TwoTypesInTurns) {
  TinyModelOptions options = Layered(DType::kQ4_K);
  options.other_types = {{"blk.0.attn_v.weight", DType::kQ6_K},
                         {"blk.1.attn_v.weight", DType::kQ6_K},
                         {"blk.1.ffn_down.weight", DType::kQ6_K},
                         {"blk.2.attn_output.weight", DType::kQ6_K}};
  ExpectTheSame(options, 1, 4);
}

// One split and then two; three of four that there is room for.
TEST_F(CudaPersistent, BehindLongPrompts) {
  ExpectTheSame(Layered(DType::kQ8_0), 250, 8);
  ExpectTheSame(Layered(DType::kQ4_0), 520, 1);
}

// Heads of 128 and 96 columns; stretches that some warps have no part in; rows that are no whole tiles.
TEST_F(CudaPersistent, OtherShapes) {
  TinyModelOptions options = Layered(DType::kQ4_0);
  options.heads = 4;
  options.kv_heads = 1;
  options.head_dim = 128;
  ExpectTheSame(options, 1, 3);
  options.head_dim = 96;
  options.kv_heads = 2;
  options.width = 544;
  ExpectTheSame(options, 1, 3);
  options = Layered(DType::kQ4_K);
  options.layer_ff = {256, 1024, 512};
  ExpectTheSame(options, 1, 3);
  options = Layered(DType::kQ4_0);
  options.width = 2304;  // more tiles than warps
  ExpectTheSame(options, 1, 2);
}

// Nothing to be persistent about: steps run as ever.
TEST_F(CudaPersistent, OtherModelsRunAsEver) {
  for (const char* family : {"qwen3", "gemma3", "qwen3moe"}) ExpectTheSame(Options(family, DType::kQ4_0), 1, 3);
  ExpectTheSame(Layered(DType::kF16), 1, 3);
  ExpectTheSame(Layered(DType::kQ5_1), 1, 3);
}

}  // namespace
}  // namespace mote::testing
