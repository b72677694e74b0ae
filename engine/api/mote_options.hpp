// Part of mote.hpp, which includes it: how models and vision files are loaded, how tokens are chosen, chats.
#ifndef MOTE_ENGINE_API_MOTE_OPTIONS_HPP_
#define MOTE_ENGINE_API_MOTE_OPTIONS_HPP_

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "mote.h"
#include "mote_result.hpp"

namespace mote {
inline namespace v0 {

struct ModelOptions {
  int threads = 0;
  uint32_t context = 0;
  uint32_t max_batch = 512;
  bool vocab_only = false;
  uint64_t memory_limit = 0;
  mote_cache_type cache_type_k = MOTE_CACHE_F16;
  mote_cache_type cache_type_v = MOTE_CACHE_F16;
  std::string isa;  // empty: the best one
  mote_sparse_path sparse_path = MOTE_SPARSE_AUTO;
  std::string device;  // empty: auto; see mote_model_params
  int32_t gpu_layers = MOTE_GPU_LAYERS_AUTO;
  bool dynamic_sparsity = false;    // see mote_model_params
  bool fast_prompts = false;        // likewise
  bool persistent_steps = false;    // likewise
  std::string tuning;               // lines of Model::Tuning; see mote_tuning.h
  bool autotune = false;            // likewise
  std::string split;                // with `link`; see mote_model_params
  const mote_link* link = nullptr;  // to the other processes that hold layers; kept by the caller
  std::function<void(mote_log_level, std::string_view)> log;    // kept while the model lives; called from any thread
  std::function<void(uint64_t done, uint64_t total)> progress;  // bytes, while loading

  // The field that has a NUL, or null.
  const char* WithNul() const {
    return internal::WithNul({{"isa", &isa}, {"device", &device}, {"tuning", &tuning}, {"split", &split}});
  }
  // A view of this object, without `log` and `progress`.
  mote_model_params ToC() const {
    mote_model_params params = mote_model_default_params();
    params.threads = threads;
    params.context = context;
    params.max_batch = max_batch;
    params.vocab_only = vocab_only ? 1 : 0;
    params.memory_limit = memory_limit;
    params.cache_type_k = cache_type_k;
    params.cache_type_v = cache_type_v;
    params.isa = isa.empty() ? nullptr : isa.c_str();
    params.sparse_path = sparse_path;
    params.device = device.empty() ? nullptr : device.c_str();
    params.gpu_layers = gpu_layers;
    params.dynamic_sparsity = dynamic_sparsity ? 1 : 0;
    params.fast_prompts = fast_prompts ? 1 : 0;
    params.persistent_steps = persistent_steps ? 1 : 0;
    params.tuning = tuning.empty() ? nullptr : tuning.c_str();
    params.autotune = autotune ? 1 : 0;
    params.split = split.empty() ? nullptr : split.c_str();
    params.link = link;
    return params;
  }
};

struct VisionOptions {
  uint32_t max_tokens = 0;
  uint64_t cache_bytes = uint64_t{256} << 20;
  std::function<void(uint64_t done, uint64_t total)> progress;  // bytes, while loading

  // A view of this object.
  mote_vision_params ToC() const {
    mote_vision_params params = mote_vision_default_params();
    params.max_tokens = max_tokens;
    params.cache_bytes = cache_bytes;
    if (progress) {
      params.progress = [](void* user, uint64_t done, uint64_t total) {
        static_cast<const VisionOptions*>(user)->progress(done, total);
      };
      params.progress_user = const_cast<VisionOptions*>(this);
    }
    return params;
  }
};

struct SamplingOptions {
  float temperature = 0.8f;
  int top_k = 40;
  float top_p = 0.95f;
  float min_p = 0.05f;
  float repeat_penalty = 1;
  float presence_penalty = 0;
  float frequency_penalty = 0;
  int penalty_window = 64;
  uint64_t seed = 0;
  std::vector<mote_logit_bias> logit_bias;

  // A view of this object.
  mote_sampling_params ToC() const {
    mote_sampling_params params = mote_sampling_default_params();
    params.temperature = temperature;
    params.top_k = top_k;
    params.top_p = top_p;
    params.min_p = min_p;
    params.repeat_penalty = repeat_penalty;
    params.presence_penalty = presence_penalty;
    params.frequency_penalty = frequency_penalty;
    params.penalty_window = penalty_window;
    params.seed = seed;
    params.logit_bias = logit_bias.data();
    params.logit_bias_count = logit_bias.size();
    return params;
  }
};

struct ChatMessage {
  std::string role;
  std::string content;
  std::string extra_json;  // empty: none

  // The field that has a NUL, or null.
  const char* WithNul() const {
    return internal::WithNul({{"role", &role}, {"content", &content}, {"extra_json", &extra_json}});
  }
};

struct ChatOptions {
  bool add_generation_prompt = true;
  std::string tools_json;  // empty: none
  std::string extra_json;
  int64_t now = 0;  // 0: the clock's

  const char* WithNul() const { return internal::WithNul({{"tools_json", &tools_json}, {"extra_json", &extra_json}}); }
};

}  // namespace v0
}  // namespace mote

#endif  // MOTE_ENGINE_API_MOTE_OPTIONS_HPP_
