// Makes the matrices of a model block-sparse with random places: speed depends on how many blocks are kept, not on
// which.
//
//   make_sparse IN.gguf OUT.gguf TYPE DENSITY      IN of floats; TYPE I8, F16, BF16 or Q4_0; DENSITY 0 to 1
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/context.h"
#include "engine/format/gguf.h"
#include "engine/format/sparse_tensors.h"
#include "quant/codec.h"

namespace {

using namespace mote;  // NOLINT: a program of one file

using Bytes = std::vector<uint8_t>;

SparseMatrix Prune(const GgufFile& file, const TensorInfo& tensor, DType type, double density) {
  static uint64_t state = 11;
  SparseMatrix matrix;
  matrix.shape = {type, tensor.rows(), tensor.cols()};
  const uint8_t* bytes = file.TensorBytes(tensor)->data();
  const size_t row_bytes = RowBytes(tensor.type, tensor.cols());
  std::vector<float> group(kSparseRows * tensor.cols());
  for (uint64_t row = 0; row < tensor.rows(); row += kSparseRows) {
    const uint64_t rows = std::min<uint64_t>(kSparseRows, tensor.rows() - row);
    for (uint64_t r = 0; r < rows; ++r) {
      DecodeRow(tensor.type, bytes + (row + r) * row_bytes, &group[r * tensor.cols()], tensor.cols());
    }
    for (size_t c = 0; c < tensor.cols(); c += SparseBlockCols(type)) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      if (static_cast<double>(state >> 40) / (1 << 24) < density) continue;
      for (uint64_t r = 0; r < rows; ++r) std::fill_n(&group[r * tensor.cols() + c], SparseBlockCols(type), 0.0f);
    }
    if (!AppendSparseGroupOfFloats(group.data(), rows, &matrix)) exit(1);
  }
  FinishSparse(&matrix);
  return matrix;
}

int Make(const GgufFile& file, const char* out, DType type, double density) {
  GgufWriter writer;
  for (const GgufFile::Entry& entry : file.metadata()) writer.Copy(entry);
  std::vector<SparseEntry> entries;
  std::vector<Bytes> data, sparse;
  for (const TensorInfo& tensor : file.tensors()) {
    const std::span<const uint8_t> bytes = *file.TensorBytes(tensor);
    const DTypeInfo* info = DTypeInfoOf(tensor.type);
    if (tensor.num_dims != 2 || info->block_values != 1) {
      writer.AddTensor(tensor);
      data.emplace_back(bytes.begin(), bytes.end());
      continue;
    }
    SparseMatrix matrix = Prune(file, tensor, type, density);
    entries.push_back({tensor.name, matrix.shape, matrix.index.size()});
    for (Bytes* part : {&matrix.counts, &matrix.index, &matrix.scales, &matrix.values}) {
      if (!part->empty()) sparse.push_back(std::move(*part));
    }
  }
  const Status added = AddSparseTensors(entries, &writer);
  const Result<GgufWriter::Layout> layout = writer.Finish();
  if (!added.ok() || !layout.ok()) {
    fprintf(stderr, "make_sparse: %s\n", (added.ok() ? layout.status() : added).message().c_str());
    return 1;
  }
  for (Bytes& part : sparse) data.push_back(std::move(part));
  FILE* to = fopen(out, "wb");
  if (to == nullptr) return perror(out), 1;
  uint64_t at = fwrite(layout->header.data(), 1, layout->header.size(), to);
  for (size_t i = 0; i < data.size(); ++i) {
    for (; at < layout->tensors[i].offset; ++at) fputc(0, to);
    at += fwrite(data[i].data(), 1, data[i].size(), to);
  }
  for (; at < layout->file_bytes; ++at) fputc(0, to);
  return fclose(to) == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  DType type = DType::kI8;
  const bool is_i8 = argc == 5 && strcmp(argv[3], "I8") == 0;
  const double density = argc == 5 ? atof(argv[4]) : 0;
  if (argc != 5 || (!is_i8 && !DTypeFromName(argv[3], &type)) || !IsSparseType(type) ||
      !(density >= 0 && density <= 1)) {
    fprintf(stderr, "usage: make_sparse IN.gguf OUT.gguf I8|F16|BF16|Q4_0 DENSITY\n");
    return 2;
  }
  const std::unique_ptr<Platform> platform = CreatePlatform();
  const auto file = GgufFile::Open(platform->files(), argv[1]);
  if (!file.ok()) {
    fprintf(stderr, "make_sparse: %s\n", file.status().message().c_str());
    return 1;
  }
  return Make(**file, argv[2], type, density);
}
