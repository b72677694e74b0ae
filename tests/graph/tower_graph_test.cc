// What graphs of towers have that decoders' have not: inputs by row, merged rows, parts of vectors, matrices by
// columns, and activations that belong to their products.
#include <gtest/gtest.h>

#include <string>

#include "engine/graph/plan.h"

namespace mote {
namespace {

TensorInfo Tensor(const char* name, std::vector<uint64_t> shape, DType type = DType::kF32) {
  TensorInfo t;
  t.name = name;
  t.type = type;
  t.num_dims = static_cast<int>(shape.size());
  for (size_t i = 0; i < shape.size(); ++i) t.shape[i] = shape[i];
  return t;
}

// Four columns of a bias are taken from the middle of a longer vector.
struct Tower {
  TensorInfo filters = Tensor("filters", {2, 2, 3, 8}), bias = Tensor("bias", {32}), up = Tensor("up", {8, 16}),
             down = Tensor("down", {16, 8}), out = Tensor("out", {32, 4});
  Graph graph;
  ValueId product = kNone, activated = kNone, selected = kNone, merged = kNone;

  Tower() {
    Graph& g = graph;
    ValueId x = g.MatMul(g.Input(0, 12), g.AddWeightReshaped(&filters, 8, 12), g.AddVectorSlice(&bias, 5, 8));
    x = g.AddInput(x, 12);
    product = g.MatMul(x, g.AddWeight(&up, 16, 8));
    activated = g.Activate(product, Activation::kGelu);
    x = g.Add(x, g.MatMul(activated, g.AddWeight(&down, 8, 16)));
    selected = g.SelectOutputs(x);
    merged = g.Merge(selected, 4);
    g.SetResult(g.MatMul(merged, g.AddWeight(&out, 4, 32)));
  }
};

TEST(TowerGraph, RowsShrinkByTheMerge) {
  Tower tower;
  ASSERT_TRUE(tower.graph.status().ok()) << tower.graph.status().message();
  EXPECT_EQ(tower.graph.input_cols(), 20u) << "12 pixels and a position of 8";
  EXPECT_EQ(tower.graph.merge(), 4u);
  EXPECT_EQ(tower.graph.value(tower.merged).cols, 32u);
  EXPECT_EQ(tower.graph.value(tower.merged).rows, Rows::kMerged);
  const Result<Plan> plan = MakePlan(tower.graph, 64, 64);
  ASSERT_TRUE(plan.ok()) << plan.status().message();
  // 16 merged rows of 32 floats take as many bytes as 64 of 8: nothing is planned for 64 rows of 32.
  const uint64_t bytes = 64 * 8 * sizeof(float);
  EXPECT_LE(plan->value_offset[tower.merged] + bytes, plan->arena_bytes);
  EXPECT_LE(plan->arena_bytes, 64 * (12 + 8 + 8 + 16 + 8) * sizeof(float));
}

TEST(TowerGraph, AnActivationBelongsToItsProduct) {
  Tower tower;
  const Result<Plan> plan = MakePlan(tower.graph, 8, 8);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->value_offset[tower.product], UINT64_MAX) << "the product is never written";
  size_t found = 0;
  for (const Instruction& instruction : plan->instructions) {
    const Node& node = tower.graph.nodes()[instruction.nodes[0]];
    EXPECT_NE(node.op, OpKind::kActivation) << "it has no instruction of its own";
    if (instruction.activation == kNone) continue;
    ++found;
    EXPECT_EQ(node.out, tower.product);
    EXPECT_EQ(tower.graph.nodes()[instruction.activation].out, tower.activated);
  }
  EXPECT_EQ(found, 1u);
}

// Read by others, or a product beside another one of the same input: on its own.
TEST(TowerGraph, AnActivationOfWhatOthersReadStandsAlone) {
  for (const bool beside : {false, true}) {
    Tower tower;
    Graph g;
    const ValueId x = g.Input(0, 8);
    ValueId other = beside ? g.MatMul(x, g.AddWeight(&tower.up, 16, 8)) : kNone;
    const ValueId product = g.MatMul(x, g.AddWeight(&tower.up, 16, 8));
    const ValueId activated = g.Activate(product, Activation::kRelu);
    if (!beside) other = product;
    g.SetResult(g.SelectOutputs(g.Add(activated, other)));
    ASSERT_TRUE(g.status().ok()) << g.status().message();
    const Result<Plan> plan = MakePlan(g, 8, 8);
    ASSERT_TRUE(plan.ok());
    EXPECT_NE(plan->value_offset[product], UINT64_MAX);
    for (const Instruction& instruction : plan->instructions) EXPECT_EQ(instruction.activation, kNone);
  }
}

TEST(TowerGraph, RowsThatMoveBeginAPhase) {
  Tower tower;
  const Result<Plan> plan = MakePlan(tower.graph, 8, 8);
  ASSERT_TRUE(plan.ok());
  for (const Phase& phase : plan->phases) {
    for (uint32_t i = phase.begin + 1; i < phase.end; ++i) {
      const OpKind op = tower.graph.nodes()[plan->instructions[i].nodes[0]].op;
      EXPECT_NE(op, OpKind::kSelectOutputs) << "it reads rows that another worker has just written";
      EXPECT_NE(op, OpKind::kMerge);
    }
  }
}

std::string FailureOf(void (*build)(Graph& g, Tower& t)) {
  Tower tower;
  Graph graph;
  build(graph, tower);
  return graph.status().message();
}

TEST(TowerGraph, WrongShapesAreToldWithNames) {
  EXPECT_NE(FailureOf([](Graph& g, Tower& t) { g.AddVectorSlice(&t.bias, 30, 8); }).find("bias"), std::string::npos);
  EXPECT_NE(FailureOf([](Graph& g, Tower& t) { g.AddVectorSlice(&t.bias, UINT64_MAX, 8); }).find("bias"),
            std::string::npos);
  EXPECT_NE(FailureOf([](Graph& g, Tower& t) { g.AddWeightReshaped(&t.filters, 8, 13); }).find("filters"),
            std::string::npos);
  EXPECT_NE(FailureOf([](Graph& g, Tower& t) { g.AddWeightReshaped(&t.filters, UINT64_MAX, 2); }).find("filters"),
            std::string::npos);
  EXPECT_NE(FailureOf([](Graph& g, Tower& t) {
              t.up.type = DType::kQ8_0;
              g.AddWeightTransposed(&t.up, 8, 16);
            }).find("up"),
            std::string::npos);
  EXPECT_NE(FailureOf([](Graph& g, Tower& t) { g.AddWeightTransposed(&t.up, 16, 8); }).find("up"), std::string::npos);
  EXPECT_FALSE(FailureOf([](Graph& g, Tower&) {
                 const ValueId x = g.SelectOutputs(g.Input(0, 8));
                 g.Merge(x, 4);
                 g.Merge(x, 2);
               }).empty())
      << "one graph, one merge";
  EXPECT_FALSE(FailureOf([](Graph& g, Tower&) { g.Merge(g.Input(0, 8), 4); }).empty()) << "not of all rows";
  EXPECT_FALSE(FailureOf([](Graph& g, Tower&) { g.AddInput(g.SelectOutputs(g.Input(0, 8)), 0); }).empty());
  EXPECT_FALSE(FailureOf([](Graph& g, Tower&) { g.Input(UINT32_MAX, 8); }).empty());
  EXPECT_FALSE(FailureOf([](Graph& g, Tower&) { g.Concat({g.Input(0, 8), g.SelectOutputs(g.Input(0, 8))}); }).empty());
  EXPECT_FALSE(FailureOf([](Graph& g, Tower&) { g.SetResult(g.Input(0, 8)); }).empty());
}

}  // namespace
}  // namespace mote
