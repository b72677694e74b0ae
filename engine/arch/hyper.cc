// Reading and checking the `<architecture>.*` keys.
#include <math.h>

#include <algorithm>

#include "engine/arch/arch.h"
#include "engine/arch/key_reader.h"

namespace mote {
namespace {

constexpr uint32_t kMaxHeadDim = 4096;

}  // namespace

Result<HyperParams> ReadHyperParams(const GgufFile& file) {
  HyperParams h;
  MOTE_ASSIGN_OR_RETURN(h.architecture, file.RequireString("general.architecture"));
  MOTE_ASSIGN_OR_RETURN(h.name, file.StringOr("general.name", ""));
  const TensorInfo* embedding = file.FindTensor("token_embd.weight");
  if (embedding == nullptr) {
    return Error(Code::kNotFound,
                 "no tensor token_embd.weight: this file has no language model (a vocabulary or a projector?)");
  }
  if (embedding->rows() > (1u << 24)) {
    return Error(Code::kMalformed, "token_embd.weight has %llu rows, at most %u are accepted",
                 static_cast<unsigned long long>(embedding->rows()), 1u << 24);
  }
  h.vocab_size = static_cast<uint32_t>(embedding->rows());

  KeyReader reader(file, h.architecture);
  h.context_train = reader.Uint("context_length", 1, 1u << 24);
  h.layers = reader.Uint("block_count", 1, 1024);
  h.width = reader.Uint("embedding_length", 1, 1u << 20);
  if (!reader.status().ok()) return reader.status();
  h.heads = reader.PerLayer("attention.head_count", h.layers, 1, 1024);
  h.kv_heads =
      reader.Has("attention.head_count_kv") ? reader.PerLayer("attention.head_count_kv", h.layers, 1, 1024) : h.heads;
  h.ff = reader.PerLayer("feed_forward_length", h.layers, 1, 1u << 22);
  if (!reader.status().ok()) return reader.status();
  h.key_dim = reader.UintOr("attention.key_length", h.width / h.heads[0], 2, kMaxHeadDim);
  h.value_dim = reader.UintOr("attention.value_length", h.width / h.heads[0], 1, kMaxHeadDim);
  h.norm_epsilon = reader.FloatOr("attention.layer_norm_rms_epsilon", 1e-5, 1e-12, 1);
  h.rope_dims = reader.UintOr("rope.dimension_count", h.key_dim, 2, kMaxHeadDim);
  h.rope_base = reader.FloatOr("rope.freq_base", 10000.0, 1e-3, 1e15);
  h.window = reader.UintOr("attention.sliding_window", 0, 0, 1u << 30);
  if (!reader.status().ok()) return reader.status();
  // Where the file does not give them they come from the width, which may be far larger.
  if (h.key_dim < 2 || h.key_dim % 2 != 0 || h.value_dim == 0 || std::max(h.key_dim, h.value_dim) > kMaxHeadDim) {
    return Error(Code::kMalformed,
                 "heads of %u key and %u value columns: both must be at most %u, the first even and at least 2",
                 h.key_dim, h.value_dim, kMaxHeadDim);
  }
  if (h.rope_dims % 2 != 0 || h.rope_dims > h.key_dim) {
    return Error(Code::kMalformed, "%s.rope.dimension_count is %u, expected an even number up to the head's %u columns",
                 h.architecture.c_str(), h.rope_dims, h.key_dim);
  }
  for (uint32_t i = 0; i < h.layers; ++i) {
    if (h.heads[i] % h.kv_heads[i] != 0) {
      return Error(Code::kMalformed, "layer %u has %u heads, not a multiple of its %u key/value heads", i, h.heads[i],
                   h.kv_heads[i]);
    }
  }
  return h;
}

}  // namespace mote
