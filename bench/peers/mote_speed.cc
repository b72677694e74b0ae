// mote's side of bench/peers/speed.py: loads a model once, then does as it is told on standard input.
//
//   mote_speed MODEL.gguf THREADS CONTEXT
//
// Words: "pp N D" reads N tokens behind D others, "tg N D" evaluates N tokens one by one behind D others. Each is
// answered with the seconds that the N tokens took. llama_speed.mjs speaks the same.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <chrono>
#include <vector>

#include "mote.h"

namespace {

[[noreturn]] void Fail(const mote_error& error) {
  fprintf(stderr, "mote_speed: %s\n", error.message);
  exit(1);
}

class Speed {
 public:
  Speed(const char* path, int threads, uint32_t context) {
    mote_model_params params = mote_model_default_params();
    params.threads = threads;
    params.context = context;
    params.isa = getenv("MOTE_ISA");
    const char* fast = getenv("MOTE_FAST_PROMPTS");
    params.fast_prompts = fast != nullptr && strcmp(fast, "on") == 0 ? 1 : 0;
    const char* sparse = getenv("MOTE_SPARSE");
    if (sparse != nullptr && strcmp(sparse, "sparse") == 0) params.sparse_path = MOTE_SPARSE_SPARSE;
    if (sparse != nullptr && strcmp(sparse, "dense") == 0) params.sparse_path = MOTE_SPARSE_DENSE;
    Check(mote_model_load(path, &params, &model_, &error_));
    Check(mote_session_create(model_, 0, &session_, &error_));
    info_.struct_size = sizeof(info_);
    Check(mote_model_get_info(model_, &info_, &error_));
  }

  const mote_model_info& info() const { return info_; }

  // The same numbers as in llama_speed.mjs.
  std::vector<int32_t> Tokens(size_t count) const {
    std::vector<int32_t> tokens(count);
    uint32_t state = 7;
    for (int32_t& token : tokens) {
      state = state * 1664525u + 1013904223u;
      token = static_cast<int32_t>((state >> 8) % info_.vocab_size);
    }
    return tokens;
  }

  double Run(bool one_by_one, size_t count, size_t depth) {
    if (depth_ != depth) {
      mote_session_truncate(session_, 0);
      const std::vector<int32_t> before = Tokens(depth);
      if (depth > 0) Check(mote_session_eval(session_, before.data(), before.size(), nullptr, &error_));
      depth_ = depth;
    }
    const std::vector<int32_t> tokens = Tokens(count);
    const auto start = std::chrono::steady_clock::now();
    if (one_by_one) {
      for (const int32_t& token : tokens) Check(mote_session_eval(session_, &token, 1, nullptr, &error_));
    } else {
      Check(mote_session_eval(session_, tokens.data(), tokens.size(), nullptr, &error_));
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    mote_session_truncate(session_, depth);
    return seconds.count();
  }

 private:
  void Check(mote_status status) const {
    if (status != MOTE_OK) Fail(error_);
  }

  mote_error error_ = {};
  mote_model* model_ = nullptr;  // until the program ends
  mote_session* session_ = nullptr;
  mote_model_info info_ = {};
  size_t depth_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: mote_speed MODEL.gguf THREADS CONTEXT\n");
    return 2;
  }
  Speed speed(argv[1], atoi(argv[2]), static_cast<uint32_t>(strtoul(argv[3], nullptr, 10)));
  printf("ready mote %s, %s, %d threads%s\n", mote_version(), speed.info().backend, speed.info().threads,
         speed.info().fast_prompts != 0 ? ", fast prompts" : "");
  fflush(stdout);
  char what[8];
  size_t count = 0, depth = 0;
  while (scanf("%7s %zu %zu", what, &count, &depth) == 3) {
    printf("%.9f\n", speed.Run(strcmp(what, "tg") == 0, count, depth));
    fflush(stdout);
  }
  return 0;
}
