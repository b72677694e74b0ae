// The weights of a program, in the form that the kernels read them in.
#ifndef MOTE_TARGETS_CPU_WEIGHTS_H_
#define MOTE_TARGETS_CPU_WEIGHTS_H_

#include <stdint.h>

#include <memory>
#include <vector>

#include "engine/core/buffer.h"
#include "engine/core/context.h"
#include "engine/format/gguf.h"
#include "engine/graph/backend.h"
#include "engine/graph/graph.h"
#include "engine/graph/plan.h"
#include "simd/kernels.h"
#include "simd/sparse.h"
#include "simd/unit.h"
#include "targets/cpu/sparse_choice.h"

namespace mote {

// How a product wants the rows that it multiplies: kFloat, quantised with a scale for so many values or for all (kR8),
// or as a matrix unit takes them, with or without low parts (simd/unit.h).
enum class ActKind : uint8_t { kFloat, kA8By32, kA8By256, kS8, kR8, kUnit, kUnitLow };
inline ActKind ActKindOf(DType type, bool sparse) {
  if (sparse && type == DType::kI8) return ActKind::kS8;
  if (simd::UsesR8(type)) return ActKind::kR8;
  const size_t group = simd::ActGroup(type);
  return group == 0 ? ActKind::kFloat : group == 32 ? ActKind::kA8By32 : ActKind::kA8By256;
}
// Distance of rows.
inline size_t ActRowBytes(ActKind kind, uint64_t cols) {
  switch (kind) {
    case ActKind::kFloat:
      return cols * sizeof(float);
    case ActKind::kS8:
      return simd::S8RowBytes(cols);
    case ActKind::kR8:
      return simd::R8RowBytes(cols);
    case ActKind::kUnit:
    case ActKind::kUnitLow:
      return simd::UnitRowBytes(cols, kind == ActKind::kUnitLow);
    default:
      return simd::A8RowBytes(cols);
  }
}

// The matrix unit that products of a plan run on: where the graph has many rows, or the plan fast prompts; and only if
// no weight is block-sparse, whose results are to be those of the same weights made dense, nor activations pass over
// any. Null: there is none, or it is not for this plan.
const simd::UnitKernels* UnitOf(const Plan& plan, const simd::KernelTable& kernels);
inline bool IsUnit(ActKind kind) {
  return kind == ActKind::kUnit || kind == ActKind::kUnitLow;
}
// Whether a plan that runs there rounds all its numbers to one bfloat16: images, if most of what their products
// multiply is weights in blocks, which are rounded like that in any case.
bool UnitRounds(const Graph& graph);
inline ActKind UnitActKindOf(DType type, bool rounds) {
  return simd::UnitTakesLow(type) && !rounds ? ActKind::kUnitLow : ActKind::kUnit;
}

// A block-sparse matrix in memory, shared by all weights that are cut from one tensor.
struct CpuSparse {
  const TensorInfo* tensor = nullptr;
  // What embeddings are looked up in, and products read. Where every place is kept, counts and index say so as well.
  SparseView view;
  std::vector<uint64_t> starts;
  bool all = false;                    // int8 made dense: the kernels need no index
  std::vector<uint8_t> counts, index;  // where they are not in the buffer of the weights
};

struct CpuWeight {
  // As in the file: embeddings are looked up here; float32 vectors are aligned. Of an embedding null where the file's
  // rows became panels.
  const uint8_t* file_rows = nullptr;
  const uint8_t* panels = nullptr;  // packed (simd/pack.h); null for what no product reads
  size_t row_bytes = 0;             // of a row, in the file and packed
  uint64_t rows = 0;
  uint64_t cols = 0;
  uint64_t part_rows = 0;  // rows of one expert; panels begin anew with each. All rows where there are no experts
  uint64_t part_bytes = 0;
  DType type = DType::kF32;
  uint32_t panel_rows = 1;  // a product may start at multiples of this, from the first row of a part
  simd::MatMulFn matmul = nullptr;
  bool raised_q8 = false;  // simd::RaisesQ8, where rows are looked up in panels
  ActKind acts = ActKind::kFloat;
  simd::UnitMatMulFn unit_matmul = nullptr;  // of the matrix unit, where the plan has one
  ActKind unit_acts = ActKind::kUnit;
  // Instead of file_rows and panels. Its rows from `first_group` of 16 on are this weight's.
  const CpuSparse* sparse = nullptr;
  uint64_t first_group = 0;
  simd::SparseMatMulFn sparse_matmul = nullptr;
  uint8_t fetch = 0;  // how it is fetched for a few tokens: which of FetchCandidates

  bool quantises() const { return acts != ActKind::kFloat; }
  const float* floats() const { return reinterpret_cast<const float*>(file_rows); }
  const uint8_t* PanelsAt(uint64_t part, uint64_t row) const { return panels + part * part_bytes + row * row_bytes; }
  // What the matrix unit multiplies it by.
  void SetUnit(const simd::UnitKernels& unit, bool rounds);
  // The values of one row, wherever it lies. `values`: cols floats.
  void LookUp(uint64_t row, float* values) const;
  // Where a sparse weight is cut into `tiles` with about as many blocks each: the first group, from first_group on, of
  // tile number `tile`; the number of groups for `tile` == `tiles`.
  uint64_t GroupOfTile(uint64_t tile, uint64_t tiles) const;
};

class CpuWeights {
 public:
  // Packs what products read, tensor by tensor, with all workers, and gives the pages of a mapped file back as it goes:
  // peak memory is the packed weights and one tensor. What the file gives up (ByteSource::GiveUp) is packed where it
  // lies, which takes no memory at all.
  // `unit`: UnitOf.
  static Result<CpuWeights> Load(const Graph& graph, const GgufFile& file, const simd::KernelTable& kernels,
                                 const simd::UnitKernels* unit, SparseChoice* choice, const Context& context,
                                 const LoadProgress& progress);
  // What Load will allocate and what of the file stays in use.
  static uint64_t ResidentBytes(const Graph& graph, const simd::KernelTable& kernels, SparseChoice* choice);

  const CpuWeight& operator[](WeightId id) const { return weights_[id]; }
  void SetFetch(WeightId id, uint8_t candidate) { weights_[id].fetch = candidate; }
  void ResetFetch() {
    for (CpuWeight& weight : weights_) weight.fetch = 0;
  }

 private:
  // One weight, with everything but its panels or its sparse form.
  Result<CpuWeight> Describe(const Weight& weight, uint32_t parts, const GgufFile& file,
                             const simd::KernelTable& kernels);

  std::vector<CpuWeight> weights_;
  std::vector<Buffer> vectors_;
  std::vector<std::unique_ptr<CpuSparse>> sparse_;
  Buffer panels_;
};

}  // namespace mote

#endif  // MOTE_TARGETS_CPU_WEIGHTS_H_
