// Loading small models from memory and evaluating tokens, for the tests of run/.
#ifndef MOTE_TESTS_RUN_RUN_SUPPORT_H_
#define MOTE_TESTS_RUN_RUN_SUPPORT_H_

#include <gtest/gtest.h>
#include <stdlib.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/run/session.h"

namespace mote::testing {

// What MOTE_ISA asks for, so that the whole suite can be run again on every instruction set.
inline std::string IsaUnderTest() {
  const char* isa = getenv("MOTE_ISA");
  return isa == nullptr ? "" : isa;
}

struct LoadOptions {
  int threads = 1;
  uint32_t context = 0;
  uint32_t max_batch = 512;
  CacheTypes cache = {};
  DeviceRequest device = {};
  bool fast_prompts = false;
  std::string isa = IsaUnderTest();
};

inline Result<std::unique_ptr<Model>> TryLoad(std::span<const uint8_t> bytes, const LoadOptions& options = {}) {
  std::vector<std::unique_ptr<ByteSource>> parts;
  parts.push_back(CreateMemorySource(bytes, "memory"));
  MOTE_ASSIGN_OR_RETURN(std::unique_ptr<GgufFile> file, GgufFile::FromSources(std::move(parts)));
  ModelParams params;
  params.threads = options.threads;
  params.context = options.context;
  params.max_batch = options.max_batch;
  params.cache = options.cache;
  params.isa = options.isa;
  params.device = options.device;
  params.fast_prompts = options.fast_prompts;
  return Model::Load(std::move(file), params);
}

// Null, and a failed expectation, if it does not load.
inline std::unique_ptr<Model> LoadModel(std::span<const uint8_t> bytes, const LoadOptions& options = {}) {
  Result<std::unique_ptr<Model>> model = TryLoad(bytes, options);
  EXPECT_TRUE(model.ok()) << model.status().message();
  return model.ok() ? std::move(model).value() : nullptr;
}

inline std::vector<int32_t> SomeTokens(size_t count, uint32_t vocab, uint32_t seed = 7) {
  std::vector<int32_t> tokens(count);
  for (int32_t& token : tokens) {
    seed = seed * 1664525u + 1013904223u;
    token = static_cast<int32_t>((seed >> 8) % vocab);
  }
  return tokens;
}

struct LogitsCollector {
  std::vector<std::vector<float>> rows;
  static bool Add(void* self, uint32_t, std::span<const float> logits) {
    static_cast<LogitsCollector*>(self)->rows.emplace_back(logits.begin(), logits.end());
    return true;
  }
};

// Logits of every token, evaluated in calls of `chunk` tokens (0: all at once) in a new session.
inline std::vector<std::vector<float>> AllLogits(Model& model, std::span<const int32_t> tokens, size_t chunk = 0) {
  Result<std::unique_ptr<Session>> session = Session::Create(model, 0);
  EXPECT_TRUE(session.ok()) << session.status().message();
  if (!session.ok()) return {};
  LogitsCollector collector;
  EvalOptions options;
  options.sink = {LogitsCollector::Add, &collector};
  for (size_t at = 0; at < tokens.size();) {
    const size_t n = chunk == 0 ? tokens.size() : std::min(chunk, tokens.size() - at);
    const Status status = (*session)->Eval(tokens.subspan(at, n), options);
    EXPECT_TRUE(status.ok()) << status.message();
    if (!status.ok()) return {};
    at += n;
  }
  return std::move(collector.rows);
}

}  // namespace mote::testing

#endif  // MOTE_TESTS_RUN_RUN_SUPPORT_H_
