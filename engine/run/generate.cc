#include "engine/run/generate.h"

#include <limits>
#include <utility>

#include "engine/run/stop_filter.h"

namespace mote {
namespace {

Status CheckRequest(Session& session, const PromptView& prompt, const GenerateParams& params) {
  if (prompt.tokens.empty()) return Error(Code::kInvalidArgument, "the prompt has no tokens; at least one is needed");
  if (params.max_tokens < -1) {
    return Error(Code::kInvalidArgument, "max_tokens is %d; it must be -1 (no limit), 0 or more", params.max_tokens);
  }
  // Session::Eval checks these two as well, but by then the session would have lost its old tokens.
  if (prompt.tokens.size() > session.context()) {
    return Error(Code::kContextFull, "the prompt has %zu tokens; the context holds %u", prompt.tokens.size(),
                 session.context());
  }
  if (prompt.tokens.back() == kImageToken) {
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

bool IsCancelled(const GenerateParams& params) {
  return params.cancel != nullptr && params.cancel->load(std::memory_order_relaxed);
}

// What is being written, and to whom.
class Writer {
 public:
  Writer(StopFilter filter, const GenerateParams& params, GenerateResult* result)
      : filter_(std::move(filter)), params_(params), result_(result) {}

  // False where generation must end, with the reason in the result.
  bool Write(std::string_view piece, int32_t token) {
    fresh_.clear();
    const bool stopped = filter_.Push(piece, &fresh_);
    if (!Emit(token)) return false;
    if (stopped) result_->finish = FinishReason::kStop;
    return !stopped;
  }
  // Hands out what was held back, unless the receiver has had enough.
  void Finish(int32_t token) {
    if (closed_) return;
    fresh_.clear();
    filter_.Finish(&fresh_);
    const FinishReason reason = result_->finish;
    Emit(token);
    result_->finish = reason;  // too late to cancel
  }

 private:
  bool Emit(int32_t token) {
    if (fresh_.empty()) return true;
    result_->text += fresh_;
    if (params_.on_text == nullptr || params_.on_text(params_.user, fresh_, token)) return true;
    result_->finish = FinishReason::kCancelled;
    closed_ = true;
    return false;
  }

  StopFilter filter_;
  const GenerateParams& params_;
  GenerateResult* result_;
  std::string fresh_;
  bool closed_ = false;
};

// Samples until something ends it, and says in the result what.
Status Decode(Session& session, Sampler& sampler, Writer& writer, const GenerateParams& params,
              GenerateResult* result) {
  const Tokenizer& tokenizer = session.model().tokenizer();
  const size_t max_tokens =
      params.max_tokens < 0 ? std::numeric_limits<size_t>::max() : static_cast<size_t>(params.max_tokens);
  EvalOptions options;
  options.cancel = params.cancel;
  while (true) {
    if (result->tokens.size() >= max_tokens) {
      result->finish = FinishReason::kLength;
      return {};
    }
    if (IsCancelled(params)) {
      result->finish = FinishReason::kCancelled;
      return {};
    }
    MOTE_ASSIGN_OR_RETURN(const int32_t token, sampler.Sample(session.logits()));
    if (tokenizer.IsEndOfGeneration(token)) {
      result->finish = FinishReason::kStop;
      return {};
    }
    sampler.Accept(token);
    result->tokens.push_back(token);
    if (!writer.Write(tokenizer.Piece(token, /*with_special=*/false), token)) return {};
    if (result->tokens.size() >= max_tokens || session.length() >= session.context()) {
      result->finish = FinishReason::kLength;
      return {};
    }
    const Status status = session.Eval(std::span<const int32_t>(&token, 1), options);
    if (status.code() == Code::kCancelled) {
      result->finish = FinishReason::kCancelled;
      return {};
    }
    MOTE_RETURN_IF_ERROR(status);
  }
}

}  // namespace

const char* FinishReasonName(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
  }
  return "unknown";
}

Result<GenerateResult> Generate(Session& session, const PromptView& prompt, const GenerateParams& params) {
  MOTE_RETURN_IF_ERROR(CheckRequest(session, prompt, params));
  Model& model = session.model();
  MOTE_ASSIGN_OR_RETURN(StopFilter filter, StopFilter::Create(params.stop));
  MOTE_ASSIGN_OR_RETURN(Sampler sampler,
                        Sampler::Create(SamplerParamsFor(params, model.tokenizer(), model.vocab_size()),
                                        static_cast<int32_t>(model.vocab_size())));
  for (const int32_t token : prompt.tokens) {
    if (token != kImageToken) sampler.Accept(token);
  }

  GenerateResult result;
  const Clock& clock = model.platform().clock();
  const double start = clock.Seconds();
  result.prompt_tokens = static_cast<uint32_t>(prompt.tokens.size());
  result.cached_tokens = session.KeepPrefix(prompt);
  EvalOptions options;
  options.cancel = params.cancel;
  options.progress = params.on_prefill;
  options.progress_user = params.user;
  const Status status = session.Eval(prompt, result.cached_tokens, options);
  const double prefilled = clock.Seconds();
  result.prefill_seconds = prefilled - start;
  if (status.code() == Code::kCancelled) {
    result.finish = FinishReason::kCancelled;
    return result;
  }
  MOTE_RETURN_IF_ERROR(status);

  Writer writer(std::move(filter), params, &result);
  MOTE_RETURN_IF_ERROR(Decode(session, sampler, writer, params, &result));
  writer.Finish(result.tokens.empty() ? kNoToken : result.tokens.back());
  result.decode_seconds = clock.Seconds() - prefilled;
  return result;
}

}  // namespace mote
