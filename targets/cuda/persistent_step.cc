#include "targets/cuda/persistent_step.h"

#include <algorithm>

namespace mote::cuda {
namespace {

bool IsProduct(const PersistentOp& op) {
  return op.kind != PersistentKind::kAttention && op.kind != PersistentKind::kJoin;
}

}  // namespace

bool MakePersistentProduct(DType type, const MatMulArgs& product, PersistentOp* op) {
  const PackedFormat f = FormatOf(type);
  const bool norms = product.norm.values != nullptr;
  const bool heads = product.heads.step != nullptr;
  const bool gate = product.gate.acts != nullptr;
  if (!f.integer() || product.experts.first != nullptr || product.rows_kind != kRowsTokens) return false;
  if (!norms && (heads || gate)) return false;
  *op = {};
  op->kind = gate    ? PersistentKind::kNormGate
             : heads ? PersistentKind::kNormHeads
             : norms ? PersistentKind::kNormProduct
                     : PersistentKind::kProduct;
  op->row_tiles = !gate ? 1 : f.act_group == 32 ? 4 : 2;  // persistent.cuh, RunProductOf
  op->product = product;
  MatMulArgs& args = op->product;
  const uint32_t rows = kTileRows * op->row_tiles;
  const uint32_t units = NumberTiles(&args, rows);
  args.units = gate ? args.matrix[0].rows / (rows / 2) : units;
  return true;
}

void AddPersistentAttention(const AttentionArgs& args, const AttentionShape& shape, std::vector<PersistentOp>* ops) {
  PersistentOp op = {};
  op.kind = PersistentKind::kAttention;
  op.attention = args;
  op.blocks = shape.head_tiles * args.splits;
  ops->push_back(op);
  if (args.splits == 1) return;
  op.kind = PersistentKind::kJoin;
  op.blocks = shape.joins;
  ops->push_back(op);
}

PersistentLauncher FindPersistentLauncher(const std::vector<DType>& types) {
  for (const auto make : {&PersistentOf_q4_0, &PersistentOf_q8_0, &PersistentOf_q4_k}) {
    const PersistentLauncher launcher = make();
    const auto takes = [&](DType type) { return type == launcher.first || type == launcher.second; };
    if (std::all_of(types.begin(), types.end(), takes)) return launcher;
  }
  return {};
}

PersistentLayout LayOutPersistent(const PersistentLauncher& launcher, const std::vector<PersistentOp>& ops,
                                  void* stream) {
  PersistentLayout layout;
  uint32_t attention = 0;
  for (const PersistentOp& op : ops) {
    if (IsProduct(op)) layout.team_bytes = std::max(layout.team_bytes, launcher.team_bytes(op));
    if (op.kind == PersistentKind::kAttention) {
      attention = std::max(attention, launcher.attention(op.attention).shared_bytes);
    }
    if (op.kind == PersistentKind::kJoin) {
      layout.team_bytes = std::max(layout.team_bytes, kTileCols * static_cast<uint32_t>(sizeof(float)));
    }
  }
  for (uint32_t teams = launcher.most_teams; teams > 0; --teams) {
    layout.team_at = teams * launcher.ring_bytes;
    layout.window_at = (std::max(layout.team_at + teams * layout.team_bytes, attention) + 15) / 16 * 16;
    layout.shared_bytes = layout.window_at + teams * launcher.window_bytes;
    if (layout.shared_bytes > ShapeOf(stream).block_shared_bytes) continue;
    if (!launcher.fits(teams, layout.shared_bytes, stream)) continue;
    layout.teams = teams;
    break;
  }
  return layout;
}

void SharePersistentOps(const PersistentLayout& layout, const DeviceShape& device, std::vector<PersistentOp>* ops) {
  const uint32_t teams = layout.teams * device.multiprocessors;
  for (PersistentOp& op : *ops) {
    op.parts = IsProduct(op)                           ? std::min(op.product.units, teams)
               : op.kind == PersistentKind::kAttention ? std::min(op.blocks, device.multiprocessors)
                                                       : std::min(op.blocks, teams);
  }
}

}  // namespace mote::cuda
