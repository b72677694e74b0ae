#include "edge/server/serving/precision.h"

#include <utility>

#include "edge/server/config/values.h"

namespace mote::server {

bool SamePrecision(const std::string& a, const std::string& b) {
  return LowerCase(a) == LowerCase(b);
}

double BitsOf(const std::string& precision) {
  const std::string name = LowerCase(precision);
  // Bits of a block over its weights, scales included; of the mixes, as files of 1B to 8B models have them.
  static constexpr std::pair<const char*, double> kBits[] = {
      {"f32", 32},     {"f16", 16},     {"bf16", 16},    {"q8_0", 8.5},   {"i8", 8},        {"q6_k", 6.5625},
      {"q5_1", 6},     {"q5_k_m", 5.7}, {"q5_k_s", 5.5}, {"q5_k", 5.5},   {"q5_0", 5.5},    {"q4_1", 5},
      {"q4_k_m", 4.8}, {"q4_k_s", 4.6}, {"q4_k", 4.5},   {"q4_0", 4.5},   {"iq4_nl", 4.5},  {"iq4_xs", 4.25},
      {"mxfp4", 4.25}, {"q3_k_l", 4.2}, {"q3_k_m", 3.9}, {"q3_k_s", 3.5}, {"q3_k", 3.4375}, {"q2_k", 2.625},
  };
  for (const auto& [known, bits] : kBits) {
    if (name == known) return bits;
  }
  return 0;
}

int ChoosePrecision(const std::vector<PrecisionState>& states, const std::string& floor, double deadline, double busy) {
  const double least = floor.empty() ? 0 : BitsOf(floor);
  int best = -1;
  for (size_t i = 0; i < states.size(); ++i) {
    const PrecisionState& state = states[i];
    if (BitsOf(state.precision) < least) continue;
    if (state.load < busy && (deadline == 0 || state.wait < deadline / 2)) return static_cast<int>(i);
    if (best < 0 || state.load / state.speed < states[best].load / states[best].speed) best = static_cast<int>(i);
  }
  return best;
}

}  // namespace mote::server
