// Norms, rotary positions, activations and the small vector operations.
#include <math.h>

#include "simd/ref/reference.h"

namespace mote::simd::ref {

void RmsNorm(const float* x, const float* weight, size_t n, float epsilon, float* out) {
  float squares = 0;
  for (size_t i = 0; i < n; ++i) squares += x[i] * x[i];
  const float factor = 1.0f / sqrtf(squares / static_cast<float>(n) + epsilon);
  for (size_t i = 0; i < n; ++i) out[i] = x[i] * factor * weight[i];
}

void LayerNorm(const float* x, const float* weight, const float* bias, size_t n, float epsilon, float* out) {
  float sum = 0;
  for (size_t i = 0; i < n; ++i) sum += x[i];
  const float mean = sum / static_cast<float>(n);
  // Two passes: the mean of squares less the squared mean loses all digits where the mean is large.
  float squares = 0;
  for (size_t i = 0; i < n; ++i) squares += (x[i] - mean) * (x[i] - mean);
  const float factor = 1.0f / sqrtf(squares / static_cast<float>(n) + epsilon);
  for (size_t i = 0; i < n; ++i) out[i] = (x[i] - mean) * factor * weight[i] + (bias != nullptr ? bias[i] : 0.0f);
}

void RopeAdjacent(float* x, const float* cos, const float* sin, size_t pairs) {
  for (size_t i = 0; i < pairs; ++i) {
    const float a = x[2 * i];
    const float b = x[2 * i + 1];
    x[2 * i] = a * cos[i] - b * sin[i];
    x[2 * i + 1] = b * cos[i] + a * sin[i];
  }
}

void RopeSplit(float* x, const float* cos, const float* sin, size_t pairs) {
  for (size_t i = 0; i < pairs; ++i) {
    const float a = x[i];
    const float b = x[i + pairs];
    x[i] = a * cos[i] - b * sin[i];
    x[i + pairs] = b * cos[i] + a * sin[i];
  }
}

namespace {

float Activate(Activation activation, float x) {
  switch (activation) {
    case Activation::kSilu:
      return x / (1.0f + expf(-x));
    case Activation::kGelu:  // x * Phi(x), Phi the normal distribution function
      return x * (0.5f * erfcf(x * -0.70710678f));
    case Activation::kGeluTanh:  // Hendrycks and Gimpel, arXiv 1606.08415, section 2
      return 0.5f * x * (1.0f + tanhf(0.79788456f * (x + 0.044715f * x * x * x)));
    case Activation::kRelu:
      return x > 0 ? x : 0.0f;
    case Activation::kGeluQuick:  // Hendrycks and Gimpel, section 2: the sigmoid approximation
      return x / (1.0f + expf(-1.702f * x));
  }
  return x;
}

}  // namespace

void Gate(Activation activation, const float* gate, const float* up, size_t n, float* out) {
  for (size_t i = 0; i < n; ++i) {
    const float activated = Activate(activation, gate[i]);
    out[i] = up != nullptr ? activated * up[i] : activated;
  }
}

void Add(const float* a, const float* b, size_t n, float* out) {
  for (size_t i = 0; i < n; ++i) out[i] = a[i] + b[i];
}

void Mul(const float* a, const float* b, size_t n, float* out) {
  for (size_t i = 0; i < n; ++i) out[i] = a[i] * b[i];
}

void Scale(const float* x, float factor, size_t n, float* out) {
  for (size_t i = 0; i < n; ++i) out[i] = x[i] * factor;
}

void AddScaled(const float* x, float factor, size_t n, float* inout) {
  for (size_t i = 0; i < n; ++i) inout[i] += factor * x[i];
}

void Softcap(const float* x, float cap, size_t n, float* out) {
  for (size_t i = 0; i < n; ++i) out[i] = cap * tanhf(x[i] / cap);
}

void Softmax(const float* x, size_t n, float* out) {
  const float largest = Max(x, n);
  float sum = 0;
  for (size_t i = 0; i < n; ++i) {
    out[i] = expf(x[i] - largest);
    sum += out[i];
  }
  const float factor = 1.0f / sum;
  for (size_t i = 0; i < n; ++i) out[i] *= factor;
}

}  // namespace mote::simd::ref
