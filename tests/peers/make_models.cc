// Writes the small random models that compare.py hands to other engines: one file for each family, weight type and
// rope scaling that is worth comparing.
//
//   peer_models FOLDER        prints one path a line
#include <stdio.h>

#include <string>
#include <vector>

#include "tests/support/tiny_model.h"

namespace mote::testing {
namespace {

bool Write(const std::string& folder, const std::string& name, const TinyModelOptions& options) {
  const std::vector<uint8_t> bytes = MakeTinyModel(options);
  const std::string path = folder + "/" + name + ".gguf";
  FILE* file = fopen(path.c_str(), "wb");
  if (bytes.empty() || file == nullptr) {
    fprintf(stderr, "peer_models: could not make %s\n", path.c_str());
    if (file != nullptr) fclose(file);
    return false;
  }
  const bool written = fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
  printf("%s\n", path.c_str());
  return (fclose(file) == 0) && written;
}

int Run(const std::string& folder) {
  bool ok = true;
  for (const char* family : {"llama", "qwen2", "qwen3", "qwen3moe", "gemma3", "phi3"}) {
    for (const DType type : {DType::kF32, DType::kF16, DType::kQ8_0, DType::kQ4_K}) {
      TinyModelOptions options;
      options.architecture = family;
      options.type = type;
      options.layers = std::string(family) == "gemma3" ? 6 : 2;  // one layer that sees everything
      ok = Write(folder, std::string(family) + "-" + DTypeName(type), options) && ok;
    }
  }
  for (const DType type : {DType::kBF16, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ2_K,
                           DType::kQ3_K, DType::kQ5_K, DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS, DType::kMXFP4}) {
    TinyModelOptions options;
    options.type = type;
    ok = Write(folder, std::string("llama-") + DTypeName(type), options) && ok;
  }
  for (const char* scaling : {"linear", "yarn", "llama3"}) {
    TinyModelOptions options;
    options.rope_scaling = scaling;
    ok = Write(folder, std::string("llama-rope-") + scaling, options) && ok;
    if (std::string(scaling) == "llama3") continue;  // llama.cpp reads rope_freqs.weight in llama files alone
    options.architecture = "qwen2";
    ok = Write(folder, std::string("qwen2-rope-") + scaling, options) && ok;
  }
  TinyModelOptions options;
  options.architecture = "phi3";
  options.rope_scaling = "longrope";
  ok = Write(folder, "phi3-rope-longrope", options) && ok;
  return ok ? 0 : 1;
}

}  // namespace
}  // namespace mote::testing

int main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: peer_models FOLDER\n");
    return 2;
  }
  return mote::testing::Run(argv[1]);
}
