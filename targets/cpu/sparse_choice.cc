#include "targets/cpu/sparse_choice.h"

#include <algorithm>
#include <vector>

#include "engine/core/buffer.h"
#include "simd/sparse.h"
#include "targets/cpu/weights.h"

namespace mote {
namespace {

// A tile of a prompt's product, small enough for the L2 cache: what is compared is arithmetic.
constexpr uint64_t kProbeRows = 64;
constexpr uint64_t kProbeCols = 2048;
constexpr size_t kProbeTokens = 32;
// The least of so many rounds: other work on the machine only ever adds to one.
constexpr int kProbeRounds = 5;
// What a measurement is held to. It never keeps a matrix with less than 3 % of zero blocks, whose index costs more
// memory than they do, nor gives up one with 20 % of them because the machine was busy just then.
constexpr double kFullest = 0.97;
constexpr double kLeastFull = 0.80;

size_t TypeSlot(DType type) {
  return type == DType::kI8 ? 0 : type == DType::kF16 ? 1 : type == DType::kBF16 ? 2 : 3;
}

// A matrix of which every place is kept, with and without an index.
struct Probe {
  SparseMatrix matrix;
  std::vector<uint64_t> starts;
  Buffer acts, out, scratch, panels;
  const simd::FetchAhead ahead = simd::FetchAheadOfCpu();
};

Status MakeProbe(DType type, const simd::KernelTable& kernels, Probe* probe) {
  probe->matrix.shape = {type, kProbeRows, kProbeCols};
  const SparseShape& shape = probe->matrix.shape;
  // Bytes that are small numbers, scales and codes in every type, so that no program which only loads models needs the
  // encoders of weights.
  const size_t row_bytes = shape.DenseRowBytes();
  const std::vector<uint8_t> dense(kProbeRows * row_bytes, 0x2c);
  for (uint64_t row = 0; row < kProbeRows; row += kSparseRows) {
    AppendSparseGroup(dense.data() + row * row_bytes, row_bytes, kSparseRows, &probe->matrix);
  }
  probe->starts = SparseStarts(probe->matrix.view());
  MOTE_ASSIGN_OR_RETURN(probe->acts, Buffer::CreateZeroed(kProbeTokens * kProbeCols * sizeof(float), "a measurement"));
  MOTE_ASSIGN_OR_RETURN(probe->out, Buffer::CreateZeroed(kProbeTokens * kProbeRows * sizeof(float), "a measurement"));
  MOTE_ASSIGN_OR_RETURN(probe->scratch, Buffer::Create(simd::kMatMulScratchBytes, "a measurement"));
  if (type == DType::kI8) return Status();
  MOTE_ASSIGN_OR_RETURN(probe->panels,
                        Buffer::Create(simd::PackedBytes(kernels, type, kProbeRows, kProbeCols), "a measurement"));
  kernels.pack({type, dense.data(), kProbeRows, kProbeCols, probe->panels.data()});
  return Status();
}

void RunProbe(const simd::KernelTable& kernels, Probe* probe, bool sparse) {
  const SparseShape& shape = probe->matrix.shape;
  const DType type = shape.type;
  const size_t stride = ActRowBytes(ActKindOf(type, /*sparse=*/true), kProbeCols);
  if (!sparse && type != DType::kI8) {
    simd::MatMulArgs args;
    args.panels = probe->panels.data();
    args.rows = kProbeRows;
    args.k = kProbeCols;
    args.acts = probe->acts.data();
    args.act_stride_bytes = stride;
    args.m = kProbeTokens;
    args.out = probe->out.As<float>();
    args.out_stride = kProbeRows;
    args.scratch = probe->scratch.data();
    args.ahead = probe->ahead;
    simd::MatMulOf(kernels, type)(args);
    return;
  }
  simd::SparseMatMulArgs args = simd::SparseArgs(probe->matrix.view(), sparse ? probe->starts.data() : nullptr);
  args.acts = probe->acts.data();
  args.act_stride_bytes = stride;
  args.m = kProbeTokens;
  args.out = probe->out.As<float>();
  args.out_stride = kProbeRows;
  args.scratch = probe->scratch.data();
  args.ahead = probe->ahead;
  simd::SparseKernelsOf(kernels).MatMulOf(type)(args);
}

}  // namespace

double SparseDensity(const TensorInfo& tensor) {
  const SparseShape shape = {tensor.type, tensor.rows(), tensor.cols()};
  return static_cast<double>(tensor.sparse->blocks) / static_cast<double>(shape.all_blocks());
}

double SparseChoice::BreakEven(DType type) {
  double& known = measured_[TypeSlot(type)];
  if (known != 0) return known;
  known = kLeastFull;
  Probe probe;
  // The scalar kernels are for reference: not worth a measurement, which would take them long.
  if (kernels_.vector_bytes == sizeof(float) || !MakeProbe(type, kernels_, &probe).ok()) return known;
  double best[2] = {0, 0};
  for (int round = 0; round <= kProbeRounds; ++round) {
    for (const bool sparse : {false, true}) {
      const double start = clock_.Seconds();
      RunProbe(kernels_, &probe, sparse);
      const double seconds = clock_.Seconds() - start;
      if (round == 1 || (round > 1 && seconds < best[sparse])) best[sparse] = seconds;
    }
  }
  // With all blocks kept the sparse product takes best[1] : best[0] of the dense one's time, with a part of them about
  // that part of it.
  if (best[1] > 0) known = std::clamp(best[0] / best[1], kLeastFull, kFullest);
  return known;
}

bool SparseChoice::KeepsSparse(const TensorInfo& tensor) {
  if (path_ != SparsePath::kAuto) return path_ == SparsePath::kSparse;
  const double density = SparseDensity(tensor);
  return density <= kLeastFull || (density <= kFullest && density <= BreakEven(tensor.type));
}

Result<std::vector<SparseDecision>> DecideSparse(const GgufFile& file, const Context& context, const std::string& isa,
                                                 SparsePath path) {
  const simd::KernelTable* kernels = isa.empty() ? &simd::BestTable() : simd::FindTable(isa.c_str());
  if (kernels == nullptr || !simd::CanRun(*kernels)) {
    return Error(Code::kInvalidArgument, "instruction set \"%s\" is not possible here", isa.c_str());
  }
  SparseChoice choice(*kernels, context.platform->clock(), path);
  std::vector<SparseDecision> decisions;
  for (const TensorInfo& tensor : file.sparse_tensors()) {
    decisions.push_back({&tensor, SparseDensity(tensor), choice.BreakEven(tensor.type), choice.KeepsSparse(tensor)});
  }
  return decisions;
}

}  // namespace mote
