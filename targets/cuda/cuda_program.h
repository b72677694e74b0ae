// A plan made ready for the GPU: a list of launches, replayed for each step.
//
// Row-wise phases of the plan become one launch each, or a few (row_plan.h), products of one input one launch per
// weight type. Everything that differs from step to step lies in device memory, so that steps of few rows are captured
// once, for the next power of two of their rows and of their cache's splits, and from then on are one graph launch.
#ifndef MOTE_TARGETS_CUDA_CUDA_PROGRAM_H_
#define MOTE_TARGETS_CUDA_CUDA_PROGRAM_H_

#include <stdint.h>

#include <atomic>
#include <compare>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "engine/core/context.h"
#include "engine/graph/backend.h"
#include "targets/cuda/cuda_kv_cache.h"
#include "targets/cuda/cuda_weights.h"
#include "targets/cuda/device_memory.h"
#include "targets/cuda/kernel_args.h"
#include "targets/cuda/persistent_step.h"
#include "targets/cuda/row_plan.h"

namespace mote::cuda {

// Steps of up to so many rows are graphs.
inline constexpr uint32_t kGraphRows = 32;

// And in those of up to so many, products do what comes after them (fuse_launches.cc).
inline constexpr uint32_t kFuseRows = 8;

// GateArgs of 256 columns: a part of each, and the counter of those who came. The parts of the widest gate lie first,
// for counters have to stay zero from one layer to the next.
inline constexpr uint64_t kGateTileBytes = kTileCols * sizeof(float) + sizeof(uint32_t);

// Whether tokens that are read have products of their own (read_product.cuh): those of prompts where that was asked
// for, and a tower's always.
inline bool ReadsApart(const Plan& plan, bool has_groups) {
  return has_groups && (plan.fast_prompts || plan.graph->many_rows());
}

// Sizes of the working memory of a program, in bytes of device memory.
struct CudaScratch {
  // reads: ReadsApart.
  CudaScratch(const Plan& plan, uint32_t context, bool reads);
  uint64_t arena_bytes = 0;
  uint64_t act_bytes[kActKinds] = {};  // of dense products' inputs
  uint64_t read_act_bytes[kReadActKinds] = {};
  uint64_t read_gated_bytes = 0;  // of gates that products of tokens that are read make
  uint64_t slot_act_bytes = 0;    // of experts' inner products
  uint64_t gated_bytes = 0;       // of gates that products make: they read others meanwhile
  uint64_t gate_part_bytes = 0;   // GateArgs::parts and, behind them, arrived
  uint64_t expert_bytes = 0;
  uint64_t result_bytes = 0;  // for the rows that a step usually asks for
  uint64_t best_bytes = 0;    // of picking the best of them
  uint64_t rope_bytes = 0;
  uint64_t step_bytes = 0;
  uint64_t partial_bytes = 0;  // attention's splits, for sessions of `context`
  uint64_t total_bytes() const;
};

// What a mixture of experts works with, as offsets into one piece of device memory.
struct ExpertLayout {
  // `rows` of a step at most; gate and up have `ff` columns, the result `width`.
  ExpertLayout(uint64_t rows, const MoeParams& moe, uint64_t ff, uint64_t width);
  uint64_t probabilities, expert, weight, slot, first, row_of_slot;
  uint64_t gate_out, up_out, down_out;
  uint64_t bytes = 0;
};

class CudaProgram : public Program {
 public:
  static Result<std::unique_ptr<CudaProgram>> Create(const Plan& plan, const GgufFile& file, const CudaDevice& device,
                                                     const Context& context, const LoadProgress& progress);
  ~CudaProgram() override;
  Result<std::unique_ptr<KvCache>> CreateKvCache(uint32_t context) override;
  Status RunPart(const Step& step, uint32_t part, uint32_t parts) override;
  Status Begin(const Step& step) override;
  Status End() override;
  uint32_t max_best() const override;

 private:
  enum class LaunchKind : uint8_t { kRows, kMatMul, kAttention, kMoe };
  struct Launch {
    LaunchKind kind;
    uint8_t rows_kind = 0;
    // kRows: of ops_; kMatMul: products; kAttention, kMoe: one of those.
    uint32_t begin = 0;
    uint32_t end = 0;
    // kRows: of row_launches_.
    uint32_t planned_begin = 0;
    uint32_t planned_end = 0;
  };
  // What is launched for steps of up to so many rows.
  struct FewRows {
    uint32_t rows;
    std::vector<Launch> launches;
  };
  // Of the launches for one row, those that are one persistent kernel instead (persistent_program.cc).
  struct PersistentRun {
    uint32_t begin = 0, end = 0;  // of the launches; nothing: there is no such kernel
    PersistentLauncher launcher = {};
    // With so many splits.
    struct Orders {
      DeviceMemory ops;
      uint32_t count = 0;
      PersistentLayout layout;
    };
    std::map<uint32_t, Orders> orders;
    DeviceMemory arrived;
  };
  struct Product {
    DType type;
    bool is_sparse;
    MatMulArgs args;
    SparseMatrixArgs sparse[kMaxMatrices];
    uint32_t node;
    // For tokens that are read; acts are null: they are like all others.
    const uint8_t* read_acts;
    ReadGateArgs read_gate;
  };
  struct Experts {
    uint32_t node;
    uint32_t experts, used;
    std::vector<Product> router, inner, down;
    RouteArgs route;
    std::vector<RowArgs> gate;  // rows are slots
    const float* gated;         // its result
    CombineArgs combine;
  };

  CudaProgram(const Plan& plan, const CudaDevice& device)
      : plan_(plan), graph_(*plan.graph), device_(device), reads_(ReadsApart(plan, device.has_groups)) {}
  Status Allocate();
  Status UploadRopes();

  // Making the list of launches: build_program.cc.
  void Build();
  std::vector<Launch> List(bool reads);
  void AddInstruction(const Instruction& instruction, bool row_wise);
  void StartRows();
  void AddRowOp(RowOp op, uint32_t node = kNone);
  void PlanRowLaunches(std::vector<Launch>* launches);
  void CountRoundings(const std::vector<Launch>& launches);
  RowFacts FactsOfRows() const;
  RowOp RowOpOf(const Node& node);
  // Activations of `value` for weights of this type, quantised before what is added next.
  const uint8_t* PrepareActs(ValueId value, DType type, bool of_generated = false);
  // The same for products of tokens that are read; null: there are none of this type.
  const uint8_t* PrepareReadActs(ValueId value, DType type);
  void AddProducts(const Instruction& instruction);
  Product ProductOf(DType type, const uint8_t* acts, uint8_t rows_kind, uint64_t cols) const;
  void AddAttention(const Node& node);
  void AddExperts(const Node& node, uint32_t index);
  float* Values(ValueId id) const;

  // Row operations done by the launches around them: fuse_launches.cc.
  void CountUses();
  std::vector<Launch> Fuse(uint32_t rows);
  // Persistent kernels: persistent_program.cc.
  void FindPersistentRun();
  // False: the launch is nothing for it.
  bool AddPersistentOps(const Launch& launch, uint32_t splits, std::vector<PersistentOp>* ops,
                        std::vector<DType>* types) const;
  std::vector<PersistentOp> OpsOfRun(uint32_t splits) const;
  Status PreparePersistent(uint32_t rows, uint32_t splits);
  void LaunchPersistent(uint32_t splits);
  bool FuseNorm(const Launch& rows, Launch* before, Launch* after);
  void FuseReadGates(std::vector<Launch>* launches);
  bool FuseReadGate(Launch* rows, const Launch& before, const Launch& after);
  bool FuseGate(const Launch& rows, Launch* before, Launch* after);
  bool FuseHeads(const Launch& rows, Launch* before);
  bool FuseRounding(const Launch& rows, const Launch& after, Launch* before);
  bool AloneReads(const Launch& launch, const RowOp& quantize, ValueId value) const;
  std::span<Product> OwnProducts(Launch* launch);
  // StepArgs and StepCounts are the step's first bytes.
  const StepCounts* CountsOnDevice() const {
    return reinterpret_cast<const StepCounts*>(step_.data() + sizeof(StepArgs));
  }
  uint8_t RowsOf(ValueId id) const { return static_cast<uint8_t>(graph_.value(id).rows); }

  // Running: cuda_program.cc, run_launches.cc.
  Status Upload(const Step& step);
  Status UploadInputs(const Step& step);
  Status EnsureRooms(const Step& step, uint32_t splits);
  // What is launched for a step: for up to `rows` tokens, with `splits` splits at most, and the best logits of up to
  // `best` rows.
  struct Key {
    uint32_t rows, splits, best;
    auto operator<=>(const Key&) const = default;
  };
  Status RunLaunches(const Key& key);
  Status LaunchAll(const Key& key);
  Status LaunchOne(const Launch& launch, const Key& key);
  AttentionArgs AttentionOf(const Launch& launch, const Key& key) const;
  const std::vector<Launch>& LaunchesFor(uint32_t rows) const;
  ReadArgs ReadArgsOf(const Product& product) const;
  BestArgs ArgsOfBest() const;
  // Results on their way to the host, and what is left to do once they are there.
  Status FetchResults(const Step& step);
  void HandOver(const Step& step) const;
  bool ByHost(uint64_t result_bytes) const { return result_bytes <= result_host_.size(); }
  Status LaunchProducts(const std::vector<Product>& products, uint32_t begin, uint32_t end, uint32_t rows,
                        uint32_t experts);
  // `rows` that the counts may say.
  void LaunchRowOps(const RowArgs& args, uint32_t rows);
  Status LaunchExperts(const Experts& moe, uint32_t rows);
  Status ObserveProduct(const Product& product);
  Status ObserveExperts(const Experts& moe, bool down);
  Status FetchRows(const float* from, uint64_t rows, uint64_t cols, std::vector<float>* to);
  uint32_t Capacity(uint8_t rows_kind, uint32_t tokens) const;
  uint32_t NumRows(uint8_t rows_kind) const { return counts_.rows[rows_kind]; }
  uint32_t NumRead() const { return counts_.rows[kRowsTokens] - counts_.read_from; }
  void DropGraphs();

  const Plan& plan_;
  const Graph& graph_;
  const CudaDevice device_;
  const bool reads_;  // ReadsApart
  void* stream_ = nullptr;
  CudaWeights weights_;

  DeviceMemory arena_;
  DeviceMemory acts_[kActKinds];
  DeviceMemory read_acts_[kReadActKinds];
  DeviceMemory read_gated_;
  DeviceMemory slot_acts_;
  DeviceMemory gated_acts_;
  DeviceMemory gate_parts_;
  DeviceMemory expert_memory_;
  DeviceMemory result_;
  DeviceMemory result_host_;  // a few rows of results on their way
  DeviceMemory best_;         // BestArgs::best, and behind it keys
  DeviceMemory best_host_;
  DeviceMemory hidden_;
  DeviceMemory inputs_;
  DeviceMemory partial_;
  DeviceMemory ropes_;
  DeviceMemory step_;
  DeviceMemory step_host_;
  std::vector<RopeArgs> rope_args_;

  std::vector<Launch> launches_;
  std::vector<Launch> read_launches_;  // of steps with tokens that are read, where those have products of their own
  std::vector<FewRows> few_rows_;      // fewest first
  PersistentRun persistent_;           // of the first of those
  std::vector<RowArgs> row_launches_;
  std::vector<Product> products_;
  std::vector<AttentionArgs> attentions_;
  std::vector<Experts> experts_;
  // While building:
  std::vector<RowOp> ops_;
  std::vector<uint32_t> op_nodes_;         // of each: its node, or kNone
  std::vector<ValueId> attention_values_;  // of each of attentions_: its result
  std::vector<uint32_t> uses_;             // of each value
  ValueId held_[kActKinds];                // whose activations those of a kind are
  ValueId generated_held_[kActKinds];      // the same of rows that are not read, and perhaps of them alone
  ValueId read_held_[kReadActKinds];
  bool phase_begins_ = false;
  bool builds_reads_ = false;

  StepCounts counts_ = {};
  Prompts prompts_ = Prompts::kNone;  // of the step
  bool is_under_way_ = false;
  Step under_way_;
  std::atomic<uint32_t> longest_context_{0};
  std::map<Key, void*> graphs_;
};

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_CUDA_PROGRAM_H_
