#include "targets/cuda/cuda_program.h"

#include <string.h>

#include <algorithm>

#include "targets/cuda/launch.h"
#include "targets/cuda/runtime.h"

namespace mote::cuda {
namespace {

// Rows of logits that there is room for from the start.
constexpr uint32_t kUsualResults = 32;
// Results of so many bytes come by way of memory that the GPU writes by itself: the driver's own way into other memory
// goes piece by piece, and the GPU waits.
constexpr uint64_t kResultHostBytes = 4 << 20;

uint32_t PowerOfTwo(uint32_t x) {
  uint32_t power = 1;
  while (power < x) power *= 2;
  return power;
}

uint32_t SplitsOf(uint32_t positions) {
  return (positions + SplitPositions() - 1) / SplitPositions();
}

// Floats of one split's results of all rows that have splits.
uint64_t SplitFloats(const Graph& graph) {
  uint64_t floats = 0;
  for (const Node& node : graph.nodes()) {
    if (node.op != OpKind::kAttention) continue;
    floats = std::max(floats, uint64_t{node.attention.heads} * (node.attention.value_dim + 2));
  }
  return floats * kSplitRows;
}

// Of picking the best logits of a row; 0: nothing is picked.
uint64_t BestBytesPerRow(const Graph& graph) {
  const ValueInfo& info = graph.value(graph.result());
  const uint64_t lists = BestLists(info.cols);
  if (info.rows != Rows::kLogits || lists > kMaxBestLists) return 0;
  return (1 + lists) * kMaxBest * sizeof(uint64_t);
}

// f(first, end) for all runs of outputs that need all their logits.
template <class F>
void EachWholeRun(const Step& step, uint64_t outputs, F f) {
  const auto whole = [&](uint64_t output) { return step.enough.empty() || step.enough[output] == 0; };
  for (uint64_t first = 0; first < outputs;) {
    uint64_t end = first;
    while (end < outputs && whole(end)) ++end;
    if (end > first) f(first, end);
    first = end + 1;
  }
}

uint32_t ResultRows(const Plan& plan) {
  const ValueInfo& info = plan.graph->value(plan.graph->result());
  if (info.rows == Rows::kMerged) return plan.max_outputs / plan.graph->merge();
  return info.rows == Rows::kLogits ? std::min(plan.max_outputs, kUsualResults) : plan.max_outputs;
}

}  // namespace

ExpertLayout::ExpertLayout(uint64_t rows, const MoeParams& moe, uint64_t ff, uint64_t width) {
  const auto take = [&](uint64_t values) {
    const uint64_t begin = bytes;
    bytes += AlignDevice(values * 4);
    return begin;
  };
  const uint64_t slots = rows * moe.used;
  probabilities = take(rows * moe.experts);
  expert = take(slots);
  weight = take(slots);
  slot = take(slots);
  first = take(uint64_t{moe.experts} + 1);
  row_of_slot = take(slots);
  gate_out = take(slots * ff);
  up_out = take(slots * ff);
  down_out = take(slots * width);
}

CudaScratch::CudaScratch(const Plan& plan, uint32_t context, bool reads) : arena_bytes(plan.arena_bytes) {
  const Graph& graph = *plan.graph;
  const uint64_t rows = plan.max_tokens;
  const auto need = [&](Acts acts, uint64_t cols) {
    uint64_t& bytes = act_bytes[static_cast<int>(acts)];
    bytes = std::max(bytes, rows * ActRowBytes(acts, cols));
  };
  for (const Node& node : graph.nodes()) {
    if (node.op == OpKind::kGate) {
      if (reads) read_gated_bytes = std::max(read_gated_bytes, ReadActBytes(rows, graph.value(node.out).cols));
      const uint64_t bytes = ActRowBytes(Acts::kBytes32, graph.value(node.out).cols);
      gated_bytes = std::max(gated_bytes, std::min<uint64_t>(rows, kFuseRows) * bytes);
      gate_part_bytes = std::max(gate_part_bytes, RowTiles(graph.value(node.out).cols) * kGateTileBytes);
    }
    if (node.op == OpKind::kMatMul) {
      const Weight& weight = graph.weight(node.weights[0]);
      need(ActsOf(weight.tensor->type), weight.cols);
      if (reads && weight.tensor->sparse == nullptr) {
        uint64_t& bytes = read_act_bytes[static_cast<int>(ReadActsOf(weight.tensor->type))];
        bytes = std::max(bytes, ReadActBytes(rows, weight.cols));
      }
    }
    if (node.op != OpKind::kMoe) continue;
    const uint64_t width = graph.value(node.out).cols;
    const uint64_t slots = rows * node.moe.used;
    for (size_t i = 0; i < 3; ++i) need(ActsOf(graph.weight(node.weights[i]).tensor->type), width);
    const Weight& down = graph.weight(node.weights[3]);
    slot_act_bytes = std::max(slot_act_bytes, slots * ActRowBytes(ActsOf(down.tensor->type), down.cols));
    expert_bytes = std::max(expert_bytes, ExpertLayout(rows, node.moe, down.cols, width).bytes);
  }
  result_bytes = uint64_t{ResultRows(plan)} * graph.value(graph.result()).cols * sizeof(float);
  best_bytes = ResultRows(plan) * BestBytesPerRow(graph);
  for (const RopeTable& table : graph.ropes()) {
    const uint64_t pairs = table.inverse_frequency.size();
    rope_bytes +=
        2 * AlignDevice(rows * pairs * sizeof(float)) + AlignDevice(pairs * sizeof(float)) + AlignDevice(pairs);
  }
  // One row: token, position, three rotary positions, cache, layers, output, input flag, segment, four sights.
  step_bytes = 4096 + rows * 96;
  partial_bytes = SplitsOf(context) > 1 ? PowerOfTwo(SplitsOf(context)) * SplitFloats(graph) * sizeof(float) : 0;
}

uint64_t CudaScratch::total_bytes() const {
  uint64_t bytes = arena_bytes + slot_act_bytes + gated_bytes + gate_part_bytes + expert_bytes + result_bytes +
                   best_bytes + rope_bytes + step_bytes + partial_bytes;
  for (const uint64_t acts : act_bytes) bytes += acts;
  for (const uint64_t acts : read_act_bytes) bytes += acts;
  bytes += read_gated_bytes;
  return bytes;
}

Result<std::unique_ptr<CudaProgram>> CudaProgram::Create(const Plan& plan, const GgufFile& file,
                                                         const CudaDevice& device, const Context& context,
                                                         const LoadProgress& progress) {
  std::unique_ptr<CudaProgram> program(new CudaProgram(plan, device));
  MOTE_RETURN_IF_ERROR(CudaStatus(UseDevice(device.index), "choosing the GPU"));
  MOTE_RETURN_IF_ERROR(CudaStatus(CreateStream(&program->stream_), "creating a stream"));
  uint32_t shared = 0;
  for (const Node& node : plan.graph->nodes()) {
    if (node.op != OpKind::kAttention) continue;
    shared = std::max(shared, AttentionSharedBytes(node.attention.key_dim, node.attention.value_dim));
  }
  PrepareKernels(shared, program->stream_);
  MOTE_RETURN_IF_ERROR(program->Allocate());
  MOTE_ASSIGN_OR_RETURN(program->weights_,
                        CudaWeights::Load(*plan.graph, file, context, progress, device, program->stream_));
  MOTE_RETURN_IF_ERROR(program->UploadRopes());
  program->Build();
  if (plan.persistent_steps && program->persistent_.launcher.launch == nullptr) {
    Log(context, LogLevel::kWarning,
        "persistent steps: this model's layers are more than they can do, or than this GPU has room for; they are as "
        "ever");
  }
  return program;
}

CudaProgram::~CudaProgram() {
  UseDevice(device_.index);
  if (stream_ != nullptr) Wait(stream_);
  DropGraphs();
  if (stream_ != nullptr) DestroyStream(stream_);
}

void CudaProgram::DropGraphs() {
  for (const auto& [key, graph] : graphs_) FreeGraph(graph);
  graphs_.clear();
  persistent_.orders.clear();
}

Status CudaProgram::Allocate() {
  const CudaScratch sizes(plan_, 0, reads_);
  const auto create = [&](DeviceMemory* memory, uint64_t bytes, const char* what,
                          MemoryKind kind = MemoryKind::kDevice) {
    Result<DeviceMemory> created = DeviceMemory::Create(kind, bytes, what, device_.index);
    if (created.ok()) *memory = std::move(created).value();
    return created.status();
  };
  MOTE_RETURN_IF_ERROR(create(&arena_, sizes.arena_bytes, "working memory"));
  for (int kind = 0; kind < kActKinds; ++kind) {
    if (sizes.act_bytes[kind] == 0) continue;
    MOTE_RETURN_IF_ERROR(create(&acts_[kind], sizes.act_bytes[kind], "quantised activations"));
  }
  for (int kind = 0; kind < kReadActKinds; ++kind) {
    if (sizes.read_act_bytes[kind] == 0) continue;
    MOTE_RETURN_IF_ERROR(create(&read_acts_[kind], sizes.read_act_bytes[kind], "activations of what is read"));
  }
  MOTE_RETURN_IF_ERROR(create(&read_gated_, sizes.read_gated_bytes, "gates of what is read"));
  MOTE_RETURN_IF_ERROR(create(&slot_acts_, sizes.slot_act_bytes, "experts' activations"));
  MOTE_RETURN_IF_ERROR(create(&gated_acts_, sizes.gated_bytes, "gates' activations"));
  MOTE_RETURN_IF_ERROR(create(&gate_parts_, sizes.gate_part_bytes, "gates' parts"));
  MOTE_RETURN_IF_ERROR(CudaStatus(Zero(gate_parts_.data(), sizes.gate_part_bytes, stream_), "clearing working memory"));
  MOTE_RETURN_IF_ERROR(create(&expert_memory_, sizes.expert_bytes, "mixture of experts"));
  MOTE_RETURN_IF_ERROR(create(&result_, sizes.result_bytes, "results"));
  MOTE_RETURN_IF_ERROR(
      create(&result_host_, std::min(sizes.result_bytes, kResultHostBytes), "results", MemoryKind::kHost));
  MOTE_RETURN_IF_ERROR(create(&best_, sizes.best_bytes, "best logits"));
  if (sizes.best_bytes > 0) {
    const uint64_t bytes = uint64_t{plan_.max_outputs} * kMaxBest * sizeof(BestLogit);
    MOTE_RETURN_IF_ERROR(create(&best_host_, bytes, "best logits", MemoryKind::kHost));
  }
  MOTE_RETURN_IF_ERROR(create(&ropes_, sizes.rope_bytes, "rotary tables"));
  MOTE_RETURN_IF_ERROR(create(&step_, sizes.step_bytes, "a step's rows"));
  return create(&step_host_, sizes.step_bytes, "a step's rows", MemoryKind::kHost);
}

Status CudaProgram::UploadRopes() {
  uint8_t* at = ropes_.data();
  for (const RopeTable& table : graph_.ropes()) {
    const uint64_t pairs = table.inverse_frequency.size();
    RopeArgs args = {};
    args.step = step_.As<StepArgs>();
    args.pairs = static_cast<uint32_t>(pairs);
    args.magnitude = table.magnitude;
    const auto take = [&](uint64_t bytes) {
      uint8_t* begin = at;
      at += AlignDevice(bytes);
      return begin;
    };
    args.cos = reinterpret_cast<float*>(take(plan_.max_tokens * pairs * sizeof(float)));
    args.sin = reinterpret_cast<float*>(take(plan_.max_tokens * pairs * sizeof(float)));
    uint8_t* frequencies = take(pairs * sizeof(float));
    uint8_t* axes = take(pairs);
    args.inverse_frequency = reinterpret_cast<float*>(frequencies);
    args.axis = axes;
    MOTE_RETURN_IF_ERROR(CudaStatus(CopyIn(frequencies, table.inverse_frequency.data(), pairs * sizeof(float), stream_),
                                    "copying rotary tables"));
    MOTE_RETURN_IF_ERROR(
        CudaStatus(table.axis.empty() ? Zero(axes, pairs, stream_) : CopyIn(axes, table.axis.data(), pairs, stream_),
                   "copying rotary tables"));
    rope_args_.push_back(args);
  }
  return CudaStatus(Wait(stream_), "copying rotary tables");
}

Result<std::unique_ptr<KvCache>> CudaProgram::CreateKvCache(uint32_t context) {
  MOTE_ASSIGN_OR_RETURN(std::unique_ptr<CudaKvCache> cache,
                        CudaKvCache::Create(graph_, plan_.cache, context, device_.index));
  uint32_t longest = longest_context_.load(std::memory_order_relaxed);
  while (longest < context && !longest_context_.compare_exchange_weak(longest, context, std::memory_order_relaxed)) {
  }
  return std::unique_ptr<KvCache>(std::move(cache));
}

// A step's arrays, one after the other behind StepArgs and StepCounts, copied at once.
Status CudaProgram::Upload(const Step& step) {
  const size_t rows = step.positions.size();
  uint8_t* host = step_host_.data();
  StepArgs* args = reinterpret_cast<StepArgs*>(host);
  memset(static_cast<void*>(args), 0, sizeof(*args));
  StepCounts* counts = reinterpret_cast<StepCounts*>(host + sizeof(StepArgs));
  *counts = counts_;
  const auto on_device = [&](const void* p) { return step_.data() + (static_cast<const uint8_t*>(p) - host); };
  uint64_t at = (sizeof(StepArgs) + sizeof(StepCounts) + 15) / 16 * 16;
  const auto take = [&](auto* first, size_t count) {
    using T = std::remove_pointer_t<decltype(first)>;
    T* begin = reinterpret_cast<T*>(host + at);
    at += (count * sizeof(T) + 15) / 16 * 16;
    return begin;
  };
  const auto copy = [&](const auto* from, size_t count) {
    using T = std::remove_const_t<std::remove_pointer_t<decltype(from)>>;
    T* to = take(static_cast<T*>(nullptr), count);
    std::copy(from, from + count, to);
    return reinterpret_cast<T*>(on_device(to));
  };
  args->counts = reinterpret_cast<StepCounts*>(on_device(counts));
  args->tokens = copy(step.tokens.data(), step.tokens.size());
  args->positions = copy(step.positions.data(), rows);
  int32_t* ropes = take(static_cast<int32_t*>(nullptr), rows * kRopeAxes);
  uint8_t** caches = take(static_cast<uint8_t**>(nullptr), rows);
  uint64_t* layers = take(static_cast<uint64_t*>(nullptr), rows);
  Segment* segments = take(static_cast<Segment*>(nullptr), rows);
  uint8_t* has_input = take(static_cast<uint8_t*>(nullptr), rows);
  uint32_t begin = 0;
  for (uint32_t row = 0; row < rows; ++row) {
    for (uint32_t axis = 0; axis < kRopeAxes; ++axis) {
      ropes[row * kRopeAxes + axis] = step.ropes.empty() ? step.positions[row] : step.ropes[row][axis];
    }
    if (!step.caches.empty()) {
      const CudaKvCache& cache = static_cast<const CudaKvCache&>(*step.caches[step.sequences[row]]);
      caches[row] = cache.memory();
      layers[row] = cache.layers_address();
    }
    if (row > 0 && !step.sequences.empty() && step.sequences[row] != step.sequences[row - 1]) begin = row;
    segments[row].begin = begin;
    has_input[row] = !step.inputs.empty() && step.inputs[row] != nullptr ? 1 : 0;
  }
  for (uint32_t row = static_cast<uint32_t>(rows); row-- > 0;) {
    const bool last = row + 1 == rows || segments[row + 1].begin != segments[row].begin;
    segments[row].end = last ? row + 1 : segments[row + 1].end;
  }
  const auto is_prompt = [](const Segment& s) { return s.end - s.begin >= kPromptRows; };
  prompts_ = std::all_of(segments, segments + rows, is_prompt)   ? Prompts::kAll
             : std::any_of(segments, segments + rows, is_prompt) ? Prompts::kSome
                                                                 : Prompts::kNone;
  args->rope_positions = reinterpret_cast<int32_t*>(on_device(ropes));
  args->cache = reinterpret_cast<uint8_t**>(on_device(caches));
  args->cache_layers = reinterpret_cast<uint64_t*>(on_device(layers));
  args->segments = reinterpret_cast<Segment*>(on_device(segments));
  args->has_input = on_device(has_input);
  uint32_t* outputs = take(static_cast<uint32_t*>(nullptr), step.outputs.size() + step.hidden_rows.size());
  std::copy(step.outputs.begin(), step.outputs.end(), outputs);
  std::copy(step.hidden_rows.begin(), step.hidden_rows.end(), outputs + step.outputs.size());
  args->outputs = reinterpret_cast<uint32_t*>(on_device(outputs));
  for (int i = 0; i < 2; ++i) {
    const Sight& sight = step.sights[i];
    if (!sight.begins.empty()) args->begins[i] = copy(sight.begins.data(), rows);
    if (!sight.ends.empty()) args->ends[i] = copy(sight.ends.data(), rows);
  }
  args->inputs = inputs_.As<float>();
  args->input_cols = graph_.input_cols();
  args->hidden = hidden_.As<float>();
  MOTE_RETURN_IF_ERROR(UploadInputs(step));
  return CudaStatus(CopyIn(step_.data(), host, at, stream_), "copying a step");
}

// Rows that lie behind each other are one copy.
Status CudaProgram::UploadInputs(const Step& step) {
  const size_t cols = graph_.input_cols();
  for (size_t row = 0; row < step.inputs.size();) {
    const float* from = step.inputs[row];
    size_t count = 1;
    if (from != nullptr) {
      while (row + count < step.inputs.size() && step.inputs[row + count] == from + count * cols) ++count;
      const char* text = CopyIn(inputs_.As<float>() + row * cols, from, count * cols * sizeof(float), stream_);
      MOTE_RETURN_IF_ERROR(CudaStatus(text, "copying inputs"));
    }
    row += count;
  }
  return Status();
}

// Memory that most programs never need, or not as much of. Graphs know where it was: they go before it does, for what
// comes after may fail.
Status CudaProgram::EnsureRooms(const Step& step, uint32_t splits) {
  bool changed = false;
  const auto grow = [&](DeviceMemory* memory, uint64_t bytes, const char* what) -> Status {
    if (memory->size() >= bytes) return Status();
    DropGraphs();
    *memory = DeviceMemory();
    MOTE_ASSIGN_OR_RETURN(*memory, DeviceMemory::Create(MemoryKind::kDevice, bytes, what, device_.index));
    changed = true;
    return Status();
  };
  const ValueInfo& result = graph_.value(graph_.result());
  const uint64_t result_rows =
      result.rows == Rows::kMerged ? step.outputs.size() / graph_.merge() : step.outputs.size();
  MOTE_RETURN_IF_ERROR(grow(&result_, result_rows * result.cols * sizeof(float), "results"));
  if (changed) Build();
  if (step.best != nullptr) {
    MOTE_RETURN_IF_ERROR(grow(&best_, step.outputs.size() * BestBytesPerRow(graph_), "best logits"));
  }
  if (step.inputs.size() != 0) {
    MOTE_RETURN_IF_ERROR(grow(&inputs_, uint64_t{plan_.max_tokens} * graph_.input_cols() * sizeof(float), "inputs"));
  }
  for (const Node& node : graph_.nodes()) {
    if (node.op != OpKind::kTakeHidden || step.hidden_rows.empty()) continue;
    MOTE_RETURN_IF_ERROR(
        grow(&hidden_, uint64_t{plan_.max_outputs} * graph_.value(node.out).cols * sizeof(float), "hidden states"));
  }
  if (splits > 1) {
    // Once for the longest session: a cache that grows position by position must not ask for more again and again.
    const uint32_t most = std::max(splits, PowerOfTwo(SplitsOf(longest_context_.load(std::memory_order_relaxed))));
    MOTE_RETURN_IF_ERROR(grow(&partial_, most * SplitFloats(graph_) * sizeof(float), "attention"));
  }
  return Status();
}

// A GPU needs no pauses: all of it is the last part.
Status CudaProgram::RunPart(const Step& step, uint32_t part, uint32_t parts) {
  if (part >= parts) return Error(Code::kInternal, "part %u of %u of a step", part, parts);
  if (part + 1 != parts) return Status();
  MOTE_RETURN_IF_ERROR(Begin(step));
  return End();
}

Status CudaProgram::Begin(const Step& step) {
  MOTE_RETURN_IF_ERROR(End());
  const size_t rows = step.positions.size();
  const size_t outputs = step.outputs.size() + step.hidden_rows.size();
  if (rows == 0 || rows > plan_.max_tokens || outputs > plan_.max_outputs) {
    return Error(Code::kInternal, "a step of %zu rows and %zu outputs; the plan has room for %u and %u", rows, outputs,
                 plan_.max_tokens, plan_.max_outputs);
  }
  MOTE_RETURN_IF_ERROR(CudaStatus(UseDevice(device_.index), "choosing the GPU"));
  for (KvCache* cache : step.caches) {
    MOTE_RETURN_IF_ERROR(CudaStatus(static_cast<CudaKvCache*>(cache)->TakeFailure(), "copying a cache"));
  }
  counts_.rows[kRowsTokens] = static_cast<uint32_t>(rows);
  counts_.rows[kRowsOutputs] = static_cast<uint32_t>(outputs);
  counts_.rows[kRowsLogits] = static_cast<uint32_t>(step.outputs.size());
  counts_.rows[kRowsMerged] = static_cast<uint32_t>(step.outputs.size()) / graph_.merge();
  const uint32_t read_from = graph_.many_rows() ? 0 : step.read_from;
  counts_.read_from = std::min(reads_ ? read_from : UINT32_MAX, counts_.rows[kRowsTokens]);
  counts_.rows[kRowsGenerated] = counts_.read_from;
  uint32_t max_end = 1;
  for (size_t row = 0; row < rows; ++row) {
    uint32_t end = static_cast<uint32_t>(step.positions[row]) + 1;
    for (const Sight& sight : step.sights) {
      if (!sight.ends.empty()) end = std::max(end, sight.ends[row]);
    }
    max_end = std::max(max_end, end);
  }
  const uint32_t splits = rows <= kSplitRows ? PowerOfTwo(SplitsOf(max_end)) : 1;
  MOTE_RETURN_IF_ERROR(EnsureRooms(step, splits));
  const uint32_t best = step.best == nullptr ? 0 : static_cast<uint32_t>(step.outputs.size());
  Status started = Upload(step);
  if (started.ok()) started = RunLaunches({static_cast<uint32_t>(rows), splits, best});
  if (started.ok()) started = FetchResults(step);
  if (!started.ok()) {
    Wait(stream_);  // what was begun reads and writes memory of the caller's, and of the next step
    return started;
  }
  is_under_way_ = true;
  under_way_ = step;
  return Status();
}

Status CudaProgram::End() {
  if (!is_under_way_) return Status();
  is_under_way_ = false;
  MOTE_RETURN_IF_ERROR(CudaStatus(UseDevice(device_.index), "choosing the GPU"));
  MOTE_RETURN_IF_ERROR(CudaStatus(Wait(stream_), "running a step"));
  HandOver(under_way_);
  return Status();
}

// As a graph, where the step is small: made once for each size.
Status CudaProgram::RunLaunches(const Key& exact) {
  if (exact.rows > kGraphRows || observer_.observe != nullptr || NumRead() > 0) return LaunchAll(exact);
  Key key = {PowerOfTwo(exact.rows), exact.splits, 0};
  if (exact.best > 0) key.best = Capacity(kRowsLogits, key.rows);
  auto found = graphs_.find(key);
  if (found == graphs_.end()) {
    MOTE_RETURN_IF_ERROR(PreparePersistent(key.rows, key.splits));
    MOTE_RETURN_IF_ERROR(CudaStatus(BeginCapture(stream_), "capturing a step"));
    const Status launched = LaunchAll({std::min(key.rows, plan_.max_tokens), key.splits, key.best});
    void* graph = nullptr;
    MOTE_RETURN_IF_ERROR(CudaStatus(EndCapture(stream_, &graph), "capturing a step"));
    if (!launched.ok()) {  // and what was captured of it is no step
      if (graph != nullptr) FreeGraph(graph);
      return launched;
    }
    found = graphs_.emplace(key, graph).first;
  }
  return CudaStatus(LaunchGraph(found->second, stream_), "running a step");
}

Status CudaProgram::FetchResults(const Step& step) {
  const ValueInfo& result = graph_.value(graph_.result());
  const uint64_t rows = NumRows(static_cast<uint8_t>(result.rows));
  const uint64_t row_bytes = uint64_t{result.cols} * sizeof(float);
  uint8_t* to = ByHost(rows * row_bytes) ? result_host_.data() : reinterpret_cast<uint8_t*>(step.logits);
  Status status;
  EachWholeRun(step, rows, [&](uint64_t first, uint64_t end) {
    const uint64_t begin = first * row_bytes;
    const char* text = CopyOut(to + begin, result_.data() + begin, (end - first) * row_bytes, stream_);
    if (status.ok()) status = CudaStatus(text, "copying results");
  });
  MOTE_RETURN_IF_ERROR(status);
  if (step.best != nullptr) {
    const uint64_t bytes = rows * kMaxBest * sizeof(BestLogit);
    MOTE_RETURN_IF_ERROR(CudaStatus(CopyOut(best_host_.data(), best_.data(), bytes, stream_), "copying best logits"));
  }
  for (const Node& node : graph_.nodes()) {
    if (node.op != OpKind::kTakeHidden || step.hidden_rows.empty()) continue;
    const uint64_t bytes = step.hidden_rows.size() * graph_.value(node.out).cols * sizeof(float);
    MOTE_RETURN_IF_ERROR(CudaStatus(CopyOut(step.hidden, hidden_.data(), bytes, stream_), "copying hidden states"));
  }
  return Status();
}

void CudaProgram::HandOver(const Step& step) const {
  const ValueInfo& result = graph_.value(graph_.result());
  const uint64_t rows = NumRows(static_cast<uint8_t>(result.rows));
  if (ByHost(rows * result.cols * sizeof(float))) {
    EachWholeRun(step, rows, [&](uint64_t first, uint64_t end) {
      const uint64_t begin = first * result.cols;
      memcpy(step.logits + begin, result_host_.As<float>() + begin, (end - first) * result.cols * sizeof(float));
    });
  }
  if (step.best != nullptr) memcpy(step.best, best_host_.data(), rows * kMaxBest * sizeof(BestLogit));
}

uint32_t CudaProgram::max_best() const {
  return BestBytesPerRow(graph_) > 0 ? kMaxBest : 0;
}

BestArgs CudaProgram::ArgsOfBest() const {
  const ValueInfo& result = graph_.value(graph_.result());
  const uint64_t rows = best_.size() / BestBytesPerRow(graph_);
  BestArgs args = {};
  args.counts = CountsOnDevice();
  args.cols = result.cols;
  args.lists = BestLists(result.cols);
  args.logits = result_.As<float>();
  args.best = best_.As<BestLogit>();
  args.keys = best_.As<uint64_t>() + rows * kMaxBest;
  return args;
}

}  // namespace mote::cuda
