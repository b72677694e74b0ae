// Re-encoding a model's weights in another number format: the work of `mote quantize`.
//
// Which tensor gets which type follows llama.cpp's llama-quantize (src/llama-quant.cpp), so that a name such as Q4_K_M
// means what people expect: weights of two or more dimensions are encoded; norms, biases, routers (ffn_gate_inp),
// position tables and convolutions stay as they are; output.weight (token_embd.weight where there is none) gets more
// bits; a type whose blocks do not divide the columns gives way to one whose blocks do.
#ifndef MOTE_ENGINE_FORMAT_CONVERT_H_
#define MOTE_ENGINE_FORMAT_CONVERT_H_

#include <stddef.h>
#include <stdint.h>

#include <string>
#include <string_view>
#include <vector>

#include "engine/core/status.h"
#include "engine/core/tensor.h"
#include "engine/format/gguf.h"

namespace mote {

// "F32, F16, BF16, Q4_0, ...": every name that the functions below accept, in any case. The plain names Q3_K, Q4_K and
// Q5_K encode every weight in that type, without exceptions; the names with a suffix mix types.
std::string QuantizeTypeNames();

// The tensors of `in` with the types that they would get, in file order, their bytes filled in. kInvalidArgument names
// the types there are; kUnsupported names a tensor whose type cannot be read.
Result<std::vector<TensorInfo>> PlanQuantization(const GgufFile& in, std::string_view type_name);

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

// Writes `in` (all its parts, as one file) with its weights in `type_name`. All metadata is copied, but for
// general.file_type and general.quantization_version, which are set. Needs about 2 MiB beside the header.
// kMalformed names the tensor, row and column of a NaN or infinity; kUnsupported the tensor with a value that the type
// cannot hold.
Status QuantizeFile(const GgufFile& in, std::string_view type_name, const QuantizeSink& sink);

}  // namespace mote

#endif  // MOTE_ENGINE_FORMAT_CONVERT_H_
