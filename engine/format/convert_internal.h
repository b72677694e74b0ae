// What the files of the quantiser share.
#ifndef MOTE_ENGINE_FORMAT_CONVERT_INTERNAL_H_
#define MOTE_ENGINE_FORMAT_CONVERT_INTERNAL_H_

#include <stdint.h>

#include <string>
#include <string_view>

#include "engine/core/tensor.h"
#include "engine/format/gguf.h"
#include "quant/dtype.h"

namespace mote {

// How the types of a model's tensors are mixed around the base type.
enum class Mix : uint8_t {
  kPure,    // the base type everywhere
  kSimple,  // more bits for the output matrix (and, with importances, for the first ffn_down: see first_ffn_down)
  kQ2_K,
  kQ2_K_S,
  kQ3_K_M,
  kQ3_K_L,
  kQ3_K_S,
  kQ4_K_S,
  kQ4_K_M,
  kQ5_K_M,
  kIQ4,
  kMXFP4,      // Q8_0 for the output matrix
  kMXFP4_MOE,  // Q8_0 for all but the experts
};

struct QuantizeRecipe {
  std::string_view name;
  uint32_t file_type;  // general.file_type
  DType base;
  Mix mix;
};

const QuantizeRecipe* FindRecipe(std::string_view name);  // null if there is none

// Whether tensors of this name and shape are encoded at all.
bool IsEncoded(const TensorInfo& tensor);
bool IsTokenEmbedding(std::string_view name);
bool IsOutput(std::string_view name);

// Chooses types tensor by tensor. The rules count the attention and ffn_down tensors that have passed, so tensors must
// come in the order of SortedByLayer, and those whose type is chosen otherwise must not be asked about.
class TypeMixer {
 public:
  TypeMixer(const GgufFile& in, const QuantizeRecipe& recipe, bool has_imatrix);
  DType Choose(const TensorInfo& tensor);
  // Whether the embedding is also the output matrix.
  bool tied() const { return tied_; }

 private:
  DType OutputType(const TensorInfo& tensor) const;
  DType AttentionV();
  DType AttentionOutput() const;
  DType FfnDown(std::string_view name);
  bool MoreBits(uint64_t index, uint64_t count) const;

  const QuantizeRecipe& recipe_;
  const bool has_imatrix_;
  std::string architecture_;
  bool tied_ = false;
  bool is_70b_ = false;      // of the Llama 2 kind, whose attn_v is small beside the rest
  uint64_t num_layers_ = 0;  // block_count
  uint64_t num_attention_v_ = 0;
  uint64_t num_experts_ = 0;
  uint64_t heads_per_kv_ = 1;  // query heads that share one key/value head, in the first layer
  uint64_t next_attention_v_ = 0;
  uint64_t next_ffn_down_ = 0;
};

// Indices of the tensors: those outside layers first, then layer by layer, by name within.
std::vector<size_t> SortedByLayer(std::span<const TensorInfo> tensors);

}  // namespace mote

#endif  // MOTE_ENGINE_FORMAT_CONVERT_INTERNAL_H_
