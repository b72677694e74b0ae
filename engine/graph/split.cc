#include "engine/graph/split.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/buffer.h"
#include "engine/graph/chunks.h"
#include "engine/graph/cut.h"

namespace mote {
namespace {

struct SplitPlans {
  GraphHalves graphs;
  Plan front;
  Plan back;
};

// Plans point at their graphs: made where they stay.
Status MakePlans(const Plan& plan, uint32_t front_layers, SplitPlans* plans) {
  MOTE_ASSIGN_OR_RETURN(plans->graphs, CutGraph(*plan.graph, front_layers));
  MOTE_ASSIGN_OR_RETURN(plans->front, MakePlan(plans->graphs.front, plan.max_tokens, plan.max_tokens));
  MOTE_ASSIGN_OR_RETURN(plans->back, MakePlan(plans->graphs.back, plan.max_tokens, plan.max_outputs));
  plans->front.cache = plans->back.cache = plan.cache;
  plans->front.fast_prompts = plans->back.fast_prompts = plan.fast_prompts;
  plans->front.persistent_steps = plans->back.persistent_steps = plan.persistent_steps;
  return Status();
}

class SplitCache : public KvCache {
 public:
  SplitCache(std::unique_ptr<KvCache> front, std::unique_ptr<KvCache> back)
      : front_(std::move(front)), back_(std::move(back)) {
    context_ = front_->context();
    bytes_ = front_->bytes() + back_->bytes();
  }
  void CopyPrefix(const KvCache& source, uint32_t length) override {
    const SplitCache& from = static_cast<const SplitCache&>(source);
    front_->CopyPrefix(*from.front_, length);
    back_->CopyPrefix(*from.back_, length);
  }
  KvCache* front() { return front_.get(); }
  KvCache* back() { return back_.get(); }

 private:
  std::unique_ptr<KvCache> front_;
  std::unique_ptr<KvCache> back_;
};

class SplitProgram : public Program {
 public:
  static Result<std::unique_ptr<SplitProgram>> Create(Backend& front, Backend& back, const Plan& plan,
                                                      uint32_t front_layers, const GgufFile& file,
                                                      const Context& context, const LoadProgress& progress) {
    std::unique_ptr<SplitProgram> program(new SplitProgram());
    MOTE_RETURN_IF_ERROR(MakePlans(plan, front_layers, &program->plans_));
    const Graph& back_graph = program->plans_.graphs.back;
    program->width_ = back_graph.input_cols();
    program->result_cols_ = back_graph.value(back_graph.result()).cols;
    MOTE_ASSIGN_OR_RETURN(program->crossing_,
                          Buffer::Create(uint64_t{plan.max_tokens} * program->width_ * sizeof(float), "crossing rows"));
    MOTE_ASSIGN_OR_RETURN(program->front_, front.Compile(program->plans_.front, file, context, progress));
    MOTE_ASSIGN_OR_RETURN(program->back_, back.Compile(program->plans_.back, file, context, progress));
    return program;
  }

  Result<std::unique_ptr<KvCache>> CreateKvCache(uint32_t context) override {
    MOTE_ASSIGN_OR_RETURN(std::unique_ptr<KvCache> front, front_->CreateKvCache(context));
    MOTE_ASSIGN_OR_RETURN(std::unique_ptr<KvCache> back, back_->CreateKvCache(context));
    return std::unique_ptr<KvCache>(new SplitCache(std::move(front), std::move(back)));
  }

  uint32_t max_best() const override { return back_->max_best(); }
  std::string tuning() const override { return front_->tuning() + back_->tuning(); }

  // Chunk by chunk: while the front computes the next rows, the back goes on with those before, if it can by itself.
  Status RunPart(const Step& step, uint32_t part, uint32_t parts) override {
    const Status status = RunUnits(step, part, parts);
    if (!status.ok()) static_cast<void>(back_->End());
    return status;
  }
  Status End() override { return back_->End(); }

 private:
  // Each chunk's front runs in the same number of units, and a part of the step is some of all these, or none.
  Status RunUnits(const Step& step, uint32_t part, uint32_t parts) {
    const uint32_t rows = static_cast<uint32_t>(step.positions.size());
    if (rows == 0) return Error(Code::kInternal, "a step without rows");
    const uint32_t chunk_rows = ChunkRows(step);
    const uint32_t chunks = (rows + chunk_rows - 1) / chunk_rows;
    const uint32_t units = std::max(parts / chunks, 1u);  // of a chunk
    const auto first_unit = [&](uint64_t p) { return static_cast<uint32_t>(p * chunks * units / parts); };
    if (part == 0) Start(step);
    for (uint32_t unit = first_unit(part); unit < first_unit(uint64_t{part} + 1); ++unit) {
      if (unit % units == 0) {
        const uint32_t first = cutter_.row();
        chunk_ = cutter_.Next(step, std::min(chunk_rows, rows - first), {result_cols_, width_, back_->max_best()});
        crossing_rows_ = crossing_.As<float>() + first * width_;
      }
      MOTE_RETURN_IF_ERROR(RunFront(unit % units, units));
      if (unit % units + 1 == units) MOTE_RETURN_IF_ERROR(BeginBack());
    }
    return part + 1 == parts ? back_->End() : Status();
  }

  void Start(const Step& step) {
    front_->Observe(observer_);
    back_->Observe(observer_);
    cutter_.Begin();
    front_caches_.clear();
    back_caches_.clear();
    for (KvCache* cache : step.caches) {
      SplitCache& both = static_cast<SplitCache&>(*cache);
      front_caches_.push_back(both.front());
      back_caches_.push_back(both.back());
    }
  }

  Status RunFront(uint32_t part, uint32_t parts) {
    all_rows_.clear();
    for (uint32_t row = 0; row < chunk_.positions.size(); ++row) all_rows_.push_back(row);
    Step own = chunk_;
    own.caches = front_caches_;
    own.outputs = all_rows_;
    own.hidden_rows = {};
    own.hidden = nullptr;
    own.enough = {};
    own.best = nullptr;
    own.logits = crossing_rows_;
    return front_->RunPart(own, part, parts);
  }

  Status BeginBack() {
    MOTE_RETURN_IF_ERROR(back_->End());  // of the chunk before
    inputs_.clear();
    for (size_t row = 0; row < chunk_.positions.size(); ++row) inputs_.push_back(crossing_rows_ + row * width_);
    under_way_ = chunk_;
    under_way_.caches = back_caches_;
    under_way_.inputs = inputs_;
    return back_->Begin(under_way_);
  }

  SplitPlans plans_;
  uint64_t width_ = 0;
  uint64_t result_cols_ = 0;
  Buffer crossing_;  // (max_tokens, width)
  std::unique_ptr<Program> front_;
  std::unique_ptr<Program> back_;
  std::vector<KvCache*> front_caches_;
  std::vector<KvCache*> back_caches_;
  StepCutter cutter_;
  Step chunk_;                      // that the front is at
  float* crossing_rows_ = nullptr;  // of this chunk
  std::vector<uint32_t> all_rows_;
  Step under_way_;  // the chunk that the back is at
  std::vector<const float*> inputs_;
};

class SplitBackend : public Backend {
 public:
  SplitBackend(Backend& front, Backend& back, uint32_t front_layers)
      : front_(front), back_(back), front_layers_(front_layers) {}

  const char* name() const override { return "split"; }
  std::string description() const override {
    return std::to_string(front_layers_) + " layers on " + front_.description() + ", the others on " +
           back_.description();
  }
  Result<MemoryNeed> Measure(const Plan& plan, uint32_t context) const override {
    if (plan.graph->cache_layers().size() <= front_layers_) return back_.Measure(plan, context);
    MOTE_ASSIGN_OR_RETURN(const SplitNeed need, MeasureSplit(front_, back_, plan, context, front_layers_));
    return MemoryNeed{need.front.weight_bytes + need.back.weight_bytes,
                      need.front.scratch_bytes + need.back.scratch_bytes,
                      need.front.cache_bytes + need.back.cache_bytes};
  }
  Result<std::unique_ptr<Program>> Compile(const Plan& plan, const GgufFile& file, const Context& context,
                                           const LoadProgress& progress) override {
    if (plan.graph->cache_layers().size() <= front_layers_) return back_.Compile(plan, file, context, progress);
    MOTE_ASSIGN_OR_RETURN(std::unique_ptr<SplitProgram> program,
                          SplitProgram::Create(front_, back_, plan, front_layers_, file, context, progress));
    return std::unique_ptr<Program>(std::move(program));
  }
  bool has_fast_prompts(const Plan& plan) const override {
    return front_.has_fast_prompts(plan) || back_.has_fast_prompts(plan);
  }
  const PixelKernels& pixel_kernels() const override { return front_.pixel_kernels(); }

 private:
  Backend& front_;
  Backend& back_;
  const uint32_t front_layers_;
};

}  // namespace

Result<SplitNeed> MeasureSplit(const Backend& front, const Backend& back, const Plan& plan, uint32_t context,
                               uint32_t front_layers) {
  SplitPlans plans;
  MOTE_RETURN_IF_ERROR(MakePlans(plan, front_layers, &plans));
  SplitNeed need;
  MOTE_ASSIGN_OR_RETURN(need.front, front.Measure(plans.front, context));
  MOTE_ASSIGN_OR_RETURN(need.back, back.Measure(plans.back, context));
  return need;
}

std::unique_ptr<Backend> CreateSplitBackend(Backend& front, Backend& back, uint32_t front_layers) {
  return std::make_unique<SplitBackend>(front, back, front_layers);
}

}  // namespace mote
