// Which activations of a model are taken as zero (dynamic sparsity), as a GGUF file says it: docs/block_sparse.md has
// the keys mote.dynamic.*.
#ifndef MOTE_ENGINE_FORMAT_ACTIVATION_RULES_H_
#define MOTE_ENGINE_FORMAT_ACTIVATION_RULES_H_

#include <stdint.h>

#include <span>
#include <string>
#include <vector>

#include "engine/format/gguf.h"
#include "engine/format/gguf_writer.h"

namespace mote {

inline constexpr uint32_t kActivationRulesVersion = 1;
// Activations that stand or fall together.
constexpr bool IsActivationWidth(uint64_t width) {
  return width == 1 || width == 2 || width == 4 || width == 8 || width == 16 || width == 32;
}

// Dense matrices whose products pass over what zero activations would be multiplied with, on a CPU. (Int8 matrices of
// the block-sparse form do too, where all of their blocks are there.) Others gain nothing by rules.
constexpr bool PassesOverZeros(DType type) {
  return type == DType::kF32 || type == DType::kF16 || type == DType::kBF16 || type == DType::kQ8_0;
}

// Of what one matrix is multiplied with: `width` activations in a row, the first from column 0 on (the last ones may be
// fewer), are zero where none of them has a magnitude above the threshold.
struct ActivationRule {
  const TensorInfo* tensor = nullptr;  // of the file
  float threshold = 0;                 // finite, not negative
  float share = 0;                     // 0 to 1: of these runs that were zero in the calibration; for people
};
struct ActivationRules {
  uint32_t width = 0;
  std::vector<ActivationRule> rules;  // in the file's order; empty: the file has none
  // Null where the matrix has none.
  const ActivationRule* Find(const TensorInfo* tensor) const;
};

// kMalformed names the key and the element. A file without the keys has no rules.
Result<ActivationRules> ReadActivationRules(const GgufFile& file);

struct ActivationEntry {
  std::string name;
  float threshold = 0;
  float share = 0;
};
void SetActivationRules(uint32_t width, std::span<const ActivationEntry> entries, GgufWriter* writer);

}  // namespace mote

#endif  // MOTE_ENGINE_FORMAT_ACTIVATION_RULES_H_
