// Keys, values and queries for the tests of attention, and what must come out: a softmax over all positions at once, in
// double, of what the panels hold, read by the words of simd/cache_layout.h alone.
#ifndef MOTE_TESTS_SIMD_ATTENTION_PROBLEM_H_
#define MOTE_TESTS_SIMD_ATTENTION_PROBLEM_H_

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "simd/kernels.h"
#include "simd/ref/reference.h"
#include "tests/simd/rows.h"
#include "tests/support/closeness.h"
#include "tests/support/guarded.h"

namespace mote::testing {

using simd::CacheType;

inline const char* Name(CacheType type) {
  return type == CacheType::kF16 ? "f16" : "q8_0";
}

struct Shape {
  CacheType keys = CacheType::kF16;
  CacheType values = CacheType::kF16;
  size_t heads = 1;
  size_t key_dim = 64;
  size_t value_dim = 64;
  size_t positions = 1;
};

inline float HalfIn(const uint8_t* panel, size_t index) {
  uint16_t bits;
  memcpy(&bits, panel + index * sizeof(bits), sizeof(bits));
  return F16ToF32(bits);
}

struct Problem : Shape {
  // A query for each position: any run of positions can be asked for.
  std::vector<float> q;
  std::unique_ptr<Guarded<uint8_t>> k, v;
  size_t q_head_stride, q_token_stride;
  size_t window = 0;
  float softcap = 0;
  std::vector<uint32_t> begins, ends;  // by position; empty: the causal ones

  Problem(const Shape& shape, Random& random, float amplitude = 1.0f)
      : Shape(shape), q_head_stride(key_dim + 3), q_token_stride(heads * q_head_stride + 2) {
    q = random.Floats(positions * q_token_stride, amplitude);
    k = Panels(keys, key_dim);
    v = Panels(values, value_dim);
    for (size_t p = 0; p < positions; ++p) {
      SetKey(p, random.Floats(key_dim, amplitude));
      SetValue(p, random.Floats(value_dim));
    }
  }
  // Zero as a new cache is.
  std::unique_ptr<Guarded<uint8_t>> Panels(CacheType type, size_t dim) const {
    auto panels = std::make_unique<Guarded<uint8_t>>(simd::CachePanels(positions) * simd::CachePanelBytes(type, dim));
    memset(panels->data(), 0, panels->size());
    return panels;
  }
  void SetKey(size_t p, const std::vector<float>& x) { simd::ref::CacheKey(keys, x.data(), key_dim, p, k->data()); }
  void SetValue(size_t p, const std::vector<float>& x) {
    simd::ref::CacheValue(values, x.data(), value_dim, p, v->data());
  }

  float Key(size_t p, size_t d) const {
    const uint8_t* panel = k->data() + p / 16 * simd::CachePanelBytes(keys, key_dim);
    if (keys == CacheType::kF16) return HalfIn(panel, d * 16 + p % 16);
    const uint8_t* scales = panel + simd::CachedDim(keys, key_dim) * 16;
    return static_cast<float>(static_cast<int8_t>(panel[d / 4 * 64 + p % 16 * 4 + d % 4])) *
           HalfIn(scales, d / 32 * 16 + p % 16);
  }
  float Value(size_t p, size_t d) const {
    const size_t dim = simd::CachedDim(values, value_dim);
    const uint8_t* panel = v->data() + p / 16 * simd::CachePanelBytes(values, value_dim);
    if (values == CacheType::kF16) return HalfIn(panel, p % 16 * dim + d);
    return static_cast<float>(static_cast<int8_t>(panel[p % 16 * dim + d])) *
           HalfIn(panel + dim * 16, d / 32 * 16 + p % 16);
  }
  // As it meets the keys.
  std::vector<double> Query(size_t position, size_t head) const {
    const float* given = q.data() + position * q_token_stride + head * q_head_stride;
    std::vector<double> query(given, given + key_dim);
    if (keys == CacheType::kF16) return query;
    std::vector<float> padded(given, given + key_dim);
    padded.resize(simd::CachedDim(keys, key_dim));
    std::vector<simd::A8Block> a8(padded.size() / 32);
    simd::ref::QuantizeA8(padded.data(), padded.size(), 32, a8.data());
    for (size_t d = 0; d < key_dim; ++d) {
      query[d] = static_cast<double>(a8[d / 32].scale) * a8[d / 32].codes[d % 32];
    }
    return query;
  }
  float scale() const { return 1 / std::sqrt(static_cast<float>(key_dim)); }
  size_t FirstSeen(size_t position) const {
    if (!begins.empty()) return begins[position];
    return window != 0 && position + 1 > window ? position + 1 - window : 0;
  }
  size_t EndSeen(size_t position) const { return ends.empty() ? position + 1 : ends[position]; }
  std::string Label(const char* row) const {
    char label[200];
    snprintf(label, sizeof(label), "%s keys=%s values=%s heads=%zu dims=%zu/%zu window=%zu softcap=%g", row, Name(keys),
             Name(values), heads, key_dim, value_dim, window, static_cast<double>(softcap));
    return label;
  }

  // (value_dim) of one head. An error e of a score multiplies its weight by 1 + e; the weighted sum of values then
  // moves by at most 2 e max|v|. Scores: a query rounded once more with its scale, a sum of key_dim products, capped;
  // 2^x and the sums of weights on top.
  std::vector<Expected> Want(size_t position, size_t head) const {
    const std::vector<double> query = Query(position, head);
    const size_t begin = FirstSeen(position);
    std::vector<double> scores;
    double largest = -INFINITY, score_error = 0;
    for (size_t p = begin; p < EndSeen(position); ++p) {
      DotReference dot;
      double magnitude = 0;
      for (size_t d = 0; d < key_dim; ++d) {
        dot.Add(query[d], Key(p, d));
        magnitude += std::abs(query[d] * Key(p, d));
      }
      const Expected sum = dot.Expect(kEpsilonF32);
      double score = sum.value * scale();
      const double error = (sum.bound + 2 * kEpsilonF32 * magnitude) * scale();
      if (softcap > 0) score = softcap * std::tanh(score / softcap);
      score_error = std::max(score_error, error + std::abs(score) * 6 * kEpsilonF32);
      scores.push_back(score);
      largest = std::max(largest, score);
    }
    double total = 0, spread = 0;
    std::vector<double> sums(value_dim, 0.0), magnitudes(value_dim, 0.0);
    for (size_t p = begin; p < EndSeen(position); ++p) {
      const double weight = std::exp(scores[p - begin] - largest);
      spread = std::max(spread, weight * (largest - scores[p - begin]));
      total += weight;
      for (size_t d = 0; d < value_dim; ++d) {
        sums[d] += weight * Value(p, d);
        magnitudes[d] += weight * std::abs(Value(p, d));
      }
    }
    const double n = static_cast<double>(scores.size());
    const double additions = std::min(n, DotReference::kLambda * std::sqrt(n)) + n / simd::kAttentionBlock + 8;
    std::vector<Expected> want(value_dim);
    for (size_t d = 0; d < value_dim; ++d) {
      const double relative = 2 * score_error + (additions + spread) * kEpsilonF32;
      want[d] = {sums[d] / total, magnitudes[d] / total * relative + 1e-12};
    }
    return want;
  }

  // Tokens [position, position + tokens) and heads [head, head + count), in guarded memory of exactly the right size.
  struct Run {
    simd::AttentionArgs args;
    std::unique_ptr<Guarded<uint8_t>> scratch;
    std::unique_ptr<Guarded<float>> out;
    const float* Row(size_t token, size_t head) const {
      return out->data() + token * args.out_token_stride + head * args.out_head_stride;
    }
    bool GuardsIntact() const { return scratch->GuardsIntact() && out->GuardsIntact(); }
  };
  Run Prepare(size_t position, size_t tokens, size_t head, size_t count) const {
    Run run;
    simd::AttentionArgs& args = run.args;
    args.key_type = keys;
    args.value_type = values;
    args.k = k->data();
    args.v = v->data();
    args.key_dim = key_dim;
    args.value_dim = value_dim;
    args.q = q.data() + position * q_token_stride + head * q_head_stride;
    args.q_token_stride = q_token_stride;
    args.q_head_stride = q_head_stride;
    args.tokens = tokens;
    args.heads = count;
    args.position = position;
    args.window = window;
    args.begins = begins.empty() ? nullptr : begins.data() + position;
    args.ends = ends.empty() ? nullptr : ends.data() + position;
    args.scale = scale();
    args.softcap = softcap;
    args.out_head_stride = value_dim + 5;
    args.out_token_stride = count * args.out_head_stride + 1;
    run.out = std::make_unique<Guarded<float>>(tokens * args.out_token_stride, 1);
    run.scratch = std::make_unique<Guarded<uint8_t>>(simd::AttentionScratchBytes(tokens * count, key_dim, value_dim));
    args.out = run.out->data();
    args.scratch = run.scratch->data();
    return run;
  }
  Run Attend(const simd::KernelTable& table, size_t position, size_t tokens, size_t head, size_t count) const {
    Run run = Prepare(position, tokens, head, count);
    table.attention(run.args);
    EXPECT_TRUE(run.GuardsIntact()) << Label(table.name);
    return run;
  }
};

}  // namespace mote::testing

#endif  // MOTE_TESTS_SIMD_ATTENTION_PROBLEM_H_
