#include "engine/graph/plan.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/support/matrix.h"

namespace mote {
namespace {

using testing::Matrix;

// Three layers of a small decoder.
struct Tiny {
  TensorInfo embed = Matrix("embed", 100, 64), norm = Matrix("norm", 1, 64), q = Matrix("q", 64, 64),
             k = Matrix("k", 32, 64), v = Matrix("v", 32, 64), o = Matrix("o", 64, 64), up = Matrix("up", 128, 64),
             gate = Matrix("gate", 128, 64), down = Matrix("down", 64, 128);
  Graph graph;

  Tiny() {
    Graph& g = graph;
    RopeTable table;
    table.inverse_frequency.assign(8, 1.0f);
    const RopeId rope = g.AddRope(table);
    ValueId x = g.Embed(g.AddWeight(&embed, 100, 64), 1);
    for (uint32_t layer = 0; layer < 3; ++layer) {
      const ValueId n = g.RmsNorm(x, g.AddWeight(&norm, 1, 64), 1e-5f);
      const ValueId vq = g.MatMul(n, g.AddWeight(&q, 64, 64));
      const ValueId vk = g.MatMul(n, g.AddWeight(&k, 32, 64));
      const ValueId vv = g.MatMul(n, g.AddWeight(&v, 32, 64));
      AttentionParams p{.layer = layer, .heads = 4, .kv_heads = 2, .key_dim = 16, .value_dim = 16, .scale = 0.25f};
      const ValueId a = g.Attention(g.Rope(vq, rope, 16), g.Rope(vk, rope, 16), vv, p);
      x = g.Add(x, g.MatMul(a, g.AddWeight(&o, 64, 64)));
      const ValueId m = g.RmsNorm(x, g.AddWeight(&norm, 1, 64), 1e-5f);
      const ValueId up_value = g.MatMul(m, g.AddWeight(&up, 128, 64));
      const ValueId gate_value = g.MatMul(m, g.AddWeight(&gate, 128, 64));
      x = g.Add(x, g.MatMul(g.Gate(gate_value, up_value, Activation::kSilu), g.AddWeight(&down, 64, 128)));
    }
    g.SetResult(g.MatMul(g.SelectOutputs(x), g.AddWeight(&embed, 100, 64)));
  }
};

TEST(Plan, ProductsOfOneInputBecomeOneInstruction) {
  Tiny tiny;
  ASSERT_TRUE(tiny.graph.status().ok()) << tiny.graph.status().message();
  const Result<Plan> plan = MakePlan(tiny.graph, 8, 4);
  ASSERT_TRUE(plan.ok());
  std::multiset<size_t> sizes;
  std::set<uint32_t> covered;
  for (const Instruction& instruction : plan->instructions) {
    for (const uint32_t n : instruction.nodes) EXPECT_TRUE(covered.insert(n).second);
    if (tiny.graph.nodes()[instruction.nodes[0]].op == OpKind::kMatMul) sizes.insert(instruction.nodes.size());
  }
  EXPECT_EQ(covered.size(), tiny.graph.nodes().size());
  EXPECT_EQ(sizes, (std::multiset<size_t>{1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 3}));
}

// Walks the plan with a list of who owns which bytes: nobody may write over a value that is still to be read.
TEST(Plan, ValuesThatLiveTogetherDoNotOverlap) {
  Tiny tiny;
  for (const uint32_t tokens : {1u, 3u, 512u}) {
    const Result<Plan> plan = MakePlan(tiny.graph, tokens, 1);
    ASSERT_TRUE(plan.ok());
    const auto bytes_of = [&](ValueId id) {
      const ValueInfo& info = tiny.graph.value(id);
      return uint64_t{info.rows == Rows::kTokens ? tokens : 1} * info.cols * sizeof(float);
    };
    std::vector<size_t> last_read(tiny.graph.num_values(), 0);
    const auto nodes_of = [&](const Phase& phase) {
      std::vector<Node> nodes;
      for (uint32_t i = phase.begin; i < phase.end; ++i) {
        for (const uint32_t n : plan->instructions[i].nodes) nodes.push_back(tiny.graph.nodes()[n]);
      }
      return nodes;
    };
    for (size_t p = 0; p < plan->phases.size(); ++p) {
      for (const Node& node : nodes_of(plan->phases[p])) {
        for (const ValueId in : node.in) last_read[in] = p;
      }
    }
    std::set<ValueId> alive;
    uint64_t sum = 0;
    for (size_t p = 0; p < plan->phases.size(); ++p) {
      for (const Node& node : nodes_of(plan->phases[p])) {
        const ValueId out = node.out;
        if (out == tiny.graph.result() || alive.contains(out)) continue;
        const uint64_t begin = plan->value_offset[out], end = begin + bytes_of(out);
        EXPECT_EQ(begin % 64, 0u);
        EXPECT_LE(end, plan->arena_bytes);
        for (const ValueId other : alive) {
          const uint64_t other_begin = plan->value_offset[other], other_end = other_begin + bytes_of(other);
          EXPECT_TRUE(end <= other_begin || other_end <= begin) << "values " << out << " and " << other;
        }
        alive.insert(out);
        sum += bytes_of(out);
      }
      // Only at the end of a phase: inside, another worker may still be at an earlier instruction.
      std::erase_if(alive, [&](ValueId id) { return last_read[id] <= p; });
    }
    EXPECT_LT(plan->arena_bytes, sum / 3) << "three layers must share the memory of one";
  }
}

// What goes on to logits and what is a result itself part there: one row per output before, one per row of logits
// after, and no phase holds both.
TEST(Graph, HiddenStatesAreTakenFromOutputsAlone) {
  TensorInfo embed = Matrix("embed", 100, 64), norm = Matrix("norm", 1, 64);
  {
    Graph g;
    g.TakeHidden(g.Embed(g.AddWeight(&embed, 100, 64), 1));
    EXPECT_EQ(g.status().code(), Code::kInternal);
  }
  Graph g;
  const ValueId x = g.SelectOutputs(g.Embed(g.AddWeight(&embed, 100, 64), 1));
  const ValueId normed = g.RmsNorm(x, g.AddWeight(&norm, 1, 64), 1e-5f);
  const ValueId taken = g.TakeHidden(normed);
  EXPECT_EQ(g.value(normed).rows, Rows::kOutputs);
  EXPECT_EQ(g.value(taken).rows, Rows::kLogits);
  g.SetResult(g.MatMul(taken, g.AddWeight(&embed, 100, 64)));
  EXPECT_EQ(g.value(g.result()).rows, Rows::kLogits);
  const Result<Plan> plan = MakePlan(g, 8, 8);
  ASSERT_TRUE(plan.ok());
  for (const Phase& phase : plan->phases) {
    for (uint32_t i = phase.begin; i < phase.end; ++i) {
      const Node& node = g.nodes()[plan->instructions[i].nodes[0]];
      if (node.op != OpKind::kTakeHidden) continue;
      EXPECT_EQ(phase.end - phase.begin, 1u);
    }
  }
}

// A vocabulary's width for every row of a batch would be the largest value by far.
TEST(Plan, CappedLogitsTakeNoRoomInTheArena) {
  TensorInfo embed = Matrix("embed", 10000, 64);
  Graph g;
  const WeightId table = g.AddWeight(&embed, 10000, 64);
  const ValueId logits = g.MatMul(g.TakeHidden(g.SelectOutputs(g.Embed(table, 1))), table);
  g.SetResult(g.Softcap(logits, 30));
  const Result<Plan> plan = MakePlan(g, 512, 512);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->value_offset[logits], UINT64_MAX);
  EXPECT_LE(plan->arena_bytes, 3 * 512 * 64 * sizeof(float));
}

TEST(Graph, RefusesShapesThatDoNotFitAndNamesThem) {
  TensorInfo embed = Matrix("token_embd", 100, 64), wide = Matrix("blk.0.attn_q", 64, 65);
  Graph g;
  const ValueId x = g.Embed(g.AddWeight(&embed, 100, 64), 1);
  const ValueId y = g.MatMul(x, g.AddWeightSlice(&wide, 0, 64, 65));
  EXPECT_EQ(g.status().code(), Code::kMalformed);
  EXPECT_NE(g.status().message().find("blk.0.attn_q"), std::string::npos);
  g.SetResult(g.Add(x, y));  // harmless after a failure
  EXPECT_FALSE(MakePlan(g, 4, 1).ok());
}

TEST(Graph, RefusesSlicesOutsideTheTensorAndTypesItCannotMultiply) {
  TensorInfo fused = Matrix("qkv", 96, 64), integers = Matrix("ids", 4, 64, DType::kI32);
  {
    Graph g;
    g.AddWeightSlice(&fused, 64, 32, 64);
    EXPECT_TRUE(g.status().ok());
    g.AddWeightSlice(&fused, 65, 32, 64);
    EXPECT_EQ(g.status().code(), Code::kMalformed);
  }
  {
    Graph g;
    g.AddWeightSlice(&fused, UINT64_MAX, 2, 64);
    EXPECT_EQ(g.status().code(), Code::kMalformed);
  }
  Graph g;
  g.AddWeight(&integers, 4, 64);
  EXPECT_EQ(g.status().code(), Code::kUnsupported);
  EXPECT_NE(g.status().message().find("I32"), std::string::npos);
}

}  // namespace
}  // namespace mote
