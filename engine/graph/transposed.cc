#include "engine/graph/transposed.h"

#include <string.h>

#include "quant/dtype.h"

namespace mote {

Result<Buffer> TransposedRows(const Weight& weight, const uint8_t* tensor) {
  const size_t bytes = RowBytes(weight.tensor->type, 1);
  MOTE_ASSIGN_OR_RETURN(Buffer rows, Buffer::Create(weight.rows * weight.cols * bytes, weight.tensor->name.c_str()));
  for (uint64_t r = 0; r < weight.rows; ++r) {
    for (uint64_t c = 0; c < weight.cols; ++c) {
      memcpy(rows.data() + (r * weight.cols + c) * bytes, tensor + (c * weight.rows + r) * bytes, bytes);
    }
  }
  return rows;
}

}  // namespace mote
