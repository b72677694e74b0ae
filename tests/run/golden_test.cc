// Logits that llama.cpp computed for the same small models (tests/golden/llama_cpp_logits.txt, made by
// tests/peers/compare.py): what keeps us honest where llama.cpp itself is not at hand.
#include <gtest/gtest.h>
#include <stdio.h>
#include <stdlib.h>

#include <map>
#include <sstream>
#include <string>

#include "tests/run/run_support.h"
#include "tests/support/effort.h"
#include "tests/support/peer_models.h"

namespace mote::testing {
namespace {

struct Golden {
  size_t tokens = 0;
  std::vector<std::pair<int32_t, double>> logits;  // the eight most likely first
};

std::map<std::string, Golden> ReadGolden(const char* path) {
  std::map<std::string, Golden> all;
  FILE* file = fopen(path, "r");
  if (file == nullptr) return all;
  char line[4096];
  while (fgets(line, sizeof(line), file) != nullptr) {
    if (line[0] == '#') continue;
    std::istringstream words(line);
    std::string name, word;
    Golden golden;
    words >> name >> golden.tokens;
    while (words >> word) {
      golden.logits.emplace_back(atoi(word.c_str()), atof(word.c_str() + word.find(':') + 1));
    }
    all[name] = golden;
  }
  fclose(file);
  return all;
}

// Relative error over the recorded logits. Floats: both engines keep a float16 cache, and llama.cpp multiplies float16
// weights with float16 activations. Quantised: both round activations to 8 bits, each in its own blocks; in a mixture
// of experts a changed order of experts adds to that.
double Bound(const TinyModelOptions& options) {
  const bool experts = options.architecture == "qwen3moe";
  if (options.type == DType::kF32) return 1e-3;
  if (options.type == DType::kF16 || options.type == DType::kBF16) return 5e-3;
  return experts ? 0.25 : 0.08;
}

TEST(Golden, LogitsOfLlamaCpp) {
  const std::map<std::string, Golden> all = ReadGolden("tests/golden/llama_cpp_logits.txt");
  ASSERT_FALSE(all.empty()) << "tests/golden/llama_cpp_logits.txt is missing: run from the top of the repository";
  for (const PeerModel& peer : PeerModels()) {
    // Slow builds: every type in one family, every family and scaling in floats. Encoding is what takes the time.
    const bool quantised = Bound(peer.options) > 5e-3;
    if (kSlowTests && quantised && peer.options.architecture != "llama") continue;
    ASSERT_TRUE(all.contains(peer.name)) << peer.name << ": run tests/peers/compare.py --golden again";
    const Golden& golden = all.at(peer.name);
    ASSERT_GE(golden.logits.size(), 15u);
    const std::vector<uint8_t> bytes = MakeTinyModel(peer.options);
    const std::unique_ptr<Model> model = LoadModel(bytes, {.threads = 2});
    ASSERT_NE(model, nullptr);
    const auto rows = AllLogits(*model, SomeTokens(golden.tokens, model->vocab_size()));
    ASSERT_EQ(rows.size(), golden.tokens);
    double error = 0, norm = 0;
    for (const auto& [token, want] : golden.logits) {
      const double got = static_cast<double>(rows.back()[static_cast<size_t>(token)]);
      error += (got - want) * (got - want);
      norm += want * want;
    }
    EXPECT_LT(sqrt(error / norm), Bound(peer.options)) << peer.name;
    const size_t best =
        static_cast<size_t>(std::max_element(rows.back().begin(), rows.back().end()) - rows.back().begin());
    if (!quantised) {
      EXPECT_EQ(best, static_cast<size_t>(golden.logits[0].first)) << peer.name;
    }
  }
}

}  // namespace
}  // namespace mote::testing
