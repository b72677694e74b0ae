// The weights of a program, in the form that the kernels read them in.
#ifndef MOTE_TARGETS_CPU_WEIGHTS_H_
#define MOTE_TARGETS_CPU_WEIGHTS_H_

#include <stdint.h>

#include <vector>

#include "engine/core/buffer.h"
#include "engine/core/context.h"
#include "engine/format/gguf.h"
#include "engine/graph/backend.h"
#include "engine/graph/graph.h"
#include "simd/kernels.h"

namespace mote {

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
  size_t act_group = 0;  // simd::ActGroup: 0 where the product takes floats
  bool raised_q8 = false;

  bool uses_a8() const { return act_group != 0; }
  const float* floats() const { return reinterpret_cast<const float*>(file_rows); }
  const uint8_t* PanelsAt(uint64_t part, uint64_t row) const { return panels + part * part_bytes + row * row_bytes; }
  // The values of one row, wherever it lies. `values`: cols floats.
  void LookUp(uint64_t row, float* values) const;
};

class CpuWeights {
 public:
  // Packs what products read, tensor by tensor, with all workers, and gives the pages of a mapped file back as it goes:
  // peak memory is the packed weights and one tensor. What the file gives up (ByteSource::GiveUp) is packed where it
  // lies, which takes no memory at all.
  static Result<CpuWeights> Load(const Graph& graph, const GgufFile& file, const simd::KernelTable& kernels,
                                 const Context& context, const LoadProgress& progress);
  // What Load will allocate and what of the file stays in use.
  static uint64_t ResidentBytes(const Graph& graph, const simd::KernelTable& kernels);

  const CpuWeight& operator[](WeightId id) const { return weights_[id]; }

 private:
  std::vector<CpuWeight> weights_;
  std::vector<Buffer> vectors_;
  Buffer panels_;
};

}  // namespace mote

#endif  // MOTE_TARGETS_CPU_WEIGHTS_H_
