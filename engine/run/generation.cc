#include "engine/run/generation.h"

#include <limits>
#include <utility>

namespace mote {
namespace {

Status CheckRequest(Session& session, const PromptView& prompt, const GenerateParams& params) {
  if (prompt.tokens.empty()) return Error(Code::kInvalidArgument, "the prompt has no tokens; at least one is needed");
  if (params.max_tokens < -1) {
    return Error(Code::kInvalidArgument, "max_tokens is %d; it must be -1 (no limit), 0 or more", params.max_tokens);
  }
  if (params.top_logprobs < -1 || params.top_logprobs > kMaxTopLogprobs) {
    return Error(Code::kInvalidArgument, "top_logprobs is %d; it must be -1 (none) to %d", params.top_logprobs,
                 kMaxTopLogprobs);
  }
  // Told before the session loses its old tokens.
  if (prompt.tokens.size() > session.context()) {
    return Error(Code::kContextFull, "the prompt has %zu tokens; the context holds %u", prompt.tokens.size(),
                 session.context());
  }
  // An id -1 that no image explains is refused below, as any other outside the vocabulary.
  if (prompt.tokens.back() == kImageToken && !prompt.images.empty() &&
      prompt.images.back().end() == prompt.tokens.size()) {
    return Error(Code::kInvalidArgument, "the prompt ends with an image; at least one token must follow");
  }
  return Session::Check(session.model(), prompt);
}

SamplerParams SamplerParamsFor(const GenerateParams& params, const Tokenizer& tokenizer, uint32_t vocab_size) {
  SamplerParams sampler = params.sampler;
  if (!params.ignore_eos) return sampler;
  for (int32_t token = 0; token < static_cast<int32_t>(vocab_size); ++token) {
    if (tokenizer.IsEndOfGeneration(token)) {
      sampler.logit_bias.emplace_back(token, -std::numeric_limits<float>::infinity());
    }
  }
  return sampler;
}

Prompt CopyOf(const PromptView& view) {
  return {{view.tokens.begin(), view.tokens.end()}, {view.images.begin(), view.images.end()}};
}

}  // namespace

Generation::Generation(Session& session, const PromptView& prompt, const GenerateParams& params, StopFilter filter,
                       Sampler sampler)
    : session_(session),
      prompt_(CopyOf(prompt)),
      params_(params),
      filter_(std::move(filter)),
      sampler_(std::move(sampler)) {}

Result<std::unique_ptr<Generation>> Generation::Begin(Session& session, const PromptView& prompt,
                                                      const GenerateParams& params) {
  MOTE_RETURN_IF_ERROR(CheckRequest(session, prompt, params));
  Model& model = session.model();
  MOTE_ASSIGN_OR_RETURN(StopFilter filter, StopFilter::Create(params.stop));
  MOTE_ASSIGN_OR_RETURN(Sampler sampler,
                        Sampler::Create(SamplerParamsFor(params, model.tokenizer(), model.vocab_size()),
                                        static_cast<int32_t>(model.vocab_size())));
  for (const int32_t token : prompt.tokens) {
    if (token != kImageToken) sampler.Accept(token);
  }
  std::unique_ptr<Generation> generation(
      new Generation(session, prompt, params, std::move(filter), std::move(sampler)));
  Generation& g = *generation;
  g.started_ = model.platform().clock().Seconds();
  g.result_.prompt_tokens = static_cast<uint32_t>(prompt.tokens.size());
  g.result_.cached_tokens = session.KeepPrefix(g.prompt_);
  MOTE_RETURN_IF_ERROR(g.Evaluate(g.prompt_, g.result_.cached_tokens));
  g.job().progress = params.on_prefill;
  g.job().progress_user = params.user;
  return generation;
}

Status Generation::Evaluate(const PromptView& prompt, uint32_t from) {
  MOTE_RETURN_IF_ERROR(session_.Begin(prompt, from, /*wants_logits=*/true, &evaluation_));
  Job& job = evaluation_.job;
  job.cancel = params_.cancel;
  if (params_.filter == nullptr && !WantsLogprobs()) job.enough = sampler_.Enough();
  job.ready_user = this;
  job.ready = [](void* self) {
    Generation& g = *static_cast<Generation*>(self);
    g.chosen_ = g.Choose();
  };
  return {};
}

Status Generation::Choose() {
  if (HasAllTokens()) return {};
  if (!evaluation_.job.best.empty()) {
    MOTE_ASSIGN_OR_RETURN(token_, sampler_.SampleBest(evaluation_.job.best));
    return {};
  }
  const std::span<const float> raw = evaluation_.job.last_logits;
  std::span<const float> logits = raw;
  if (params_.filter != nullptr) {
    filtered_.assign(raw.begin(), raw.end());
    MOTE_RETURN_IF_ERROR(params_.filter->Apply(filtered_));
    ended_ = params_.filter->MustEnd();
    if (ended_) return {};
    logits = filtered_;
  }
  MOTE_ASSIGN_OR_RETURN(token_, sampler_.Sample(logits));
  if (params_.filter != nullptr) MOTE_RETURN_IF_ERROR(params_.filter->Accept(token_));
  if (!WantsLogprobs()) return {};
  const double sum = LogSumExp(raw);
  logprob_ = static_cast<float>(static_cast<double>(raw[static_cast<size_t>(token_)]) - sum);
  LikeliestTokens(raw, sum, static_cast<size_t>(params_.top_logprobs), &top_);
  return {};
}

void Generation::Advance() {
  session_.Keep(evaluation_);
  const Job& job = evaluation_.job;
  if (!job.finished) return;
  if (!decoding_) {
    prefilled_ = session_.model().platform().clock().Seconds();
    result_.prefill_seconds = prefilled_ - started_;
  }
  const bool cancelled = params_.cancel != nullptr && params_.cancel->load(std::memory_order_relaxed);
  if (job.status.code() == Code::kCancelled) return Finish(FinishReason::kCancelled);
  if (!job.status.ok()) return Fail(job.status);
  decoding_ = true;
  if (HasAllTokens()) return Finish(FinishReason::kLength);
  if (cancelled) return Finish(FinishReason::kCancelled);
  if (!chosen_.ok()) return Fail(chosen_);
  if (ended_) return Finish(FinishReason::kStop);
  Take();
}

void Generation::Take() {
  const Tokenizer& tokenizer = session_.model().tokenizer();
  if (tokenizer.IsEndOfGeneration(token_)) return Finish(FinishReason::kStop);
  sampler_.Accept(token_);
  result_.tokens.push_back(token_);
  if (!TellToken()) return Finish(FinishReason::kCancelled);
  if (!Write(tokenizer.Piece(token_, /*with_special=*/false), token_)) return Finish(result_.finish);
  if (params_.filter != nullptr && params_.filter->MustEnd()) return Finish(FinishReason::kStop);
  if (HasAllTokens() || session_.length() >= session_.context()) return Finish(FinishReason::kLength);
  evaluated_ = token_;
  const Status status = Evaluate(std::span<const int32_t>(&evaluated_, 1), 0);
  if (!status.ok()) Fail(status);
}

bool Generation::TellToken() {
  if (params_.on_token == nullptr) return true;
  if (params_.on_token(params_.user, {token_, logprob_, top_})) return true;
  closed_ = true;
  return false;
}

bool Generation::Write(std::string_view piece, int32_t token) {
  fresh_.clear();
  const bool stopped = filter_.Push(piece, &fresh_);
  if (!Emit(token)) return false;
  if (stopped) result_.finish = FinishReason::kStop;
  return !stopped;
}

bool Generation::Emit(int32_t token) {
  if (fresh_.empty()) return true;
  result_.text += fresh_;
  if (params_.on_text == nullptr || params_.on_text(params_.user, fresh_, token)) return true;
  result_.finish = FinishReason::kCancelled;
  closed_ = true;
  return false;
}

// Hands out what was held back, unless the receiver has had enough.
void Generation::Finish(FinishReason reason) {
  if (!closed_) {
    fresh_.clear();
    filter_.Finish(&fresh_);
    Emit(result_.tokens.empty() ? kNoToken : result_.tokens.back());
  }
  result_.finish = reason;  // too late to cancel
  if (decoding_) result_.decode_seconds = session_.model().platform().clock().Seconds() - prefilled_;
  finished_ = true;
}

void Generation::Fail(Status status) {
  status_ = std::move(status);
  finished_ = true;
}

bool Generation::HasAllTokens() const {
  return params_.max_tokens >= 0 && result_.tokens.size() >= static_cast<size_t>(params_.max_tokens);
}

Result<GenerateResult> Generation::TakeResult() {
  if (!status_.ok()) return status_;
  return std::move(result_);
}

}  // namespace mote
