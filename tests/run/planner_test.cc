// The planner: figures that were worked out by hand, and what it must never say.
#include "engine/run/planner.h"

#include <gtest/gtest.h>
#include <math.h>

#include <string>

namespace mote {
namespace {

const PlanModel& ModelNamed(const std::string& name) {
  for (const PlanModel& model : PlanModels()) {
    if (name == model.name) return model;
  }
  ADD_FAILURE() << name;
  return PlanModels()[0];
}

TEST(Planner, CountsTheValuesThatTheModelsHave) {
  // Published: 1.24, 3.21, 8.03 and 70.6 billion, embeddings counted once where they are tied.
  const double want[] = {1.24e9, 3.21e9, 8.03e9, 70.6e9};
  for (size_t i = 0; i < PlanModels().size(); ++i) {
    const PlanModel& model = PlanModels()[i];
    const double values = static_cast<double>(BytesOf(model, DType::kF16).total(model.layers)) / 2;
    EXPECT_NEAR(values / want[i], 1, 0.005) << model.name;
  }
}

TEST(Planner, LimitIsBandwidthOverBytes) {
  const PlanDevice orin = *FindPlanDevice("orin-nano-super");
  const PlanModel& model = ModelNamed("1B");
  const PlanBytes bytes = BytesOf(model, DType::kQ8_0);
  const double read = static_cast<double>(bytes.layer * 16 + bytes.output);
  EXPECT_NEAR(LimitOf(orin, model, DType::kQ8_0, 16, 0), 102e9 / read, 1e-6);
  // One memory: how the layers are shared out makes no difference.
  EXPECT_NEAR(LimitOf(orin, model, DType::kQ8_0, 7, 0), 102e9 / read, 1e-6);
  // Keys and values count: 16 layers of 8 heads of 64, twice, two bytes each.
  const double cache = 16.0 * 2 * 8 * 64 * 2 * 1000;
  EXPECT_NEAR(LimitOf(orin, model, DType::kQ8_0, 16, 1000), 102e9 / (read + cache), 1e-6);
}

TEST(Planner, EveryLayerOnTheSlowerMemoryCosts) {
  const PlanDevice gpu = *FindPlanDevice("rtx-3090");
  const PlanModel& model = ModelNamed("8B");
  double before = 0;
  for (uint32_t layers = 1; layers <= model.layers; ++layers) {
    const double limit = LimitOf(gpu, model, DType::kQ4_K, layers, 0);
    EXPECT_GT(limit, before) << layers;
    before = limit;
  }
  // Half of the layers at 936 GB/s and half at 89.6.
  const PlanBytes bytes = BytesOf(model, DType::kQ4_K);
  const double half = 16.0 * static_cast<double>(bytes.layer);
  const double want = 1 / ((half + static_cast<double>(bytes.output)) / 936e9 + half / 89.6e9);
  EXPECT_NEAR(LimitOf(gpu, model, DType::kQ4_K, 16, 0), want, 1e-9 * want);
}

TEST(Planner, WhatFits) {
  const PlanDevice orin = *FindPlanDevice("orin-nano-super"), ti = *FindPlanDevice("rtx-5070-ti");
  EXPECT_EQ(PlanLayers(orin, ModelNamed("1B"), DType::kF16, 4096), 16u);
  EXPECT_EQ(PlanLayers(orin, ModelNamed("8B"), DType::kQ4_K, 2048), 32u);
  EXPECT_LT(PlanLayers(orin, ModelNamed("8B"), DType::kQ8_0, 2048), 32u);  // 8.5 GB do not fit 8
  EXPECT_FALSE(FitsMachine(orin, ModelNamed("8B"), DType::kQ8_0, 2048));
  EXPECT_EQ(PlanLayers(ti, ModelNamed("8B"), DType::kQ8_0, 4096), 32u);
  const uint32_t layers = PlanLayers(ti, ModelNamed("70B"), DType::kQ4_K, 4096);
  EXPECT_TRUE(layers > 20 && layers < 40) << layers;  // 39.7 GB in all, of which some 15 go there
  EXPECT_EQ(FindPlanDevice("abacus").status().code(), Code::kNotFound);
}

TEST(Planner, AdviceGoesFromTheFileToSmallerTypesAndThenToTheContext) {
  MemoryShape shape;
  shape.values = 8000000000;
  shape.weight_bytes = 16000000000;  // F16
  shape.scratch_bytes = 512 << 20;
  shape.batch = 512;
  shape.cache_bytes_position = 128 << 10;
  shape.context_train = 131072;
  MemoryAdvice advice = AdviseMemory(shape, 40000000000);
  EXPECT_TRUE(advice.fits);
  EXPECT_EQ(advice.context, 131072u);
  EXPECT_EQ(advice.batch, 512u);
  advice = AdviseMemory(shape, 18000000000);
  EXPECT_TRUE(advice.fits);
  EXPECT_LT(advice.context, 131072u);
  EXPECT_GE(advice.context, 2048u);
  // What is recommended fits.
  EXPECT_LE(shape.weight_bytes + shape.scratch_bytes + advice.context * shape.cache_bytes_position, 18000000000u);
  advice = AdviseMemory(shape, 8000000000);
  EXPECT_FALSE(advice.fits);
  EXPECT_EQ(advice.precision, "Q6_K");  // 6.56 GB, scratch and a context; 8.5 GB do not fit
  EXPECT_EQ(AdviseMemory(shape, 1000000000).precision, "none");
}

}  // namespace
}  // namespace mote
