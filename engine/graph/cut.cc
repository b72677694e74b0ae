#include "engine/graph/cut.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace mote {

// Copies nodes of one graph into another, with values and weights under new names.
class GraphCutter {
 public:
  GraphCutter(const Graph& from, Graph* to)
      : from_(from), to_(*to), values_(from.num_values(), kNone), weights_(from.weights().size(), kNone) {
    to_.ropes_ = from.ropes_;
    to_.merge_ = from.merge_;
    to_.many_rows_ = from.many_rows_;
  }

  void Map(ValueId from, ValueId to) { values_[from] = to; }
  ValueId At(ValueId from) const { return values_[from]; }

  void Copy(const Node& node, uint32_t first_layer) {
    Node copy = node;
    for (ValueId& in : copy.in) in = values_[in];
    for (WeightId& weight : copy.weights) {
      if (weight != kNone) weight = WeightOf(weight);
    }
    if (copy.op == OpKind::kAttention) {
      copy.attention.layer -= first_layer;
      if (copy.attention.layer == to_.cache_layers_.size()) {
        to_.cache_layers_.push_back(from_.cache_layers_[node.attention.layer]);
      }
    }
    if (copy.op == OpKind::kEmbed || copy.op == OpKind::kInput || copy.op == OpKind::kAddInput) {
      to_.input_cols_ = from_.input_cols_;
    }
    const ValueInfo info = from_.value(node.out);
    values_[node.out] = to_.Append(std::move(copy), info.rows, info.cols);
  }

 private:
  WeightId WeightOf(WeightId from) {
    if (weights_[from] == kNone) {
      weights_[from] = static_cast<WeightId>(to_.weights_.size());
      to_.weights_.push_back(from_.weight(from));
    }
    return weights_[from];
  }

  const Graph& from_;
  Graph& to_;
  std::vector<ValueId> values_;
  std::vector<WeightId> weights_;
};

namespace {

struct Crossing {
  ValueId value = kNone;
  uint32_t count = 0;
};

// Values made before node `at` and read from it on.
Crossing CrossingAt(const Graph& graph, uint32_t at) {
  std::vector<bool> made(graph.num_values(), false);
  for (uint32_t i = 0; i < at; ++i) made[graph.nodes()[i].out] = true;
  Crossing crossing;
  std::vector<bool> counted(graph.num_values(), false);
  for (size_t i = at; i < graph.nodes().size(); ++i) {
    for (const ValueId in : graph.nodes()[i].in) {
      if (!made[in] || counted[in]) continue;
      counted[in] = true;
      crossing.value = in;
      ++crossing.count;
    }
  }
  return crossing;
}

bool ReadsInput(const Node& node) {
  return node.op == OpKind::kEmbed || node.op == OpKind::kInput || node.op == OpKind::kAddInput;
}

}  // namespace

Result<GraphHalves> CutGraph(const Graph& graph, uint32_t layer) {
  const uint32_t layers = static_cast<uint32_t>(graph.cache_layers().size());
  if (layer == 0 || layer >= layers) {
    return Error(Code::kInvalidArgument, "a cut below layer %u of %u", layer, layers);
  }
  const auto nodes = graph.nodes();
  // Between the attention of the layer below and that of the layer itself, where one value alone crosses.
  uint32_t first = 0, end = 0;
  for (uint32_t i = 0; i < nodes.size(); ++i) {
    if (nodes[i].op != OpKind::kAttention) continue;
    if (nodes[i].attention.layer == layer - 1) first = i + 1;
    if (nodes[i].attention.layer == layer) end = i;
  }
  uint32_t last_input = 0;
  for (uint32_t i = 0; i < nodes.size(); ++i) {
    if (ReadsInput(nodes[i])) last_input = i + 1;
  }
  if (last_input > end) {
    return Error(Code::kUnsupported, "the model cannot be cut below layer %u: layers behind it read pictures' features",
                 layer);
  }
  // The last such place: the end of the layer below, and not the middle of it. Right behind what reads the input is
  // one.
  for (uint32_t at = end; at >= std::max({first, last_input, 1u}); --at) {
    const Crossing crossing = CrossingAt(graph, at);
    if (crossing.count != 1 || graph.value(crossing.value).rows != Rows::kTokens) continue;
    GraphHalves halves;
    GraphCutter front(graph, &halves.front);
    for (uint32_t i = 0; i < at; ++i) front.Copy(nodes[i], 0);
    halves.front.SetResult(halves.front.SelectOutputs(front.At(crossing.value)));
    GraphCutter back(graph, &halves.back);
    back.Map(crossing.value, halves.back.Input(0, graph.value(crossing.value).cols));
    for (size_t i = at; i < nodes.size(); ++i) back.Copy(nodes[i], layer);
    halves.back.SetResult(back.At(graph.result()));
    MOTE_RETURN_IF_ERROR(halves.front.status());
    MOTE_RETURN_IF_ERROR(halves.back.status());
    return halves;
  }
  return Error(Code::kUnsupported, "the model cannot be cut below layer %u: more than one value crosses there", layer);
}

}  // namespace mote
