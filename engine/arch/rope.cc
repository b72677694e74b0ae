// Rotary frequencies and their scalings.
//
// Sources: RoPE (arXiv 2104.09864); linear position interpolation (2306.15595); YaRN (2309.00071), with the ramp over
// dimension indices that its reference code uses; Llama 3's per-dimension factors, which GGUF stores ready-made in
// rope_freqs.weight; LongRoPE (2402.13753), whose factors GGUF stores in rope_factors_{long,short}.weight.
#include <math.h>
#include <string.h>

#include <algorithm>

#include "engine/arch/decoder.h"

namespace mote {

std::vector<float> Decoder::Frequencies(uint32_t dims, double base) {
  std::vector<float> out(dims / 2);
  for (uint32_t i = 0; i < dims / 2; ++i) out[i] = static_cast<float>(pow(base, -2.0 * i / dims));
  return out;
}

bool Decoder::ReadFloats(const char* name, size_t count, std::vector<float>* out) {
  const TensorInfo* tensor = input_.file.FindTensor(name);
  if (tensor->type != DType::kF32 || tensor->values() != count) {
    Fail(Error(Code::kMalformed, "tensor %s has %llu values of type %s, expected %zu of F32", name,
               static_cast<unsigned long long>(tensor->values()), DTypeName(tensor->type), count));
    return false;
  }
  out->assign(count, 1.0f);
  if (input_.shapes_only) return true;
  const auto bytes = input_.file.TensorBytes(*tensor);
  if (!bytes.ok()) return Fail(bytes.status()), false;
  memcpy(out->data(), bytes->data(), count * sizeof(float));
  for (const float value : *out) {
    if (!(value > 0) || !isfinite(value)) {
      Fail(Error(Code::kMalformed, "tensor %s holds %g; rotary factors must be positive", name,
                 static_cast<double>(value)));
      return false;
    }
  }
  return true;
}

// Frequencies turn from interpolated (slow dimensions) to extrapolated (fast ones) along a ramp between the dimensions
// that make beta_slow and beta_fast turns within the original context.
void Decoder::ScaleYarn(RopeTable* table, double factor, double original_context) {
  const Result<double> extrapolation = FloatKey("rope.scaling.yarn_ext_factor", 1.0);
  const Result<double> fast = FloatKey("rope.scaling.yarn_beta_fast", 32.0);
  const Result<double> slow = FloatKey("rope.scaling.yarn_beta_slow", 1.0);
  for (const Status& s : {extrapolation.status(), fast.status(), slow.status()}) {
    if (!s.ok()) return Fail(s);
  }
  const double dims = table->dims();
  const bool in_range =
      *extrapolation >= 0 && *extrapolation <= 1 && *fast > 0 && *fast < 1e6 && *slow > 0 && *slow < 1e6;
  if (!in_range || hyper_.rope_base == 1.0f) {
    return Fail(Error(Code::kMalformed,
                      "%s.rope.scaling: yarn_ext_factor %g (expected 0 to 1), yarn_beta_fast %g, yarn_beta_slow %g "
                      "(expected more than 0), rope.freq_base %g (expected other than 1)",
                      hyper_.architecture.c_str(), *extrapolation, *fast, *slow,
                      static_cast<double>(hyper_.rope_base)));
  }
  const auto dimension_of = [&](double turns) {
    return dims * log(original_context / (turns * 2 * M_PI)) / (2 * log(static_cast<double>(hyper_.rope_base)));
  };
  const double low = std::max(0.0, floor(dimension_of(*fast)));
  const double high = std::min(dims - 1, ceil(dimension_of(*slow)));
  for (size_t i = 0; i < table->inverse_frequency.size(); ++i) {
    const double ramp = (static_cast<double>(i) - low) / std::max(0.001, high - low);
    const double mix = (1 - std::clamp(ramp, 0.0, 1.0)) * *extrapolation;
    const double frequency = table->inverse_frequency[i];
    table->inverse_frequency[i] = static_cast<float>(frequency / factor * (1 - mix) + frequency * mix);
  }
  table->magnitude *= static_cast<float>(1.0 + 0.1 * log(factor));
}

std::vector<uint8_t> Decoder::ReadAxes(bool interleaved) {
  const std::string key = hyper_.architecture + ".rope.dimension_sections";
  const GgufValue* value = input_.file.Find(key);
  const uint32_t pairs = hyper_.rope_dims / 2;
  uint64_t sections[4] = {};
  uint64_t sum = 0;
  const bool is_array = value != nullptr && value->type() == GgufType::kArray && value->count() >= 3;
  for (uint64_t i = 0; is_array && i < std::min<uint64_t>(value->count(), 4); ++i) {
    if (!value->UintAt(i, &sections[i]) || sections[i] > pairs) sum = UINT32_MAX;
    sum += sections[i];
  }
  if (!is_array || sum > pairs || sections[3] != 0) {
    Fail(Error(Code::kMalformed, "%s: expected 3 numbers (time, row, column) that add up to %u pairs or less, and 0",
               key.c_str(), pairs));
    return {};
  }
  std::vector<uint8_t> axis(pairs, 0);
  for (uint32_t i = 0; i < pairs; ++i) {
    if (interleaved) {
      const uint32_t turn = i % 3;
      if (turn != 0 && i < 3 * sections[turn]) axis[i] = static_cast<uint8_t>(turn);
    } else if (i >= sections[0] && i < sum) {
      axis[i] = i < sections[0] + sections[1] ? 1 : 2;
    }
  }
  return axis;
}

RopeId Decoder::ReadRope(RopeTable::Layout layout, std::vector<uint8_t> axis) {
  RopeTable table;
  table.layout = layout;
  table.axis = std::move(axis);
  table.inverse_frequency = Frequencies(hyper_.rope_dims, hyper_.rope_base);
  const std::string prefix = hyper_.architecture + ".rope.scaling.";
  const Result<std::string> type = input_.file.StringOr(prefix + "type", "");
  const Result<double> factor = FloatKey("rope.scaling.factor", 0.0);
  const Result<double> magnitude = FloatKey("rope.scaling.attn_factor", 1.0);
  const Result<uint64_t> original = UintKey("rope.scaling.original_context_length", hyper_.context_train);
  for (const Status& s : {type.status(), factor.status(), magnitude.status(), original.status()}) {
    if (!s.ok()) return Fail(s), kNone;
  }
  if (!(*factor >= 0 && *factor <= 1e6) || *original == 0 || *original > (1u << 30) ||
      !(*magnitude > 0 && *magnitude < 1e3)) {
    Fail(Error(Code::kMalformed, "%sfactor %g, original_context_length %llu, attn_factor %g: out of range",
               prefix.c_str(), *factor, static_cast<unsigned long long>(*original), *magnitude));
    return kNone;
  }
  table.magnitude = static_cast<float>(*magnitude);
  const size_t pairs = table.inverse_frequency.size();
  std::vector<float> divisors;
  // LongRoPE: one set of factors for sessions within the original context, one for longer ones.
  const char* long_or_short = input_.context > *original ? "rope_factors_long.weight" : "rope_factors_short.weight";
  for (const char* name : {"rope_freqs.weight", long_or_short}) {
    if (HasTensor(name) && !ReadFloats(name, pairs, &divisors)) return kNone;
  }
  for (size_t i = 0; i < divisors.size(); ++i) table.inverse_frequency[i] /= divisors[i];

  const double scale = *factor == 0 ? 1.0 : *factor;
  if (*type == "yarn" && scale != 1.0) {
    ScaleYarn(&table, scale, static_cast<double>(*original));
  } else if (*type == "linear" || (*type == "" && *factor != 0)) {
    for (float& frequency : table.inverse_frequency) frequency = static_cast<float>(frequency / scale);
  } else if (*type != "" && *type != "none" && *type != "longrope" && *type != "yarn") {
    Fail(Error(Code::kUnsupported, "%stype is \"%s\"; mote knows none, linear, yarn and longrope", prefix.c_str(),
               type->c_str()));
    return kNone;
  }
  // Factors near zero overflow; one infinite frequency would make every logit NaN. (Zero is a pair that never turns.)
  const auto is_usable = [](float v) { return v >= 0 && isfinite(v); };
  if (!is_usable(table.magnitude) ||
      !std::all_of(table.inverse_frequency.begin(), table.inverse_frequency.end(), is_usable)) {
    Fail(
        Error(Code::kMalformed,
              "%sfactor %g, attn_factor %g, rope.freq_base %g and rotary factors give angles that are not finite, or a "
              "magnitude of %g",
              prefix.c_str(), *factor, *magnitude, static_cast<double>(hyper_.rope_base),
              static_cast<double>(table.magnitude)));
    return kNone;
  }
  return graph_.AddRope(std::move(table));
}

}  // namespace mote
