// Generation: sample, stop, stream.
#ifndef MOTE_ENGINE_RUN_GENERATE_H_
#define MOTE_ENGINE_RUN_GENERATE_H_

#include <stdint.h>

#include <atomic>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/status.h"
#include "engine/run/logprobs.h"
#include "engine/run/sampler.h"
#include "engine/run/session.h"
#include "engine/run/token_filter.h"

namespace mote {

enum class FinishReason : int32_t {
  kStop = 0,    // an end-of-generation token or a stop string
  kLength = 1,  // max_tokens, or the context is full
  kCancelled = 2,
};
const char* FinishReasonName(FinishReason reason);  // "stop", "length", "cancelled"

inline constexpr int32_t kMaxTopLogprobs = 20;

// A token that was chosen, as the model saw it before bias, penalties, filter and temperature.
struct TokenInfo {
  int32_t token = 0;
  float logprob = 0;               // 0 where nobody asked; -infinity where the model ruled the token out
  std::span<const TokenProb> top;  // the likeliest, best first
};

struct GenerateParams {
  SamplerParams sampler;
  int32_t max_tokens = -1;              // -1: until the context is full; 0: only computes the prompt
  std::vector<std::string> stop;        // none of them appears in the text; see StopFilter::Create
  bool ignore_eos = false;              // end-of-generation tokens are never chosen
  std::shared_ptr<TokenFilter> filter;  // of this generation alone; null: none
  const std::atomic<bool>* cancel = nullptr;
  // New text, never empty, always whole UTF-8 sequences and never part of a stop string; false cancels. `token` is the
  // newest one; some of its text may be held back until a later call.
  bool (*on_text)(void* user, std::string_view text, int32_t token) = nullptr;
  // Each token of the result, before its text; false cancels.
  bool (*on_token)(void* user, const TokenInfo& info) = nullptr;
  int32_t top_logprobs = -1;  // alternatives that on_token is told, up to kMaxTopLogprobs; -1: no logprobs at all
  void (*on_prefill)(void* user, uint32_t done, uint32_t total) = nullptr;  // of the prompt's uncached tokens
  void* user = nullptr;
};

struct GenerateResult {
  std::string text;             // all that on_text was given
  std::vector<int32_t> tokens;  // generated, the end-of-generation token not included
  FinishReason finish = FinishReason::kStop;
  uint32_t prompt_tokens = 0;
  uint32_t cached_tokens = 0;  // of the prompt, reused from the session
  double prefill_seconds = 0;
  double decode_seconds = 0;  // sampling, text and the evaluation of generated tokens
};

// Makes the session hold `prompt` (reusing the prefix it has) and continues it. Afterwards the session holds the prompt
// and the generated tokens, the last one perhaps not: nobody needed its logits.
//
// kInvalidArgument: an empty prompt, an id outside the vocabulary, a field out of its range. kContextFull: the prompt
// alone is longer than the context. In both cases the session is as it was. Cancelling is not an error.
Result<GenerateResult> Generate(Session& session, const PromptView& prompt, const GenerateParams& params);

}  // namespace mote

#endif  // MOTE_ENGINE_RUN_GENERATE_H_
