// Tensors without data, for graphs that are planned and measured but not run.
#ifndef MOTE_TESTS_SUPPORT_MATRIX_H_
#define MOTE_TESTS_SUPPORT_MATRIX_H_

#include <stdint.h>

#include "engine/core/tensor.h"

namespace mote::testing {

// (rows, cols) of `type`; `bytes` are those of float32, whatever the type.
inline TensorInfo Matrix(const char* name, uint64_t rows, uint64_t cols, DType type = DType::kF32) {
  TensorInfo t;
  t.name = name;
  t.type = type;
  t.num_dims = 2;
  t.shape = {cols, rows, 1, 1};
  t.bytes = rows * cols * sizeof(float);
  return t;
}

}  // namespace mote::testing

#endif  // MOTE_TESTS_SUPPORT_MATRIX_H_
