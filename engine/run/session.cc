#include "engine/run/session.h"

#include <algorithm>

namespace mote {

Result<std::unique_ptr<Session>> Session::Create(Model& model, uint32_t context) {
  if (context > model.context()) {
    return Error(Code::kInvalidArgument, "a session of %u tokens: the model was loaded for up to %u", context,
                 model.context());
  }
  std::unique_ptr<Session> session(new Session(model));
  MOTE_ASSIGN_OR_RETURN(session->cache_, model.program().CreateKvCache(context == 0 ? model.context() : context));
  return session;
}

Status Session::Eval(std::span<const int32_t> tokens, const EvalOptions& options) {
  if (tokens.empty()) return Error(Code::kInvalidArgument, "no tokens to evaluate; at least one is needed");
  if (tokens.size() > context() - length()) {
    return Error(Code::kContextFull, "%zu more tokens after %u do not fit a context of %u", tokens.size(), length(),
                 context());
  }
  for (const int32_t token : tokens) {
    if (token < 0 || static_cast<uint32_t>(token) >= model_.vocab_size()) {
      return Error(Code::kInvalidArgument, "token %d is outside the vocabulary of %u", token, model_.vocab_size());
    }
  }
  std::vector<float> logits(model_.vocab_size());
  Job job;
  job.tokens = tokens;
  job.start = length();
  job.cache = cache_.get();
  job.last_logits = logits;
  job.sink = options.sink;
  job.cancel = options.cancel;
  job.progress = options.progress;
  job.progress_user = options.progress_user;
  const Status status = model_.scheduler().Run(job);
  tokens_.insert(tokens_.end(), tokens.begin(), tokens.begin() + job.done);
  logits_ = status.ok() ? std::move(logits) : std::vector<float>();
  return status;
}

void Session::Truncate(uint32_t new_length) {
  if (new_length >= length()) return;
  tokens_.resize(new_length);
  logits_.clear();
}

uint32_t Session::KeepPrefix(std::span<const int32_t> tokens) {
  const size_t limit = std::min(tokens_.size(), tokens.empty() ? 0 : tokens.size() - 1);
  size_t same = 0;
  while (same < limit && tokens_[same] == tokens[same]) ++same;
  Truncate(static_cast<uint32_t>(same));
  return static_cast<uint32_t>(same);
}

}  // namespace mote
