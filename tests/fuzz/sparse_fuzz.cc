// Any bytes as a block-sparse matrix: as a GGUF file that lists some, or, without the magic, as the arrays of one. What
// passes the check must be readable in all its rows, and give itself again when it is made sparse anew.
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "engine/format/activation_rules.h"
#include "engine/format/gguf.h"
#include "quant/block_sparse.h"

namespace mote {
namespace {

// Dense bytes that an input may ask for: a few kept blocks can stand for 2^26 x 2^26 values.
constexpr uint64_t kMostDense = 4 << 20;

void Require(bool condition, const char* what) {
  if (condition) return;
  fprintf(stderr, "sparse_fuzz: %s\n", what);
  abort();
}

void Use(const SparseView& view) {
  const SparseShape& shape = view.shape;
  const size_t row_bytes = shape.DenseRowBytes();
  if (shape.rows > kMostDense / row_bytes) return;
  const std::vector<uint64_t> starts = SparseStarts(view);
  Require(starts.back() == view.blocks(), "blocks that no group has");
  std::vector<uint8_t> dense(shape.rows * row_bytes);
  for (uint64_t r = 0; r < shape.rows; ++r) {
    DecodeSparseRow(view, r, starts[r / kSparseRows], &dense[r * row_bytes]);
  }
  SparseMatrix again;
  again.shape = shape;
  for (uint64_t g = 0; g < shape.groups(); ++g) {
    const size_t rows = std::min<uint64_t>(kSparseRows, shape.rows - g * kSparseRows);
    Require(AppendSparseGroup(&dense[g * kSparseRows * row_bytes], row_bytes, rows, &again), "scales that differ");
  }
  FinishSparse(&again);
  // Blocks of zeros need not be there, and padding rows may be anything: no more than that is lost.
  Require(again.index.size() <= std::max<uint64_t>(view.blocks(), 1), "blocks out of nothing");
  Require(CheckSparse(again.view()).what == nullptr, "what was written is not accepted");
  const std::vector<uint64_t> new_starts = SparseStarts(again.view());
  std::vector<uint8_t> row(row_bytes);
  for (uint64_t r = 0; r < shape.rows; ++r) {
    DecodeSparseRow(again.view(), r, new_starts[r / kSparseRows], row.data());
    Require(memcmp(row.data(), &dense[r * row_bytes], row_bytes) == 0, "a row that changed");
  }
}

void TryFile(std::span<const uint8_t> bytes) {
  std::vector<std::unique_ptr<ByteSource>> sources;
  sources.push_back(CreateMemorySource(bytes, "fuzz.gguf"));
  const auto file = GgufFile::FromSources(std::move(sources));
  if (!file.ok()) {
    Require(!file.status().message().empty(), "an error without a message");
    return;
  }
  const Result<ActivationRules> rules = ReadActivationRules(**file);
  for (size_t i = 0; rules.ok() && i < rules->rules.size(); ++i) {
    const ActivationRule& rule = rules->rules[i];
    Require(IsActivationWidth(rules->width), "a width that is none");
    Require((*file)->FindTensor(rule.tensor->name) == rule.tensor, "a rule of a matrix that is not there");
    Require(rule.threshold >= 0 && rule.share >= 0 && rule.share <= 1, "a rule that makes no sense");
  }
  for (const TensorInfo& tensor : (*file)->sparse_tensors()) {
    Require((*file)->FindTensor(tensor.name) == &tensor, "a matrix that is not found by its name");
    const Result<SparseView> view = (*file)->ReadSparse(tensor);
    if (view.ok()) Use(*view);
  }
}

// type, rows (2 bytes), columns (2 bytes), blocks (2 bytes); then counts, index, scales, values, as much as there is.
void TryArrays(std::span<const uint8_t> bytes) {
  if (bytes.size() < 7) return;
  const auto number = [&](size_t at) { return static_cast<uint64_t>(bytes[at] | bytes[at + 1] << 8); };
  const DType types[] = {DType::kI8, DType::kF16, DType::kBF16, DType::kQ4_0};
  SparseView view;
  view.shape = {types[bytes[0] % 4], number(1), number(3)};
  if (!view.shape.valid()) {
    Require(CheckSparse(view).what != nullptr, "a shape that is not possible");
    return;
  }
  std::span<const uint8_t> left = bytes.subspan(7);
  const auto take = [&](uint64_t count) {
    const size_t n = static_cast<size_t>(std::min<uint64_t>(count, left.size()));
    const std::span<const uint8_t> part = left.first(n);
    left = left.subspan(n);
    return part;
  };
  view.counts = take(view.shape.num_counts());
  view.index = take(number(5));
  view.scales = take(2 * view.shape.num_scales());
  // Values may be anything: those that an input lacks are its own bytes again and again.
  std::vector<uint8_t> values(view.index.size() * kSparseBlockBytes);
  for (size_t i = 0; i < values.size(); ++i) values[i] = left.empty() ? 1 : left[i % left.size()];
  view.values = values;
  if (CheckSparse(view).what == nullptr) Use(view);
}

}  // namespace
}  // namespace mote

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size >= 4 && memcmp(data, "GGUF", 4) == 0) {
    mote::TryFile({data, size});
  } else {
    mote::TryArrays({data, size});
  }
  return 0;
}
