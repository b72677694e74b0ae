#include "quant/dtype.h"

#include "quant/blocks.h"

namespace mote {
namespace {

struct Entry {
  uint32_t id;
  DTypeInfo info;
};

constexpr DTypeInfo Weight(const char* name, uint32_t values, uint32_t bytes) {
  return {name, values, bytes, true};
}
constexpr DTypeInfo Plain(const char* name, uint32_t bytes) {
  return {name, 1, bytes, false};
}
constexpr DTypeInfo NameOnly(const char* name) {
  return {name, 0, 0, false};
}

// kI8Row is first: "I8" names it. Then ids 0..42: ggml-org/ggml, include/ggml.h (enum ggml_type), with those that were
// removed again. From 97 on: ikawrakow/ik_llama.cpp, ggml/include/ggml.h, types that only that engine reads; the suffix
// _R4 or _R8 says that rows are interleaved.
constexpr Entry kTypes[] = {
    {static_cast<uint32_t>(DType::kI8Row), {"I8", 4, 4, true, sizeof(float)}},
    {0, Weight("F32", 1, 4)},
    {1, Weight("F16", 1, 2)},
    {2, Weight("Q4_0", kBlock, sizeof(BlockQ4_0))},
    {3, Weight("Q4_1", kBlock, sizeof(BlockQ4_1))},
    {4, NameOnly("Q4_2 (removed from ggml)")},
    {5, NameOnly("Q4_3 (removed from ggml)")},
    {6, Weight("Q5_0", kBlock, sizeof(BlockQ5_0))},
    {7, Weight("Q5_1", kBlock, sizeof(BlockQ5_1))},
    {8, Weight("Q8_0", kBlock, sizeof(BlockQ8_0))},
    {9, NameOnly("Q8_1")},
    {10, Weight("Q2_K", kSuperBlock, sizeof(BlockQ2_K))},
    {11, Weight("Q3_K", kSuperBlock, sizeof(BlockQ3_K))},
    {12, Weight("Q4_K", kSuperBlock, sizeof(BlockQ4_K))},
    {13, Weight("Q5_K", kSuperBlock, sizeof(BlockQ5_K))},
    {14, Weight("Q6_K", kSuperBlock, sizeof(BlockQ6_K))},
    {15, NameOnly("Q8_K")},
    {16, NameOnly("IQ2_XXS")},
    {17, NameOnly("IQ2_XS")},
    {18, NameOnly("IQ3_XXS")},
    {19, NameOnly("IQ1_S")},
    {20, Weight("IQ4_NL", kBlock, sizeof(BlockIQ4_NL))},
    {21, NameOnly("IQ3_S")},
    {22, NameOnly("IQ2_S")},
    {23, Weight("IQ4_XS", kSuperBlock, sizeof(BlockIQ4_XS))},
    {24, Plain("I8", 1)},
    {25, Plain("I16", 2)},
    {26, Plain("I32", 4)},
    {27, Plain("I64", 8)},
    {28, Plain("F64", 8)},
    {29, NameOnly("IQ1_M")},
    {30, Weight("BF16", 1, 2)},
    {31, NameOnly("Q4_0_4_4 (removed from GGUF)")},
    {32, NameOnly("Q4_0_4_8 (removed from GGUF)")},
    {33, NameOnly("Q4_0_8_8 (removed from GGUF)")},
    {34, NameOnly("TQ1_0")},
    {35, NameOnly("TQ2_0")},
    {36, NameOnly("IQ4_NL_4_4 (removed from GGUF; I2_S in BitNet files)")},
    {37, NameOnly("IQ4_NL_4_8 (removed from GGUF)")},
    {38, NameOnly("IQ4_NL_8_8 (removed from GGUF)")},
    {39, Weight("MXFP4", kBlock, sizeof(BlockMXFP4))},
    {40, NameOnly("NVFP4")},
    {41, NameOnly("Q1_0")},
    {42, NameOnly("Q2_0")},
#define IK(id, name) \
  { id, NameOnly("ik_llama.cpp private type " #id " (" name ")") }
    IK(97, "Q8_0_X4"),
    IK(98, "Q8_1_X4"),
    IK(99, "Q8_2_X4"),
    IK(133, "Q6_0"),
    IK(134, "IQ1_BN"),
    IK(135, "IQ2_BN"),
    IK(136, "Q8_K64"),
    IK(137, "IQ2_K"),
    IK(138, "IQ3_K"),
    IK(139, "IQ4_K"),
    IK(140, "IQ5_K"),
    IK(141, "IQ6_K"),
    IK(144, "IQ4_KS"),
    IK(145, "IQ2_KS"),
    IK(146, "IQ4_KSS"),
    IK(147, "Q8_K16"),
    IK(148, "Q8_K32"),
    IK(149, "Q8_KR8"),
    IK(150, "Q8_K128"),
    IK(151, "Q8_KV"),
    IK(152, "IQ5_KS"),
    IK(153, "IQ2_KT"),
    IK(154, "IQ3_KT"),
    IK(155, "IQ4_KT"),
    IK(156, "IQ3_KS"),
    IK(157, "IQ2_KL"),
    IK(158, "IQ1_KT"),
    IK(202, "Q4_0_R8"),
    IK(206, "Q5_0_R4"),
    IK(208, "Q8_0_R8"),
    IK(210, "Q2_K_R4"),
    IK(211, "Q3_K_R4"),
    IK(212, "Q4_K_R4"),
    IK(213, "Q5_K_R4"),
    IK(214, "Q6_K_R4"),
    IK(216, "IQ2_XXS_R4"),
    IK(217, "IQ2_XS_R4"),
    IK(218, "IQ3_XXS_R4"),
    IK(219, "IQ1_S_R4"),
    IK(220, "IQ4_NL_R4"),
    IK(221, "IQ3_S_R4"),
    IK(222, "IQ2_S_R4"),
    IK(223, "IQ4_XS_R8"),
    IK(229, "IQ1_M_R4"),
    IK(230, "BF16_R16"),
    IK(233, "Q6_0_R4"),
    IK(335, "IQ2_BN_R4"),
    IK(337, "IQ2_K_R4"),
    IK(338, "IQ3_K_R4"),
    IK(339, "IQ4_K_R4"),
    IK(340, "IQ5_K_R4"),
    IK(344, "IQ4_KS_R4"),
    IK(352, "IQ5_KS_R4"),
    IK(397, "Q8_K_R16"),
    IK(398, "Q8_KV_R8"),
    IK(399, "Q8_K_R8"),
#undef IK
};

// Ids in ranges that only ik_llama.cpp uses, without a name that we know.
constexpr DTypeInfo kForeign = NameOnly("ik_llama.cpp private type");
constexpr bool InForeignRange(uint32_t id) {
  return (id >= 97 && id <= 99) || (id >= 133 && id <= 159) || (id >= 202 && id <= 399);
}

constexpr uint32_t kContiguousIds = 43;
constexpr const Entry* kById = kTypes + 1;
constexpr bool FirstIdsAreIndices() {
  for (uint32_t i = 0; i < kContiguousIds; ++i) {
    if (kById[i].id != i) return false;
  }
  return true;
}
static_assert(FirstIdsAreIndices());

constexpr char Lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

bool SameIgnoringCase(const char* a, const char* b) {
  while (*a != '\0' && Lower(*a) == Lower(*b)) {
    ++a;
    ++b;
  }
  return Lower(*a) == Lower(*b);
}

}  // namespace

const DTypeInfo* DTypeInfoOf(uint32_t id) {
  if (id < kContiguousIds) return &kById[id].info;
  for (const Entry& entry : kTypes) {
    if (entry.id == id) return &entry.info;
  }
  return InForeignRange(id) ? &kForeign : nullptr;
}

const char* DTypeName(uint32_t id) {
  const DTypeInfo* info = DTypeInfoOf(id);
  return info != nullptr ? info->name : "unknown";
}

bool DTypeFromName(const char* name, DType* type) {
  for (const Entry& entry : kTypes) {
    if (entry.info.block_values != 0 && SameIgnoringCase(entry.info.name, name)) {
      *type = static_cast<DType>(entry.id);
      return true;
    }
  }
  return false;
}

size_t RowBytes(DType type, size_t values) {
  const DTypeInfo* info = DTypeInfoOf(type);
  return values / info->block_values * info->block_bytes + info->tail_bytes;
}

}  // namespace mote
