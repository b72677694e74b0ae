// Launching what the lists of build_program.cc and fuse_launches.cc say.
#include <algorithm>

#include "targets/cuda/cuda_program.h"
#include "targets/cuda/launch.h"
#include "targets/cuda/runtime.h"

namespace mote::cuda {

uint32_t CudaProgram::Capacity(uint8_t rows_kind, uint32_t tokens) const {
  if (rows_kind == kRowsGenerated) return NumRows(rows_kind);
  // Of a prompt's rows one goes on to logits, as a rule: their product is that of few tokens.
  if (tokens > kGraphRows) return std::max(NumRows(rows_kind), 1u);
  // Of a graph's bucket any row may be an output.
  const uint32_t outputs = std::min(tokens, plan_.max_outputs);
  if (rows_kind == kRowsTokens) return tokens;
  return rows_kind == kRowsMerged ? std::max(outputs / graph_.merge(), 1u) : outputs;
}

// An observer sees what products read: all of it is written for it, and as they would read it anywhere.
const std::vector<CudaProgram::Launch>& CudaProgram::LaunchesFor(uint32_t rows) const {
  if (NumRead() > 0 && observer_.observe == nullptr) return read_launches_;
  for (const FewRows& few : few_rows_) {
    if (rows <= few.rows && observer_.observe == nullptr) return few.launches;
  }
  return launches_;
}

Status CudaProgram::LaunchAll(const Key& key) {
  const uint32_t rows = key.rows;
  for (const RopeArgs& rope : rope_args_) LaunchRope(rope, rows, stream_);
  const std::vector<Launch>& launches = LaunchesFor(rows);
  const bool persists = rows == 1 && &launches == &few_rows_[0].launches && persistent_.orders.count(key.splits) != 0;
  for (uint32_t i = 0; i < launches.size(); ++i) {
    if (persists && i == persistent_.begin) {
      LaunchPersistent(key.splits);
      i = persistent_.end - 1;
      continue;
    }
    MOTE_RETURN_IF_ERROR(LaunchOne(launches[i], key));
  }
  if (key.best > 0) LaunchBest(ArgsOfBest(), key.best, stream_);
  return Status();
}

Status CudaProgram::LaunchOne(const Launch& launch, const Key& key) {
  switch (launch.kind) {
    case LaunchKind::kRows:
      for (uint32_t i = launch.planned_begin; i < launch.planned_end; ++i) LaunchRowOps(row_launches_[i], key.rows);
      return Status();
    case LaunchKind::kMatMul:
      return LaunchProducts(products_, launch.begin, launch.end, Capacity(launch.rows_kind, key.rows), 0);
    case LaunchKind::kAttention:
      LaunchAttention(AttentionOf(launch, key), key.rows, stream_);
      return Status();
    case LaunchKind::kMoe:
      return LaunchExperts(experts_[launch.begin], Capacity(launch.rows_kind, key.rows));
  }
  return Status();
}

// What differs from step to step.
AttentionArgs CudaProgram::AttentionOf(const Launch& launch, const Key& key) const {
  AttentionArgs args = attentions_[launch.begin];
  args.splits = key.splits;
  args.partial = partial_.As<float>();
  if (key.rows > kGraphRows) args.prompts = prompts_;  // a graph runs again with others
  return args;
}

void CudaProgram::LaunchRowOps(const RowArgs& args, uint32_t rows) {
  if (args.ops[0].rows_kind == kRowsGenerated && NumRows(kRowsGenerated) == 0) return;
  uint32_t most = 1;
  for (uint32_t i = 0; i < args.tracks[args.num_tracks - 1].end; ++i) {
    most = std::max(most, Capacity(args.ops[i].rows_kind, rows) * args.per_row);
  }
  LaunchRows(args, most, stream_);
}

ReadArgs CudaProgram::ReadArgsOf(const Product& product) const {
  ReadArgs read = {};
  read.product = product.args;
  read.padded_rows = PaddedReadRows(plan_.max_tokens);
  read.scales = reinterpret_cast<const float*>(product.read_acts);
  read.product.acts = product.read_acts + read.padded_rows * sizeof(float);
  read.gate = product.read_gate;
  return read;
}

Status CudaProgram::LaunchProducts(const std::vector<Product>& products, uint32_t begin, uint32_t end, uint32_t rows,
                                   uint32_t experts) {
  for (uint32_t i = begin; i < end; ++i) {
    const Product& product = products[i];
    if (observer_.observe != nullptr && experts == 0) MOTE_RETURN_IF_ERROR(ObserveProduct(product));
    if (product.is_sparse) {
      SparseMatMulArgs args = {product.args, {}};
      std::copy(product.sparse, product.sparse + kMaxMatrices, args.matrix);
      if (LaunchSparseMatMul(product.type, args, rows, stream_)) continue;
    } else if (product.read_acts != nullptr) {
      bool launched = LaunchReadMatMul(product.type, ReadArgsOf(product), NumRead(), stream_);
      if (counts_.read_from > 0) {
        MatMulArgs args = product.args;
        args.rows_kind = kRowsGenerated;
        launched = launched && LaunchMatMul(product.type, args, counts_.read_from, 0, stream_);
      }
      if (launched) continue;
    } else if (LaunchMatMul(product.type, product.args, rows, experts, stream_)) {
      continue;
    }
    return Error(Code::kInternal, "no kernel for weights of type %s", DTypeName(product.type));
  }
  return Status();
}

Status CudaProgram::LaunchExperts(const Experts& moe, uint32_t rows) {
  // Slots of an expert, if all had the same: which kernel is used does not show in the results.
  const uint32_t slots = rows * moe.used;
  const uint32_t usual = std::max(1u, slots / moe.experts);
  MOTE_RETURN_IF_ERROR(LaunchProducts(moe.router, 0, 1, rows, 0));
  LaunchRoute(moe.route, rows, stream_);
  if (observer_.observe != nullptr) MOTE_RETURN_IF_ERROR(ObserveExperts(moe, false));
  MOTE_RETURN_IF_ERROR(LaunchProducts(moe.inner, 0, static_cast<uint32_t>(moe.inner.size()), usual, moe.experts));
  for (const RowArgs& gate : moe.gate) LaunchRows(gate, slots, stream_);
  if (observer_.observe != nullptr) MOTE_RETURN_IF_ERROR(ObserveExperts(moe, true));
  MOTE_RETURN_IF_ERROR(LaunchProducts(moe.down, 0, 1, usual, moe.experts));
  LaunchCombine(moe.combine, rows, stream_);
  return Status();
}

}  // namespace mote::cuda
