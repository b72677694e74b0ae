// A plan made ready for the CPU, and its execution.
//
// All workers run the same list of phases and meet between them. Within a phase work is split over rows of the step,
// rows of a weight, or heads, never over a sum: a row's logits are bit-identical for any number of workers and any
// batch.
#ifndef MOTE_TARGETS_CPU_CPU_PROGRAM_H_
#define MOTE_TARGETS_CPU_CPU_PROGRAM_H_

#include <stdint.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <utility>
#include <vector>

#include "engine/core/buffer.h"
#include "engine/core/context.h"
#include "engine/graph/backend.h"
#include "simd/kernels.h"
#include "targets/cpu/fetch_choice.h"
#include "targets/cpu/gated_pairs.h"
#include "targets/cpu/kv_cache.h"
#include "targets/cpu/live_input.h"
#include "targets/cpu/unit_values.h"
#include "targets/cpu/weights.h"

namespace mote {

// Sizes of the working memory of a program, in bytes.
struct CpuScratch {
  CpuScratch(const Plan& plan, const simd::KernelTable& kernels, int workers);
  uint64_t arena_bytes = 0;
  uint64_t acts_bytes = 0;      // one shared set of rows as products want them, or the widest mixture of experts
  uint64_t own_acts_bytes = 0;  // per worker: those rows of a small step
  uint64_t rope_bytes = 0;      // cos and sin of every table
  uint64_t moe_bytes = 0;
  uint64_t attention_bytes = 0;  // per worker
  uint64_t live_bytes = 0;       // thinned rows, of all workers
  uint64_t matmul_bytes = 0;     // per worker: of products
  uint64_t pair_bytes = 0;       // per worker: what a gate reads of its two products
  uint64_t workers = 0;
  uint64_t total_bytes() const {
    return arena_bytes + acts_bytes + rope_bytes + moe_bytes + live_bytes +
           (own_acts_bytes + attention_bytes + matmul_bytes + pair_bytes) * workers;
  }
};

// Steps of up to this many rows are quantised by each worker for itself: cheaper than meeting once more. The result is
// the same either way.
inline constexpr uint32_t kOwnActsRows = 4;

// Steps of more rows use the kernels that unpack weights, two panels at a time.
inline constexpr uint32_t kFewRows = 16;
// Of a gated pair, whose results wait in a cache: rows of each weight (or what a kernel keeps sums of), and of the
// step. 32 rows take 1.09 of the time in Q4_0 and 1.06 in F16, and 128 gain nothing (Granite Rapids, 2026-11).
inline constexpr uint32_t kPairRows = 64;
inline constexpr uint32_t kPairTokens = 512;

inline simd::Activation KernelActivation(Activation activation) {
  static_assert(static_cast<int>(Activation::kSilu) == static_cast<int>(simd::Activation::kSilu) &&
                static_cast<int>(Activation::kGeluQuick) == static_cast<int>(simd::Activation::kGeluQuick));
  return static_cast<simd::Activation>(activation);
}

struct FetchShape;  // tune_fetch.cc

class CpuProgram : public Program {
 public:
  static Result<std::unique_ptr<CpuProgram>> Create(const Plan& plan, const GgufFile& file,
                                                    const simd::KernelTable& kernels, SparseChoice* choice,
                                                    const Tuning& tuning, const Context& context,
                                                    const LoadProgress& progress);
  Result<std::unique_ptr<KvCache>> CreateKvCache(uint32_t context) override;
  Status RunPart(const Step& step, uint32_t part, uint32_t parts) override;
  LiveCount live_count() const override;
  std::string tuning() const override { return tuning_; }
  // How weights are fetched, by what is known or by trying; part of Create. May be asked for again, between steps: what
  // is neither known nor tried, in the CPU's own way.
  Status TuneFetch(const Tuning& tuning, const Context& context);

 private:
  struct Range {
    uint32_t begin, end;
  };
  struct RopeScratch {
    float* cos = nullptr;  // (rows of the step, pairs)
    float* sin = nullptr;
    uint32_t pairs = 0;
  };

  CpuProgram(const Plan& plan, const simd::KernelTable& kernels, ThreadPool& pool)
      : plan_(plan),
        graph_(*plan.graph),
        kernels_(kernels),
        unit_(UnitOf(plan, kernels)),
        unit_rounds_(UnitRounds(*plan.graph)),
        pairs_(plan),
        unit_values_(unit_ != nullptr && unit_rounds_ ? UnitValues(plan, pairs_, *unit_) : UnitValues()),
        pool_(pool) {}
  Status AllocateScratch(Platform& platform);
  class FetchSweeps;
  Status MeasureFetch(std::vector<FetchShape>* shapes, const Context& context);

  // What the workers do; all const but for the buffers.
  static void RunWorker(void* self, int worker);
  void PrepareRows(uint32_t begin, uint32_t end);
  void RunRowWise(const Phase& phase, int worker);
  void RunNodeOnRows(const Node& node, uint32_t begin, uint32_t end, int worker);
  void RunRow(const Node& node, uint32_t row, const float* x, float* y, int worker);
  void RunMovingRow(const Node& node, uint32_t row, float* y);
  void WriteCache(const Node& node, uint32_t begin, uint32_t end);
  // Whether rows from `row` on, before `end`, are all positions of a panel of keys that the matrix unit's kernels fill.
  bool IsKeyPanel(uint32_t row, uint32_t end) const;
  void RunMatMul(const Instruction& instruction, uint32_t index, int worker);
  // The input of an instruction's products, as they want it.
  struct ProductInput {
    const void* acts = nullptr;
    const LiveList* live = nullptr;  // null: no zeros that are worth passing over
    bool tiles = false;              // acts are S8Tiles
    const uint8_t* unit_acts = nullptr;
    uint32_t unit_row = 0;  // rows from this on are for the matrix unit
  };
  ProductInput PrepareInput(const Instruction& instruction, uint32_t index, uint32_t rows, int worker);
  // The same rows, thinned.
  const float* ThinRows(const float* x, uint32_t cols, uint32_t rows, float threshold, bool meet, int worker);
  const LiveList* ListLive(const Instruction& instruction, ActKind kind, const void* acts, uint32_t cols, int worker);
  // `plain`, `unit`: rows of the step, for the processor and for the matrix unit.
  void MatMulTile(const Node& node, const Node* activation, const Node* pair, uint32_t tile, uint32_t tile_rows,
                  const ProductInput& all, Range plain, Range unit, int worker);
  // Rows of a step's chunk, in a product that takes them in chunks.
  static Range RowsOfChunk(uint32_t rows, ActKind kind, uint32_t chunk, uint32_t chunks);
  // The first of the rows that the matrix unit takes; `rows` where it takes none.
  uint32_t FirstUnitRow(Rows kind, uint32_t rows) const;
  // Multiplies tile number `tile` of a weight with `m` rows; `out` is where the weight's first row goes. Gives the rows
  // of the tile: first, count.
  std::pair<uint64_t, uint64_t> MultiplyTile(const CpuWeight& weight, uint32_t tile, uint32_t tile_rows,
                                             const ProductInput& input, size_t m, float* out, int worker);
  // `activation` may be a kGate: of the node's product, and of the second one of `pair`.
  void MultiplyUnitTile(const Node& node, const Node* activation, const Node* pair, uint32_t tile, uint32_t tile_rows,
                        const ProductInput& input, Range rows, uint8_t* scratch);
  // What every product's arguments have of the worker and of the CPU, once their m is known. Many tokens are
  // arithmetic: what was tried out with one says little about them.
  template <class Args>
  void Equip(const CpuWeight& weight, int worker, Args* args) {
    args->scratch = unpacked_[static_cast<size_t>(worker)].data();
    args->ahead = fetch_[args->m <= kFewRows ? weight.fetch : 0];
  }
  // Rows of a weight of so many that are handed out at once in a small step.
  uint32_t FewTileRows(const CpuWeight& weight) const;
  // Rows of a weight, from a panel's first one on, with `m` rows of activations; `out` is where the first of them goes,
  // `out_stride` the values from one activation row's results to the next one's.
  struct WeightRows {
    uint64_t begin, count;
  };
  void MultiplyRows(const CpuWeight& weight, WeightRows rows, const ProductInput& input, size_t m, float* out,
                    size_t out_stride, int worker);
  void MultiplySparseRows(const CpuWeight& weight, WeightRows rows, const ProductInput& input, size_t m, float* out,
                          size_t out_stride, int worker);
  // A tile of both products of a pair, for some rows of the step, and their gate.
  void MultiplyPairTile(const Instruction& pair, const Node& gate, WeightRows tile, const ProductInput& all, Range rows,
                        int worker);
  uint32_t NextOwnTile(uint32_t index, uint32_t tiles, int worker);
  // Rows of a step that belong to one session; they stand together, in the order of their positions.
  struct Segment {
    uint32_t row, rows;
  };
  // How attention over a segment is shared out: `tiles` of tokens for each key/value head, or `splits` of positions.
  struct SegmentCut {
    uint32_t tile_tokens = 0;
    uint32_t tiles = 0;
    uint32_t splits = 1;
    bool streams = false;  // short: reading the cache is what takes the time
    bool unit = false;     // by the matrix unit
  };
  SegmentCut CutOf(const Node& node, const Segment& segment, int worker);
  void FindSegments();
  static uint64_t AttentionScratch(const Graph& graph, bool unit);
  simd::AttentionArgs ArgsOf(const Node& node, uint32_t row, uint32_t tokens, uint32_t kv_head, int worker);
  void RunAttention(const Node& node, uint32_t index, int worker);
  void RunSplit(const simd::AttentionArgs& args, uint32_t row, uint32_t kv_head, uint32_t split, uint32_t splits);
  void RunElements(const Node& node, int worker);
  void RunMoe(const Node& node, uint32_t index, int worker);
  // Hand the inputs of the products of an instruction, or of a mixture of experts, to the observer, if there is one.
  void ObserveProducts(const Instruction& instruction);
  void ObserveExperts(const Node& node, bool down);
  void RouteRow(const Node& node, uint32_t row, int worker);
  void SortByExpert(const Node& node);
  // What the experts read: quantised rows in acts_, slot by slot, or float rows of x.
  struct ExpertInput {
    uint32_t experts;
    const uint32_t* first;        // (experts + 1)
    const uint32_t* row_of_slot;  // null: the slot's own row
    const float* x;
    size_t act_stride;  // bytes between quantised rows
  };
  void ExpertTiles(const CpuWeight& weight, const ExpertInput& input, float* out, uint32_t index, uint32_t lane,
                   int worker);

  // One row as products of this kind want it.
  void QuantizeRow(const float* x, uint32_t cols, ActKind kind, uint8_t* acts) const;
  // All rows that are not read as they are, for `input`.
  void QuantizeRows(const float* x, uint32_t cols, uint32_t rows, const CpuWeight& weight, int worker,
                    ProductInput* input);
  uint32_t NumRows(Rows rows) const {
    const size_t count = rows == Rows::kTokens    ? step_->positions.size()
                         : rows == Rows::kOutputs ? step_->outputs.size() + step_->hidden_rows.size()
                         : rows == Rows::kLogits  ? step_->outputs.size()
                                                  : step_->outputs.size() / graph_.merge();
    return static_cast<uint32_t>(count);
  }
  float* Values(ValueId id) {
    return plan_.value_offset[id] == UINT64_MAX ? step_->logits
                                                : reinterpret_cast<float*>(arena_.data() + plan_.value_offset[id]);
  }
  // Whether a value stands as a matrix unit's activations, and where. An observer is shown floats.
  bool IsUnitActs(ValueId id) const {
    return (unit_values_.Holds(id) || unit_values_.IsJoined(id)) && observer_.observe == nullptr;
  }
  uint8_t* UnitActs(ValueId id) {
    return unit_values_.IsJoined(id) ? acts_.data() : reinterpret_cast<uint8_t*>(Values(id));
  }
  // The kGate that the two products of an instruction are joined with, in this step; null: none.
  const Node* GateOf(uint32_t instruction) const;
  // [begin, end) of `count` for this worker: the same split in every phase, so that a worker finds its rows in its
  // cache.
  Range Split(uint32_t count, int worker) const {
    const uint64_t workers = static_cast<uint64_t>(workers_);
    const uint64_t w = static_cast<uint64_t>(worker);
    return {static_cast<uint32_t>(count * w / workers), static_cast<uint32_t>(count * (w + 1) / workers)};
  }
  // The next number of a counter of an instruction. It has several lanes: one per worker's region of tiles, or one per
  // phase of a mixture of experts.
  uint32_t NextTile(uint32_t instruction, uint32_t lane) {
    return counters_[lane * lane_counters_ + instruction].fetch_add(1, std::memory_order_relaxed);
  }

  const Plan& plan_;
  const Graph& graph_;
  const simd::KernelTable& kernels_;
  const std::vector<simd::FetchAhead> fetch_ = FetchCandidates();
  const simd::UnitKernels* const unit_;  // null: products do not run on one
  const bool unit_rounds_;               // and there numbers are one bfloat16
  const GatedPairs pairs_;
  const UnitValues unit_values_;
  ThreadPool& pool_;
  int workers_ = 1;  // of the pool, in this step
  CpuWeights weights_;
  std::string tuning_;
  std::unique_ptr<std::atomic<uint32_t>[]> counters_;  // lanes of lane_counters_ each, 0 before a step
  uint32_t lane_counters_ = 0;
  uint32_t num_counters_ = 0;

  Buffer arena_;
  Buffer acts_;
  std::vector<Buffer> own_acts_;           // per worker
  std::vector<Buffer> unpacked_;           // per worker: scratch of the matrix product
  std::vector<Buffer> pair_results_;       // per worker
  std::vector<Buffer> attention_scratch_;  // per worker
  LiveInput live_;
  Buffer rope_memory_;
  std::vector<RopeScratch> rope_;
  Buffer moe_memory_;
  const Step* step_ = nullptr;
  uint32_t first_phase_ = 0;  // of the part that runs
  uint32_t end_phase_ = 0;
  std::vector<Segment> segments_;  // of the step that runs; room for max_tokens

  // Of the mixture of experts that runs, laid out in moe_memory_.
  struct MoeScratch {
    float* router = nullptr;    // (rows, experts): logits, then probabilities
    int32_t* expert = nullptr;  // (rows, used): chosen, best first
    float* weight = nullptr;    // (rows, used)
    uint32_t* slot = nullptr;   // (rows, used): place of the pair among all, sorted by expert
    uint32_t* first = nullptr;  // (experts + 1): first slot of each expert
    uint32_t* row_of_slot = nullptr;
    float* gate = nullptr;  // (rows * used, ff)
    float* up = nullptr;    // (rows * used, ff)
    float* down = nullptr;  // (rows * used, width)
  };
  // Of a row of activations that experts read, of any kind.
  static size_t SlotBytes(uint64_t width, uint64_t ff) {
    const uint64_t widest = std::max(width, ff);
    return std::max(simd::A8RowBytes(widest), simd::R8RowBytes(widest));
  }
  static uint64_t MoeBytes(const Node& node, uint32_t rows, uint32_t width, uint64_t ff);
  MoeScratch MoeLayout(const Node& node);
  friend struct CpuScratch;
};

}  // namespace mote

#endif  // MOTE_TARGETS_CPU_CPU_PROGRAM_H_
