// The list of rows, and the choice among them. Happens once, at start: kernels are called through the table.
#include <string.h>

#include "simd/cpu_features.h"
#include "simd/kernels.h"
#include "simd/live.h"
#include "simd/ref/live_reference.h"
#include "simd/ref/reference.h"
#include "simd/ref/sparse_reference.h"
#include "simd/sparse.h"
#include "simd/targets.h"
#include "simd/unit.h"

// A row is where row.cc has defined it, and its sparse parts where matmul_sparse.cc and matmul_live.cc have: one per
// compiled instruction set.
#define MOTE_DECLARE_ROW(variant, target) \
  namespace mote::simd::variant::target { \
  extern const KernelTable kRow;          \
  extern const SparseKernels kSparseRow;  \
  extern const LiveKernels kLiveRow;      \
  }                                       \
  static_assert(true, "For requiring trailing semicolon")

#if HWY_TARGETS & HWY_AVX3_DL
MOTE_DECLARE_ROW(base, N_AVX3_DL);
#if HWY_ARCH_X86_64
#define MOTE_HAVE_AMX 1
namespace mote::simd::base::N_AVX3_DL {
extern const KernelTable kAmxRow;
extern const SparseKernels kSparseAmxRow;
extern const UnitKernels kUnitRow;
}  // namespace mote::simd::base::N_AVX3_DL
#endif
#endif
#if HWY_TARGETS & HWY_AVX3
MOTE_DECLARE_ROW(base, N_AVX3);
#endif
#if defined(MOTE_HAVE_AVX2_VNNI)
MOTE_DECLARE_ROW(avx2_vnni, N_AVX2);
#endif
#if HWY_TARGETS & HWY_AVX2
MOTE_DECLARE_ROW(base, N_AVX2);
#endif
#if HWY_TARGETS & HWY_SSE4
MOTE_DECLARE_ROW(base, N_SSE4);
#endif
#if defined(MOTE_HAVE_NEON_DOT)
MOTE_DECLARE_ROW(neon_dot, MOTE_NEON_NAMESPACE);
#endif
#if HWY_TARGETS & MOTE_TARGET_NEON
MOTE_DECLARE_ROW(base, MOTE_NEON_NAMESPACE);
#endif
#if HWY_TARGETS & HWY_WASM
MOTE_DECLARE_ROW(base, N_WASM);
#endif

namespace mote::simd {
namespace {

bool Always() {
  return true;
}

struct Row {
  const KernelTable* table;
  const SparseKernels* sparse;
  const LiveKernels* live;
  const UnitKernels* unit;
  bool (*can_run)();
};

constexpr Row kRows[] = {
#if defined(MOTE_HAVE_AMX)
    {&base::N_AVX3_DL::kAmxRow, &base::N_AVX3_DL::kSparseAmxRow, &base::N_AVX3_DL::kLiveRow, &base::N_AVX3_DL::kUnitRow,
     CpuHasAmx},
#endif
#if HWY_TARGETS & HWY_AVX3_DL
    {&base::N_AVX3_DL::kRow, &base::N_AVX3_DL::kSparseRow, &base::N_AVX3_DL::kLiveRow, nullptr, CpuHasAvx512Vnni},
#endif
#if HWY_TARGETS & HWY_AVX3
    {&base::N_AVX3::kRow, &base::N_AVX3::kSparseRow, &base::N_AVX3::kLiveRow, nullptr, CpuHasAvx512},
#endif
#if defined(MOTE_HAVE_AVX2_VNNI)
    {&avx2_vnni::N_AVX2::kRow, &avx2_vnni::N_AVX2::kSparseRow, &avx2_vnni::N_AVX2::kLiveRow, nullptr, CpuHasAvx2Vnni},
#endif
#if HWY_TARGETS & HWY_AVX2
    {&base::N_AVX2::kRow, &base::N_AVX2::kSparseRow, &base::N_AVX2::kLiveRow, nullptr, CpuHasAvx2},
#endif
#if HWY_TARGETS & HWY_SSE4
    {&base::N_SSE4::kRow, &base::N_SSE4::kSparseRow, &base::N_SSE4::kLiveRow, nullptr, CpuHasSse4},
#endif
#if defined(MOTE_HAVE_NEON_DOT)
    {&neon_dot::MOTE_NEON_NAMESPACE::kRow, &neon_dot::MOTE_NEON_NAMESPACE::kSparseRow,
     &neon_dot::MOTE_NEON_NAMESPACE::kLiveRow, nullptr, CpuHasNeonDot},
#endif
#if HWY_TARGETS & MOTE_TARGET_NEON
    {&base::MOTE_NEON_NAMESPACE::kRow, &base::MOTE_NEON_NAMESPACE::kSparseRow, &base::MOTE_NEON_NAMESPACE::kLiveRow,
     nullptr, CpuHasNeon},
#endif
#if HWY_TARGETS & HWY_WASM
    {&base::N_WASM::kRow, &base::N_WASM::kSparseRow, &base::N_WASM::kLiveRow, nullptr, Always},
#endif
    {&ref::kRow, &ref::kSparseRow, &ref::kLiveRow, nullptr, Always},
};
constexpr size_t kNumRows = sizeof(kRows) / sizeof(kRows[0]);

struct RowPointers {
  const KernelTable* tables[kNumRows];
};
constexpr RowPointers Pointers() {
  RowPointers pointers = {};
  for (size_t i = 0; i < kNumRows; ++i) pointers.tables[i] = kRows[i].table;
  return pointers;
}
constexpr RowPointers kPointers = Pointers();

}  // namespace

size_t ActGroup(DType type) {
  const DTypeInfo* info = DTypeInfoOf(type);
  return info == nullptr || !info->is_weight || info->block_values < 32 ? 0 : info->block_values;
}

std::span<const KernelTable* const> Tables() {
  return kPointers.tables;
}

const KernelTable& BestTable() {
  for (const Row& row : kRows) {
    if (row.can_run()) return *row.table;
  }
  return ref::kRow;
}

bool CanRun(const KernelTable& table) {
  for (const Row& row : kRows) {
    if (row.table == &table) return row.can_run();
  }
  return false;
}

const SparseKernels& SparseKernelsOf(const KernelTable& table) {
  for (const Row& row : kRows) {
    if (row.table == &table) return *row.sparse;
  }
  return ref::kSparseRow;
}

const LiveKernels& LiveKernelsOf(const KernelTable& table) {
  for (const Row& row : kRows) {
    if (row.table == &table) return *row.live;
  }
  return ref::kLiveRow;
}

const UnitKernels* UnitKernelsOf(const KernelTable& table) {
  for (const Row& row : kRows) {
    if (row.table == &table) return row.unit;
  }
  return nullptr;
}

const KernelTable* FindTable(const char* name) {
  for (const Row& row : kRows) {
    if (strcmp(row.table->name, name) == 0) return row.table;
  }
  return nullptr;
}

}  // namespace mote::simd
