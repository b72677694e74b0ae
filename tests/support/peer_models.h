// The small models on which mote is compared with other engines: by tests/peers/compare.py with the engine itself, and
// by tests/run/golden_test.cc with what the engine answered once.
#ifndef MOTE_TESTS_SUPPORT_PEER_MODELS_H_
#define MOTE_TESTS_SUPPORT_PEER_MODELS_H_

#include <string>
#include <vector>

#include "tests/support/tiny_model.h"

namespace mote::testing {

struct PeerModel {
  std::string name;
  TinyModelOptions options;
};

inline std::vector<PeerModel> PeerModels() {
  std::vector<PeerModel> models;
  for (const char* family : {"llama", "qwen2", "qwen3", "qwen3moe", "gemma3", "phi3"}) {
    for (const DType type : {DType::kF32, DType::kF16, DType::kQ8_0, DType::kQ4_K}) {
      TinyModelOptions options;
      options.architecture = family;
      options.type = type;
      options.layers = std::string(family) == "gemma3" ? 6 : 2;  // one layer that sees everything
      models.push_back({std::string(family) + "-" + DTypeName(type), options});
    }
  }
  for (const DType type : {DType::kBF16, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ2_K,
                           DType::kQ3_K, DType::kQ5_K, DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS, DType::kMXFP4}) {
    TinyModelOptions options;
    options.type = type;
    models.push_back({std::string("llama-") + DTypeName(type), options});
  }
  for (const char* scaling : {"linear", "yarn", "llama3"}) {
    TinyModelOptions options;
    options.rope_scaling = scaling;
    models.push_back({std::string("llama-rope-") + scaling, options});
    if (std::string(scaling) == "llama3") continue;  // llama.cpp reads rope_freqs.weight in llama files alone
    options.architecture = "qwen2";
    models.push_back({std::string("qwen2-rope-") + scaling, options});
  }
  TinyModelOptions options;
  options.architecture = "phi3";
  options.rope_scaling = "longrope";
  models.push_back({"phi3-rope-longrope", options});
  return models;
}

}  // namespace mote::testing

#endif  // MOTE_TESTS_SUPPORT_PEER_MODELS_H_
