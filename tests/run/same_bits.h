// For tests of results that must be the same to the bit: small models of every family, and the comparison.
#ifndef MOTE_TESTS_RUN_SAME_BITS_H_
#define MOTE_TESTS_RUN_SAME_BITS_H_

#include <string.h>

#include <vector>

#include "tests/support/tiny_model.h"

namespace mote::testing {

inline bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}
inline bool SameBits(const std::vector<std::vector<float>>& a, const std::vector<std::vector<float>>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!SameBits(a[i], b[i])) return false;
  }
  return true;
}

inline TinyModelOptions Options(const char* architecture, DType type) {
  TinyModelOptions options;
  options.architecture = architecture;
  options.type = type;
  options.ff = 256;
  options.experts = 4;
  return options;
}

}  // namespace mote::testing

#endif  // MOTE_TESTS_RUN_SAME_BITS_H_
