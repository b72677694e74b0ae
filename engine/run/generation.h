// A generation as a sequence of evaluations, for whoever makes the steps.
#ifndef MOTE_ENGINE_RUN_GENERATION_H_
#define MOTE_ENGINE_RUN_GENERATION_H_

#include <memory>
#include <string>
#include <vector>

#include "engine/core/status.h"
#include "engine/run/generate.h"
#include "engine/run/stop_filter.h"

namespace mote {

// What Generate does, cut where the engine is needed: while it is not finished there is a job for the Scheduler; after
// each part of that, Advance goes on. Callbacks are made by Advance alone (params.on_prefill: by the job's progress).
//
// The choice of a token is made when the job is ready, on whatever thread that is; it is the same everywhere.
class Generation {
 public:
  // Checks everything and makes the session keep what it has of the prompt (which is copied, its images shared). Until
  // the generation is finished or gone, the session must stay and be left alone. Errors are those of Generate.
  static Result<std::unique_ptr<Generation>> Begin(Session& session, const PromptView& prompt,
                                                   const GenerateParams& params);

  Session& session() { return session_; }
  bool finished() const { return finished_; }
  bool decoding() const { return decoding_; }  // the prompt is computed
  Job& job() { return evaluation_.job; }       // while not finished
  void Advance();                              // while not finished
  Result<GenerateResult> TakeResult();         // once finished

 private:
  Generation(Session& session, const PromptView& prompt, const GenerateParams& params, StopFilter filter,
             Sampler sampler);
  Status Evaluate(const PromptView& prompt, uint32_t from);
  // From logits to a token; touches nothing but what belongs to this generation.
  Status Choose();
  // What follows from the choice: callbacks, and the end or the next job.
  void Take();
  bool TellToken();
  // These two hand out text; false where generation must end, with the reason in the result.
  bool Write(std::string_view piece, int32_t token);
  bool Emit(int32_t token);
  void Finish(FinishReason reason);
  void Fail(Status status);
  bool HasAllTokens() const;
  bool WantsLogprobs() const { return params_.on_token != nullptr && params_.top_logprobs >= 0; }

  Session& session_;
  const Prompt prompt_;
  const GenerateParams params_;
  StopFilter filter_;
  Sampler sampler_;
  Evaluation evaluation_;
  double started_ = 0;
  double prefilled_ = 0;
  bool decoding_ = false;
  bool finished_ = false;
  bool closed_ = false;  // the receiver has had enough
  Status status_;
  GenerateResult result_;

  // Of the token that was chosen last.
  Status chosen_;
  bool ended_ = false;  // there was nothing to choose: the filter lets nothing follow
  int32_t token_ = 0;
  int32_t evaluated_ = 0;  // the job's own: the next is chosen while it still points here
  float logprob_ = 0;
  std::vector<TokenProb> top_;
  std::vector<float> filtered_;  // logits as the token filter left them
  std::string fresh_;            // text that has become certain
};

}  // namespace mote

#endif  // MOTE_ENGINE_RUN_GENERATION_H_
