#include "edge/cli/tools/sparsify_write.h"

#include <algorithm>
#include <span>
#include <utility>

#include "edge/cli/console.h"
#include "engine/tune/parallel.h"
#include "quant/codec.h"

namespace mote::cli {
namespace {

constexpr size_t kPieceValues = size_t{1} << 16;  // a multiple of every block

// Groups that one worker makes at a time.
constexpr uint64_t kGroupsTogether = 32;

bool Encode(const SparsifyMatrix& matrix, const std::vector<float>& values, ThreadPool* pool, SparseMatrix* out) {
  const uint64_t groups = matrix.shape.groups();
  std::vector<SparseMatrix> parts(static_cast<size_t>((groups + kGroupsTogether - 1) / kGroupsTogether));
  std::vector<uint8_t> good(parts.size(), 1);
  tune::ForEach(pool, parts.size(), [&](uint64_t index, int) {
    SparseMatrix& part = parts[static_cast<size_t>(index)];
    part.shape = matrix.shape;
    const uint64_t first = index * kGroupsTogether;
    for (uint64_t group = first; group < std::min(groups, first + kGroupsTogether); ++group) {
      const uint64_t row = group * kSparseRows;
      const size_t rows = static_cast<size_t>(std::min<uint64_t>(kSparseRows, matrix.shape.rows - row));
      if (!AppendSparseGroupOfFloats(values.data() + row * matrix.shape.cols, rows, &part)) good[index] = 0;
    }
  });
  out->shape = matrix.shape;
  for (const SparseMatrix& part : parts) AppendSparse(part, out);
  FinishSparse(out);
  return std::all_of(good.begin(), good.end(), [](uint8_t one) { return one != 0; });
}

class Writer {
 public:
  Writer(NewFile* file, uint64_t total, const StopGuard& stop)
      : file_(file), total_(total), stop_(stop), progress_("writing") {}

  void Put(const void* bytes, uint64_t size) {
    if (stop_.stopped()) Fail("stopped; nothing was written");
    OrFailure(file_->Write(bytes, static_cast<size_t>(size)));
    written_ += size;
    progress_.Update(written_, total_);
  }
  void PadTo(uint64_t offset) {
    static constexpr uint8_t kZeros[GgufWriter::alignment()] = {};
    if (offset < written_ || offset - written_ > sizeof(kZeros)) Fail("a tensor is not where it was planned: a bug");
    Put(kZeros, offset - written_);
  }

 private:
  NewFile* file_;
  uint64_t total_;
  const StopGuard& stop_;
  Progress progress_;
  uint64_t written_ = 0;
};

// A tensor that stays dense, in the type that it will have.
void PutDense(const GgufFile& in, const TensorInfo& to, Writer* writer) {
  const TensorInfo& from = *in.FindTensor(to.name);
  const std::span<const uint8_t> bytes = OrFailure(in.TensorBytes(from));
  if (from.type == to.type) {
    writer->Put(bytes.data(), bytes.size());
    return;
  }
  std::vector<float> values;
  std::vector<uint8_t> encoded;
  const DTypeInfo* info = DTypeInfoOf(from.type);
  for (uint64_t at = 0; at < from.values(); at += kPieceValues) {
    const size_t count = static_cast<size_t>(std::min<uint64_t>(kPieceValues, from.values() - at));
    values.resize(count);
    encoded.resize(RowBytes(to.type, count));
    DecodeRow(from.type, bytes.data() + at / info->block_values * info->block_bytes, values.data(), count);
    if (!EncodeRow(to.type, values.data(), encoded.data(), count)) {
      Fail(from.name + " has a value that is not finite or that " + DTypeName(to.type) +
           " cannot hold; try --type bf16");
    }
    writer->Put(encoded.data(), encoded.size());
  }
}

}  // namespace

SparsifiedModel EncodeSparsified(const GgufFile& in, const SparsifyPlan& plan, const SparsifyWeights& weights,
                                 ThreadPool* pool) {
  SparsifiedModel model;
  std::vector<uint64_t> blocks;
  Progress progress("encoding");
  for (const SparsifyMatrix& matrix : plan.matrices) {
    const std::string& name = matrix.tensor->name;
    SparseMatrix encoded;
    if (!Encode(matrix, weights.at(name), pool, &encoded)) {
      Fail(name + " has a value that is not finite or that " + DTypeName(matrix.shape.type) +
           " cannot hold; try --type bf16");
    }
    blocks.push_back(encoded.view().blocks());
    model.all_blocks += matrix.shape.all_blocks();
    model.kept_blocks += blocks.back();
    model.matrices.push_back(std::move(encoded));
    progress.Update(model.matrices.size(), plan.matrices.size());
  }
  model.layout = OrFailure(LayoutSparsified(in, plan, blocks));
  return model;
}

void WriteSparsified(const GgufFile& in, const SparsifyPlan& plan, const SparsifiedModel& model, const StopGuard& stop,
                     NewFile* file) {
  const GgufWriter::Layout& layout = model.layout;
  Writer writer(file, layout.file_bytes, stop);
  writer.Put(layout.header.data(), layout.header.size());
  size_t at = 0;
  for (; at < plan.others.size(); ++at) {
    writer.PadTo(layout.tensors[at].offset);
    PutDense(in, layout.tensors[at], &writer);
  }
  for (const SparseMatrix& matrix : model.matrices) {
    for (const std::vector<uint8_t>* part : {&matrix.counts, &matrix.index, &matrix.scales, &matrix.values}) {
      if (part->empty()) continue;  // a type without scales
      writer.PadTo(layout.tensors[at++].offset);
      writer.Put(part->data(), part->size());
    }
  }
  writer.PadTo(layout.file_bytes);
}

void WriteCopied(const GgufFile& in, const GgufWriter::Layout& layout, const StopGuard& stop, NewFile* file) {
  Writer writer(file, layout.file_bytes, stop);
  writer.Put(layout.header.data(), layout.header.size());
  for (const TensorInfo& tensor : layout.tensors) {
    writer.PadTo(tensor.offset);
    PutDense(in, tensor, &writer);
  }
  writer.PadTo(layout.file_bytes);
}

}  // namespace mote::cli
