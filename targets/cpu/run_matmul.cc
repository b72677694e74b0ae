// Matrix products and the mixture of experts.
#include <string.h>

#include <algorithm>
#include <span>

#include "engine/format/activation_rules.h"
#include "simd/live.h"
#include "simd/unpack.h"
#include "targets/cpu/cpu_program.h"
#include "targets/cpu/fetch_choice.h"

namespace mote {
namespace {

// Rows of a weight handed out at once. Decode: enough tiles that a worker which lost its core for a moment does not
// hold up the others, each at least a few tens of KiB so that the hardware prefetcher gets going. Prefill: a multiple
// of what the many-token kernel unpacks together, few enough that many workers all get some.
constexpr uint32_t kMaxTileRows = 64;
constexpr uint32_t kTilesPerWorker = 8;
// Where few rows pass several parts of a tile side by side, each of them a stream (simd/gemm-inl.h): block-sparse int8
// takes 0.92 of 64's time, Q8_0 from four streams 0.92, and 512 and 1024 give no more (2 cores of Zen 5, 2026-11).
constexpr uint32_t kMaxFewTileRows = kFetchVaries ? 256 : kMaxTileRows;

// In WebAssembly a few rows pass four parts of a tile side by side, and only long parts are streams that the processor
// follows (simd/gemm-inl.h): a whole matrix for one worker, a quarter of each one's share for several.
#if defined(__wasm__)
constexpr bool kLongTiles = true;
#else
constexpr bool kLongTiles = false;
#endif

// `step`: the panel rows of the widest panel. `most`: kMaxTileRows, kMaxFewTileRows, or what a kernel keeps sums of.
uint32_t TileRows(uint64_t total_rows, int workers, uint32_t step, bool few, uint32_t most) {
  if (kLongTiles && few) {
    const uint64_t tiles = workers == 1 ? 1 : static_cast<uint64_t>(workers) * 4;
    return static_cast<uint32_t>((total_rows + tiles - 1) / tiles + step - 1) / step * step;
  }
  const uint64_t fair = total_rows / (static_cast<uint64_t>(workers) * kTilesPerWorker);
  return static_cast<uint32_t>(std::clamp<uint64_t>(fair / step * step, step, std::max(most, step)));
}

// Of an expert.
uint32_t ExpertTileRows(uint32_t panel_rows) {
  return std::max(kMaxTileRows / panel_rows, 1u) * panel_rows;
}

// Steps of more rows (images) multiply a chunk of them with all of a matrix before the next: the chunk's activations
// stay in the cache, bias and activation find the results there, and a worker mostly reads in the next phase what it
// has written itself. A tower of 1024 patches, 768 wide, takes 0.84 of the time in Q8_0 and 0.88 in F16 (2 cores of
// Granite Rapids with 2 MiB of L2 each, 2026-11). Prompts of a 1B model, whose matrices do not stay in a cache, gain
// nothing: what is saved goes into reading the weights again.
constexpr uint32_t kWholeRows = 512;
// Weights are unpacked for each chunk, which costs as much as 10 tokens; those of floats are not.
constexpr uint32_t kChunkRows = 256;
constexpr uint32_t kFloatChunkBytes = 256 << 10;
constexpr uint32_t kFewChunkRows = 48;
constexpr uint32_t kRowsOfTiles = 12;  // of the many-token kernels, 4 or 6
constexpr uint32_t kUnitRowsOfTiles = 32;

// A matrix unit is so fast that unpacking costs as much as 150 to 250 rows, and that reading a chunk's activations
// again for the next tile is felt. SmolVLM's tower takes 0.95 of the time of chunks of 256 and tiles of 64,
// Qwen2.5-VL's 0.94.
constexpr uint32_t kUnitChunkRows = 512;
constexpr uint32_t kUnitTileRows = 128;

// Rows of a weight handed out at once to a matrix unit, whole tiles of it; each of `chunks` hands all of them out.
uint32_t UnitTileRows(uint64_t total_rows, uint32_t chunks, int workers, uint32_t panel_rows) {
  const uint64_t step = std::max(kUnitRowsOfTiles, panel_rows);
  const uint64_t fair = total_rows * chunks / (static_cast<uint64_t>(workers) * kTilesPerWorker);
  return static_cast<uint32_t>(std::clamp<uint64_t>(fair / step * step, step, std::max<uint64_t>(kUnitTileRows, step)));
}

uint32_t NumChunks(uint32_t rows, ActKind kind, size_t row_bytes, int workers) {
  if (rows <= kWholeRows) return 1;
  const uint32_t fit = static_cast<uint32_t>(kFloatChunkBytes / row_bytes);
  const uint32_t wanted = IsUnit(kind)              ? kUnitChunkRows
                          : kind == ActKind::kFloat ? std::clamp(fit, kFewChunkRows, kChunkRows)
                                                    : kChunkRows;
  const uint32_t chunks = (rows + wanted - 1) / wanted;
  // As many for each worker, if that does not make them small.
  const uint32_t even =
      (chunks + static_cast<uint32_t>(workers) - 1) / static_cast<uint32_t>(workers) * static_cast<uint32_t>(workers);
  return even <= 2 * chunks ? even : chunks;
}

}  // namespace

uint32_t CpuProgram::FewTileRows(const CpuWeight& weight) const {
  if (weight.part_rows < weight.rows) return ExpertTileRows(weight.panel_rows);
  return TileRows(weight.rows, pool_.num_workers(), weight.panel_rows, /*few=*/true, kMaxFewTileRows);
}

CpuProgram::Range CpuProgram::RowsOfChunk(uint32_t rows, ActKind kind, uint32_t chunk, uint32_t chunks) {
  const uint32_t whole = IsUnit(kind) || kind == ActKind::kS8 ? kUnitRowsOfTiles : kRowsOfTiles;
  const auto cut = [&](uint32_t i) {
    return i == chunks ? rows : static_cast<uint32_t>(uint64_t{rows} * i / chunks / whole * whole);
  };
  return {cut(chunk), cut(chunk + 1)};
}

void CpuProgram::QuantizeRow(const float* x, uint32_t cols, ActKind kind, uint8_t* acts) const {
  if (IsUnit(kind)) {
    unit_->split(x, cols, kind == ActKind::kUnitLow, acts);
  } else if (kind == ActKind::kS8) {
    simd::SparseKernelsOf(kernels_).quantize_s8(x, cols, acts);
  } else if (kind == ActKind::kR8) {
    kernels_.quantize_r8(x, cols, acts);
  } else {
    kernels_.quantize_a8(x, cols, kind == ActKind::kA8By32 ? 32 : 256, acts);
  }
}

void CpuProgram::QuantizeRows(const float* x, uint32_t cols, uint32_t rows, const CpuWeight& weight, int worker,
                              ProductInput* input) {
  const uint32_t plain = weight.quantises() ? input->unit_row : 0;
  const uint32_t for_unit = rows - input->unit_row;
  if (plain + for_unit == 0) return;
  const bool own = rows <= kOwnActsRows;
  uint8_t* acts = own ? own_acts_[static_cast<size_t>(worker)].data() : acts_.data();
  const size_t row_bytes = ActRowBytes(weight.acts, cols);
  if (weight.quantises()) input->acts = acts;
  const auto to_tiles = simd::SparseKernelsOf(kernels_).quantize_s8_tiles;
  input->tiles = weight.acts == ActKind::kS8 && plain >= simd::kS8TilesFrom && to_tiles != nullptr;
  const uint32_t together = input->tiles ? simd::kS8TileRows : 1;
  const uint32_t groups = (plain + together - 1) / together;
  const Range range = own ? Range{0, groups} : Split(groups, worker);
  for (uint32_t group = range.begin; group < range.end; ++group) {
    const uint32_t row = group * together;
    const float* from = x + uint64_t{row} * cols;
    if (input->tiles) to_tiles(from, cols, cols, std::min(together, plain - row), acts + row * row_bytes);
    if (!input->tiles) QuantizeRow(from, cols, weight.acts, acts + row * row_bytes);
  }
  // Behind them, at whole cache lines.
  uint8_t* unit_acts = acts + (plain * row_bytes + kCacheLineBytes - 1) / kCacheLineBytes * kCacheLineBytes;
  const size_t unit_bytes = ActRowBytes(weight.unit_acts, cols);
  input->unit_acts = unit_acts;
  const Range unit_range = own ? Range{0, for_unit} : Split(for_unit, worker);
  for (uint32_t row = unit_range.begin; row < unit_range.end; ++row) {
    QuantizeRow(x + uint64_t{input->unit_row + row} * cols, cols, weight.unit_acts,
                unit_acts + simd::UnitRowAt(row, unit_bytes));
  }
  if (!own) pool_.Sync();
}

// Each worker walks a region of its own, so that it reads one long stream, and helps out in the others' when it is
// done.
uint32_t CpuProgram::NextOwnTile(uint32_t index, uint32_t tiles, int worker) {
  const uint32_t workers = static_cast<uint32_t>(workers_);
  for (uint32_t i = 0; i < workers; ++i) {
    const uint32_t region = (static_cast<uint32_t>(worker) + i) % workers;
    const Range range = Split(tiles, static_cast<int>(region));
    const uint32_t tile = range.begin + NextTile(index, region);
    if (tile < range.end) return tile;
  }
  return tiles;
}

const float* CpuProgram::ThinRows(const float* x, uint32_t cols, uint32_t rows, float threshold, bool meet,
                                  int worker) {
  const bool own = rows <= kOwnActsRows;
  float* out = own ? live_.workers[static_cast<size_t>(worker)].rows.As<float>() : live_.rows.As<float>();
  const Range range = own ? Range{0, rows} : Split(rows, worker);
  for (uint32_t row = range.begin; row < range.end; ++row) {
    ThinRow(x + uint64_t{row} * cols, cols, plan_.activations->width, threshold, out + uint64_t{row} * cols);
  }
  if (!own && meet) pool_.Sync();
  return out;
}

const LiveList* CpuProgram::ListLive(const Instruction& instruction, ActKind kind, const void* acts, uint32_t cols,
                                     int worker) {
  LiveList& list = live_.workers[static_cast<size_t>(worker)].list;
  list.Fill(kind, acts, cols, simd::RaisesQ8(kernels_));
  if (worker == 0) {
    const uint64_t products = instruction.nodes.size();
    live_.met.fetch_add(products * list.all, std::memory_order_relaxed);
    live_.passed_over.fetch_add(products * (list.all - list.live), std::memory_order_relaxed);
  }
  return list.pays() ? &list : nullptr;
}

Program::LiveCount CpuProgram::live_count() const {
  return {live_.met.load(std::memory_order_relaxed), live_.passed_over.load(std::memory_order_relaxed)};
}

CpuProgram::ProductInput CpuProgram::PrepareInput(const Instruction& instruction, uint32_t index, uint32_t rows,
                                                  int worker) {
  const Node& first = graph_.nodes()[instruction.nodes[0]];
  const uint32_t cols = graph_.value(first.in[0]).cols;
  const CpuWeight& weight = weights_[first.weights[0]];  // as all of them: see plan.cc
  if (IsUnitActs(first.in[0])) {
    ProductInput input;  // from its first row on
    input.unit_acts = UnitActs(first.in[0]);
    return input;
  }
  const float threshold = live_.on() ? live_.thresholds[index] : -1.0f;
  const float* x = Values(first.in[0]);
  // Each worker quantises the rows that it has thinned; not where they may be quantised 16 at a time.
  const bool meet = weight.acts == ActKind::kFloat || (weight.acts == ActKind::kS8 && rows >= simd::kS8TilesFrom);
  if (threshold >= 0) x = ThinRows(x, cols, rows, threshold, meet, worker);
  ProductInput input;
  input.acts = x;
  input.unit_row = weight.unit_matmul == nullptr ? rows : FirstUnitRow(graph_.value(first.in[0]).rows, rows);
  QuantizeRows(x, cols, rows, weight, worker, &input);
  if (threshold >= 0 && rows == 1) input.live = ListLive(instruction, weight.acts, input.acts, cols, worker);
  return input;
}

std::pair<uint64_t, uint64_t> CpuProgram::MultiplyTile(const CpuWeight& weight, uint32_t tile, uint32_t tile_rows,
                                                       const ProductInput& input, size_t m, float* out, int worker) {
  uint64_t begin = uint64_t{tile} * tile_rows;
  uint64_t end = std::min<uint64_t>(begin + tile_rows, weight.rows);
  if (weight.sparse != nullptr) {
    // As many tiles, cut where they have as many blocks.
    const uint64_t tiles = (weight.rows + tile_rows - 1) / tile_rows;
    begin = weight.GroupOfTile(tile, tiles) * kSparseRows;
    end = std::min(weight.GroupOfTile(tile + 1, tiles) * kSparseRows, weight.rows);
    if (begin >= end) return {0, 0};
  }
  MultiplyRows(weight, {begin, end - begin}, input, m, out + begin, weight.rows, worker);
  return {begin, end - begin};
}

void CpuProgram::MultiplyRows(const CpuWeight& weight, WeightRows rows, const ProductInput& input, size_t m, float* out,
                              size_t out_stride, int worker) {
  if (weight.sparse != nullptr) return MultiplySparseRows(weight, rows, input, m, out, out_stride, worker);
  if (input.live != nullptr && CanPassOver(weight)) {
    simd::LiveMatMulArgs args;
    args.panels = weight.PanelsAt(0, rows.begin);
    args.rows = rows.count;
    args.k = weight.cols;
    args.acts = input.acts;
    args.live = input.live->steps.data();
    args.num_live = input.live->steps.size();
    args.out = out;
    simd::LiveKernelsOf(kernels_).Of(weight.type)(args);
    return;
  }
  simd::MatMulArgs args;
  args.panels = weight.PanelsAt(0, rows.begin);
  args.rows = rows.count;
  args.k = weight.cols;
  args.acts = input.acts;
  args.act_stride_bytes = ActRowBytes(weight.acts, weight.cols);
  args.m = m;
  args.out = out;
  args.out_stride = out_stride;
  Equip(weight, worker, &args);
  weight.matmul(args);
}

void CpuProgram::MultiplySparseRows(const CpuWeight& weight, WeightRows rows, const ProductInput& input, size_t m,
                                    float* out, size_t out_stride, int worker) {
  const CpuSparse& sparse = *weight.sparse;
  simd::SparseMatMulArgs args = simd::SparseArgs(sparse.view, sparse.all ? nullptr : sparse.starts.data());
  if (input.live != nullptr && CanPassOver(weight)) {
    args.same_places = true;
    args.index = input.live->index.data();
    args.counts = input.live->counts.data();
  }
  args.first_group = weight.first_group + rows.begin / kSparseRows;
  args.groups = (rows.count + kSparseRows - 1) / kSparseRows;
  args.acts = input.acts;
  args.act_stride_bytes = ActRowBytes(weight.acts, weight.cols);
  args.m = m;
  args.out = out;
  args.out_stride = out_stride;
  Equip(weight, worker, &args);
  (input.tiles ? simd::SparseKernelsOf(kernels_).matmul_i8_tiles : weight.sparse_matmul)(args);
}

void CpuProgram::MultiplyUnitTile(const Node& node, const Node* activation, const Node* pair, uint32_t tile,
                                  uint32_t tile_rows, const ProductInput& input, Range rows, uint8_t* scratch) {
  const CpuWeight& weight = weights_[node.weights[0]];
  const uint64_t row_begin = uint64_t{tile} * tile_rows;
  const auto bias_of = [&](const Node& product) {
    return product.weights[1] == kNone ? nullptr : weights_[product.weights[1]].floats() + row_begin;
  };
  simd::UnitMatMulArgs args;
  args.bias = bias_of(node);
  if (activation != nullptr) {
    args.gate = kernels_.gate;
    args.activation = KernelActivation(activation->activation);
  }
  args.panels = weight.PanelsAt(0, row_begin);
  args.rows = std::min<uint64_t>(tile_rows, weight.rows - row_begin);
  args.k = weight.cols;
  args.act_stride_bytes = ActRowBytes(weight.unit_acts, weight.cols);
  args.acts = input.unit_acts + simd::UnitRowAt(rows.begin - input.unit_row, args.act_stride_bytes);
  args.m = rows.end - rows.begin;
  const ValueId out = activation != nullptr ? activation->out : node.out;
  if (IsUnitActs(out)) {
    args.out_act_bytes = simd::UnitRowBytes(weight.rows, /*low=*/false);
    args.out_acts = UnitActs(out) + simd::UnitRowAt(rows.begin, args.out_act_bytes) +
                    row_begin / simd::kUnitValues * simd::kUnitStepBytes;
  } else {
    args.out = Values(out) + uint64_t{rows.begin} * weight.rows + row_begin;
    args.out_stride = weight.rows;
  }
  if (pair != nullptr) {
    args.up_panels = weights_[pair->weights[0]].PanelsAt(0, row_begin);
    args.up_bias = bias_of(*pair);
  }
  args.scratch = scratch;
  weight.unit_matmul(args);
}

// A matrix unit takes images, and rows that are read and go through the layers: the last row's logits, or those of a
// few outputs, are computed as generated rows are.
uint32_t CpuProgram::FirstUnitRow(Rows kind, uint32_t rows) const {
  if (unit_ == nullptr) return rows;
  if (graph_.many_rows()) return 0;
  return kind == Rows::kTokens ? std::min(step_->read_from, rows) : rows;
}

// One tile of one product, for some rows of the step.
void CpuProgram::MatMulTile(const Node& node, const Node* activation, const Node* pair, uint32_t tile,
                            uint32_t tile_rows, const ProductInput& all, Range plain, Range unit, int worker) {
  const CpuWeight& weight = weights_[node.weights[0]];
  float* out = Values(activation != nullptr ? activation->out : node.out);
  const auto out_of = [&](Range range) { return out + uint64_t{range.begin} * weight.rows; };
  std::pair<uint64_t, uint64_t> tile_range = {uint64_t{tile} * tile_rows, 0};
  tile_range.second = std::min<uint64_t>(tile_rows, weight.rows - tile_range.first);
  if (plain.begin < plain.end) {
    ProductInput input = all;
    input.acts = static_cast<const uint8_t*>(all.acts) + plain.begin * ActRowBytes(weight.acts, weight.cols);
    tile_range = MultiplyTile(weight, tile, tile_rows, input, plain.end - plain.begin, out_of(plain), worker);
  }
  if (unit.begin < unit.end) {
    MultiplyUnitTile(node, activation, pair, tile, tile_rows, all, unit, unpacked_[static_cast<size_t>(worker)].data());
  }
  if (node.weights[1] == kNone && activation == nullptr) return;
  const auto [row_begin, rows] = tile_range;
  const float* bias = node.weights[1] == kNone ? nullptr : weights_[node.weights[1]].floats() + row_begin;
  for (uint32_t r = plain.begin; r < plain.end; ++r) {
    float* y = out + uint64_t{r} * weight.rows + row_begin;
    if (bias != nullptr) kernels_.add(y, bias, rows, y);
    if (activation != nullptr) kernels_.gate(KernelActivation(activation->activation), y, nullptr, rows, y);
  }
}

void CpuProgram::RunMatMul(const Instruction& instruction, uint32_t index, int worker) {
  const Node& first = graph_.nodes()[instruction.nodes[0]];
  const uint32_t rows = NumRows(graph_.value(first.in[0]).rows);
  if (rows == 0) return;
  if (worker == 0) ObserveProducts(instruction);
  uint64_t total = 0;
  uint32_t panel_rows = 1;
  // Two products that are joined are walked as the first one.
  const Node* gate = GateOf(index);
  const Node* pair = gate == nullptr ? nullptr : &graph_.nodes()[instruction.nodes[1]];
  const auto nodes = std::span(instruction.nodes).first(pair == nullptr ? instruction.nodes.size() : 1);
  for (const uint32_t n : nodes) total += weights_[graph_.nodes()[n].weights[0]].rows;
  for (const uint32_t n : instruction.nodes) {
    panel_rows = std::max(panel_rows, weights_[graph_.nodes()[n].weights[0]].panel_rows);
  }
  const ProductInput input = PrepareInput(instruction, index, rows, worker);
  const Node* activation = instruction.activation == kNone ? gate : &graph_.nodes()[instruction.activation];
  // Tiles are numbered through all products of the instruction, for one chunk of rows after the other.
  const bool few = rows <= kFewRows;
  const CpuWeight& weight = weights_[first.weights[0]];
  // The matrix unit's rows are cut into chunks, or all are; the few others are in the first.
  const uint32_t unit_row = input.unit_row;
  const uint32_t cut_from = unit_row < rows ? unit_row : 0;
  const ActKind kind = unit_row < rows ? weight.unit_acts : weight.acts;
  const uint32_t chunks = NumChunks(rows - cut_from, kind, ActRowBytes(kind, weight.cols), workers_);
  const bool on_unit = unit_row < rows;
  const bool both = pair != nullptr && !on_unit;
  const uint32_t most = both                          ? kPairRows
                        : few                         ? kMaxFewTileRows
                        : weight.acts == ActKind::kR8 ? simd::kI8TileRows
                                                      : kMaxTileRows;
  const uint32_t tile_rows = on_unit ? UnitTileRows(total, chunks, workers_, panel_rows)
                                     : TileRows(total, workers_, few ? panel_rows : 2 * panel_rows, few, most);
  const auto tiles_of = [&](uint32_t n) {
    return static_cast<uint32_t>((weights_[graph_.nodes()[n].weights[0]].rows + tile_rows - 1) / tile_rows);
  };
  uint32_t tiles = 0;
  for (const uint32_t n : nodes) tiles += tiles_of(n);
  const uint32_t all = tiles * chunks;
  for (uint32_t next = NextOwnTile(index, all, worker); next < all; next = NextOwnTile(index, all, worker)) {
    uint32_t at = next % tiles;
    size_t which = 0;
    while (at >= tiles_of(nodes[which])) at -= tiles_of(nodes[which++]);
    const uint32_t chunk = next / tiles;
    Range range = RowsOfChunk(rows - cut_from, kind, chunk, chunks);
    range = {range.begin + cut_from, range.end + cut_from};
    const Node& node = graph_.nodes()[nodes[which]];
    if (both) {
      const uint64_t row = uint64_t{at} * tile_rows;
      MultiplyPairTile(instruction, *gate, {row, std::min<uint64_t>(tile_rows, weight.rows - row)}, input, range,
                       worker);
    } else if (!on_unit) {
      MatMulTile(node, activation, pair, at, tile_rows, input, range, {rows, rows}, worker);
    } else {
      MatMulTile(node, activation, pair, at, tile_rows, input, {0, chunk == 0 ? unit_row : 0}, range, worker);
    }
  }
}

// Softmax of the router, the best `used` experts, and their weights.
void CpuProgram::RouteRow(const Node& node, uint32_t row, int worker) {
  const MoeParams& p = node.moe;
  const MoeScratch s = MoeLayout(node);
  const CpuWeight& router = weights_[node.weights[0]];
  const uint32_t width = graph_.value(node.out).cols;
  const float* x = Values(node.in[0]) + uint64_t{row} * width;
  float* probabilities = s.router + uint64_t{row} * p.experts;
  simd::MatMulArgs args;
  args.panels = router.panels;
  args.rows = p.experts;
  args.k = width;
  args.m = 1;
  Equip(router, worker, &args);
  args.out = probabilities;
  args.out_stride = p.experts;
  args.acts = x;
  if (router.quantises()) {
    // The row's own first slot in the shared activations: filled again, later, with what the experts read.
    uint8_t* acts = acts_.data() + uint64_t{row} * p.used * SlotBytes(width, weights_[node.weights[3]].cols);
    QuantizeRow(x, width, router.acts, acts);
    args.acts = acts;
  }
  router.matmul(args);
  kernels_.softmax(probabilities, p.experts, probabilities);
  int32_t* experts = s.expert + uint64_t{row} * p.used;
  float* weights = s.weight + uint64_t{row} * p.used;
  for (uint32_t i = 0; i < p.used; ++i) {
    uint32_t best = 0;
    for (uint32_t e = 1; e < p.experts; ++e) {
      if (probabilities[e] > probabilities[best]) best = e;
    }
    experts[i] = static_cast<int32_t>(best);
    weights[i] = std::max(probabilities[best], 0.0f);
    probabilities[best] = -1.0f;  // below every probability
  }
  float sum = 0;
  for (uint32_t i = 0; i < p.used; ++i) sum += weights[i];
  const float factor = (p.normalize && sum > 0 ? 1.0f / sum : 1.0f) * p.weight_scale;
  for (uint32_t i = 0; i < p.used; ++i) weights[i] *= factor;
}

// Counting sort of all (row, chosen expert) pairs by expert: an expert's rows become one small matrix.
void CpuProgram::SortByExpert(const Node& node) {
  const MoeScratch s = MoeLayout(node);
  const uint32_t rows = NumRows(graph_.value(node.out).rows);
  const uint32_t pairs = rows * node.moe.used;
  std::fill(s.first, s.first + node.moe.experts + 1, 0u);
  for (uint32_t i = 0; i < pairs; ++i) ++s.first[s.expert[i] + 1];
  for (uint32_t e = 0; e < node.moe.experts; ++e) s.first[e + 1] += s.first[e];
  for (uint32_t i = 0; i < pairs; ++i) {
    const uint32_t slot = s.first[s.expert[i]]++;
    s.slot[i] = slot;
    s.row_of_slot[slot] = i / node.moe.used;
  }
  for (uint32_t e = node.moe.experts; e > 0; --e) s.first[e] = s.first[e - 1];
  s.first[0] = 0;
}

// out (slots, weight rows per expert) = each slot's activations times its expert's part of the weight. `x` is the float
// source for weights that take floats: row_of_slot chooses its row, or the slot itself where row_of_slot is null.
void CpuProgram::ExpertTiles(const CpuWeight& weight, const ExpertInput& input, float* out, uint32_t index,
                             uint32_t lane, int worker) {
  const uint64_t expert_rows = weight.part_rows;
  const uint32_t tile_rows = ExpertTileRows(weight.panel_rows);
  const uint32_t tiles_per_expert = static_cast<uint32_t>((expert_rows + tile_rows - 1) / tile_rows);
  for (uint32_t tile = NextTile(index, lane); tile < input.experts * tiles_per_expert; tile = NextTile(index, lane)) {
    const uint32_t expert = tile / tiles_per_expert;
    const uint32_t slots = input.first[expert + 1] - input.first[expert];
    if (slots == 0) continue;
    const uint64_t row_begin = uint64_t{tile % tiles_per_expert} * tile_rows;
    simd::MatMulArgs args;
    args.panels = weight.PanelsAt(expert, row_begin);
    args.rows = std::min<uint64_t>(tile_rows, expert_rows - row_begin);
    args.k = weight.cols;
    args.out_stride = expert_rows;
    // Quantised activations lie slot by slot and go together; float rows are read where they are, one at a time.
    const uint32_t together = weight.quantises() ? slots : 1;
    for (uint32_t i = 0; i < slots; i += together) {
      const uint64_t slot = input.first[expert] + i;
      const uint64_t x_row = input.row_of_slot == nullptr ? slot : input.row_of_slot[slot];
      args.m = together;
      Equip(weight, worker, &args);
      args.acts = weight.quantises() ? static_cast<const void*>(acts_.data() + slot * input.act_stride)
                                     : input.x + x_row * weight.cols;
      args.act_stride_bytes = input.act_stride;
      args.out = out + slot * expert_rows + row_begin;
      weight.matmul(args);
    }
  }
}

void CpuProgram::RunMoe(const Node& node, uint32_t index, int worker) {
  const MoeParams& p = node.moe;
  const MoeScratch s = MoeLayout(node);
  const CpuWeight& gate = weights_[node.weights[1]];
  const CpuWeight& up = weights_[node.weights[2]];
  const CpuWeight& down = weights_[node.weights[3]];
  const uint32_t width = graph_.value(node.out).cols;
  const uint32_t ff = static_cast<uint32_t>(down.cols);
  const uint32_t rows = NumRows(graph_.value(node.out).rows);
  const float* x = Values(node.in[0]);
  const Range own_rows = Split(rows, worker);
  for (uint32_t row = own_rows.begin; row < own_rows.end; ++row) RouteRow(node, row, worker);
  pool_.Sync();
  if (worker == 0) {
    SortByExpert(node);
    ObserveExperts(node, /*down=*/false);
  }
  pool_.Sync();

  const size_t act_stride = SlotBytes(width, ff);
  const Range slots = Split(rows * p.used, worker);
  const auto quantize = [&](ActKind kind) {
    for (uint32_t i = slots.begin; i < slots.end; ++i) {
      QuantizeRow(x + uint64_t{s.row_of_slot[i]} * width, width, kind, acts_.data() + i * act_stride);
    }
    pool_.Sync();
  };
  if (gate.quantises()) quantize(gate.acts);
  const ExpertInput from_rows{p.experts, s.first, s.row_of_slot, x, act_stride};
  ExpertTiles(gate, from_rows, s.gate, index, 0, worker);
  if (up.quantises() && up.acts != gate.acts) {
    pool_.Sync();
    quantize(up.acts);
  }
  ExpertTiles(up, from_rows, s.up, index, 1, worker);
  pool_.Sync();
  for (uint32_t i = slots.begin; i < slots.end; ++i) {
    float* hidden = s.gate + uint64_t{i} * ff;
    kernels_.gate(KernelActivation(p.activation), hidden, s.up + uint64_t{i} * ff, ff, hidden);
    if (down.quantises()) QuantizeRow(hidden, ff, down.acts, acts_.data() + i * act_stride);
  }
  pool_.Sync();
  if (worker == 0) ObserveExperts(node, /*down=*/true);
  ExpertTiles(down, {p.experts, s.first, nullptr, s.gate, act_stride}, s.down, index, 2, worker);
  pool_.Sync();
  float* out = Values(node.out);
  for (uint32_t row = own_rows.begin; row < own_rows.end; ++row) {
    float* y = out + uint64_t{row} * width;
    memset(y, 0, width * sizeof(float));
    for (uint32_t i = 0; i < p.used; ++i) {  // best expert first: an order that depends on this row alone
      const uint64_t pair = uint64_t{row} * p.used + i;
      kernels_.add_scaled(s.down + uint64_t{s.slot[pair]} * width, s.weight[pair], width, y);
    }
  }
}

}  // namespace mote
