// Norms, rotary positions, activations, softmax and the small operations, against double.
#include <gtest/gtest.h>

#include <cmath>

#include "simd/kernels.h"
#include "tests/simd/rows.h"
#include "tests/support/closeness.h"
#include "tests/support/guarded.h"

namespace mote::testing {
namespace {

const size_t kLengths[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 48, 63, 64, 65, 100, 127, 576, 1001};

// Runs `kernel(out)` on a guarded buffer and compares.
template <class Kernel>
void Check(const std::vector<Expected>& want, size_t misalign, const std::string& label, Kernel kernel) {
  Guarded<float> out(want.size(), misalign);
  kernel(out.data());
  EXPECT_TRUE(AllClose(out.span(), want, label));
  EXPECT_TRUE(out.GuardsIntact()) << label;
}

std::string Label(const char* op, const simd::KernelTable& table, size_t n) {
  return std::string(op) + " " + table.name + " n=" + std::to_string(n);
}

TEST(RmsNorm, AgreesWithDouble) {
  Random random(1);
  for (size_t n : kLengths) {
    const Guarded<float> x(random.Floats(n, 3.0f), n % 3);
    const Guarded<float> weight(random.Floats(n), 1);
    double squares = 0;
    for (size_t i = 0; i < n; ++i) squares += static_cast<double>(x[i]) * x[i];
    const float epsilon = 1e-5f;
    const double factor = 1 / std::sqrt(squares / static_cast<double>(n) + epsilon);
    // The sum of n squares is off by at most n/2 epsilon (all of one sign), its root by half of that; five roundings.
    const double relative = (static_cast<double>(n) / 4 + 5) * kEpsilonF32;
    std::vector<Expected> want(n);
    for (size_t i = 0; i < n; ++i) {
      want[i].value = x[i] * factor * weight[i];
      want[i].bound = std::abs(want[i].value) * relative;
    }
    for (const simd::KernelTable* table : RunnableRows()) {
      Check(want, n % 4, Label("rms_norm", *table, n),
            [&](float* out) { table->rms_norm(x.data(), weight.data(), n, epsilon, out); });
      Check(want, n % 4, Label("rms_norm in place", *table, n), [&](float* out) {
        memcpy(out, x.data(), n * sizeof(float));
        table->rms_norm(out, weight.data(), n, epsilon, out);
      });
    }
  }
}

TEST(LayerNorm, AgreesWithDouble) {
  Random random(2);
  for (size_t n : kLengths) {
    // A mean far from 0: the variance must not be found by cancellation.
    std::vector<float> values = random.Floats(n);
    for (float& value : values) value += 10.0f;
    const Guarded<float> x(values, 1);
    const Guarded<float> weight(random.Floats(n), 2);
    const Guarded<float> bias(random.Floats(n), 3);
    double sum = 0;
    for (float value : values) sum += value;
    const double count = static_cast<double>(n);
    const double mean = sum / count;
    double squares = 0;
    for (float value : values) squares += (value - mean) * (value - mean);
    const float epsilon = 1e-5f;
    const double factor = 1 / std::sqrt(squares / count + epsilon);
    // The mean of values around 10 is off by (n/2 + 2) epsilon * 11 at most; so is every difference.
    const double mean_error = (count / 2 + 2) * kEpsilonF32 * 11;
    for (const bool with_bias : {true, false}) {
      std::vector<Expected> want(n);
      for (size_t i = 0; i < n; ++i) {
        const double scaled = (x[i] - mean) * factor * weight[i];
        want[i].value = scaled + (with_bias ? bias[i] : 0);
        want[i].bound = std::abs(factor * weight[i]) * mean_error + std::abs(scaled) * (count / 4 + 6) * kEpsilonF32 +
                        std::abs(want[i].value) * kEpsilonF32 +
                        // d factor / d mean, where the variance is small beside epsilon (n = 1)
                        std::abs(scaled) * factor * factor * (2 * mean_error * mean_error + 2e-5 * mean_error);
      }
      for (const simd::KernelTable* table : RunnableRows()) {
        const float* b = with_bias ? bias.data() : nullptr;
        Check(want, n % 4, Label("layer_norm", *table, n),
              [&](float* out) { table->layer_norm(x.data(), weight.data(), b, n, epsilon, out); });
        Check(want, n % 4, Label("layer_norm in place", *table, n), [&](float* out) {
          memcpy(out, x.data(), n * sizeof(float));
          table->layer_norm(out, weight.data(), b, n, epsilon, out);
        });
      }
    }
  }
}

TEST(Rope, AgreesWithDouble) {
  Random random(3);
  for (size_t pairs : {1, 2, 3, 7, 8, 15, 16, 17, 24, 32, 40, 48, 50, 64, 128}) {
    const Guarded<float> x(random.Floats(2 * pairs), 1);
    std::vector<float> angles = random.Floats(pairs, 3.14f);
    std::vector<float> cosines(pairs), sines(pairs);
    for (size_t i = 0; i < pairs; ++i) {
      cosines[i] = std::cos(angles[i]);
      sines[i] = std::sin(angles[i]);
    }
    const Guarded<float> cos(cosines, 2);
    const Guarded<float> sin(sines, 3);
    for (const bool adjacent : {true, false}) {
      std::vector<Expected> want(2 * pairs);
      for (size_t i = 0; i < pairs; ++i) {
        const size_t first = adjacent ? 2 * i : i;
        const size_t second = adjacent ? 2 * i + 1 : i + pairs;
        const double a = x[first], b = x[second], c = cos[i], s = sin[i];
        // Two products and a sum.
        want[first] = {a * c - b * s, (std::abs(a * c) + std::abs(b * s)) * 1.5 * kEpsilonF32};
        want[second] = {b * c + a * s, (std::abs(b * c) + std::abs(a * s)) * 1.5 * kEpsilonF32};
      }
      for (const simd::KernelTable* table : RunnableRows()) {
        Check(want, pairs % 4, Label(adjacent ? "rope_adjacent" : "rope_split", *table, pairs), [&](float* out) {
          memcpy(out, x.data(), 2 * pairs * sizeof(float));
          (adjacent ? table->rope_adjacent : table->rope_split)(out, cos.data(), sin.data(), pairs);
        });
      }
    }
  }
}

double ActivationInDouble(simd::Activation activation, double x) {
  switch (activation) {
    case simd::Activation::kSilu:
      return x / (1 + std::exp(-x));
    case simd::Activation::kGelu:
      return x * 0.5 * std::erfc(-x / std::sqrt(2.0));
    case simd::Activation::kGeluTanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
    case simd::Activation::kRelu:
      return x > 0 ? x : 0;
    case simd::Activation::kGeluQuick:
      return x / (1 + std::exp(-1.702 * x));
  }
  return 0;
}

TEST(Gate, AgreesWithDouble) {
  Random random(4);
  for (simd::Activation activation : {simd::Activation::kSilu, simd::Activation::kGelu, simd::Activation::kGeluTanh,
                                      simd::Activation::kRelu, simd::Activation::kGeluQuick}) {
    for (float amplitude : {0.01f, 1.0f, 8.0f, 120.0f}) {
      for (size_t n : kLengths) {
        const Guarded<float> gate(random.Floats(n, amplitude), 1);
        const Guarded<float> up(random.Floats(n, 2.0f), 2);
        std::vector<Expected> alone(n), gated(n);
        for (size_t i = 0; i < n; ++i) {
          const double g = gate[i];
          const double value = ActivationInDouble(activation, g);
          // Relative for SiLU (exp, sum, division), except that exp(-g) overflows below -88 where 1e-36 is left;
          // absolute for the GELUs: 3 units of 2^-24 of |g| around 1 + erf, and the argument's own roundings.
          double bound = std::abs(value) * 6 * kEpsilonF32 + (activation == simd::Activation::kSilu ? 1e-35 : 0);
          if (activation == simd::Activation::kGelu || activation == simd::Activation::kGeluTanh) {
            bound += std::abs(g) * 3 * kEpsilonF32;
          }
          if (activation == simd::Activation::kRelu) bound = 0;
          // Its exponent is a rounded product.
          if (activation == simd::Activation::kGeluQuick) {
            bound += std::abs(value) * std::abs(1.702 * g) * 2 * kEpsilonF32 + 1e-35;
          }
          alone[i] = {value, bound};
          gated[i] = {value * up[i], bound * std::abs(up[i]) + std::abs(value * up[i]) * kEpsilonF32};
        }
        for (const simd::KernelTable* table : RunnableRows()) {
          const std::string label = Label("gate", *table, n) + " activation " +
                                    std::to_string(static_cast<int>(activation)) + " amplitude " +
                                    std::to_string(amplitude);
          Check(alone, n % 4, label, [&](float* out) { table->gate(activation, gate.data(), nullptr, n, out); });
          Check(gated, n % 4, label + " up",
                [&](float* out) { table->gate(activation, gate.data(), up.data(), n, out); });
          Check(gated, n % 4, label + " in place", [&](float* out) {
            memcpy(out, gate.data(), n * sizeof(float));
            table->gate(activation, out, up.data(), n, out);
          });
        }
      }
    }
  }
}

TEST(Gate, EndsOfTheRange) {
  const float values[] = {-INFINITY, -3e38f, -1000.0f, -104.5f, -88.9f, 0.0f, 88.9f, 1000.0f, 3e38f, INFINITY};
  for (const simd::KernelTable* table : RunnableRows()) {
    for (int activation = 0; activation < 5; ++activation) {
      float out[10];
      table->gate(static_cast<simd::Activation>(activation), values, nullptr, 10, out);
      // Minus infinity times zero is NaN in the formula itself: not asked for. Nor x^3 beyond float's range.
      for (int i = 2; i < 8; ++i) {
        const double want = ActivationInDouble(static_cast<simd::Activation>(activation), values[i]);
        EXPECT_NEAR(out[i], want, std::abs(want) * 1e-6 + 1e-30)
            << table->name << " " << activation << " " << values[i];
      }
      EXPECT_EQ(out[9], INFINITY) << table->name << " " << activation;
    }
  }
}

TEST(SmallOperations, AreExactWhereOneRoundingIs) {
  Random random(5);
  for (size_t n : kLengths) {
    const Guarded<float> a(random.Floats(n), 1);
    const Guarded<float> b(random.Floats(n), 2);
    std::vector<Expected> sum(n), product(n), scaled(n), added(n);
    for (size_t i = 0; i < n; ++i) {
      sum[i] = {a[i] + b[i], 0};
      product[i] = {a[i] * b[i], 0};
      scaled[i] = {a[i] * 0.37f, 0};
      const double exact = static_cast<double>(b[i]) + static_cast<double>(0.37f) * a[i];
      added[i] = {exact, (std::abs(0.37 * a[i]) + std::abs(exact)) * kEpsilonF32};
    }
    for (const simd::KernelTable* table : RunnableRows()) {
      Check(sum, n % 4, Label("add", *table, n), [&](float* out) { table->add(a.data(), b.data(), n, out); });
      Check(product, n % 4, Label("mul", *table, n), [&](float* out) { table->mul(a.data(), b.data(), n, out); });
      Check(sum, n % 4, Label("add in place", *table, n), [&](float* out) {
        memcpy(out, b.data(), n * sizeof(float));
        table->add(a.data(), out, n, out);
      });
      Check(scaled, n % 4, Label("scale", *table, n), [&](float* out) { table->scale(a.data(), 0.37f, n, out); });
      Check(added, n % 4, Label("add_scaled", *table, n), [&](float* out) {
        memcpy(out, b.data(), n * sizeof(float));
        table->add_scaled(a.data(), 0.37f, n, out);
      });
    }
  }
}

TEST(Softcap, AgreesWithDouble) {
  Random random(6);
  for (size_t n : kLengths) {
    for (float cap : {1.0f, 30.0f, 50.0f}) {
      const Guarded<float> x(random.Floats(n, 100.0f), 1);
      std::vector<Expected> want(n);
      for (size_t i = 0; i < n; ++i) {
        want[i].value = cap * std::tanh(static_cast<double>(x[i]) / cap);
        want[i].bound = std::abs(want[i].value) * 6 * kEpsilonF32;
      }
      for (const simd::KernelTable* table : RunnableRows()) {
        Check(want, n % 4, Label("softcap", *table, n), [&](float* out) { table->softcap(x.data(), cap, n, out); });
      }
    }
  }
}

TEST(Softmax, AgreesWithDouble) {
  Random random(7);
  for (size_t n : kLengths) {
    for (float amplitude : {0.1f, 10.0f, 300.0f}) {
      const Guarded<float> x(random.Floats(n, amplitude), 1);
      double largest = -INFINITY;
      for (size_t i = 0; i < n; ++i) largest = std::max<double>(largest, x[i]);
      double sum = 0;
      for (size_t i = 0; i < n; ++i) sum += std::exp(x[i] - largest);
      std::vector<Expected> want(n);
      for (size_t i = 0; i < n; ++i) {
        const double difference = x[i] - largest;
        want[i].value = std::exp(difference) / sum;
        // The difference is rounded, exp is right to 2 ULP, the sum of n positive terms to n/2 epsilon; subnormals.
        want[i].bound =
            want[i].value * (std::abs(difference) / 2 + 5 + static_cast<double>(n) / 2) * kEpsilonF32 + 1e-44;
      }
      for (const simd::KernelTable* table : RunnableRows()) {
        Check(want, n % 4, Label("softmax", *table, n), [&](float* out) { table->softmax(x.data(), n, out); });
        Check(want, n % 4, Label("softmax in place", *table, n), [&](float* out) {
          memcpy(out, x.data(), n * sizeof(float));
          table->softmax(out, n, out);
        });
      }
    }
  }
}

// A value is the same wherever it stands in a row: elementwise work may be split anywhere.
TEST(Elementwise, DoesNotDependOnTheSplit) {
  Random random(8);
  const size_t n = 67;
  const std::vector<float> x = random.Floats(n, 9.0f);
  const std::vector<float> y = random.Floats(n, 9.0f);
  for (const simd::KernelTable* table : RunnableRows()) {
    for (int activation = 0; activation < 4; ++activation) {
      std::vector<float> all(n), alone(n);
      table->gate(static_cast<simd::Activation>(activation), x.data(), y.data(), n, all.data());
      for (size_t i = 0; i < n; ++i) {
        table->gate(static_cast<simd::Activation>(activation), &x[i], &y[i], 1, &alone[i]);
      }
      EXPECT_EQ(memcmp(all.data(), alone.data(), n * sizeof(float)), 0) << table->name << " gate " << activation;
    }
    std::vector<float> all(n), alone(n);
    table->softcap(x.data(), 30.0f, n, all.data());
    for (size_t i = 0; i < n; ++i) table->softcap(&x[i], 30.0f, 1, &alone[i]);
    EXPECT_EQ(memcmp(all.data(), alone.data(), n * sizeof(float)), 0) << table->name << " softcap";
    all = y;
    alone = y;
    table->add_scaled(x.data(), 0.3f, n, all.data());
    for (size_t i = 0; i < n; ++i) table->add_scaled(&x[i], 0.3f, 1, &alone[i]);
    EXPECT_EQ(memcmp(all.data(), alone.data(), n * sizeof(float)), 0) << table->name << " add_scaled";
  }
}

}  // namespace
}  // namespace mote::testing
