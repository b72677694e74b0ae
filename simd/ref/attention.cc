// Attention by online softmax (Milakov and Gimelshein, arXiv 1805.02867): one pass over the positions, in blocks.
#include <math.h>

#include "quant/codec.h"
#include "simd/ref/reference.h"

namespace mote::simd::ref {
namespace {

// One head. out holds the weighted sum of values relative to the running maximum until the end.
void AttendHead(const AttentionArgs& args, const float* q, float* out) {
  float largest = -INFINITY;
  float sum = 0;
  for (size_t d = 0; d < args.value_dim; ++d) out[d] = 0;
  size_t begin = args.begin;
  while (begin < args.end) {
    size_t end = (begin / kAttentionBlock + 1) * kAttentionBlock;
    if (end > args.end) end = args.end;
    float scores[kAttentionBlock];
    float block_largest = -INFINITY;
    for (size_t p = begin; p < end; ++p) {
      float dot = 0;
      for (size_t d = 0; d < args.key_dim; ++d) dot += q[d] * F16ToF32(args.k[p * args.key_dim + d]);
      float score = dot * args.scale;
      if (args.softcap > 0) score = args.softcap * tanhf(score / args.softcap);
      scores[p - begin] = score;
      block_largest = fmaxf(block_largest, score);
    }
    const float new_largest = fmaxf(largest, block_largest);
    const float correction = expf(largest - new_largest);
    sum *= correction;
    for (size_t d = 0; d < args.value_dim; ++d) out[d] *= correction;
    for (size_t p = begin; p < end; ++p) {
      const float weight = expf(scores[p - begin] - new_largest);
      sum += weight;
      for (size_t d = 0; d < args.value_dim; ++d) out[d] += weight * F16ToF32(args.v[p * args.value_dim + d]);
    }
    largest = new_largest;
    begin = end;
  }
  for (size_t d = 0; d < args.value_dim; ++d) out[d] /= sum;
}

}  // namespace

void Attention(const AttentionArgs& args) {
  for (size_t head = 0; head < args.heads; ++head) {
    AttendHead(args, args.q + head * args.q_stride, args.out + head * args.out_stride);
  }
}

}  // namespace mote::simd::ref
