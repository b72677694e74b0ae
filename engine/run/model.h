// A loaded model: its file, vocabulary, chat template, graph, and the program that runs it.
#ifndef MOTE_ENGINE_RUN_MODEL_H_
#define MOTE_ENGINE_RUN_MODEL_H_

#include <stdint.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/arch/arch.h"
#include "engine/core/context.h"
#include "engine/core/status.h"
#include "engine/format/activation_rules.h"
#include "engine/format/gguf.h"
#include "engine/graph/backend.h"
#include "engine/graph/plan.h"
#include "engine/run/chain_setup.h"
#include "engine/run/chat.h"
#include "engine/run/device.h"
#include "engine/run/prompt.h"
#include "engine/run/scheduler.h"
#include "engine/run/stepper.h"
#include "engine/run/vision.h"
#include "engine/text/chat_template.h"
#include "engine/text/tokenizer.h"

namespace mote {

struct ModelParams {
  int32_t threads = 0;        // 0: one per core that this process may use. [0, 1024]
  uint32_t context = 0;       // longest session, tokens; 0: what the model was trained for, at most 8192
  uint32_t max_batch = 512;   // rows of one step. [1, 8192]
  CacheTypes cache;           // kF16 or kQ8_0 each
  uint64_t memory_limit = 0;  // bytes for weights, scratch and one session's cache; 0: no limit
  std::string isa;            // see CreateCpuBackend
  SparsePath sparse = SparsePath::kAuto;
  bool dynamic_sparsity = false;  // as the file's activation rules say; on the CPU
  bool fast_prompts = false;      // Plan::fast_prompts; where there is no faster way, prompts are read as ever
  bool persistent_steps = false;  // Plan::persistent_steps
  Tuning tuning;                  // of the CPU's part
  DeviceRequest device;
  ChainParams chain;  // of the lead: others hold some of the layers
  LogSink log;
  LoadProgress progress;
};

// What loading will need; also the table in the refusal when it is over the limit.
struct MemoryReport {
  uint64_t weight_bytes = 0;
  uint64_t scratch_bytes = 0;
  uint64_t cache_bytes = 0;  // of one session at full context
  uint64_t total() const { return weight_bytes + scratch_bytes + cache_bytes; }
};

// Thread-safe after Load: sessions of one model may run from many threads.
class Model {
 public:
  // kOutOfMemory, with a table of what needs what, where it would be over params.memory_limit.
  static Result<std::unique_ptr<Model>> Load(std::unique_ptr<GgufFile> file, const ModelParams& params);
  // What Load would need, without loading; a header is enough (GgufFile::FromSourcesHeaderOnly).
  static Result<MemoryReport> Estimate(std::unique_ptr<GgufFile> file, const ModelParams& params);
  // What AttachVision would add to it, whatever the model.
  static Result<MemoryReport> EstimateVision(const GgufFile& file, const ModelParams& params,
                                             const VisionParams& vision);
  ~Model();

  // Prompts are read by a matrix unit: their tokens, and what is generated behind them, have other logits in the last
  // bits than if they had been generated.
  bool fast_prompts() const { return fast_prompts_; }
  const GgufFile& file() const { return *file_; }
  const HyperParams& hyper() const { return hyper_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  // Null where the file carries none that parses (template_error() says why).
  const ChatTemplate* chat_template() const { return chat_template_.get(); }
  const std::string& template_error() const { return template_error_; }
  uint32_t context() const { return context_; }
  uint32_t vocab_size() const { return hyper_.vocab_size; }
  uint32_t max_batch() const { return plan_.max_tokens; }
  uint32_t image_cols() const { return graph_.input_cols(); }  // floats of a row of an image
  bool has_axes() const { return graph_.has_axes(); }
  int threads() const { return pool_->num_workers(); }
  std::string backend_description() const { return backend().description(); }
  // Why it runs where it does, and what of a GPU's memory it takes.
  const DeviceChoice& device() const { return chain_ != nullptr ? chain_->device() : device_; }
  const MemoryReport& memory() const { return memory_; }
  Scheduler& scheduler() { return *scheduler_; }
  Stepper& stepper() { return *stepper_; }
  Program& program() { return *program_; }
  const Program& program() const { return *program_; }
  const Platform& platform() const { return *platform_; }

  // Gives the model eyes: `file` is the vision file ("mmproj") that belongs to it. Once, before anything else uses the
  // model from another thread. kOutOfMemory as for Load.
  Status AttachVision(std::unique_ptr<GgufFile> file, const VisionParams& params);
  // Null without.
  Vision* vision() const { return vision_.get(); }

  // Text and images to a prompt: each image stands where the text has kImageMark, as the family wants it.
  Result<Prompt> EncodeText(std::string_view text, const EncodeOptions& options,
                            std::span<const EncodedImage> images) const;
  // Messages and images to a prompt; see EncodeChatPieces.
  Result<Prompt> EncodeChat(const ChatInput& input, std::span<const EncodedImage> images) const;

  // With this model's vocabulary and template; see engine/run/chat.h.
  Result<std::vector<int32_t>> EncodeChat(const ChatInput& input) const {
    return mote::EncodeChat(*file_, *tokenizer_, chat_template_.get(), input);
  }

 private:
  Model() = default;
  // Everything up to the point where weights would be loaded.
  static Result<std::unique_ptr<Model>> Prepare(std::unique_ptr<GgufFile> file, const ModelParams& params,
                                                bool shapes_only);
  Status TakeActivationRules();
  Context MakeContext() const;
  Backend& local_backend() const { return device().backend != nullptr ? *device().backend : *cpu_; }
  Backend& backend() const { return chain_ != nullptr ? chain_->backend() : local_backend(); }
  // Where a tower runs: on the GPU where the whole model does, or all of it that is here.
  Backend& tower_backend() const { return device().gpu != nullptr ? *cpu_ : local_backend(); }
  Result<Prompt> Interleave(std::vector<std::vector<int32_t>> pieces, std::span<const EncodedImage> images) const;

  std::unique_ptr<Platform> platform_;
  std::unique_ptr<ThreadPool> pool_;
  std::unique_ptr<GgufFile> file_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<ChatTemplate> chat_template_;
  std::string template_error_;
  HyperParams hyper_;
  Graph graph_;
  bool fast_prompts_ = false;
  ActivationRules activations_;  // read where dynamic sparsity is on
  Plan plan_;
  std::unique_ptr<Backend> cpu_;
  DeviceChoice device_;
  std::unique_ptr<ChainLead> chain_;
  std::unique_ptr<Program> program_;
  Scheduler::Limits limits_;
  std::unique_ptr<Scheduler> scheduler_;
  std::unique_ptr<Stepper> stepper_;
  LogSink log_;
  std::unique_ptr<Vision> vision_;  // before what it was made with
  MemoryReport memory_;
  uint64_t memory_limit_ = 0;
  uint32_t context_ = 0;
};

}  // namespace mote

#endif  // MOTE_ENGINE_RUN_MODEL_H_
