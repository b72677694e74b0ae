// Encoders of the formats of 32-value blocks. Without importances their scales follow from the extremes of the block:
// the same bits as ggml's quantize_row_*_ref wherever those are defined. With importances Q4 and Q5 search.
#include <math.h>
#include <string.h>

#include "quant/codec.h"
#include "quant/encode.h"
#include "quant/error_weights.h"
#include "quant/scale_search.h"

namespace mote {
namespace {

// 1 / scale; 0 where the scale is 0 or so small that its inverse overflows (every value then decodes to 0 anyway).
float InverseOf(float scale) {
  const float inverse = scale != 0 ? 1.0f / scale : 0.0f;
  return isfinite(inverse) ? inverse : 0.0f;
}

bool StoreF16(float value, uint16_t* out) {
  *out = F32ToF16(value);
  return (*out & 0x7c00u) != 0x7c00u;
}

constexpr float kLargestWeighted = 1e8f;  // squares, weights and codes multiplied stay within float32

int AtMost(int value, int limit) {
  return value < limit ? value : limit;
}

// The least weighted error, with the scale as float16 stores it. Trials bring the extreme to within two steps of either
// end of the codes.
template <class Block>
bool SearchSymmetric(const float* x, const float* importance, int offset, Block* block, int codes[kBlock]) {
  if (fabsf(ExtremeOf(x, kBlock)) > kLargestWeighted) return false;
  const UniformLevels levels = {static_cast<float>(-offset), static_cast<float>(offset - 1)};
  if (!StoreF16(SearchScale<kBlock>(x, importance, levels, {levels.low, 0.125f, 16, true, Score::kError}),
                &block->scale))
    return false;
  const float inverse = InverseOf(F16ToF32(block->scale));
  for (int v = 0; v < kBlock; ++v) codes[v] = static_cast<int>(levels.Nearest(inverse * x[v])) + offset;
  return true;
}

// From a fit to what float16 makes of it, then to the min that is best beside that scale, and the scale beside that
// min. Keeps what lowers *best_error, in *block.
template <class Block>
void SettleAffine(const float* x, const float* importance, float max_code, AffineFit fit, float* best_error,
                  Block* block) {
  for (int i = 0; i < 3; ++i) {
    Block trial;
    if (!StoreF16(fit.scale, &trial.scale) || !StoreF16(-fit.min, &trial.min)) return;
    const AffineFit stored = {F16ToF32(trial.scale), -F16ToF32(trial.min)};
    const float error = AffineError<kBlock>(x, importance, stored, max_code);
    if (error < *best_error) {
      *best_error = error;
      block->scale = trial.scale;
      block->min = trial.min;
    }
    fit = i == 0 ? FitMin<kBlock>(x, importance, stored, max_code) : FitSlope<kBlock>(x, importance, stored, max_code);
  }
}

template <class Block>
bool SearchAffineBlock(const float* x, const float* importance, int max_code, Block* block, int codes[kBlock]) {
  if (fabsf(ExtremeOf(x, kBlock)) > kLargestWeighted) return false;
  const float last = static_cast<float>(max_code);
  const AffineTrials trials = {last, -2.0f, 0.05f, 60, Score::kError};
  float best_error = INFINITY;
  SettleAffine(x, importance, last, SearchAffine<kBlock, MinSign::kAny>(x, importance, trials), &best_error, block);
  // Weights that lean to large values lead to another place to search around: better in one block of five.
  float leaning[kBlock];
  const float mean = MeanSquare<kBlock>(x);
  for (int i = 0; i < kBlock; ++i) leaning[i] = importance[i] * sqrtf(mean + x[i] * x[i]);
  SettleAffine(x, importance, last, SearchAffine<kBlock, MinSign::kAny>(x, leaning, trials), &best_error, block);
  if (best_error == INFINITY) return false;
  const AffineFit best = {F16ToF32(block->scale), -F16ToF32(block->min)};
  const float inverse = InverseOf(best.scale);
  for (int v = 0; v < kBlock; ++v) {
    codes[v] = static_cast<int>(RoundSmall(Clamp((x[v] + best.min) * inverse, 0, last)));
  }
  return true;
}

// code = round(x / scale) + offset with the extreme on code 0: for it alone the range has one step more on its side.
// Truncation of a value that is at least 0.5 rounds it down.
template <class Block>
bool EncodeSymmetric(const float* x, const float* importance, int offset, Block* block, int codes[kBlock]) {
  if (importance != nullptr) return SearchSymmetric(x, importance, offset, block, codes);
  const float scale = ExtremeOf(x, kBlock) / static_cast<float>(-offset);
  const float inverse = InverseOf(scale);
  if (!StoreF16(scale, &block->scale)) return false;
  for (int v = 0; v < kBlock; ++v) {
    codes[v] = AtMost(static_cast<int>(x[v] * inverse + (static_cast<float>(offset) + 0.5f)), 2 * offset - 1);
  }
  return true;
}

// code = round((x - min) / scale), the codes spread over [min, max].
template <class Block>
bool EncodeAffine(const float* x, const float* importance, int max_code, Block* block, int codes[kBlock]) {
  if (importance != nullptr) return SearchAffineBlock(x, importance, max_code, block, codes);
  float min = x[0];
  float max = x[0];
  for (int v = 1; v < kBlock; ++v) {
    if (x[v] < min) min = x[v];
    if (x[v] > max) max = x[v];
  }
  const float scale = (max - min) / static_cast<float>(max_code);
  const float inverse = InverseOf(scale);
  if (!StoreF16(scale, &block->scale) || !StoreF16(min, &block->min)) return false;
  for (int v = 0; v < kBlock; ++v) {
    codes[v] = AtMost(static_cast<int>((x[v] - min) * inverse + 0.5f), max_code);
  }
  return true;
}

void StoreNibbles(const int codes[kBlock], uint8_t out[kBlock / 2]) {
  memset(out, 0, kBlock / 2);
  for (int v = 0; v < kBlock; ++v) OrBits(out, NibbleOf32(v), codes[v] & 15);
}

void StoreHighBits(const int codes[kBlock], uint8_t out[kBlock / 8]) {
  memset(out, 0, kBlock / 8);
  for (int v = 0; v < kBlock; ++v) OrBits(out, {v / 8, v % 8}, codes[v] >> 4);
}

}  // namespace

bool EncodeBlock(const float* x, const float* importance, BlockQ4_0* block) {
  int codes[kBlock];
  if (!EncodeSymmetric(x, importance, 8, block, codes)) return false;
  StoreNibbles(codes, block->codes);
  return true;
}

bool EncodeBlock(const float* x, const float* importance, BlockQ4_1* block) {
  int codes[kBlock];
  if (!EncodeAffine(x, importance, 15, block, codes)) return false;
  StoreNibbles(codes, block->codes);
  return true;
}

bool EncodeBlock(const float* x, const float* importance, BlockQ5_0* block) {
  int codes[kBlock];
  if (!EncodeSymmetric(x, importance, 16, block, codes)) return false;
  StoreNibbles(codes, block->codes);
  StoreHighBits(codes, block->high);
  return true;
}

bool EncodeBlock(const float* x, const float* importance, BlockQ5_1* block) {
  int codes[kBlock];
  if (!EncodeAffine(x, importance, 31, block, codes)) return false;
  StoreNibbles(codes, block->codes);
  StoreHighBits(codes, block->high);
  return true;
}

bool EncodeBlock(const float* x, const float* /*importance*/, BlockQ8_0* block) {
  const float scale = fabsf(ExtremeOf(x, kBlock)) / 127.0f;
  const float inverse = InverseOf(scale);
  if (!StoreF16(scale, &block->scale)) return false;
  for (int v = 0; v < kBlock; ++v) {
    // Halves away from zero, as roundf, which compilers do not inline: the fraction is exact, so comparing it is too.
    const float scaled = x[v] * inverse;
    const int whole = static_cast<int>(scaled);
    const float fraction = scaled - static_cast<float>(whole);
    block->codes[v] = static_cast<int8_t>(whole + (fraction >= 0.5f) - (fraction <= -0.5f));
  }
  return true;
}

// The scale is the power of two that puts the extreme into [4, 8), so that 6, the largest element, is near; ties go to
// the element of smaller index. Magnitudes below 2^-125 would need an exponent below 0: they share exponent 0.
bool EncodeBlock(const float* x, const float* /*importance*/, BlockMXFP4* block) {
  uint32_t bits;
  const float extreme = fabsf(ExtremeOf(x, kBlock));
  memcpy(&bits, &extreme, sizeof(bits));
  const int exponent = static_cast<int>(bits >> 23);  // floor(log2) + 127; 0 for subnormals and zero
  block->exponent = static_cast<uint8_t>(exponent > 2 ? exponent - 2 : 0);
  const float scale = E8M0ToF32Half(block->exponent);
  int codes[kBlock];
  for (int v = 0; v < kBlock; ++v) {
    float best_error = fabsf(x[v]);  // of code 0
    codes[v] = 0;
    for (int code = 1; code < 16; ++code) {
      const float error = fabsf(static_cast<float>(kMXFP4Values[code]) * scale - x[v]);
      if (error < best_error) {
        best_error = error;
        codes[v] = code;
      }
    }
  }
  StoreNibbles(codes, block->codes);
  return true;
}

}  // namespace mote
