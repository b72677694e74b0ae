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
#include "targets/cuda/packed_sparse.h"

namespace mote::cuda {

struct Grid {
  uint32_t x = 1, y = 1, z = 1;
};

// The same as mote::Rows and mote::Activation; build_program.cc holds them together.
inline constexpr uint8_t kRowsTokens = 0, kRowsOutputs = 1, kRowsLogits = 2, kRowsMerged = 3;
// And tokens that are not read (Step::read_from).
inline constexpr uint8_t kRowsGenerated = 4;
inline constexpr uint32_t kRowKinds = 5;
inline constexpr uint8_t kSilu = 0, kGelu = 1, kGeluTanh = 2, kRelu = 3, kGeluQuick = 4, kNoActivation = 255;

struct StepCounts {
  uint32_t rows[kRowKinds];  // of each kind
  uint32_t read_from;        // Step::read_from, at most rows[kRowsTokens]
};

// What is made of a matrix's outputs, where they are heads (HeadArgs).
enum class Heads : uint8_t { kNone, kQueries, kKeys, kValues };

// One matrix of a product. Products that share an input are one launch.
struct MatrixArgs {
  const uint8_t* weights;  // packed
  const float* bias;       // (rows), or null
  float* out;              // (tokens, rows)
  uint32_t rows;
  uint32_t first_tile;  // of the launch's units of 16 rows and more
  const float* add;     // one token: (rows) added to what is written, or null; it may be `out`
  Heads heads;
  uint32_t group;  // rows of a head
};
inline constexpr uint32_t kMaxMatrices = 4;

// Rows of a mixture of experts: the inputs and outputs of one expert are those of its slots.
struct ExpertArgs {
  const uint32_t* first;        // (experts + 1): an expert's first slot; null: no experts
  const uint32_t* row_of_slot;  // whose activations a slot reads; null: its own
  uint64_t weight_bytes;        // from expert to expert
};

// The row operations around a product of few tokens, done by its own blocks (fused_product.cuh).
//
// Before it, of one token: an RMS norm of a row of kMaxNormCols at most, a multiple of 8 and not IsLanesNorm, and its
// rounding to 8 bits.
inline constexpr uint32_t kMaxNormCols = 4096;
struct NormArgs {
  const float* values;  // (tokens, cols); null: `acts` hold what is multiplied with
  const float* weight;  // (cols)
  float epsilon;
};
// After it: the first of two matrices, of the same number of rows, a multiple of 256, is the gate of the other, and
// what is written is the next product's input.
struct GateArgs {
  uint8_t* acts;  // rows of Acts::kBytes32, of one token also of kBytes256; null: there is no gate
  uint64_t act_bytes;
  uint8_t activation;
  // Of kBytes256, whose groups are several blocks': the row before it is rounded, and a word for each group, zero
  // before and after.
  float* parts;
  uint32_t* arrived;
};

// After it, where matrices are queries, keys and values: queries and keys are turned, as pairs that stand side by side;
// keys and values go to a cache of halves, and not to `out`.
struct StepArgs;
struct HeadArgs {
  const StepArgs* step;  // null: there is nothing of this
  const float* cos;      // (rows, pairs)
  const float* sin;
  uint32_t pairs;
  uint32_t layer;
};

struct MatMulArgs {
  MatrixArgs matrix[kMaxMatrices];
  uint32_t matrices;
  uint32_t units;       // of rows, of all matrices: what the blocks of one_token.cuh share out
  uint32_t row_tiles;   // of 256 columns
  uint32_t cols;        // of a row; F32 alone looks at it
  const uint8_t* acts;  // rows of activations, as ActsOf(type) says
  uint64_t act_bytes;   // from row to row
  const StepCounts* counts;
  uint8_t rows_kind;
  uint8_t activation;  // of what is written
  ExpertArgs experts;
  NormArgs norm;
  GateArgs gate;
  HeadArgs heads;
};
// With block-sparse weights: `weights` of the product's matrices are null, and there are no experts.
struct SparseMatMulArgs {
  MatMulArgs product;
  SparseMatrixArgs matrix[kMaxMatrices];
};

// After a product of tokens that are read: the first of two matrices, of the same number of rows, a multiple of 256, is
// the gate of the other, and what is written is the next product's input.
struct ReadGateArgs {
  uint8_t* acts;  // of `kind`, padded_rows of them; null: there is no gate
  ReadActs kind;
  uint8_t activation;
};

// A product of the tokens that are read (read_product.cuh), of kRowsTokens.
struct ReadArgs {
  MatMulArgs product;    // acts: ReadActs::values
  const float* scales;   // ReadActs::scales
  uint64_t padded_rows;  // that there is room for
  ReadGateArgs gate;
};

// Operations that look at one row at a time: row_plan.h says how a launch of them is made.
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
  kCacheKeys,
  kCacheValues,
  kSelect,
  kTakeHidden,
  kMerge,
  kMergeMean,
  kConcat,
  kSoftcap,
  kQuantize,
  kRoundRead,
};

// Where an operation that works in registers (wide_rows.cuh) finds an operand.
enum class From : uint8_t {
  kMemory,
  kRegisters,  // it is what the thread holds
  kAhead,      // in1: the operation before that has such an operand, or the kernel as it began, has loaded it
};

struct RowOp {
  RowOpKind kind;
  uint8_t rows_kind;
  uint8_t activation;
  uint8_t flag;        // kRope: pairs stand side by side; kMerge: interleaved; kCacheKeys, kCacheValues: Q8_0; kEmbed:
                       // `packed` is a SparseMatrixArgs; kQuantize: rows that are read have no need of it
  uint8_t roundings;   // so many roundings are all that reads `out`; 0: others do, or it is not known
  uint8_t unread;      // `out` need not be written: who reads it finds it in registers
  Acts acts;           // kQuantize
  ReadActs read_acts;  // kRoundRead: of rows that are read
  From in0_from;
  From in1_from;
  uint32_t cols;     // of the output; kCacheKeys, kCacheValues, kQuantize, kRoundRead: of the input
  uint32_t in_cols;  // of the input, where that is another number
  uint32_t group;    // columns of a norm or of a head
  uint32_t column;   // kInput, kAddInput, kConcat: first column; kRoundRead: rows that `out` has room for
  uint32_t pairs;    // kRope
  float value;       // scale, epsilon or cap
  const float* in0;
  const float* in1;
  float* out;
  const float* weight;       // kRope: cos (rows, pairs)
  const float* bias;         // kRope: sin
  const float* next_weight;  // of norms and kMulVector: what the next of them wants
  const float* next_in1;     // of kAdd and kGate: what the next of them wants, if ahead
  uint32_t next_mask;        // of next_weight's columns
  const uint8_t* packed;     // kEmbed
  DType type;                // kEmbed
  uint32_t layer;            // kCacheKeys, kCacheValues
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

// How the blocks of a launch of row operations share the work out: blockIdx.x is the row; blockIdx.y the track, or one
// of the pieces of a track.
enum class RowShape : uint8_t {
  kColumns,  // in registers, pieces of kPieceCols columns
  kRow1,     // in registers, whole rows of up to 4096 columns,
  kRow2,     // 8192,
  kRow4,     // and 16384
  kSteps,    // each operation from memory to memory, for all that registers are not fit for
  kEmbed,    // one kEmbed, pieces of kEmbedCols columns
};
inline constexpr uint32_t kPieceCols = 1024;
inline constexpr uint32_t kEmbedCols = 256;
inline constexpr uint32_t kWholeCols = 4096;  // of kRow1

// Norms of so many columns are a few neighbouring lanes', in registers.
constexpr bool IsLanesNorm(uint32_t group) {
  return group == 8 || group == 16 || group == 32 || group == 64 || group == 128 || group == 256;
}

// And heads have the same weights: what a column is masked with.
constexpr uint32_t WeightMask(RowOpKind kind, uint32_t group) {
  return kind == RowOpKind::kRmsNorm && IsLanesNorm(group) ? group - 1 : UINT32_MAX;
}

// Operations [begin, end) that share no memory with those of other tracks, but for what nobody writes.
struct RowTrack {
  uint8_t begin;
  uint8_t end;
  uint8_t cache_op;      // a kCacheKeys or kCacheValues, in registers; else kNoOp
  uint32_t first_block;  // of blockIdx.y
  uint32_t weight_mask;  // of weight's columns: heads have the same
  const float* weight;   // what the first operation with a weight wants
  const float* in1;      // what the first operation with an in1 wants, if ahead
};

// Passed by value, so that a kernel finds its orders in constant memory; together well below the 4 KiB that parameters
// of a kernel may take on every GPU.
inline constexpr uint32_t kMaxRowOps = 12;
inline constexpr uint32_t kMaxRowTracks = 8;
inline constexpr uint8_t kNoOp = 255;
struct RowArgs {
  const StepArgs* step;
  const StepCounts* counts;
  RowShape shape;
  uint8_t num_tracks;
  uint32_t blocks;   // of blockIdx.y
  uint32_t per_row;  // rows for each that counts say: experts' slots
  uint32_t merge;
  RowTrack tracks[kMaxRowTracks];
  RowOp ops[kMaxRowOps];
};
static_assert(sizeof(RowArgs) < 3 << 10);

struct RopeArgs {
  const StepArgs* step;
  const float* inverse_frequency;  // (pairs)
  const uint8_t* axis;             // (pairs)
  uint32_t pairs;
  float magnitude;
  float* cos;  // (rows, pairs)
  float* sin;
};

// Which sessions have kPromptRows rows of a step or more: those are a kernel's of their own (prompt_attention.cuh).
enum class Prompts : uint8_t { kNone, kSome, kAll };
inline constexpr uint32_t kPromptRows = 16;
// Of steps of up to so many rows attention is cut into splits, as many as the longest session has: with more, the
// sessions alone fill the GPU.
inline constexpr uint32_t kSplitRows = 8;

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
  const float* q;    // (rows, heads, key_dim)
  float* out;        // (rows, heads, value_dim)
  Acts acts;         // kBytes32 or kBytes256: results are rounded for a product, and `out` is not written; kFloat: they
                     // are not
  uint8_t* rounded;  // (rows): of acts
  float* partial;    // (rows, heads, splits) results of value_dim + 2 floats, where splits are blocks of their own
  uint32_t splits;   // the most that a row's positions have; 1: a block takes all of them in order
  Prompts prompts;
};

// What a persistent kernel does of a step of one row, in order: an operation begins when the one before it is done.
enum class PersistentKind : uint8_t { kProduct, kNormProduct, kNormHeads, kNormGate, kAttention, kJoin };
struct alignas(16) PersistentOp {
  PersistentKind kind;
  uint8_t second;     // products: weights are of the kernel's second type
  uint8_t row_tiles;  // products: of a unit, of a gate those of both matrices
  uint32_t blocks;    // attention's and joins', as if they were launches: of all splits
  uint32_t parts;     // who takes part and says when it is done: teams, of attention blocks
  union {
    MatMulArgs product;
    AttentionArgs attention;
  };
};
// Words between those of two operations: whoever waits for one reads no sector that others write for the next.
inline constexpr uint32_t kArrivalWords = 8;
struct PersistentArgs {
  const PersistentOp* ops;
  uint32_t count;
  uint32_t* arrived;  // (count, kArrivalWords), the first of each: zero before and after
  // In a block's shared memory, behind the rings of all teams: where a team's own begins, its bytes, and where the
  // copies of operations are.
  uint32_t team_at;
  uint32_t team_bytes;
  uint32_t window_at;
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

// The highest logits of a row: so many at most, of a vocabulary of so many lists of 8192 at most.
inline constexpr uint32_t kMaxBest = 128;
inline constexpr uint32_t kMaxBestLists = 64;
// The same as mote::TokenLogit.
struct BestLogit {
  int32_t token;
  float logit;
};
struct BestArgs {
  const StepCounts* counts;
  uint32_t cols;        // the vocabulary
  uint32_t lists;       // BestLists(cols)
  const float* logits;  // (rows, cols)
  uint64_t* keys;       // (rows, lists, kMaxBest): scratch
  BestLogit* best;      // (rows, kMaxBest), highest first
};

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_KERNEL_ARGS_H_
