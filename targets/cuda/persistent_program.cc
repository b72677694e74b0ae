// Of a program's launches for one row, the layers as one persistent kernel.
#include <algorithm>

#include "targets/cuda/cuda_program.h"
#include "targets/cuda/launch.h"
#include "targets/cuda/runtime.h"

namespace mote::cuda {
namespace {

// A kernel whose blocks have to be there all at once begins when all before it has ended, some 4.5 us later: that is
// won back where it stands for a few layers' launches.
constexpr uint32_t kLeastLaunches = 8;

}  // namespace

bool CudaProgram::AddPersistentOps(const Launch& launch, uint32_t splits, std::vector<PersistentOp>* ops,
                                   std::vector<DType>* types) const {
  if (launch.kind == LaunchKind::kAttention) {
    const AttentionArgs args = AttentionOf(launch, {1, splits, 0});
    const AttentionShape shape = FindPersistentLauncher({}).attention(args);
    if (shape.head_tiles == 0) return false;
    AddPersistentAttention(args, shape, ops);
    return true;
  }
  if (launch.kind != LaunchKind::kMatMul) return false;
  for (uint32_t i = launch.begin; i < launch.end; ++i) {
    const Product& product = products_[i];
    PersistentOp op;
    if (product.is_sparse || !MakePersistentProduct(product.type, product.args, &op)) return false;
    if (std::find(types->begin(), types->end(), product.type) == types->end()) types->push_back(product.type);
    if (FindPersistentLauncher(*types).launch == nullptr) return false;
    ops->push_back(op);
  }
  return true;
}

// The longest run of launches for which there is a kernel.
void CudaProgram::FindPersistentRun() {
  persistent_ = PersistentRun();
  if (!plan_.persistent_steps) return;
  const std::vector<Launch>& launches = few_rows_[0].launches;
  for (uint32_t begin = 0; begin < launches.size();) {
    std::vector<PersistentOp> ops;
    std::vector<DType> types;
    uint32_t end = begin;
    while (end < launches.size()) {
      std::vector<DType> with = types;
      if (!AddPersistentOps(launches[end], 1, &ops, &with)) break;
      types = with;
      ++end;
    }
    if (!types.empty() && end - begin > persistent_.end - persistent_.begin) {
      persistent_.begin = begin;
      persistent_.end = end;
      persistent_.launcher = FindPersistentLauncher(types);
    }
    begin = std::max(end, begin + 1);
  }
  if (persistent_.end - persistent_.begin < kLeastLaunches) {
    persistent_ = PersistentRun();
    return;
  }
  const PersistentLayout layout = LayOutPersistent(persistent_.launcher, OpsOfRun(2), stream_);
  if (layout.teams == 0) persistent_ = PersistentRun();
}

std::vector<PersistentOp> CudaProgram::OpsOfRun(uint32_t splits) const {
  std::vector<PersistentOp> ops;
  std::vector<DType> types;
  for (uint32_t i = persistent_.begin; i < persistent_.end; ++i) {
    const Launch& launch = few_rows_[0].launches[i];
    AddPersistentOps(launch, splits, &ops, &types);  // it has been tried
    if (launch.kind != LaunchKind::kMatMul) continue;
    const uint32_t products = launch.end - launch.begin;
    for (uint32_t p = 0; p < products; ++p) {
      ops[ops.size() - products + p].second = products_[launch.begin + p].type == persistent_.launcher.first ? 0 : 1;
    }
  }
  return ops;
}

// Its orders go to the device before a graph is captured.
Status CudaProgram::PreparePersistent(uint32_t rows, uint32_t splits) {
  if (rows != 1 || persistent_.launcher.launch == nullptr || persistent_.orders.count(splits) != 0) return Status();
  std::vector<PersistentOp> ops = OpsOfRun(splits);
  PersistentRun::Orders orders;
  orders.count = static_cast<uint32_t>(ops.size());
  orders.layout = LayOutPersistent(persistent_.launcher, ops, stream_);
  if (orders.layout.teams == 0) return Status();
  SharePersistentOps(orders.layout, ShapeOf(stream_), &ops);
  const uint64_t bytes = ops.size() * sizeof(PersistentOp), words = ops.size() * kArrivalWords * sizeof(uint32_t);
  MOTE_ASSIGN_OR_RETURN(orders.ops,
                        DeviceMemory::Create(MemoryKind::kDevice, bytes, "a kernel's orders", device_.index));
  MOTE_RETURN_IF_ERROR(CudaStatus(CopyIn(orders.ops.data(), ops.data(), bytes, stream_), "copying a kernel's orders"));
  if (persistent_.arrived.size() < words) {
    DropGraphs();
    MOTE_ASSIGN_OR_RETURN(persistent_.arrived,
                          DeviceMemory::Create(MemoryKind::kDevice, words, "a kernel's counters", device_.index));
    MOTE_RETURN_IF_ERROR(CudaStatus(Zero(persistent_.arrived.data(), words, stream_), "clearing a kernel's counters"));
  }
  MOTE_RETURN_IF_ERROR(CudaStatus(Wait(stream_), "copying a kernel's orders"));
  persistent_.orders.emplace(splits, std::move(orders));
  return Status();
}

void CudaProgram::LaunchPersistent(uint32_t splits) {
  const PersistentRun::Orders& orders = persistent_.orders.at(splits);
  PersistentArgs args = {};
  args.ops = orders.ops.As<PersistentOp>();
  args.count = orders.count;
  args.arrived = persistent_.arrived.As<uint32_t>();
  args.team_at = orders.layout.team_at;
  args.team_bytes = orders.layout.team_bytes;
  args.window_at = orders.layout.window_at;
  persistent_.launcher.launch(args, orders.layout.teams, orders.layout.shared_bytes, stream_);
}

}  // namespace mote::cuda
