// What the CPU backend says it needs.
#include <gtest/gtest.h>

#include "engine/graph/backend.h"
#include "simd/kernels.h"
#include "tests/support/matrix.h"

namespace mote::testing {
namespace {

// A header without its data may claim any sizes: their sum must not wrap around to a small one.
TEST(CpuBackend, WeightsBeyond64BitsAreRefused) {
  TensorInfo down = Matrix("down", 4, 4), head = Matrix("head", 8, 4);
  uint64_t rows = 8;
  const auto measure = [&]() -> Result<MemoryNeed> {
    TensorInfo embedding = Matrix("embedding", rows, 4);
    Graph graph;
    const ValueId x = graph.Embed(graph.AddWeight(&embedding, rows, 4), 1);
    const ValueId y = graph.MatMul(x, graph.AddWeight(&down, 4, 4));
    graph.SetResult(graph.MatMul(graph.SelectOutputs(y), graph.AddWeight(&head, 8, 4)));
    MOTE_ASSIGN_OR_RETURN(const Plan plan, MakePlan(graph, 4, 1));
    const std::unique_ptr<Platform> platform = CreatePlatform();
    MOTE_ASSIGN_OR_RETURN(const std::unique_ptr<ThreadPool> pool, platform->CreateThreadPool(1));
    Context context;
    context.platform = platform.get();
    context.pool = pool.get();
    MOTE_ASSIGN_OR_RETURN(const std::unique_ptr<Backend> backend, CreateCpuBackend(context, ""));
    return backend->Measure(plan, 16);
  };
  const Result<MemoryNeed> small = measure();
  ASSERT_TRUE(small.ok()) << small.status().message();
  // The embedding as in the file; the matrices in whole panels of rows.
  const uint64_t panel = simd::BestTable().float_panel_rows;
  const uint64_t padded_rows = (4 + panel - 1) / panel * panel + (8 + panel - 1) / panel * panel;
  EXPECT_GE(small->weight_bytes, (32 + padded_rows * 4) * 4);
  EXPECT_LT(small->weight_bytes, (32 + padded_rows * 4) * 4 + 2 * 64);
  rows = uint64_t{1} << 59;  // 2^63 bytes together
  EXPECT_EQ(measure().status().code(), Code::kMalformed);
  rows = UINT64_MAX / 16 + 1;  // wraps past 2^64
  EXPECT_EQ(measure().status().code(), Code::kMalformed);
}

}  // namespace
}  // namespace mote::testing
