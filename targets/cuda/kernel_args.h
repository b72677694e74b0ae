// What kernels are told: plain structs of pointers into device memory, shared by the kernels and by those who launch
// them. C++17 without the standard library, so that every nvcc from 11.8 on compiles it.
//
// Counts that change from step to step lie in device memory (StepCounts): a captured graph runs again with others.
#ifndef MOTE_TARGETS_CUDA_KERNEL_ARGS_H_
#define MOTE_TARGETS_CUDA_KERNEL_ARGS_H_

#include <stddef.h>
#include <stdint.h>

#include "quant/dtype.h"
#include "targets/cuda/packed.h"

namespace mote::cuda {

struct Grid {
  uint32_t x = 1, y = 1, z = 1;
};

// The same as mote::Rows and mote::Activation; build_program.cc holds them together.
inline constexpr uint8_t kRowsTokens = 0, kRowsOutputs = 1, kRowsLogits = 2, kRowsMerged = 3;
inline constexpr uint8_t kSilu = 0, kGelu = 1, kGeluTanh = 2, kRelu = 3, kGeluQuick = 4, kNoActivation = 255;

struct StepCounts {
  uint32_t rows[4];  // of each kind
};

// One matrix of a product. Products that share an input are one launch.
struct MatrixArgs {
  const uint8_t* weights;  // packed
  const float* bias;       // (rows), or null
  float* out;              // (tokens, rows)
  uint32_t rows;
  uint32_t first_tile;  // of the launch's tiles of 16 rows
};
inline constexpr uint32_t kMaxMatrices = 4;

// Rows of a mixture of experts: the inputs and outputs of one expert are those of its slots.
struct ExpertArgs {
  const uint32_t* first;        // (experts + 1): an expert's first slot; null: no experts
  const uint32_t* row_of_slot;  // whose activations a slot reads; null: its own
  uint64_t weight_bytes;        // from expert to expert
};

struct MatMulArgs {
  MatrixArgs matrix[kMaxMatrices];
  uint32_t matrices;
  uint32_t row_tiles;   // of 256 columns
  uint32_t cols;        // of a row; F32 alone looks at it
  const uint8_t* acts;  // rows of activations, as ActsOf(type) says
  uint64_t act_bytes;   // from row to row
  const StepCounts* counts;
  uint8_t rows_kind;
  uint8_t activation;  // of what is written
  ExpertArgs experts;
};

// Operations on one row after the other, by one block each: row_ops.cuh.
enum class RowOpKind : uint8_t {
  kEmbed,
  kInput,
  kAddInput,
  kRmsNorm,
  kLayerNorm,
  kAdd,
  kMulVector,
  kGate,
  kActivation,
  kRope,
  kCache,
  kSelect,
  kTakeHidden,
  kMerge,
  kMergeMean,
  kConcat,
  kSoftcap,
  kQuantize,
};

struct RowOp {
  RowOpKind kind;
  uint8_t rows_kind;
  uint8_t activation;
  uint8_t flag;      // kRope: pairs stand side by side; kMerge: interleaved; kConcat: 0
  Acts acts;         // kQuantize
  uint32_t cols;     // of the output
  uint32_t in_cols;  // of the input, where that is another number
  uint32_t group;    // columns of a norm or of a head
  uint32_t column;   // kInput, kAddInput, kConcat: first column
  uint32_t pairs;    // kRope
  float value;       // scale, epsilon or cap
  const float* in0;
  const float* in1;
  float* out;
  const float* weight;    // kRope: cos (rows, pairs)
  const float* bias;      // kRope: sin
  DType type;             // kEmbed
  const uint8_t* packed;  // kEmbed
  uint32_t layer;         // kCache
};

// A layer of a session's cache, head by head: (positions, key_bytes) of keys and the same of values. F16: halves, the
// head's dimension rounded up to 16. Q8_0: signed bytes, rounded up to 32, and after all positions (positions, dim /
// 32) float16 scales. What is rounded up, and what was never written, is zero.
struct CacheLayerArgs {
  uint64_t keys;  // offsets from the cache's memory
  uint64_t values;
  uint64_t key_head_bytes;
  uint64_t value_head_bytes;
  uint32_t key_bytes;  // of a position
  uint32_t value_bytes;
  uint32_t heads;
  uint32_t key_dim;
  uint32_t value_dim;
  uint32_t positions;  // that there is room for, whole blocks of attention
};

// Rows of one session, next to each other: first and one past the last.
struct Segment {
  uint32_t begin;
  uint32_t end;
};

// What all kernels of a step read, in device memory.
struct StepArgs {
  StepCounts* counts;
  const int32_t* tokens;
  const int32_t* positions;
  const int32_t* rope_positions;  // (rows, 3)
  uint8_t* const* cache;          // (rows): memory of the row's cache
  const uint64_t* cache_layers;   // (rows): where the row's CacheLayerArgs lie, as an address
  const uint32_t* outputs;        // (outputs): row of each
  const uint8_t* has_input;       // (rows)
  const float* inputs;            // (rows, input_cols)
  uint32_t input_cols;
  const Segment* segments;    // (rows): of the row's session
  const uint32_t* begins[2];  // (rows): first position seen; null: the node's window says
  const uint32_t* ends[2];    // (rows): one past the last; null: up to the row itself
  float* hidden;              // (hidden rows, width)
};

struct RowArgs {
  const RowOp* ops;
  uint32_t num_ops;
  const StepArgs* step;
  uint8_t key_q8;  // kCache
  uint8_t value_q8;
  uint32_t merge;
};

struct RopeArgs {
  const StepArgs* step;
  const float* inverse_frequency;  // (pairs)
  const uint8_t* axis;             // (pairs)
  uint32_t pairs;
  float magnitude;
  float* cos;  // (rows, pairs)
  float* sin;
};

struct AttentionArgs {
  const StepArgs* step;
  uint32_t layer;
  uint32_t heads;
  uint32_t kv_heads;
  uint32_t key_dim;
  uint32_t value_dim;
  float scale;
  float softcap;
  uint32_t window;
  uint32_t sight;
  uint8_t key_q8;
  uint8_t value_q8;
  const float* q;   // (rows, heads, key_dim)
  float* out;       // (rows, heads, value_dim)
  float* partial;   // (rows, heads, splits) results of value_dim + 2 floats, where splits are blocks of their own
  uint32_t splits;  // the most that a row's positions have; 1: a block takes all of them in order
};

struct RouteArgs {
  const StepCounts* counts;
  uint8_t rows_kind;
  uint32_t experts;
  uint32_t used;
  uint8_t normalize;
  float weight_scale;
  float* probabilities;  // (rows, experts): logits of the router on entry
  uint32_t* expert;      // (rows, used)
  float* weight;         // (rows, used)
  uint32_t* slot;        // (rows, used): place of the pair, sorted by expert
  uint32_t* first;       // (experts + 1)
  uint32_t* row_of_slot;
};

// Slots of experts: hidden = activation(gate) * up, as the next product wants it.
struct ExpertGateArgs {
  const StepCounts* counts;
  uint8_t rows_kind;
  uint32_t used;
  uint32_t cols;
  uint8_t activation;
  float* gate;  // (slots, cols), and the result
  const float* up;
  Acts acts;
  uint8_t* out;  // (slots) of activations
};

struct CombineArgs {
  const StepCounts* counts;
  uint8_t rows_kind;
  uint32_t used;
  uint32_t cols;
  const float* down;  // (slots, cols)
  const uint32_t* slot;
  const float* weight;
  float* out;
};

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_KERNEL_ARGS_H_
