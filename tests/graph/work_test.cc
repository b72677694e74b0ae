#include "engine/graph/work.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/support/matrix.h"

namespace mote {
namespace {

using testing::Matrix;

struct Asked {
  std::vector<int32_t> positions;
  std::vector<uint32_t> outputs, hidden_rows;
  Step step() const {
    Step s;
    s.positions = positions;
    s.outputs = outputs;
    s.hidden_rows = hidden_rows;
    return s;
  }
};

TEST(StepWork, CountsProductsByTheRowsTheyHaveAndAttentionByWhatIsSeen) {
  const TensorInfo embed = Matrix("embed", 1000, 512), qkv = Matrix("qkv", 512, 512), up = Matrix("up", 4096, 512),
                   down = Matrix("down", 512, 4096);
  Graph g;
  const ValueId x = g.Embed(g.AddWeight(&embed, 1000, 512), 1);
  const WeightId w = g.AddWeight(&qkv, 512, 512);
  AttentionParams p{.layer = 0, .heads = 4, .kv_heads = 4, .key_dim = 128, .value_dim = 128, .scale = 1};
  const ValueId a = g.Attention(g.MatMul(x, w), g.MatMul(x, w), g.MatMul(x, w), p);
  const ValueId m =
      g.MatMul(g.Activate(g.MatMul(a, g.AddWeight(&up, 4096, 512)), Activation::kSilu), g.AddWeight(&down, 512, 4096));
  g.SetResult(g.MatMul(g.SelectOutputs(m), g.AddWeight(&embed, 1000, 512)));
  ASSERT_TRUE(g.status().ok()) << g.status().message();
  const StepWork work(g);
  const uint64_t token = 3 * 512 * 512 + 2 * 4096 * 512, logits = 1000 * 512, seen = 4 * 256;

  const Asked one{{0}, {0}, {}};
  EXPECT_EQ(work.Of(one.step()), token + logits + seen);
  EXPECT_EQ(StepWork::Workers(work.Of(one.step())), 1) << "5.5 million";
  const Asked prompt{{7, 8, 9}, {}, {}};
  EXPECT_EQ(work.Of(prompt.step()), 3 * token + (8 + 9 + 10) * seen);
  EXPECT_EQ(StepWork::Workers(work.Of(prompt.step())), 3) << "14.9 million";
  const Asked far{{100000}, {0}, {}};
  EXPECT_EQ(StepWork::Workers(work.Of(far.step())), 26) << "a long cache is work, too";
  const Asked many{std::vector<int32_t>(4096, 0), {}, {}};
  EXPECT_EQ(StepWork::Workers(work.Of(many.step())), 1024);
}

TEST(StepWork, CountsTheExpertsThatARowUses) {
  const TensorInfo embed = Matrix("embed", 100, 64), router = Matrix("router", 8, 64),
                   wide = Matrix("wide", 8 * 32, 64), down = Matrix("down", 8 * 64, 32);
  Graph g;
  const ValueId x = g.Embed(g.AddWeight(&embed, 100, 64), 1);
  MoeParams moe;
  moe.experts = 8;
  moe.used = 2;
  const ValueId y = g.Moe(x, g.AddWeight(&router, 8, 64), g.AddWeight(&wide, 8 * 32, 64),
                          g.AddWeight(&wide, 8 * 32, 64), g.AddWeight(&down, 8 * 64, 32), moe);
  g.SetResult(g.SelectOutputs(y));
  ASSERT_TRUE(g.status().ok()) << g.status().message();
  const Asked one{{0}, {0}, {}};
  EXPECT_EQ(StepWork(g).Of(one.step()), 8u * 64 + 2u * (3 * 32 * 64));
}

}  // namespace
}  // namespace mote
