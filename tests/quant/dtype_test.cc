#include "quant/dtype.h"

#include <gtest/gtest.h>
#include <string.h>

#include <set>
#include <string>

#include "quant/blocks.h"

namespace mote {
namespace {

// Sizes as published in ggml's type table, written down independently of the structs.
struct Size {
  const char* name;
  uint32_t id;
  uint32_t values;
  uint32_t bytes;
};
constexpr Size kSizes[] = {
    {"F32", 0, 1, 4},       {"F16", 1, 1, 2},         {"Q4_0", 2, 32, 18},    {"Q4_1", 3, 32, 20},
    {"Q5_0", 6, 32, 22},    {"Q5_1", 7, 32, 24},      {"Q8_0", 8, 32, 34},    {"Q2_K", 10, 256, 84},
    {"Q3_K", 11, 256, 110}, {"Q4_K", 12, 256, 144},   {"Q5_K", 13, 256, 176}, {"Q6_K", 14, 256, 210},
    {"IQ4_NL", 20, 32, 18}, {"IQ4_XS", 23, 256, 136}, {"BF16", 30, 1, 2},     {"MXFP4", 39, 32, 17},
};

TEST(DType, WeightsAreKnownWithTheirSizes) {
  std::set<uint32_t> weights;
  for (const Size& size : kSizes) {
    weights.insert(size.id);
    const DTypeInfo* info = DTypeInfoOf(size.id);
    ASSERT_NE(info, nullptr) << size.name;
    EXPECT_STREQ(info->name, size.name);
    EXPECT_EQ(info->block_values, size.values) << size.name;
    EXPECT_EQ(info->block_bytes, size.bytes) << size.name;
    EXPECT_TRUE(info->is_weight) << size.name;
    EXPECT_EQ(RowBytes(static_cast<DType>(size.id), 512), 512 / size.values * size.bytes) << size.name;
    EXPECT_EQ(RowBytes(static_cast<DType>(size.id), 0), 0u);
    std::string lower = size.name;
    for (char& c : lower) c = static_cast<char>(tolower(c));
    for (const std::string& spelling : {std::string(size.name), lower}) {
      DType type = DType::kI64;
      EXPECT_TRUE(DTypeFromName(spelling.c_str(), &type)) << spelling;
      EXPECT_EQ(static_cast<uint32_t>(type), size.id) << spelling;
    }
  }
  for (uint32_t id = 0; id < 1000; ++id) {
    const DTypeInfo* info = DTypeInfoOf(id);
    EXPECT_EQ(info != nullptr && info->is_weight, weights.count(id) != 0) << id;
  }
}

TEST(DType, EveryPublishedIdHasItsOwnName) {
  std::set<std::string> names;
  for (uint32_t id = 0; id <= 42; ++id) {
    const DTypeInfo* info = DTypeInfoOf(id);
    ASSERT_NE(info, nullptr) << id;
    EXPECT_TRUE(names.insert(info->name).second) << id << " repeats " << info->name;
    EXPECT_STREQ(DTypeName(id), info->name);
  }
  EXPECT_STREQ(DTypeName(16), "IQ2_XXS");
  EXPECT_STREQ(DTypeName(29), "IQ1_M");
  EXPECT_STREQ(DTypeName(34), "TQ1_0");
  EXPECT_STREQ(DTypeName(40), "NVFP4");
  EXPECT_STREQ(DTypeName(41), "Q1_0");
  EXPECT_NE(strstr(DTypeName(4), "Q4_2"), nullptr);
  EXPECT_NE(strstr(DTypeName(31), "removed"), nullptr);
}

TEST(DType, ForeignIdsAreNamedAfterTheirEngine) {
  EXPECT_STREQ(DTypeName(137), "ik_llama.cpp private type 137 (IQ2_K)");
  EXPECT_STREQ(DTypeName(202), "ik_llama.cpp private type 202 (Q4_0_R8)");
  EXPECT_STREQ(DTypeName(250), "ik_llama.cpp private type");
  for (uint32_t id : {97u, 133u, 158u, 159u, 335u, 399u}) {
    const DTypeInfo* info = DTypeInfoOf(id);
    ASSERT_NE(info, nullptr) << id;
    EXPECT_EQ(info->block_values, 0u);
    EXPECT_FALSE(info->is_weight);
  }
}

TEST(DType, UnknownIdsAndNames) {
  for (uint32_t id : {43u, 96u, 100u, 132u, 160u, 201u, 400u, 0x7fffffffu, 0xffffffffu}) {
    EXPECT_EQ(DTypeInfoOf(id), nullptr) << id;
    EXPECT_STREQ(DTypeName(id), "unknown");
  }
  DType type = DType::kI64;
  for (const char* name : {"", "Q", "Q4_", "Q4_00", "Q4_2", "IQ2_XXS", "Q8_1", "IQ2_K", "unknown", "Q4_K_M"}) {
    EXPECT_FALSE(DTypeFromName(name, &type)) << name;
  }
  EXPECT_EQ(type, DType::kI64);
}

TEST(DType, PlainNumbersAreNoWeights) {
  for (DType type : {DType::kI8, DType::kI16, DType::kI32, DType::kI64, DType::kF64}) {
    EXPECT_FALSE(DTypeInfoOf(type)->is_weight);
    EXPECT_EQ(DTypeInfoOf(type)->block_values, 1u);
  }
  EXPECT_EQ(RowBytes(DType::kI16, 7), 14u);
  EXPECT_EQ(RowBytes(DType::kF64, 3), 24u);
}

// Every code has its own bits, none overlap, all bits are used.
template <class Field>
void CoversExactly(int values, int width, int bytes, Field field) {
  std::set<int> bits;
  for (int v = 0; v < values; ++v) {
    const BitField f = field(v);
    for (int b = 0; b < width; ++b) EXPECT_TRUE(bits.insert(f.byte * 8 + f.shift + b).second) << v;
    EXPECT_LE(f.shift + width, 8) << v;
    EXPECT_LT(f.byte, bytes) << v;
  }
  EXPECT_EQ(bits.size(), static_cast<size_t>(bytes) * 8);
}

TEST(Blocks, CodesTileTheirBytes) {
  CoversExactly(32, 4, 16, NibbleOf32);
  CoversExactly(256, 4, 128, NibbleOf64);
  CoversExactly(256, 4, 128, NibbleOf128);
  CoversExactly(256, 4, 128, NibbleOfGroup32);
  CoversExactly(256, 2, 64, PairOf128);
  CoversExactly(256, 1, 32, BitOf256);
}

TEST(Blocks, PackedScalesComeBack) {
  for (int round = 0; round < 64; ++round) {
    uint8_t affine[12] = {};
    uint8_t q3[12] = {};
    for (int g = 0; g < 8; ++g) PackScaleMin(affine, g, {(round * 7 + g * 13) % 64, (round * 11 + g * 29) % 64});
    for (int g = 0; g < 16; ++g) SetQ3Scale(q3, g, (round * 5 + g * 23) % 64);
    for (int g = 0; g < 8; ++g) {
      EXPECT_EQ(UnpackScaleMin(affine, g).scale, (round * 7 + g * 13) % 64);
      EXPECT_EQ(UnpackScaleMin(affine, g).min, (round * 11 + g * 29) % 64);
    }
    for (int g = 0; g < 16; ++g) EXPECT_EQ(Q3Scale(q3, g), (round * 5 + g * 23) % 64);
  }
}

}  // namespace
}  // namespace mote
