// One conversation: the tokens and images so far and their cache.
#ifndef MOTE_ENGINE_RUN_SESSION_H_
#define MOTE_ENGINE_RUN_SESSION_H_

#include <stdint.h>

#include <atomic>
#include <memory>
#include <span>
#include <vector>

#include "engine/core/status.h"
#include "engine/run/model.h"
#include "engine/run/prompt.h"

namespace mote {

struct EvalOptions {
  LogitsSink sink;  // see Job
  const std::atomic<bool>* cancel = nullptr;
  void (*progress)(void* user, uint32_t done, uint32_t total) = nullptr;
  void* progress_user = nullptr;
};

// An evaluation under way: Session::Begin makes it ready, a Scheduler carries out its job, Session::Keep takes over
// what is done. Stays where it is meanwhile.
struct Evaluation {
  Job job;

  std::vector<ImagePlace> images;  // by their places in the session
  uint32_t kept = 0;               // of job.done
  // What the job points to.
  std::vector<const float*> inputs;
  std::vector<RopePosition> ropes;
  std::vector<uint32_t> ends;
};

// Not thread-safe itself; different sessions of one model may run at once from different threads.
class Session {
 public:
  // context 0: the model's. The model must outlive the session.
  static Result<std::unique_ptr<Session>> Create(Model& model, uint32_t context);

  // What Eval would refuse of a prompt: an id outside the vocabulary, an image that does not fit the model or its
  // place.
  static Status Check(const Model& model, const PromptView& prompt);

  // Computes the prompt's tokens from `from` on, after those that are there. No image may lie across `from`.
  // kContextFull (with both counts) and kInvalidArgument (see Check) change nothing. After kCancelled the tokens
  // already computed are kept, images as far as they are whole.
  Status Eval(const PromptView& prompt, uint32_t from, const EvalOptions& options);
  Status Eval(std::span<const int32_t> tokens, const EvalOptions& options) { return Eval(tokens, 0, options); }
  // Eval in parts, for whoever has the scheduler run many jobs at once. `prompt`, which Check has accepted, must stay
  // until the job is finished, and nothing else be done with the session; without `wants_logits` there will be none.
  Status Begin(const PromptView& prompt, uint32_t from, bool wants_logits, Evaluation* evaluation);
  // After any part of the job: the session holds what is computed, images as far as they are whole.
  void Keep(Evaluation& evaluation);

  // Of the last token evaluated; empty before the first, and where the best of them alone were asked for (Job::enough).
  std::span<const float> logits() const {
    return has_logits_ ? std::span<const float>(logits_) : std::span<const float>();
  }

  std::span<const int32_t> tokens() const { return tokens_; }  // kImageToken for rows of images
  uint32_t length() const { return static_cast<uint32_t>(tokens_.size()); }
  uint32_t context() const { return cache_->context(); }
  uint64_t cache_bytes() const { return cache_->bytes(); }
  Model& model() { return model_; }

  // Forgets all but the first `length` tokens (and the logits); an image that would be cut, whole.
  void Truncate(uint32_t length);
  // Keeps the longest common prefix with the prompt (short of the last token, so that there is one to compute, and of
  // an image in part) and returns its length: Eval(prompt, n) then continues.
  uint32_t KeepPrefix(const PromptView& prompt);
  // Holds instead of what it held the first `length` tokens of another session of the model, images whole or not at
  // all, as far as both have them and room for them; returns how many. Neither may be in a step that runs.
  uint32_t CopyPrefix(const Session& source, uint32_t length);

 private:
  explicit Session(Model& model) : model_(model) {}
  int32_t NextPlace() const;

  Model& model_;
  std::unique_ptr<KvCache> cache_;
  std::vector<int32_t> tokens_;
  std::vector<ImagePlace> images_;
  std::vector<float> logits_;
  bool has_logits_ = false;
};

}  // namespace mote

#endif  // MOTE_ENGINE_RUN_SESSION_H_
