// Re-encoding a model's weights in another number format: the work of `mote quantize`.
//
// Which tensor gets which type follows llama.cpp's llama-quantize, so that a name such as Q4_K_M means what people
// expect (the rules: convert_mix.cc). tests/peers/quantize.py holds the two against each other, tensor by tensor.
#ifndef MOTE_ENGINE_FORMAT_CONVERT_H_
#define MOTE_ENGINE_FORMAT_CONVERT_H_

#include <stddef.h>
#include <stdint.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/context.h"
#include "engine/core/status.h"
#include "engine/core/tensor.h"
#include "engine/format/gguf.h"
#include "engine/format/imatrix.h"

namespace mote {

// "F32, F16, BF16, Q4_0, ...": every name that QuantizeOptions::type accepts, in any case. Names with a suffix mix
// types; the plain names Q3_K, Q4_K and Q5_K mean the mixes with M, as everywhere.
std::string QuantizeTypeNames();

struct QuantizeOptions {
  std::string_view type;
  bool pure = false;                          // the type itself for every weight, no mix
  bool leave_output = false;                  // output.weight stays as it is
  bool allow_requantize = false;              // weights that are quantised already may be decoded and encoded again
  std::optional<DType> output_type;           // of output.weight, or the embedding where that is the output
  std::optional<DType> token_embedding_type;  // of token_embd.weight and per_layer_token_embd.weight
  // The caller's own choice for a tensor that would be encoded: true with *type set. Goes before the mix, after the two
  // types above. May be null.
  bool (*choose)(void* user, std::string_view tensor, DType* type) = nullptr;
  void* choose_user = nullptr;
  const Imatrix* imatrix = nullptr;
};

struct QuantizePlan {
  std::vector<TensorInfo> tensors;  // in file order, `type` and `bytes` as they will be
  uint32_t file_type = 0;           // general.file_type
  uint32_t fallbacks = 0;           // tensors whose columns are no whole blocks of the type that they should have had
  // Tensors that the importance matrix could have helped with and does not know.
  std::vector<std::string> without_importance;
};

// What QuantizeFile would do. kInvalidArgument: no such type (the message names those there are), or a type that
// output_type and the like cannot be. kUnsupported names a tensor: its type cannot be read, it is quantised already, or
// the type needs importances that are not there. kMalformed: importances of another model.
Result<QuantizePlan> PlanQuantization(const GgufFile& in, const QuantizeOptions& options);

struct QuantizeProgress {
  std::string_view tensor;  // being worked on; empty at the end
  DType from = DType::kF32;
  DType to = DType::kF32;
  size_t tensor_index = 0;
  size_t num_tensors = 0;
  uint64_t bytes_written = 0;  // of the output file
  uint64_t bytes_total = 0;
};

// Where the output goes and who watches. `user` is handed to both.
struct QuantizeSink {
  // The file from its first byte to its last, in pieces of at most 1 MiB. A failure ends the work and is passed on.
  Status (*write)(void* user, const uint8_t* bytes, size_t size) = nullptr;
  // Called between pieces; false ends the work with kCancelled. May be null.
  bool (*progress)(void* user, const QuantizeProgress& progress) = nullptr;
  void* user = nullptr;
};

// Writes `in` (all its parts, as one file) with its weights in another type. All metadata is copied, but for
// general.file_type, general.quantization_version and quantize.imatrix.*, which are set. Rows are shared out to the
// workers of `pool` (null: the caller alone); the bytes do not depend on their number. Needs about 3 MiB a worker
// beside the header and the importances. kMalformed names the tensor, row and column of a NaN or infinity; kUnsupported
// the tensor with a value that the type cannot hold.
Status QuantizeFile(const GgufFile& in, const QuantizeOptions& options, ThreadPool* pool, const QuantizeSink& sink);

}  // namespace mote

#endif  // MOTE_ENGINE_FORMAT_CONVERT_H_
