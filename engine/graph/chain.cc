#include "engine/graph/chain.h"

#include <string.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <utility>

#include "engine/graph/chunks.h"

namespace mote {
namespace {

// Chunks that the others have not answered for yet. Bounds what waits in their memory: at 128 rows of 4096 floats, 2
// MiB each.
constexpr size_t kMostInFlight = 16;

class ChainCache : public KvCache {
 public:
  ChainCache(std::unique_ptr<KvCache> front, uint32_t number, Transport& transport)
      : front_(std::move(front)), number_(number), transport_(transport) {
    context_ = front_->context();
    bytes_ = front_->bytes();
  }
  // A lost rank is told to the next step; there is nobody here to tell.
  ~ChainCache() override {
    WireWriter writer(ChainWord::kDropCache);
    writer.Put(number_);
    (void)transport_.Send(1, writer.bytes());
  }
  void CopyPrefix(const KvCache& source, uint32_t length) override {
    const ChainCache& from = static_cast<const ChainCache&>(source);
    front_->CopyPrefix(*from.front_, length);
    WireWriter writer(ChainWord::kCopyPrefix);
    writer.Put(number_);
    writer.Put(from.number_);
    writer.Put(length);
    (void)transport_.Send(1, writer.bytes());
  }
  KvCache* front() { return front_.get(); }
  uint32_t number() const { return number_; }

 private:
  std::unique_ptr<KvCache> front_;
  const uint32_t number_;
  Transport& transport_;
};

class ChainProgram : public Program {
 public:
  static Result<std::unique_ptr<Program>> Create(Backend& local, Transport& transport, const Plan& plan,
                                                 const ChainLeadParams& params, const GgufFile& file,
                                                 const Context& context, const LoadProgress& progress) {
    std::unique_ptr<ChainProgram> program(new ChainProgram(transport));
    ChainProgram& p = *program;
    p.width_ = params.front->graph->value(params.front->graph->result()).cols;
    p.result_cols_ = plan.graph->value(plan.graph->result()).cols;
    MOTE_ASSIGN_OR_RETURN(p.front_, local.Compile(*params.front, file, context, progress));
    if (params.ready != nullptr) MOTE_RETURN_IF_ERROR(params.ready(params.ready_user));
    return std::unique_ptr<Program>(std::move(program));
  }
  ~ChainProgram() override { (void)transport_.Send(1, WireWriter(ChainWord::kEnd).bytes()); }

  Result<std::unique_ptr<KvCache>> CreateKvCache(uint32_t context) override {
    MOTE_ASSIGN_OR_RETURN(std::unique_ptr<KvCache> front, front_->CreateKvCache(context));
    const uint32_t number = next_cache_.fetch_add(1);
    WireWriter writer(ChainWord::kMakeCache);
    writer.Put(number);
    writer.Put(context);
    MOTE_RETURN_IF_ERROR(transport_.Send(1, writer.bytes()));
    return std::unique_ptr<KvCache>(new ChainCache(std::move(front), number, transport_));
  }

  std::string tuning() const override { return front_->tuning(); }

  // All of it in the first part: the others have what was sent at once.
  Status RunPart(const Step& step, uint32_t part, uint32_t parts) override {
    if (part > 0) return Status();
    if (broken_.ok()) broken_ = RunAll(step);
    // For good: some rank lacks rows of some cache, and nobody here knows whose.
    return broken_;
  }

 private:
  // Results of a chunk that will come.
  struct Pending {
    uint32_t chunk = 0;
    float* logits = nullptr;
    size_t outputs = 0;
    float* hidden = nullptr;
    size_t hidden_rows = 0;
  };

  explicit ChainProgram(Transport& transport) : transport_(transport) {}

  Status RunAll(const Step& step) {
    front_->Observe(observer_);
    TakeCaches(step);
    const uint32_t rows = static_cast<uint32_t>(step.positions.size());
    const uint32_t chunk_rows = ChunkRows(step);
    cutter_.Begin();
    while (cutter_.row() < rows) MOTE_RETURN_IF_ERROR(SendChunk(step, std::min(chunk_rows, rows - cutter_.row())));
    if (step.outputs.empty() && step.hidden_rows.empty()) return Status();
    while (!pending_.empty()) MOTE_RETURN_IF_ERROR(ReceiveOne());
    return Status();
  }

  void TakeCaches(const Step& step) {
    caches_.clear();
    numbers_.clear();
    for (KvCache* cache : step.caches) {
      ChainCache& both = static_cast<ChainCache&>(*cache);
      caches_.push_back(both.front());
      numbers_.push_back(both.number());
    }
  }

  Status SendChunk(const Step& step, uint32_t count) {
    Step own = cutter_.Next(step, count, {result_cols_, width_});
    const Pending pending = {next_chunk_++, own.logits, own.outputs.size(), own.hidden, own.hidden_rows.size()};
    own.caches = caches_;
    WireWriter writer(ChainWord::kStep);
    ChainRows rows;
    rows.chunk = pending.chunk;
    rows.caches = numbers_;
    rows.step = own;
    own.logits = WriteRows(rows, width_, &writer);
    own.hidden_rows = {};
    own.hidden = nullptr;
    all_rows_.clear();
    for (uint32_t row = 0; row < count; ++row) all_rows_.push_back(row);
    own.outputs = all_rows_;
    MOTE_RETURN_IF_ERROR(front_->Run(own));
    MOTE_RETURN_IF_ERROR(transport_.Send(1, writer.bytes()));
    pending_.push_back(pending);
    while (pending_.size() > kMostInFlight) MOTE_RETURN_IF_ERROR(ReceiveOne());
    return Status();
  }

  Status ReceiveOne() {
    MOTE_ASSIGN_OR_RETURN(const std::span<const uint8_t> message, transport_.Receive(transport_.ranks() - 1));
    WireReader reader(message);
    const ChainWord word = reader.Word();
    uint32_t chunk = 0;
    if (word == ChainWord::kFailed) return ReadFailure(reader, &chunk);
    const Pending pending = pending_.front();
    pending_.pop_front();
    chunk = reader.Take();
    const std::span<const float> logits = reader.TakeAll<float>(pending.outputs * result_cols_);
    const std::span<const float> hidden = reader.TakeAll<float>(pending.hidden_rows * width_);
    if (word != ChainWord::kResult || chunk != pending.chunk || !reader.done()) {
      return Error(Code::kMalformed, "rank %d: an answer of %zu bytes that is not that of chunk %u",
                   transport_.ranks() - 1, message.size(), pending.chunk);
    }
    std::copy(logits.begin(), logits.end(), pending.logits);
    std::copy(hidden.begin(), hidden.end(), pending.hidden);
    return Status();
  }

  Transport& transport_;
  uint64_t width_ = 0;
  uint64_t result_cols_ = 0;
  std::unique_ptr<Program> front_;
  std::atomic<uint32_t> next_cache_{0};
  uint32_t next_chunk_ = 0;
  std::deque<Pending> pending_;
  Status broken_;
  std::vector<KvCache*> caches_;
  std::vector<uint32_t> numbers_;
  StepCutter cutter_;
  std::vector<uint32_t> all_rows_;
};

class ChainBackend : public Backend {
 public:
  ChainBackend(Backend& local, Transport& transport, const ChainLeadParams& params)
      : local_(local), transport_(transport), params_(params) {}

  const char* name() const override { return "chain"; }
  std::string description() const override {
    return std::to_string(params_.front->graph->cache_layers().size()) + " layers here on " + local_.description() +
           params_.others;
  }
  Result<MemoryNeed> Measure(const Plan& plan, uint32_t context) const override {
    if (plan.graph->cache_layers().empty()) return local_.Measure(plan, context);
    return local_.Measure(*params_.front, context);
  }
  Result<std::unique_ptr<Program>> Compile(const Plan& plan, const GgufFile& file, const Context& context,
                                           const LoadProgress& progress) override {
    if (plan.graph->cache_layers().empty()) return local_.Compile(plan, file, context, progress);
    return ChainProgram::Create(local_, transport_, plan, params_, file, context, progress);
  }
  const PixelKernels& pixel_kernels() const override { return local_.pixel_kernels(); }

 private:
  Backend& local_;
  Transport& transport_;
  const ChainLeadParams params_;
};

}  // namespace

std::unique_ptr<Backend> CreateChainBackend(Backend& local, Transport& transport, const ChainLeadParams& params) {
  return std::make_unique<ChainBackend>(local, transport, params);
}

}  // namespace mote
