#include <gtest/gtest.h>

#include <set>
#include <string>

#include "simd/kernels.h"
#include "tests/simd/rows.h"

namespace mote::testing {
namespace {

TEST(Tables, ScalarIsLastAndAlwaysRuns) {
  ASSERT_FALSE(simd::Tables().empty());
  const simd::KernelTable& scalar = *simd::Tables().back();
  EXPECT_STREQ(scalar.name, "scalar");
  EXPECT_EQ(scalar.vector_bytes, 4u);
  EXPECT_TRUE(simd::CanRun(scalar));
}

TEST(Tables, NamesAreKnownAndDistinct) {
  const std::set<std::string> known = {"scalar",     "sse4", "avx2", "avx2_vnni", "avx512",      "avx512_vnni",
                                       "avx512_amx", "neon", "wasm", "neon_dot",  "wasm_relaxed"};
  std::set<std::string> seen;
  for (const simd::KernelTable* table : simd::Tables()) {
    EXPECT_TRUE(known.count(table->name)) << table->name;
    EXPECT_TRUE(seen.insert(table->name).second) << table->name << " is there twice";
    EXPECT_EQ(simd::FindTable(table->name), table);
  }
  EXPECT_EQ(simd::FindTable("altivec"), nullptr);
  EXPECT_EQ(simd::FindTable(""), nullptr);
}

TEST(Tables, BestIsTheFirstThatRuns) {
  for (const simd::KernelTable* table : simd::Tables()) {
    if (!simd::CanRun(*table)) continue;
    EXPECT_EQ(&simd::BestTable(), table);
    break;
  }
  simd::KernelTable foreign = *simd::Tables().back();
  EXPECT_FALSE(simd::CanRun(foreign)) << "a table that is not in the list";
}

// The vector rows of the architecture exist: a build that silently lost them would still pass everything else.
TEST(Tables, VectorRowsAreCompiledIn) {
#if defined(__x86_64__)
  for (const char* name : {"sse4", "avx2", "avx2_vnni", "avx512", "avx512_vnni", "avx512_amx"}) {
    EXPECT_NE(simd::FindTable(name), nullptr) << name;
  }
#elif defined(__aarch64__)
  for (const char* name : {"neon", "neon_dot"}) EXPECT_NE(simd::FindTable(name), nullptr) << name;
#elif defined(__wasm_relaxed_simd__)
  EXPECT_NE(simd::FindTable("wasm_relaxed"), nullptr);
#elif defined(__wasm_simd128__)
  EXPECT_NE(simd::FindTable("wasm"), nullptr);
#endif
  for (const simd::KernelTable* table : simd::Tables()) {
    printf("row %s: %s\n", table->name, simd::CanRun(*table) ? "runs here" : "NOT RUN HERE: the CPU lacks it");
  }
}

// A kernel that scalar has and a row lacks would be a null call.
TEST(Tables, EveryRowHasEveryKernel) {
  const simd::KernelTable& scalar = *simd::Tables().back();
  for (const simd::KernelTable* table : simd::Tables()) {
    SCOPED_TRACE(table->name);
    for (uint32_t id = 0; id < 40; ++id) {
      EXPECT_EQ(table->matmul[id] != nullptr, scalar.matmul[id] != nullptr) << DTypeName(id);
    }
    EXPECT_NE(table->pack, nullptr);
    EXPECT_GE(table->panel_rows, 1u);
    EXPECT_GE(table->float_panel_rows, table->panel_rows);
    EXPECT_NE(table->quantize_a8, nullptr);
    EXPECT_NE(table->quantize_r8, nullptr);
    EXPECT_NE(table->rms_norm, nullptr);
    EXPECT_NE(table->layer_norm, nullptr);
    EXPECT_NE(table->rope_adjacent, nullptr);
    EXPECT_NE(table->rope_split, nullptr);
    EXPECT_NE(table->attention, nullptr);
    EXPECT_NE(table->attention_split, nullptr);
    EXPECT_NE(table->attention_join, nullptr);
    EXPECT_NE(table->cache_key, nullptr);
    EXPECT_NE(table->cache_value, nullptr);
    EXPECT_NE(table->gate, nullptr);
    EXPECT_NE(table->add, nullptr);
    EXPECT_NE(table->scale, nullptr);
    EXPECT_NE(table->mul, nullptr);
    EXPECT_NE(table->add_scaled, nullptr);
    EXPECT_NE(table->softcap, nullptr);
    EXPECT_NE(table->resize_rows, nullptr);
    EXPECT_NE(table->blend_rows, nullptr);
    EXPECT_NE(table->softmax, nullptr);
    EXPECT_NE(table->f32_to_f16, nullptr);
    EXPECT_NE(table->f16_to_f32, nullptr);
    EXPECT_NE(table->top_k, nullptr);
    EXPECT_NE(table->max, nullptr);
  }
  // The list above is by hand: a new member makes the table larger.
  EXPECT_EQ(sizeof(simd::KernelTable), (5 + 40 + 24) * sizeof(void*)) << "name the new kernel in this test";
}

TEST(Tables, EveryWeightTypeHasAProduct) {
  const simd::KernelTable& scalar = *simd::Tables().back();
  for (uint32_t id = 0; id < 64; ++id) {
    const DTypeInfo* info = DTypeInfoOf(id);
    const bool weight = info != nullptr && info->is_weight;
    EXPECT_EQ(simd::MatMulOf(scalar, static_cast<DType>(id)) != nullptr, weight) << DTypeName(id);
    EXPECT_TRUE(weight || !simd::UsesA8(static_cast<DType>(id))) << DTypeName(id);
  }
  EXPECT_NE(simd::MatMulOf(scalar, DType::kI8Row), nullptr);
  EXPECT_FALSE(simd::UsesA8(DType::kI8Row));
  EXPECT_FALSE(simd::UsesA8(DType::kF32));
  EXPECT_FALSE(simd::UsesA8(DType::kF16));
  EXPECT_FALSE(simd::UsesA8(DType::kBF16));
  EXPECT_TRUE(simd::UsesA8(DType::kQ8_0));
  EXPECT_TRUE(simd::UsesA8(DType::kQ4_K));
  EXPECT_TRUE(simd::UsesA8(DType::kMXFP4));
}

}  // namespace
}  // namespace mote::testing
