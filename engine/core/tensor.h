// A tensor as it lies in a file: a name, a type, a shape, bytes that somebody else owns.
#ifndef MOTE_ENGINE_CORE_TENSOR_H_
#define MOTE_ENGINE_CORE_TENSOR_H_

#include <stddef.h>
#include <stdint.h>

#include <array>
#include <string>

#include "quant/dtype.h"

namespace mote {

inline constexpr int kMaxDims = 4;

struct SparseParts;  // engine/format/gguf.h

// shape[0] is the contiguous dimension (GGUF order): a weight matrix of (rows N, columns K) has shape {K, N, 1, 1}.
// Unused dimensions are 1. Bytes = RowBytes(type, shape[0]) * shape[1] * shape[2] * shape[3], checked by the reader.
struct TensorInfo {
  std::string name;
  DType type = DType::kF32;
  int num_dims = 0;
  std::array<uint64_t, kMaxDims> shape = {1, 1, 1, 1};
  uint32_t part = 0;    // which file of a split model
  uint64_t offset = 0;  // bytes from the start of that file (not of its data section)
  uint64_t bytes = 0;
  // Of a block-sparse matrix: the tensors that it is made of, which the GgufFile owns. Its `bytes` are theirs together,
  // its type is that of its values (quant/block_sparse.h), and it lies nowhere itself.
  const SparseParts* sparse = nullptr;

  uint64_t cols() const { return shape[0]; }
  uint64_t rows() const { return shape[1] * shape[2] * shape[3]; }
  uint64_t values() const { return shape[0] * rows(); }
};

}  // namespace mote

#endif  // MOTE_ENGINE_CORE_TENSOR_H_
