// Attention by online softmax (Milakov and Gimelshein, arXiv 1805.02867): one pass over the positions, in blocks; the
// results of the splits joined in order.
#include <math.h>
#include <string.h>

#include <algorithm>

#include "quant/codec.h"
#include "simd/cache_write.h"
#include "simd/ref/reference.h"

namespace mote::simd::ref {
namespace {

float HalfAt(const uint8_t* panel, size_t index) {
  uint16_t bits;
  memcpy(&bits, panel + index * sizeof(bits), sizeof(bits));
  return F16ToF32(bits);
}

struct Visible {
  size_t begin;
  size_t end;
};
Visible VisibleTo(const AttentionArgs& args, size_t token) {
  return {AttentionBegin(args, token), AttentionEnd(args, token)};
}

// q . k[position], the query as floats or as an A8 row.
float KeyDot(const AttentionArgs& args, const void* query, size_t position) {
  const uint8_t* panel = args.k + position / kCachePanel * CachePanelBytes(args.key_type, args.key_dim);
  const size_t place = position % kCachePanel;
  float dot = 0;
  if (args.key_type == CacheType::kF16) {
    const float* q = static_cast<const float*>(query);
    for (size_t d = 0; d < args.key_dim; ++d) dot += q[d] * HalfAt(panel, d * kCachePanel + place);
    return dot;
  }
  const size_t dim = CachedDim(args.key_type, args.key_dim);
  const A8Block* q = static_cast<const A8Block*>(query);
  for (size_t block = 0; block < dim / 32; ++block) {
    int sum = 0;
    for (size_t i = 0; i < 32; ++i) {
      const size_t d = block * 32 + i;
      sum += q[block].codes[i] * static_cast<int8_t>(panel[d / 4 * 64 + place * 4 + d % 4]);
    }
    dot += static_cast<float>(sum) * (q[block].scale * HalfAt(panel + dim * kCachePanel, block * kCachePanel + place));
  }
  return dot;
}

void AddValue(const AttentionArgs& args, float weight, size_t position, float* out) {
  const uint8_t* panel = args.v + position / kCachePanel * CachePanelBytes(args.value_type, args.value_dim);
  const size_t place = position % kCachePanel;
  const size_t dim = CachedDim(args.value_type, args.value_dim);
  for (size_t d = 0; d < args.value_dim; ++d) {
    if (args.value_type == CacheType::kF16) {
      out[d] += weight * HalfAt(panel, place * dim + d);
    } else {
      const float scale = HalfAt(panel + dim * kCachePanel, d / 32 * kCachePanel + place);
      out[d] += weight * (scale * static_cast<float>(static_cast<int8_t>(panel[place * dim + d])));
    }
  }
}

// A split's result: out (rows, value_dim), then the largest score of each row, then its sum of weights.
struct Result {
  float* out;
  float* largest;
  float* sum;
};
Result ResultAt(const AttentionArgs& args, float* floats) {
  const size_t rows = args.tokens * args.heads;
  return {floats, floats + rows * args.value_dim, floats + rows * (args.value_dim + 1)};
}

// Positions [begin, end), not empty, of one row.
void AttendRow(const AttentionArgs& args, const void* query, size_t begin, size_t end, float* out, float* largest,
               float* sum) {
  *largest = -INFINITY;
  *sum = 0;
  for (size_t d = 0; d < args.value_dim; ++d) out[d] = 0;
  while (begin < end) {
    const size_t block_end = std::min(end, (begin / kAttentionBlock + 1) * kAttentionBlock);
    float scores[kAttentionBlock];
    float block_largest = -INFINITY;
    for (size_t p = begin; p < block_end; ++p) {
      float score = KeyDot(args, query, p) * args.scale;
      if (args.softcap > 0) score = args.softcap * tanhf(score / args.softcap);
      scores[p - begin] = score;
      block_largest = fmaxf(block_largest, score);
    }
    const float new_largest = fmaxf(*largest, block_largest);
    const float correction = expf(*largest - new_largest);
    *sum *= correction;
    for (size_t d = 0; d < args.value_dim; ++d) out[d] *= correction;
    for (size_t p = begin; p < block_end; ++p) {
      const float weight = expf(scores[p - begin] - new_largest);
      *sum += weight;
      AddValue(args, weight, p, out);
    }
    *largest = new_largest;
    begin = block_end;
  }
}

// One row's results so far, relative to the largest score so far.
struct Total {
  float* out;  // (dim)
  size_t dim;
  float largest = -INFINITY;
  float sum = 0;

  void Add(bool first, const float* part, float part_largest, float part_sum) {
    if (first) {
      std::copy(part, part + dim, out);
      largest = part_largest;
      sum = part_sum;
      return;
    }
    const float new_largest = fmaxf(largest, part_largest);
    const float factor = expf(largest - new_largest);
    const float part_factor = expf(part_largest - new_largest);
    for (size_t d = 0; d < dim; ++d) out[d] = out[d] * factor + part[d] * part_factor;
    sum = sum * factor + part_sum * part_factor;
    largest = new_largest;
  }
  void Finish() {
    for (size_t d = 0; d < dim; ++d) out[d] /= sum;
  }
};

}  // namespace

void AttentionSplit(const AttentionArgs& args, size_t split, float* result) {
  const Result r = ResultAt(args, result);
  const size_t dim = CachedDim(args.key_type, args.key_dim);
  uint8_t* codes = static_cast<uint8_t*>(args.scratch);
  float* padded = reinterpret_cast<float*>(codes + A8RowBytes(dim));
  for (size_t row = 0; row < args.tokens * args.heads; ++row) {
    const Visible visible = VisibleTo(args, row / args.heads);
    const size_t begin = std::max(visible.begin, split * kAttentionSplit);
    const size_t end = std::min(visible.end, (split + 1) * kAttentionSplit);
    if (begin >= end) continue;
    const float* q = args.q + row / args.heads * args.q_token_stride + row % args.heads * args.q_head_stride;
    const void* query = q;
    if (args.key_type == CacheType::kQ8_0) {
      std::fill(padded + args.key_dim, padded + dim, 0.0f);
      std::copy(q, q + args.key_dim, padded);
      QuantizeA8(padded, dim, 32, codes);
      query = codes;
    }
    AttendRow(args, query, begin, end, r.out + row * args.value_dim, &r.largest[row], &r.sum[row]);
  }
}

void AttentionJoin(const AttentionArgs& args, const float* results) {
  const size_t rows = args.tokens * args.heads;
  for (size_t row = 0; row < rows; ++row) {
    const Visible visible = VisibleTo(args, row / args.heads);
    const size_t first = visible.begin / kAttentionSplit;
    Total total{args.out + row / args.heads * args.out_token_stride + row % args.heads * args.out_head_stride,
                args.value_dim};
    for (size_t split = first; split <= (visible.end - 1) / kAttentionSplit; ++split) {
      const float* part = results + (split - AttentionFirstSplit(args)) * AttentionSplitFloats(rows, args.value_dim);
      total.Add(split == first, part + row * args.value_dim, part[rows * args.value_dim + row],
                part[rows * (args.value_dim + 1) + row]);
    }
    total.Finish();
  }
}

// One row after the other, one split after the other: the scratch has room for no more.
void Attention(const AttentionArgs& args) {
  for (size_t row = 0; row < args.tokens * args.heads; ++row) {
    const size_t token = row / args.heads;
    const size_t head = row % args.heads;
    AttentionArgs one = args;
    one.q = args.q + token * args.q_token_stride + head * args.q_head_stride;
    one.position = args.position + token;
    if (args.begins != nullptr) one.begins = args.begins + token;
    if (args.ends != nullptr) one.ends = args.ends + token;
    one.tokens = 1;
    one.heads = 1;
    // The front of the scratch is the split's own.
    float* part = static_cast<float*>(args.scratch) + 2 * CachedDim(CacheType::kQ8_0, args.key_dim) + 16;
    Total total{args.out + token * args.out_token_stride + head * args.out_head_stride, args.value_dim};
    for (size_t split = AttentionFirstSplit(one); split < AttentionEndSplit(one); ++split) {
      AttentionSplit(one, split, part);
      total.Add(split == AttentionFirstSplit(one), part, part[args.value_dim], part[args.value_dim + 1]);
    }
    total.Finish();
  }
}

void CacheKey(CacheType type, const float* x, size_t dim, size_t position, uint8_t* panels) {
  WriteCachePosition(CacheSide::kKey, type, x, dim, position, panels, QuantizeA8, F32ToF16Row);
}

void CacheValue(CacheType type, const float* x, size_t dim, size_t position, uint8_t* panels) {
  WriteCachePosition(CacheSide::kValue, type, x, dim, position, panels, QuantizeA8, F32ToF16Row);
}

}  // namespace mote::simd::ref
