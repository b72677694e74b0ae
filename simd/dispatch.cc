// The list of rows, and the choice among them. Happens once, at start: kernels are called through the table.
#include <string.h>

#include "simd/kernels.h"
#include "simd/ref/reference.h"

namespace mote::simd {
namespace {

bool Always() {
  return true;
}

struct Row {
  const KernelTable* table;
  bool (*can_run)();
};

constexpr Row kRows[] = {
    {&ref::kRow, Always},
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

bool UsesA8(DType type) {
  const DTypeInfo* info = DTypeInfoOf(type);
  return info != nullptr && info->is_weight && info->block_values > 1;
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

const KernelTable* FindTable(const char* name) {
  for (const Row& row : kRows) {
    if (strcmp(row.table->name, name) == 0) return row.table;
  }
  return nullptr;
}

}  // namespace mote::simd
