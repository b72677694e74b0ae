#include "engine/run/chain_setup.h"

#include <string.h>

#include <algorithm>
#include <utility>

#include "engine/arch/arch.h"
#include "engine/core/sha256.h"
#include "engine/graph/gpu.h"
#include "engine/graph/read_rate.h"
#include "engine/run/model.h"

namespace mote {
namespace {

// A file's name by its contents: all of the tensors' descriptions, and the first bytes of each. Two quantisations or
// trainings of one model differ in these; reading all of it would take as long as loading.
constexpr uint64_t kSampleBytes = 256;

Result<Sha256Digest> Fingerprint(const GgufFile& file) {
  Sha256 sha;
  sha.UpdateUint(file.file_bytes());
  for (const TensorInfo& tensor : file.tensors()) {
    sha.Update(tensor.name);
    sha.UpdateUint(static_cast<uint64_t>(tensor.type));
    sha.UpdateUint(tensor.bytes);
    MOTE_ASSIGN_OR_RETURN(const std::span<const uint8_t> bytes, file.TensorBytes(tensor));
    sha.Update(bytes.first(static_cast<size_t>(std::min<uint64_t>(bytes.size(), kSampleBytes))));
  }
  return sha.Finish();
}

Result<ChainAbility> MeasureAbility(const DeviceRequest& device, uint64_t free_bytes, const Backend& cpu,
                                    const Context& context) {
  ChainAbility ability;
  if (device.device != "cpu" && device.gpu_layers != 0) {
    const Result<GpuInfo> gpu = ReadGpu(GpuIndex(device.device));
    if (gpu.ok() && gpu->unusable.empty() && gpu->bytes_per_second > 0) {
      return ChainAbility{gpu->bytes_per_second, gpu->free_bytes, gpu->name};
    }
  }
  MOTE_ASSIGN_OR_RETURN(ability.bytes_per_second, MeasureReadRate(context));
  ability.free_bytes = free_bytes;
  ability.description = cpu.description();
  return ability;
}

WireWriter WriteHello(const Sha256Digest& file, const ChainAbility& ability) {
  WireWriter writer(ChainWord::kHello);
  uint32_t words[8];
  static_assert(sizeof(words) == sizeof(Sha256Digest));
  memcpy(words, file.data(), sizeof(words));
  writer.PutAll(std::span<const uint32_t>(words));
  writer.PutDouble(ability.bytes_per_second);
  writer.PutLong(ability.free_bytes);
  writer.PutText(ability.description);
  return writer;
}

// The layers of one rank, and what its sessions are.
struct ChainShare {
  uint32_t first = 0;
  uint32_t layers = 0;
  uint32_t context = 0;
  uint32_t max_batch = 0;
  uint32_t max_outputs = 0;
  CacheTypes cache;
};

WireWriter WriteShare(const ChainShare& share) {
  WireWriter writer(ChainWord::kShare);
  for (const uint32_t value : {share.first, share.layers, share.context, share.max_batch, share.max_outputs,
                               static_cast<uint32_t>(share.cache.keys), static_cast<uint32_t>(share.cache.values)}) {
    writer.Put(value);
  }
  return writer;
}

// Layers and batch are checked where graphs are cut and planned.
Result<ChainShare> ReadShare(WireReader& reader) {
  ChainShare share;
  for (uint32_t* value : {&share.first, &share.layers, &share.context, &share.max_batch, &share.max_outputs}) {
    *value = reader.Take();
  }
  share.cache.keys = static_cast<DType>(reader.Take());
  share.cache.values = static_cast<DType>(reader.Take());
  const bool types = (share.cache.keys == DType::kF16 || share.cache.keys == DType::kQ8_0) &&
                     (share.cache.values == DType::kF16 || share.cache.values == DType::kQ8_0);
  if (!reader.done() || !types || share.context == 0 || share.context > (1u << 24) || share.max_batch > 8192) {
    return Error(Code::kMalformed, "the lead's plan cannot be read");
  }
  return share;
}

std::string NameOf(int rank) {
  return "rank " + std::to_string(rank);
}

// What the rank behind, at `first`, makes of the model.
Result<Graph> GraphOf(const Graph& whole, uint32_t first, uint32_t layers) {
  MOTE_ASSIGN_OR_RETURN(GraphHalves halves, CutGraph(whole, first));
  if (halves.back.cache_layers().size() == layers) return std::move(halves.back);
  MOTE_ASSIGN_OR_RETURN(GraphHalves inner, CutGraph(halves.back, layers));
  return std::move(inner.front);
}

}  // namespace

Result<std::unique_ptr<ChainLead>> ChainLead::Create(const ChainParams& params, const DeviceRequest& device,
                                                     const GgufFile& file, const Plan& plan, uint32_t context_tokens,
                                                     Backend& cpu, const Context& context) {
  if (params.transport->rank() != 0 || params.transport->ranks() < 2) {
    return Error(Code::kInvalidArgument, "rank %d of %d cannot lead; rank 0 of two or more can",
                 params.transport->rank(), params.transport->ranks());
  }
  std::unique_ptr<ChainLead> made(new ChainLead(params, cpu));
  ChainLead& lead = *made;
  MOTE_ASSIGN_OR_RETURN(ChainAbility own, MeasureAbility(device, params.free_bytes, cpu, context));
  lead.ranks_.push_back(std::move(own));
  Status status = lead.HearAll(file);
  if (status.ok()) status = lead.Share(plan, context_tokens);
  if (!status.ok()) {  // the others wait for a plan
    for (int rank = 1; rank < params.transport->ranks(); ++rank) {
      (void)params.transport->Send(rank, WireWriter(ChainWord::kEnd).bytes());
    }
    return status;
  }
  MOTE_ASSIGN_OR_RETURN(lead.graphs_, CutGraph(*plan.graph, lead.layers_[0]));
  MOTE_ASSIGN_OR_RETURN(lead.plan_, MakePlan(lead.graphs_.front, plan.max_tokens, plan.max_tokens));
  lead.plan_.cache = plan.cache;
  MOTE_ASSIGN_OR_RETURN(lead.device_, ChooseDevice(device, lead.plan_, context_tokens, cpu));
  ChainLeadParams chain;
  chain.front = &lead.plan_;
  for (size_t rank = 1; rank < lead.ranks_.size(); ++rank) {
    chain.others += ", " + std::to_string(lead.layers_[rank]) + " on rank " + std::to_string(rank) + ": " +
                    lead.ranks_[rank].description;
  }
  chain.ready = [](void* self) { return static_cast<ChainLead*>(self)->AwaitReady(); };
  chain.ready_user = &lead;
  Backend& local = lead.device_.backend != nullptr ? *lead.device_.backend : cpu;
  lead.backend_ = CreateChainBackend(local, lead.transport_, chain);
  return made;
}

Result<ChainLead::Answer> ChainLead::Hear(int rank) {
  MOTE_ASSIGN_OR_RETURN(const std::span<const uint8_t> message, transport_.Receive(rank));
  Answer answer = {WireReader(message), ChainWord::kFailed};
  answer.word = answer.rest.Word();
  uint32_t chunk = 0;
  if (answer.word == ChainWord::kFailed) return ReadFailure(answer.rest, &chunk).Within(NameOf(rank));
  return answer;
}

Status ChainLead::HearAll(const GgufFile& file) {
  MOTE_ASSIGN_OR_RETURN(const Sha256Digest own, Fingerprint(file));
  for (int rank = 1; rank < transport_.ranks(); ++rank) {
    const std::string name = NameOf(rank);
    MOTE_ASSIGN_OR_RETURN(Answer answer, Hear(rank));
    WireReader& reader = answer.rest;
    if (answer.word != ChainWord::kHello) {
      return Error(Code::kUnsupported, "%s: runs another version of mote; all must run the same", name.c_str());
    }
    const std::span<const uint32_t> file_words = reader.TakeAll<uint32_t>(own.size() / sizeof(uint32_t));
    ChainAbility ability;
    ability.bytes_per_second = reader.TakeDouble();
    ability.free_bytes = reader.TakeLong();
    ability.description = reader.TakeText();
    if (!reader.done()) return Error(Code::kMalformed, "%s: a greeting that cannot be read", name.c_str());
    if (memcmp(file_words.data(), own.data(), own.size()) != 0) {
      return Error(Code::kInvalidArgument, "%s: has another file than %s here; all need the same", name.c_str(),
                   file.name().c_str());
    }
    ranks_.push_back(std::move(ability));
  }
  return Status();
}

Status ChainLead::Share(const Plan& plan, uint32_t context_tokens) {
  MOTE_ASSIGN_OR_RETURN(const MemoryNeed need, cpu_.Measure(plan, context_tokens));
  ChainLoad load;
  load.layers = static_cast<uint32_t>(plan.graph->cache_layers().size());
  const Graph& graph = *plan.graph;
  for (const Node& node : graph.nodes()) {
    if (node.op == OpKind::kEmbed) load.first_bytes = graph.weight(node.weights[0]).tensor->bytes;
    if (node.out == graph.result() && node.op == OpKind::kMatMul) {
      load.last_bytes = graph.weight(node.weights[0]).tensor->bytes;
    }
  }
  const uint64_t outside = std::min(need.weight_bytes, std::max(load.first_bytes, load.last_bytes));
  load.layer_bytes = (need.weight_bytes - outside + need.cache_bytes) / std::max(load.layers, 1u);
  load.beside_bytes = need.scratch_bytes;
  MOTE_ASSIGN_OR_RETURN(layers_, ShareLayers(params_.split, ranks_, load));
  ChainShare share;
  share.first = layers_[0];
  share.context = context_tokens;
  share.max_batch = plan.max_tokens;
  share.max_outputs = plan.max_outputs;
  share.cache = plan.cache;
  for (int rank = 1; rank < transport_.ranks(); ++rank) {
    share.layers = layers_[static_cast<size_t>(rank)];
    MOTE_RETURN_IF_ERROR(transport_.Send(rank, WriteShare(share).bytes()));
    share.first += share.layers;
  }
  return Status();
}

Status ChainLead::AwaitReady() {
  for (int rank = 1; rank < transport_.ranks(); ++rank) {
    MOTE_ASSIGN_OR_RETURN(const Answer answer, Hear(rank));
    if (answer.word != ChainWord::kReady) {
      return Error(Code::kMalformed, "%s: did not say that it is ready", NameOf(rank).c_str());
    }
  }
  return Status();
}

namespace {

// A rank behind the lead, and all that its program stands on.
class ChainFollower {
 public:
  ChainFollower(std::unique_ptr<GgufFile> file, const ModelParams& params)
      : file_(std::move(file)), params_(params), transport_(*params.chain.transport), platform_(CreatePlatform()) {}

  Status Serve() {
    Result<bool> more = Prepare();
    if (more.ok() && !*more) return Status();
    if (more.ok()) more = Load();
    if (!more.ok()) {
      (void)transport_.Send(0, WriteFailure(0, more.status()).bytes());
      return more.status();
    }
    MOTE_RETURN_IF_ERROR(transport_.Send(0, WireWriter(ChainWord::kReady).bytes()));
    while (*more) {
      MOTE_ASSIGN_OR_RETURN(const std::span<const uint8_t> message, transport_.Receive(stage_->source()));
      more = stage_->Handle(message);
      if (more.ok()) continue;
      const int next = transport_.rank() + 1 == transport_.ranks() ? 0 : transport_.rank() + 1;
      (void)transport_.Send(next, WriteFailure(0, more.status()).bytes());
      return more.status();
    }
    return Status();
  }

 private:
  // False: the lead goes no further.
  Result<bool> Prepare() {
    MOTE_ASSIGN_OR_RETURN(pool_, platform_->CreateThreadPool(params_.threads));
    context_.platform = platform_.get();
    context_.pool = pool_.get();
    context_.log = params_.log;
    Tuning tuning;  // nobody asks a rank what it has found out, so it tries out nothing
    tuning.known = params_.tuning.known;
    MOTE_ASSIGN_OR_RETURN(cpu_, CreateCpuBackend(context_, params_.isa, params_.sparse, tuning));
    MOTE_ASSIGN_OR_RETURN(const Sha256Digest name, Fingerprint(*file_));
    MOTE_ASSIGN_OR_RETURN(const ChainAbility own,
                          MeasureAbility(params_.device, params_.chain.free_bytes, *cpu_, context_));
    MOTE_RETURN_IF_ERROR(transport_.Send(0, WriteHello(name, own).bytes()));
    MOTE_ASSIGN_OR_RETURN(const std::span<const uint8_t> message, transport_.Receive(0));
    WireReader reader(message);
    const ChainWord word = reader.Word();
    if (word == ChainWord::kEnd) return false;
    if (word != ChainWord::kShare) return Error(Code::kMalformed, "the lead sent no plan");
    MOTE_ASSIGN_OR_RETURN(share_, ReadShare(reader));
    return true;
  }

  Result<bool> Load() {
    MOTE_ASSIGN_OR_RETURN(hyper_, ReadHyperParams(*file_));
    MOTE_RETURN_IF_ERROR(BuildGraph({*file_, hyper_, share_.context, /*shapes_only=*/false}, &whole_));
    MOTE_ASSIGN_OR_RETURN(graph_, GraphOf(whole_, share_.first, share_.layers));
    const bool last = transport_.rank() + 1 == transport_.ranks();
    MOTE_ASSIGN_OR_RETURN(plan_, MakePlan(graph_, share_.max_batch, last ? share_.max_outputs : share_.max_batch));
    plan_.cache = share_.cache;
    DeviceRequest device = params_.device;
    device.sparse = params_.sparse;
    MOTE_ASSIGN_OR_RETURN(device_, ChooseDevice(device, plan_, share_.context, *cpu_));
    Backend& backend = device_.backend != nullptr ? *device_.backend : *cpu_;
    MOTE_ASSIGN_OR_RETURN(const MemoryNeed need, backend.Measure(plan_, share_.context));
    const uint64_t bytes = need.total();
    if (params_.memory_limit != 0 && bytes > params_.memory_limit) {
      return Error(Code::kOutOfMemory, "%u layers need %llu MiB, and the limit is %llu MiB", share_.layers,
                   static_cast<unsigned long long>(bytes >> 20),
                   static_cast<unsigned long long>(params_.memory_limit >> 20));
    }
    MOTE_ASSIGN_OR_RETURN(program_, backend.Compile(plan_, *file_, context_, params_.progress));
    ChainStage::Shape shape;
    shape.max_tokens = plan_.max_tokens;
    shape.max_outputs = plan_.max_outputs;
    shape.width = graph_.input_cols();
    shape.result_cols = graph_.value(graph_.result()).cols;
    shape.context = share_.context;
    MOTE_ASSIGN_OR_RETURN(stage_, ChainStage::Create(*program_, shape, transport_));
    Log(context_, LogLevel::kInfo, "layers %u to %u on %s", share_.first, share_.first + share_.layers - 1,
        backend.description().c_str());
    return true;
  }

  std::unique_ptr<GgufFile> file_;
  const ModelParams& params_;
  Transport& transport_;
  std::unique_ptr<Platform> platform_;
  std::unique_ptr<ThreadPool> pool_;
  Context context_;
  std::unique_ptr<Backend> cpu_;
  ChainShare share_;
  HyperParams hyper_;
  Graph whole_;
  Graph graph_;
  Plan plan_;
  DeviceChoice device_;
  std::unique_ptr<Program> program_;
  std::unique_ptr<ChainStage> stage_;
};

}  // namespace

Status ServeChain(std::unique_ptr<GgufFile> file, const ModelParams& params) {
  if (params.chain.transport == nullptr || params.chain.transport->rank() == 0) {
    return Error(Code::kInvalidArgument, "only a rank behind the lead can serve");
  }
  return std::make_unique<ChainFollower>(std::move(file), params)->Serve();
}

}  // namespace mote
