#include "engine/graph/split.h"

#include <string>
#include <utility>
#include <vector>

#include "engine/core/buffer.h"
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
    program->width_ = program->plans_.graphs.back.input_cols();
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

  // The first part is the front, in as many parts as there are but one; the last is the back.
  Status RunPart(const Step& step, uint32_t part, uint32_t parts) override {
    front_->Observe(observer_);
    back_->Observe(observer_);
    if (parts == 1) {
      MOTE_RETURN_IF_ERROR(RunFront(step, 0, 1));
      return RunBack(step);
    }
    return part + 1 < parts ? RunFront(step, part, parts - 1) : RunBack(step);
  }

 private:
  void TakeCaches(const Step& step, bool front) {
    caches_.clear();
    for (KvCache* cache : step.caches) {
      SplitCache& both = static_cast<SplitCache&>(*cache);
      caches_.push_back(front ? both.front() : both.back());
    }
  }

  Status RunFront(const Step& step, uint32_t part, uint32_t parts) {
    TakeCaches(step, true);
    rows_.clear();
    for (uint32_t row = 0; row < step.positions.size(); ++row) rows_.push_back(row);
    Step own = step;
    own.caches = caches_;
    own.outputs = rows_;
    own.hidden_rows = {};
    own.hidden = nullptr;
    own.enough = {};
    own.logits = crossing_.As<float>();
    return front_->RunPart(own, part, parts);
  }

  Status RunBack(const Step& step) {
    TakeCaches(step, false);
    inputs_.clear();
    for (size_t row = 0; row < step.positions.size(); ++row) inputs_.push_back(crossing_.As<float>() + row * width_);
    Step own = step;
    own.caches = caches_;
    own.inputs = inputs_;
    return back_->Run(own);
  }

  SplitPlans plans_;
  uint64_t width_ = 0;
  Buffer crossing_;
  std::unique_ptr<Program> front_;
  std::unique_ptr<Program> back_;
  std::vector<KvCache*> caches_;
  std::vector<uint32_t> rows_;
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
