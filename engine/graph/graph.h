// The computation of a model as a list of coarse operations over (rows, cols) float32 matrices.
//
// A Graph is built once per model by arch/, planned once per maximum batch by plan.h, and run by a Backend. Only the
// number of rows, the positions and the cache length change from step to step. Shapes are inferred and checked while
// the graph is being built, with the op and the tensor named: what Graph::ok() accepts needs no further check.
#ifndef MOTE_ENGINE_GRAPH_GRAPH_H_
#define MOTE_ENGINE_GRAPH_GRAPH_H_

#include <stdint.h>

#include <span>
#include <string>
#include <vector>

#include "engine/core/status.h"
#include "engine/core/tensor.h"

namespace mote {

using ValueId = uint32_t;
using WeightId = uint32_t;
using RopeId = uint32_t;
inline constexpr uint32_t kNone = UINT32_MAX;

// How many rows a value has in a step: one per token; one per token that goes on to a result; one per token whose
// logits are wanted, which of those with a result come first; or one per block of Graph::merge() of the outputs.
enum class Rows : uint8_t { kTokens, kOutputs, kLogits, kMerged };

struct ValueInfo {
  Rows rows = Rows::kTokens;
  uint32_t cols = 0;
};

// Rows [row_begin, row_begin + rows) of a tensor in the file. A slice of a fused tensor (attn_qkv) is a weight of its
// own.
struct Weight {
  const TensorInfo* tensor = nullptr;  // owned by the GgufFile
  uint64_t row_begin = 0;
  uint64_t rows = 0;
  uint64_t cols = 0;
  bool transposed = false;  // the tensor is (cols, rows), of single values
};

enum class OpKind : uint8_t {
  kEmbed,          // out = rows of weights[0] by token id, times scale; or the first columns of the row's input
  kInput,          // out = columns [column, column + out.cols) of the row's input
  kAddInput,       // out = in[0] + the same, for rows that have an input
  kMatMul,         // out = in[0] x weights[0]^T (+ weights[1], a bias of (out.cols))
  kRmsNorm,        // each run of `group` columns: in[0] / sqrt(mean(in^2) + epsilon) * weights[0]
  kLayerNorm,      // (in[0] - mean) / sqrt(variance + epsilon) * weights[0] (+ weights[1])
  kAdd,            // out = in[0] + in[1]
  kMulVector,      // out = in[0] * weights[0], column by column
  kGate,           // out = activation(in[0]) * in[1]
  kActivation,     // out = activation(in[0])
  kRope,           // rotates the first rope.dims columns of each head of in[0] by the row's position
  kAttention,      // appends in[1] (keys) and in[2] (values) to the cache of `layer`; out = attention of in[0]
  kMoe,            // router weights[0], gate weights[1], up weights[2], down weights[3]: see MoeParams
  kSelectOutputs,  // rows that go on to a result
  kTakeHidden,     // rows that go on to logits; the others are a result themselves: Step::hidden
  kMerge,          // every merge() rows side by side as one
  kMergeMean,      // every merge() rows' mean
  kConcat,         // the columns of all inputs side by side
  kSoftcap,        // out = cap * tanh(in[0] / cap)
};
const char* OpName(OpKind kind);

enum class Activation : uint8_t { kSilu, kGelu, kGeluTanh, kRelu, kGeluQuick };

struct AttentionParams {
  uint32_t layer = 0;  // which cache layer
  uint32_t heads = 0;
  uint32_t kv_heads = 0;  // divides heads
  uint32_t key_dim = 0;   // per head
  uint32_t value_dim = 0;
  float scale = 0;      // of q . k
  float softcap = 0;    // 0: none
  uint32_t window = 0;  // sees the last `window` positions, itself included; 0: all
  // Which of Step::sights says what a row sees, where the step says so.
  uint32_t sight = 0;
  // Keys and values are needed by this node alone (a tower's): layers share one place for them.
  bool transient = false;
};

struct MoeParams {
  uint32_t experts = 0;
  uint32_t used = 0;       // chosen per token by the softmax of the router
  bool normalize = false;  // chosen weights scaled to a sum of 1
  float weight_scale = 1;
  Activation activation = Activation::kSilu;
};

// Frequencies of a rotary embedding. Angle of pair i at position p = p[axis[i]] * inverse_frequency[i]; rotated pairs
// are multiplied by `magnitude` (YaRN, LongRoPE).
struct RopeTable {
  enum class Layout : uint8_t {
    kAdjacent,  // pairs (2i, 2i + 1): llama
    kSplit,     // pairs (i, i + dims / 2): neox, qwen, gemma, phi
  };
  Layout layout = Layout::kAdjacent;
  float magnitude = 1;
  std::vector<float> inverse_frequency;  // (dims / 2)
  std::vector<uint8_t> axis;             // (dims / 2), each below kRopeAxes; empty: all 0
  uint32_t dims() const { return static_cast<uint32_t>(inverse_frequency.size()) * 2; }
};

// Axes of a position: time, row and column of a picture's part in a decoder; row and column in a tower. Text stands at
// the same place on all of them.
inline constexpr uint32_t kRopeAxes = 3;

struct Node {
  OpKind op = OpKind::kEmbed;
  std::vector<ValueId> in;
  ValueId out = kNone;
  std::vector<WeightId> weights;  // kNone where an optional one is absent
  float scale = 1;                // kEmbed
  float epsilon = 0;              // norms
  uint32_t group = 0;             // kRmsNorm; also columns per head of kRope
  float cap = 0;                  // kSoftcap
  uint32_t column = 0;            // kInput, kAddInput
  bool interleaved = false;       // kMerge
  Activation activation = Activation::kSilu;
  RopeId rope = kNone;
  AttentionParams attention;
  MoeParams moe;
};

// The cache that one layer needs per token.
struct CacheLayer {
  uint32_t kv_heads = 0;
  uint32_t key_dim = 0;
  uint32_t value_dim = 0;
  bool operator==(const CacheLayer&) const = default;
};

class GraphCutter;  // cut.cc

class Graph {
 public:
  // Builders. The first failure sticks (see status()); later calls are harmless and return ids that are never used.
  WeightId AddWeight(const TensorInfo* tensor, uint64_t rows,
                     uint64_t cols);  // the tensor's shape must be exactly this
  WeightId AddWeightSlice(const TensorInfo* tensor, uint64_t row_begin, uint64_t rows, uint64_t cols);
  // A tensor of single values (no blocks) with the same values in another shape: filters, read as rows.
  WeightId AddWeightReshaped(const TensorInfo* tensor, uint64_t rows, uint64_t cols);
  // A tensor of single values of shape (cols, rows).
  WeightId AddWeightTransposed(const TensorInfo* tensor, uint64_t rows, uint64_t cols);
  // Values [begin, begin + size) of a vector.
  WeightId AddVectorSlice(const TensorInfo* tensor, uint64_t begin, uint64_t size);
  RopeId AddRope(RopeTable table);

  ValueId Embed(WeightId table, float scale);
  ValueId Input(uint32_t column, uint32_t cols);
  ValueId AddInput(ValueId x, uint32_t column);
  ValueId MatMul(ValueId x, WeightId weight, WeightId bias = kNone);
  ValueId RmsNorm(ValueId x, WeightId weight, float epsilon);
  ValueId RmsNormHeads(ValueId x, WeightId weight, uint32_t head_dim, float epsilon);
  ValueId LayerNorm(ValueId x, WeightId weight, WeightId bias, float epsilon);
  ValueId Add(ValueId a, ValueId b);
  ValueId MulVector(ValueId x, WeightId weight);
  ValueId Gate(ValueId gate, ValueId up, Activation activation);
  ValueId Activate(ValueId x, Activation activation);
  ValueId Rope(ValueId x, RopeId rope, uint32_t head_dim);
  ValueId Attention(ValueId q, ValueId k, ValueId v, const AttentionParams& params);
  ValueId Moe(ValueId x, WeightId router, WeightId gate, WeightId up, WeightId down, const MoeParams& params);
  ValueId SelectOutputs(ValueId x);
  // Of outputs, those that go on to logits. What a step wants of the others is `x`.
  ValueId TakeHidden(ValueId x);
  // `count` rows as one; the same count in all of a graph. Interleaved: first the first column of all, then the second.
  ValueId Merge(ValueId x, uint32_t count, bool interleaved = false);
  ValueId MergeMean(ValueId x, uint32_t count);
  ValueId Concat(const std::vector<ValueId>& parts);
  ValueId Softcap(ValueId x, float cap);
  // The value whose rows are the logits, or a tower's embeddings. Must not have Rows::kTokens.
  void SetResult(ValueId result);
  // Says that steps of this graph have many rows whenever there are any: images. A backend may then choose arithmetic
  // that pays for many rows alone; results are still the same however many there are.
  void ExpectManyRows() { many_rows_ = true; }

  const Status& status() const { return status_; }
  std::span<const Node> nodes() const { return nodes_; }
  const ValueInfo& value(ValueId id) const { return values_[id]; }
  size_t num_values() const { return values_.size(); }
  const Weight& weight(WeightId id) const { return weights_[id]; }
  std::span<const Weight> weights() const { return weights_; }
  std::span<const RopeTable> ropes() const { return ropes_; }
  std::span<const CacheLayer> cache_layers() const { return cache_layers_; }
  ValueId result() const { return result_; }
  uint32_t merge() const { return merge_; }
  bool many_rows() const { return many_rows_; }
  // Floats that the input of a row must have; 0 where the graph reads none.
  uint32_t input_cols() const { return input_cols_; }
  // True if rows that stand at different places on the axes are rotated differently.
  bool has_axes() const;

 private:
  friend class GraphCutter;
  void Fail(Status status);
  bool Has(OpKind op, ValueId id);
  bool HasVector(OpKind op, WeightId id, uint64_t cols, bool optional);
  bool HasSingleValues(const TensorInfo* tensor);
  ValueId MergeRows(OpKind op, ValueId x, uint32_t count, bool interleaved);
  ValueId Append(Node node, Rows rows, uint32_t cols);

  Status status_;
  std::vector<Node> nodes_;
  std::vector<ValueInfo> values_;
  std::vector<Weight> weights_;
  std::vector<RopeTable> ropes_;
  std::vector<CacheLayer> cache_layers_;
  ValueId result_ = kNone;
  uint32_t merge_ = 1;
  bool many_rows_ = false;
  uint32_t input_cols_ = 0;
};

}  // namespace mote

#endif  // MOTE_ENGINE_GRAPH_GRAPH_H_
