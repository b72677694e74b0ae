#include "engine/run/model.h"

#include <algorithm>

#include "engine/core/checked.h"

namespace mote {
namespace {

constexpr uint32_t kDefaultContext =
    8192;  // a cache that an 8 GB board can hold beside a model of a few billion values
// Rows whose logits one step can give. A vocabulary of 128 k makes 32 rows 16 MiB; perplexity gains nothing from more.
constexpr uint32_t kMaxOutputs = 32;

// A limit as it was asked for: one below a MiB is no MiB at all.
std::string DescribeLimit(uint64_t bytes) {
  return bytes < 1 << 20 ? std::to_string(bytes) + " bytes" : std::to_string(bytes >> 20) + " MiB";
}

// A table in one line: what needs what.
std::string Describe(const MemoryReport& m) {
  const auto mib = [](uint64_t bytes) { return std::to_string((bytes + (1 << 20) - 1) >> 20) + " MiB"; };
  return "weights " + mib(m.weight_bytes) + ", scratch " + mib(m.scratch_bytes) + ", cache " + mib(m.cache_bytes) +
         ", together " + mib(m.total());
}

Status CheckParams(const ModelParams& params) {
  if (params.threads < 0 || params.threads > 1024) {
    return Error(Code::kInvalidArgument, "%d threads; 0 (one per core) to 1024 are possible", params.threads);
  }
  if (params.max_batch == 0 || params.max_batch > 8192) {
    return Error(Code::kInvalidArgument, "a batch of %u rows; 1 to 8192 are possible", params.max_batch);
  }
  if (params.context > (1u << 24)) {
    return Error(Code::kInvalidArgument, "a context of %u tokens; up to %u are possible", params.context, 1u << 24);
  }
  return Status();
}

}  // namespace

Model::~Model() = default;

Result<std::unique_ptr<Model>> Model::Prepare(std::unique_ptr<GgufFile> file, const ModelParams& params,
                                              bool shapes_only) {
  MOTE_RETURN_IF_ERROR(CheckParams(params));
  for (const TensorInfo& tensor : file->tensors()) {  // a header alone lets them through
    if (DTypeInfoOf(tensor.type)->block_values != 0) continue;
    return Error(Code::kUnsupported, "tensor \"%s\": number format %s (%u) is not supported", tensor.name.c_str(),
                 DTypeName(tensor.type), static_cast<uint32_t>(tensor.type));
  }
  std::unique_ptr<Model> model(new Model());
  Model& m = *model;
  m.file_ = std::move(file);
  m.platform_ = CreatePlatform();
  MOTE_ASSIGN_OR_RETURN(m.hyper_, ReadHyperParams(*m.file_));
  m.context_ = params.context != 0 ? params.context : std::min(m.hyper_.context_train, kDefaultContext);
  MOTE_RETURN_IF_ERROR(BuildGraph({*m.file_, m.hyper_, m.context_, shapes_only}, &m.graph_));
  const uint32_t batch = std::min(params.max_batch, m.context_);
  MOTE_ASSIGN_OR_RETURN(m.plan_, MakePlan(m.graph_, batch, batch));
  m.plan_.cache = params.cache;
  DeviceRequest device = params.device;
  device.sparse = params.sparse;
  m.plan_.fast_prompts = params.fast_prompts;
  m.plan_.persistent_steps = params.persistent_steps;
  if (params.fast_prompts && params.chain.transport != nullptr) {
    return Error(Code::kUnsupported, "fast prompts need all layers in one process; leave out one of the two");
  }
  if (params.dynamic_sparsity) {
    if (device.device != "auto" && device.device != "cpu") {
      return Error(Code::kUnsupported, "device \"%s\": dynamic sparsity runs on the CPU alone",
                   device.device.substr(0, 64).c_str());
    }
    if (params.chain.transport != nullptr) {
      return Error(Code::kUnsupported, "dynamic sparsity needs all layers in one process; leave out one of the two");
    }
    MOTE_RETURN_IF_ERROR(m.TakeActivationRules());
    device.device = "cpu";
  }

  MOTE_ASSIGN_OR_RETURN(m.pool_, m.platform_->CreateThreadPool(params.threads));
  m.log_ = params.log;
  m.memory_limit_ = params.memory_limit;
  const Context context = m.MakeContext();
  MOTE_ASSIGN_OR_RETURN(m.cpu_, CreateCpuBackend(context, params.isa, params.sparse, params.tuning));
  if (params.chain.transport != nullptr && !shapes_only) {
    MOTE_ASSIGN_OR_RETURN(m.chain_,
                          ChainLead::Create(params.chain, device, *m.file_, m.plan_, m.context_, *m.cpu_, context));
  } else {
    MOTE_ASSIGN_OR_RETURN(m.device_, ChooseDevice(device, m.plan_, m.context_, *m.cpu_));
  }
  m.fast_prompts_ = m.backend().has_fast_prompts(m.plan_);
  MOTE_ASSIGN_OR_RETURN(const MemoryNeed need, m.backend().Measure(m.plan_, m.context_));
  // The scheduler's results are as much scratch as the backend's arena.
  m.limits_ = {batch, std::min(batch, kMaxOutputs), m.hyper_.vocab_size, m.hyper_.width};
  const uint64_t logits_bytes = uint64_t{m.limits_.max_outputs} * m.hyper_.vocab_size * sizeof(float);
  const uint64_t hidden_bytes = uint64_t{batch} * m.hyper_.width * sizeof(float);
  m.memory_ = {need.weight_bytes, need.scratch_bytes + logits_bytes + hidden_bytes, need.cache_bytes};
  return model;
}

Status Model::TakeActivationRules() {
  MOTE_ASSIGN_OR_RETURN(activations_, ReadActivationRules(*file_));
  if (activations_.rules.empty()) {
    return Error(Code::kNotFound,
                 "%s has no thresholds for dynamic sparsity (mote.dynamic.*); mote sparsify --activations makes them",
                 file_->name().c_str());
  }
  plan_.activations = &activations_;
  return Status();
}

Context Model::MakeContext() const {
  Context context;
  context.platform = platform_.get();
  context.pool = pool_.get();
  context.log = log_;
  return context;
}

Result<MemoryReport> Model::Estimate(std::unique_ptr<GgufFile> file, const ModelParams& params) {
  MOTE_ASSIGN_OR_RETURN(std::unique_ptr<Model> model, Prepare(std::move(file), params, /*shapes_only=*/true));
  return model->memory_;
}

Result<MemoryReport> Model::EstimateVision(const GgufFile& file, const ModelParams& params,
                                           const VisionParams& vision) {
  MOTE_RETURN_IF_ERROR(CheckParams(params));
  std::unique_ptr<Model> model(new Model());  // for its parts alone
  model->platform_ = CreatePlatform();
  MOTE_ASSIGN_OR_RETURN(model->pool_, model->platform_->CreateThreadPool(params.threads));
  MOTE_ASSIGN_OR_RETURN(model->cpu_, CreateCpuBackend(model->MakeContext(), params.isa, params.sparse));
  MOTE_ASSIGN_OR_RETURN(const MemoryNeed need, Vision::Estimate(file, *model->cpu_, vision));
  return MemoryReport{need.weight_bytes, need.scratch_bytes + need.cache_bytes, 0};
}

Result<std::unique_ptr<Model>> Model::Load(std::unique_ptr<GgufFile> file, const ModelParams& params) {
  MOTE_ASSIGN_OR_RETURN(std::unique_ptr<Model> model, Prepare(std::move(file), params, /*shapes_only=*/false));
  Model& m = *model;
  if (params.memory_limit != 0 && m.memory_.total() > params.memory_limit) {
    return Error(Code::kOutOfMemory, "%s does not fit the limit of %s: %s. A smaller context or batch needs less",
                 m.file_->name().c_str(), DescribeLimit(params.memory_limit).c_str(), Describe(m.memory_).c_str());
  }
  MOTE_ASSIGN_OR_RETURN(m.tokenizer_, Tokenizer::Create(*m.file_));
  if (static_cast<uint32_t>(m.tokenizer_->vocab_size()) > m.hyper_.vocab_size) {
    return Error(Code::kMalformed, "the vocabulary has %d tokens but token_embd.weight only %u rows",
                 m.tokenizer_->vocab_size(), m.hyper_.vocab_size);
  }
  // A template that does not parse must not keep the model from completing plain text.
  MOTE_ASSIGN_OR_RETURN(const std::string source, m.file_->StringOr("tokenizer.chat_template", ""));
  if (!source.empty()) {
    Result<std::unique_ptr<ChatTemplate>> parsed = ChatTemplate::Parse(source);
    if (parsed.ok()) {
      m.chat_template_ = std::move(parsed).value();
    } else {
      m.template_error_ = parsed.status().message();
    }
  }
  const Context context = m.MakeContext();
  MOTE_ASSIGN_OR_RETURN(m.program_, m.backend().Compile(m.plan_, *m.file_, context, params.progress));
  m.limits_.few_workers = params.threads == 0;  // who names a number of threads gets them for every step
  m.limits_.clock = &m.platform_->clock();
  m.scheduler_ = std::make_unique<Scheduler>(*m.program_, m.platform_->CreateMonitor(), m.pool_.get(), m.limits_,
                                             StepWork(m.graph_));
  m.stepper_ = std::make_unique<Stepper>(*m.scheduler_, m.platform_->CreateMonitor());
  if (params.device.device != "cpu") Log(context, LogLevel::kInfo, "device: %s", m.device().reason.c_str());
  if (params.persistent_steps && m.device_.gpu_layers == 0) {
    Log(context, LogLevel::kWarning, "persistent steps: no layer of this model is on a GPU; they are as ever");
  }
  if (params.fast_prompts && !m.fast_prompts_) {
    Log(context, LogLevel::kWarning,
        "fast prompts: there is no matrix unit for this model here; they are read as ever");
  }
  Log(context, LogLevel::kInfo, "%s on %s: %s", m.hyper_.architecture.c_str(), m.backend().description().c_str(),
      Describe(m.memory_).c_str());
  return model;
}

Status Model::AttachVision(std::unique_ptr<GgufFile> file, const VisionParams& params) {
  if (vision_ != nullptr) return Error(Code::kInvalidArgument, "the model has a vision file already");
  Vision::Host host;
  host.context = MakeContext();
  host.backend = &tower_backend();
  host.scheduler = scheduler_.get();
  host.tokenizer = tokenizer_.get();
  host.image_cols = image_cols();
  host.architecture = hyper_.architecture;
  MOTE_ASSIGN_OR_RETURN(const MemoryNeed need, Vision::Estimate(*file, tower_backend(), params));
  MemoryReport both = memory_;
  both.weight_bytes += need.weight_bytes;
  both.scratch_bytes += need.scratch_bytes + need.cache_bytes;
  if (memory_limit_ != 0 && both.total() > memory_limit_) {
    return Error(Code::kOutOfMemory, "%s does not fit the limit of %s: with the model, %s", file->name().c_str(),
                 DescribeLimit(memory_limit_).c_str(), Describe(both).c_str());
  }
  MOTE_ASSIGN_OR_RETURN(vision_, Vision::Load(std::move(file), host, params));
  memory_ = both;
  Log(host.context, LogLevel::kInfo, "vision tower %s: %s", vision_->tower().projector_name.c_str(),
      Describe({need.weight_bytes, need.scratch_bytes, need.cache_bytes}).c_str());
  return {};
}

Result<Prompt> Model::Interleave(std::vector<std::vector<int32_t>> pieces, std::span<const EncodedImage> images) const {
  Prompt prompt;
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (i > 0) MOTE_RETURN_IF_ERROR(vision_->Append(images[i - 1], &prompt));
    prompt.Append(pieces[i]);
  }
  return prompt;
}

Result<Prompt> Model::EncodeText(std::string_view text, const EncodeOptions& options,
                                 std::span<const EncodedImage> images) const {
  MOTE_ASSIGN_OR_RETURN(const std::vector<std::string_view> texts, CutAtImages(text, images.size()));
  std::vector<std::vector<int32_t>> pieces;
  for (size_t i = 0; i < texts.size(); ++i) {
    EncodeOptions own = options;
    own.add_special = false;
    MOTE_ASSIGN_OR_RETURN(std::vector<int32_t> tokens, tokenizer_->Encode(texts[i], texts.size() == 1 ? options : own));
    pieces.push_back(std::move(tokens));
  }
  if (pieces.size() > 1 && options.add_special && tokenizer_->add_bos() && tokenizer_->bos() != kNoToken) {
    pieces[0].insert(pieces[0].begin(), tokenizer_->bos());
  }
  return Interleave(std::move(pieces), images);
}

Result<Prompt> Model::EncodeChat(const ChatInput& input, std::span<const EncodedImage> images) const {
  MOTE_ASSIGN_OR_RETURN(std::vector<std::vector<int32_t>> pieces,
                        EncodeChatPieces(*file_, *tokenizer_, chat_template_.get(), input, images.size()));
  return Interleave(std::move(pieces), images);
}

}  // namespace mote
