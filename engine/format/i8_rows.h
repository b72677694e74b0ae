// Matrices of int8 with a scale for each row in GGUF files (docs/formats.md): what the metadata key says of tensors
// whose type is I8 and that have more than one dimension.
#ifndef MOTE_ENGINE_FORMAT_I8_ROWS_H_
#define MOTE_ENGINE_FORMAT_I8_ROWS_H_

#include <stdint.h>

#include "engine/core/status.h"
#include "engine/core/tensor.h"

namespace mote {

inline constexpr char kI8RowsKey[] = "mote.i8_rows.version";
inline constexpr uint32_t kI8RowsVersion = 1;

// kI8 as the file has it, a row's scale being its last four columns, to kI8Row; and back. Bytes and offset stay.
Status ToI8Rows(TensorInfo* tensor);
void ToFileForm(TensorInfo* tensor);

}  // namespace mote

#endif  // MOTE_ENGINE_FORMAT_I8_ROWS_H_
