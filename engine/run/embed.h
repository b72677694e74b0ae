// What a text means, as one vector: the model's hidden states, pooled.
#ifndef MOTE_ENGINE_RUN_EMBED_H_
#define MOTE_ENGINE_RUN_EMBED_H_

#include <stdint.h>

#include <atomic>
#include <vector>

#include "engine/core/status.h"
#include "engine/run/session.h"

namespace mote {

enum class Pooling : int32_t {
  kModel = 0,  // what the file's pooling_type says; the mean where it says nothing
  kMean = 1,   // of all rows, those of images too
  kFirst = 2,  // the first token's
  kLast = 3,   // the last token's
};

struct EmbedParams {
  Pooling pooling = Pooling::kModel;
  bool normalize = true;  // to a length of 1
  const std::atomic<bool>* cancel = nullptr;
};

// The prompt's pooled state after the model's last norm, (width). The session, which is emptied first, then holds the
// prompt, without logits. The same bits whatever else is computed with the model, and however the prompt is cut.
//
// kInvalidArgument: see Session::Check, or an empty prompt; kUnsupported: a model made to rank; kContextFull. These
// change nothing.
Result<std::vector<float>> Embed(Session& session, const PromptView& prompt, const EmbedParams& params);

}  // namespace mote

#endif  // MOTE_ENGINE_RUN_EMBED_H_
