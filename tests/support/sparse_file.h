// Model files whose matrices are block-sparse, or the same values dense: made from any file of floats.
#ifndef MOTE_TESTS_SUPPORT_SPARSE_FILE_H_
#define MOTE_TESTS_SUPPORT_SPARSE_FILE_H_

#include <stdint.h>
#include <string.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/format/gguf.h"
#include "engine/format/gguf_writer.h"
#include "engine/format/sparse_tensors.h"
#include "quant/block_sparse.h"
#include "quant/codec.h"
#include "tests/support/tiny_file.h"

namespace mote::testing {

// A matrix with about this density of blocks, of random places.
inline SparseMatrix Prune(const std::vector<float>& values, SparseShape shape, double density, TinyRandom* random) {
  SparseMatrix matrix;
  matrix.shape = shape;
  const size_t block_cols = SparseBlockCols(shape.type);
  for (uint64_t g = 0; g < shape.groups(); ++g) {
    const size_t rows = std::min<uint64_t>(kSparseRows, shape.rows - g * kSparseRows);
    const float* from = &values[g * kSparseRows * shape.cols];
    std::vector<float> group(from, from + rows * shape.cols);
    for (size_t c = 0; c < shape.cols; c += block_cols) {
      if ((random->Next() + 1) / 2 < density) continue;
      for (size_t r = 0; r < rows; ++r) std::fill_n(&group[r * shape.cols + c], block_cols, 0.0f);
    }
    AppendSparseGroupOfFloats(group.data(), rows, &matrix);
  }
  FinishSparse(&matrix);
  return matrix;
}

struct SparseFileOptions {
  DType type = DType::kI8;
  double density = 0.5;
  bool dense = false;  // the same values as ordinary tensors of SparseDenseType
  uint64_t seed = 5;
};

// Every matrix of the model (whose tensors are F32), embeddings and output included, but for what must be dense.
inline std::vector<uint8_t> MakeSparseFile(const std::vector<uint8_t>& bytes, const SparseFileOptions& options) {
  std::vector<std::unique_ptr<ByteSource>> sources;
  sources.push_back(CreateMemorySource(bytes, "memory"));
  const std::unique_ptr<GgufFile> file = std::move(GgufFile::FromSources(std::move(sources))).value();
  TinyRandom random(options.seed);
  GgufWriter writer;
  for (const GgufFile::Entry& entry : file->metadata()) writer.Copy(entry);
  std::vector<SparseEntry> entries;
  std::vector<std::vector<uint8_t>> data, sparse_data;
  for (TensorInfo tensor : file->tensors()) {
    const uint8_t* from = file->TensorBytes(tensor)->data();
    const bool router = tensor.name.find("ffn_gate_inp") != std::string::npos;
    if (tensor.num_dims != 2 || router || tensor.type != DType::kF32) {
      writer.AddTensor(tensor);
      data.emplace_back(from, from + tensor.bytes);
      continue;
    }
    std::vector<float> values(tensor.values());
    memcpy(values.data(), from, tensor.bytes);
    SparseMatrix matrix = Prune(values, {options.type, tensor.rows(), tensor.cols()}, options.density, &random);
    if (options.dense) {
      const std::vector<uint64_t> starts = SparseStarts(matrix.view());
      const size_t row_bytes = matrix.shape.DenseRowBytes();
      std::vector<uint8_t> rows(row_bytes * tensor.rows());
      for (uint64_t r = 0; r < tensor.rows(); ++r) {
        DecodeSparseRow(matrix.view(), r, starts[r / kSparseRows], &rows[r * row_bytes]);
      }
      tensor.type = SparseDenseType(options.type);
      writer.AddTensor(tensor);
      data.push_back(std::move(rows));
      continue;
    }
    entries.push_back({tensor.name, matrix.shape, matrix.index.size()});
    for (std::vector<uint8_t>* part : {&matrix.counts, &matrix.index, &matrix.scales, &matrix.values}) {
      if (!part->empty()) sparse_data.push_back(std::move(*part));
    }
  }
  if (!options.dense && !AddSparseTensors(entries, &writer).ok()) return {};
  for (std::vector<uint8_t>& part : sparse_data) data.push_back(std::move(part));
  const auto layout = writer.Finish();
  if (!layout.ok()) return {};
  std::vector<uint8_t> out = layout->header;
  out.resize(layout->file_bytes);
  for (size_t i = 0; i < data.size(); ++i) {
    if (data[i].size() != layout->tensors[i].bytes) return {};
    memcpy(out.data() + layout->tensors[i].offset, data[i].data(), data[i].size());
  }
  return out;
}

}  // namespace mote::testing

#endif  // MOTE_TESTS_SUPPORT_SPARSE_FILE_H_
