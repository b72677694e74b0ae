// Every kernel, as one table of function pointers per compiled instruction set.
//
// Plain arguments only: pointers, counts, strides. Kernels do not allocate, fail or check; the caller has. All pointers
// may be unaligned unless stated; a kernel reads nothing outside the rows it is given, and writes every output named.
//
// Determinism: a result depends only on the inputs of its own row (and, for a matrix product, its own weight row),
// never on how many rows are computed in the same call. Callers may split rows and weight rows over threads as they
// like.
#ifndef MOTE_SIMD_KERNELS_H_
#define MOTE_SIMD_KERNELS_H_

#include <stddef.h>
#include <stdint.h>

#include <span>

#include "quant/dtype.h"
#include "simd/cache_layout.h"
#include "simd/fetch.h"
#include "simd/pack.h"

namespace mote::simd {

// Activations as the quantised products want them ("A8"): a row of K values, K a multiple of 32, is K / 32 of these.
// value = scale * code, rounded to nearest even. Weights in blocks of 32 values take a scale for each 32, weights in
// super-blocks one for each 256 (ActGroup), as in llama.cpp: those weights are coarser than the activations either way,
// and a sum over a super-block is scaled once. One stream per row, and every field at a fixed place from one pointer:
// the many-token kernel follows six rows at once.
struct A8Block {
  int8_t codes[32];  // -127..127
  float scale;
  int32_t minus_sum;      // of the codes: what a weight format's offset or minimum is multiplied with
  int32_t minus_half[2];  // of the codes 0..15 and 16..31
  int32_t start;          // A8Start(minus_sum)
};
static_assert(sizeof(A8Block) == 52);
// The bits of the float 1.5 * 2^23: an integer of magnitude 2^22 or less that is added to them gives the float that is
// larger by that integer.
inline constexpr int32_t kFloatStart = 0x4b400000;
// What a dot product with codes that carry an offset of 128 starts from, so that it ends as such a float.
constexpr int32_t A8Start(int32_t minus_sum) {
  return kFloatStart + 128 * minus_sum;
}
constexpr size_t A8Bytes(size_t k) {
  return k / 32 * sizeof(A8Block);
}
// Distance of rows.
constexpr size_t A8RowBytes(size_t k) {
  return (A8Bytes(k) + 63) / 64 * 64;
}

// Activations as products with int8 weights of one scale a row want them ("R8"): a row of K codes, filled up with zeros
// to whole cache lines, and one line with what they share. value = scale * code. As plain as can be: a matrix unit and
// an Arm processor read the codes of many k at once.
struct R8Tail {
  float scale;
  int32_t minus_sum;  // of the codes
};
constexpr size_t R8CodeBytes(size_t k) {
  return (k + 63) / 64 * 64;
}
// Distance of rows, and bytes of one. An odd number of cache lines where codes are an even one, as they mostly are:
// the rows of a tile do not meet in the same places of the cache.
constexpr size_t R8RowBytes(size_t k) {
  return R8CodeBytes(k) + 64;
}
// Rows of weights that a product with many R8 rows best has in one call: those for which a matrix unit keeps sums.
inline constexpr uint32_t kI8TileRows = 128;

// Scratch memory of a matrix product, for each thread that calls one: this much, but for kI8Row where there is a matrix
// unit (MatMulScratchBytes).
inline constexpr size_t kMatMulScratchBytes = 128 * 1024;

// out[m * out_stride + n] = sum over k of acts[m][k] * weights[n][k], for n in [0, rows) and m in [0, m).
struct MatMulArgs {
  const uint8_t* panels = nullptr;  // weights as `pack` leaves them, from the first row of a panel on
  size_t rows = 0;
  size_t k = 0;
  const void* acts = nullptr;  // m rows: float (K), A8 where UsesA8(type), or R8 where UsesR8(type)
  size_t act_stride_bytes = 0;
  size_t m = 0;
  float* out = nullptr;
  size_t out_stride = 0;       // floats
  uint8_t* scratch = nullptr;  // MatMulScratchBytes, aligned to 64
  FetchAhead ahead;            // of the CPU, where it is known
};
using MatMulFn = void (*)(const MatMulArgs& args);

// Attention of the query heads that share one key/value head, for consecutive tokens of one sequence:
//   out[t][h] = softmax over the positions p that token t sees of (cap(scale * q[t][h] . k[p])) . v[p]
// Token t stands at position + t and sees the positions up to its own, the last `window` of them where window > 0; or,
// where `begins` or `ends` say so, from begins[t], or up to ends[t] (one past the last). Neither falls with t.
// Queries meet Q8_0 keys as A8 rows do: int8, a scale for every 32 values.
//
// The order of adding depends on the positions alone: online softmax over blocks of kAttentionBlock positions from
// nothing at each multiple of kAttentionSplit; the results of the splits are then joined in order. So a token gives the
// same bits alone and among others, and whether its splits were computed by one caller or by many.
// Long enough that joining (a row of values per split) is nothing beside its 512 keys, short enough that 8192 positions
// of one key/value head keep 16 cores busy.
inline constexpr size_t kAttentionSplit = 512;
struct AttentionArgs {
  CacheType key_type = CacheType::kF16;
  CacheType value_type = CacheType::kF16;
  // Panels of this key/value head from position 0 on, for all that is seen: cache_layout.h.
  const uint8_t* k = nullptr;
  const uint8_t* v = nullptr;
  size_t key_dim = 0;
  size_t value_dim = 0;
  const float* q = nullptr;  // (tokens, heads, key_dim); strides in floats
  size_t q_token_stride = 0;
  size_t q_head_stride = 0;
  size_t tokens = 0;
  size_t heads = 0;
  size_t position = 0;               // of the first token
  size_t window = 0;                 // 0: sees all before it
  const uint32_t* begins = nullptr;  // (tokens), or null
  const uint32_t* ends = nullptr;    // (tokens), or null
  float scale = 1;
  float softcap = 0;     // 0: none
  float* out = nullptr;  // (tokens, heads, value_dim)
  size_t out_token_stride = 0;
  size_t out_head_stride = 0;
  void* scratch = nullptr;  // AttentionScratchBytes, aligned to 64
};
// Rows = tokens * heads. Floats of one split's result, opaque: its sums relative to its largest score.
constexpr uint64_t AttentionSplitFloats(uint64_t rows, size_t value_dim) {
  return rows * (CachedDim(CacheType::kQ8_0, value_dim) + 2);
}
constexpr uint64_t AttentionScratchBytes(uint64_t rows, size_t key_dim, size_t value_dim) {
  const size_t d_key = CachedDim(CacheType::kQ8_0, key_dim);
  const size_t d_value = CachedDim(CacheType::kQ8_0, value_dim);
  // Queries, a block of keys and of values as floats with scales, weights, sums per lane, two splits' results.
  const uint64_t floats = rows * d_key + kAttentionBlock * d_key + kAttentionBlock * (d_value + d_value / 32) +
                          8 * kAttentionBlock + rows * 17 + 2 * AttentionSplitFloats(rows, value_dim);
  return floats * sizeof(float) + 16 * 64;  // each part aligned to 64
}
// The positions that a token sees, not empty.
constexpr size_t AttentionBegin(const AttentionArgs& args, size_t token) {
  if (args.begins != nullptr) return args.begins[token];
  const size_t end = args.position + token + 1;
  return args.window != 0 && end > args.window ? end - args.window : 0;
}
constexpr size_t AttentionEnd(const AttentionArgs& args, size_t token) {
  return args.ends != nullptr ? args.ends[token] : args.position + token + 1;
}
// Splits that hold positions which some token sees.
constexpr size_t AttentionFirstSplit(const AttentionArgs& args) {
  return AttentionBegin(args, 0) / kAttentionSplit;
}
constexpr size_t AttentionEndSplit(const AttentionArgs& args) {
  return (AttentionEnd(args, args.tokens - 1) - 1) / kAttentionSplit + 1;
}

// kGeluQuick: x * sigmoid(1.702 x).
enum class Activation : uint8_t { kSilu, kGelu, kGeluTanh, kRelu, kGeluQuick };

inline constexpr int kPixelWeightBits = 22;
// Rows of a picture that a vector may take at once, each as four bytes a pixel.
inline constexpr size_t kPixelRowGroup = 4;
constexpr size_t PixelScratchBytes(size_t source_width) {
  return 4 * kPixelRowGroup * source_width + 64;
}

// Places of a table of products, and a type's own.
inline constexpr uint32_t kMatMulTypes = 40;
constexpr uint32_t MatMulIndex(DType type) {
  return static_cast<uint32_t>(type == DType::kI8Row ? DType::kI8 : type);
}

struct KernelTable {
  const char* name;     // "scalar", "sse4", "avx2", "avx2_vnni", "avx512", "avx512_vnni", "avx512_amx", "neon", ...
  size_t vector_bytes;  // 4 for scalar

  // Rows of a packed panel, quantised and float (simd/pack.h): where a matrix may be cut.
  size_t panel_rows;
  size_t float_panel_rows;
  void (*pack)(const PackArgs& args);

  // Null where the type is not a weight. Index with MatMulOf().
  MatMulFn matmul[kMatMulTypes];

  // K floats to one A8 row; K a multiple of the group, 32 or 256, which share a scale. NaN or infinity in gives
  // unspecified finite values.
  void (*quantize_a8)(const float* x, size_t k, size_t group, void* out);
  // K floats to one R8 row, of R8RowBytes(k); any K. NaN and infinity as above.
  void (*quantize_r8)(const float* x, size_t k, void* out);

  // out[i] = x[i] / sqrt(mean(x^2) + epsilon) * weight[i]; in place allowed. n >= 1.
  void (*rms_norm)(const float* x, const float* weight, size_t n, float epsilon, float* out);
  // bias may be null; in place allowed.
  void (*layer_norm)(const float* x, const float* weight, const float* bias, size_t n, float epsilon, float* out);
  // Rotates `pairs` pairs of one head: adjacent (2i, 2i+1) or split (i, i + pairs). x in place. cos and sin: (pairs).
  void (*rope_adjacent)(float* x, const float* cos, const float* sin, size_t pairs);
  void (*rope_split)(float* x, const float* cos, const float* sin, size_t pairs);
  void (*attention)(const AttentionArgs& args);
  // The same in parts: every split in [AttentionFirstSplit, AttentionEndSplit) to a result of its own, by any callers
  // in any order; then all of them joined. `results`: those splits' in order, AttentionSplitFloats each.
  void (*attention_split)(const AttentionArgs& args, size_t split, float* result);
  void (*attention_join)(const AttentionArgs& args, const float* results);
  // One position's key or value of `dim` floats into the panels that begin at position 0.
  void (*cache_key)(CacheType type, const float* x, size_t dim, size_t position, uint8_t* panels);
  void (*cache_value)(CacheType type, const float* x, size_t dim, size_t position, uint8_t* panels);
  // out = activation(gate) * up; up null: activation alone. In place allowed.
  void (*gate)(Activation activation, const float* gate, const float* up, size_t n, float* out);
  void (*add)(const float* a, const float* b, size_t n, float* out);         // in place allowed
  void (*mul)(const float* a, const float* b, size_t n, float* out);         // in place allowed
  void (*scale)(const float* x, float factor, size_t n, float* out);         // in place allowed
  void (*add_scaled)(const float* x, float factor, size_t n, float* inout);  // inout += factor * x
  void (*softcap)(const float* x, float cap, size_t n, float* out);          // cap * tanh(x / cap)
  void (*softmax)(const float* x, size_t n, float* out);                     // in place allowed; n >= 1
  void (*f32_to_f16)(const float* x, size_t n, uint16_t* out);               // nearest even; overflow to infinity
  void (*f16_to_f32)(const uint16_t* x, size_t n, float* out);
  // The k largest of n, descending, ties to the lower index; NaN is smaller than everything. k <= n. `scratch`: 2 * k +
  // 64 values each.
  void (*top_k)(const float* x, size_t n, size_t k, int32_t* indices, float* values);
  float (*max)(const float* x, size_t n);  // n >= 1; NaN ignored

  // Resizing pictures of RGB bytes: the same bytes from every row. Weights are whole numbers of 2^-kPixelWeightBits;
  // the magnitudes of those that make one byte add up to less than 2. `taps` holds tap_stride numbers per output pixel:
  // first source pixel, count >= 1 of them, weights. `scratch`: PixelScratchBytes(source_width).
  void (*resize_rows)(const uint8_t* source, size_t source_stride, size_t source_width, size_t rows,
                      const int32_t* taps, size_t tap_stride, size_t out_width, uint8_t* out, size_t out_stride,
                      uint8_t* scratch);
  // out[i] = the weighted sum of rows[0][i], ..., rows[count - 1][i], rounded, clamped to 0..255.
  void (*blend_rows)(const uint8_t* const* rows, const int32_t* weights, size_t count, size_t bytes, uint8_t* out);
};

// Activations that share a scale in the A8 rows that matmul of this type takes: 32 or 256; 0 where it takes others.
size_t ActGroup(DType type);
inline bool UsesA8(DType type) {
  return ActGroup(type) != 0;
}
inline bool UsesR8(DType type) {
  return type == DType::kI8Row;
}
inline bool UsesFloats(DType type) {
  return !UsesA8(type) && !UsesR8(type);
}
inline MatMulFn MatMulOf(const KernelTable& table, DType type) {
  // Plain numbers are no weights, though they have the place of some.
  const uint32_t id = type == DType::kI8 ? kMatMulTypes : MatMulIndex(type);
  return id < kMatMulTypes ? table.matmul[id] : nullptr;
}

inline size_t PanelRows(const KernelTable& table, DType type) {
  return UsesFloats(type) ? table.float_panel_rows : table.panel_rows;
}
// Bytes of `rows` packed rows, those that fill up the last panel included.
inline size_t PackedBytes(const KernelTable& table, DType type, size_t rows, size_t k) {
  const size_t panel = PanelRows(table, type);
  return (rows + panel - 1) / panel * panel * RowBytes(type, k);
}

// All rows compiled into this binary, best first; the last one is always "scalar" (simd/ref).
std::span<const KernelTable* const> Tables();
// The best row that this CPU can run.
const KernelTable& BestTable();
// True if this CPU can run the row.
bool CanRun(const KernelTable& table);
// By name; null if not compiled in.
const KernelTable* FindTable(const char* name);

}  // namespace mote::simd

#endif  // MOTE_SIMD_KERNELS_H_
