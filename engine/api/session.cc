// mote.h: sampling, sessions and generation.
#include <span>
#include <string_view>
#include <utility>

#include "engine/api/internal.h"

namespace mote::api {
namespace {

static_assert(static_cast<int>(MOTE_FINISH_STOP) == static_cast<int>(FinishReason::kStop));
static_assert(static_cast<int>(MOTE_FINISH_LENGTH) == static_cast<int>(FinishReason::kLength));
static_assert(static_cast<int>(MOTE_FINISH_CANCELLED) == static_cast<int>(FinishReason::kCancelled));

mote_sampling_params DefaultSampling() {
  const SamplerParams defaults;
  mote_sampling_params params = {};
  params.struct_size = sizeof(params);
  params.temperature = defaults.temperature;
  params.top_k = defaults.top_k;
  params.top_p = defaults.top_p;
  params.min_p = defaults.min_p;
  params.repeat_penalty = defaults.repeat_penalty;
  params.presence_penalty = defaults.presence_penalty;
  params.frequency_penalty = defaults.frequency_penalty;
  params.penalty_window = defaults.penalty_window;
  params.seed = defaults.seed;
  return params;
}

mote_generate_params DefaultGenerate() {
  mote_generate_params params = {};
  params.struct_size = sizeof(params);
  params.max_tokens = GenerateParams().max_tokens;
  params.top_logprobs = GenerateParams().top_logprobs;
  return params;
}

bool CallLogits(void* user, uint32_t index, std::span<const float> logits) {
  const mote_eval_params& params = *static_cast<const mote_eval_params*>(user);
  return params.on_logits(params.user, index, logits.data()) == 0;
}

void CallEvalProgress(void* user, uint32_t done, uint32_t total) {
  const mote_eval_params& params = *static_cast<const mote_eval_params*>(user);
  params.on_progress(params.user, done, total);
}

bool CallText(void* user, std::string_view text, int32_t token) {
  const mote_generate_params& params = *static_cast<const mote_generate_params*>(user);
  return params.on_text(params.user, text.data(), text.size(), token) == 0;
}

bool CallToken(void* user, const TokenInfo& info) {
  static_assert(sizeof(mote_token_prob) == sizeof(TokenProb) && offsetof(TokenProb, logprob) == sizeof(int32_t));
  const mote_generate_params& params = *static_cast<const mote_generate_params*>(user);
  mote_token_info told = {};
  told.struct_size = sizeof(told);
  told.token = info.token;
  told.logprob = info.logprob;
  told.top = reinterpret_cast<const mote_token_prob*>(info.top.data());
  told.top_count = info.top.size();
  return params.on_token(params.user, &told) == 0;
}

void CallPrefillProgress(void* user, uint32_t done, uint32_t total) {
  const mote_generate_params& params = *static_cast<const mote_generate_params*>(user);
  params.on_progress(params.user, done, total);
}

Status Eval(mote_session* session, const PromptView& prompt, uint32_t from, const mote_eval_params* given) {
  MOTE_RETURN_IF_ERROR(CheckIdle(session));
  mote_eval_params params = {};
  MOTE_RETURN_IF_ERROR(ReadParams(given, "mote_eval_params", &params));
  EvalOptions options;
  options.cancel = &session->cancel;
  if (params.on_logits != nullptr) {
    options.sink.row = CallLogits;
    options.sink.user = &params;
  }
  if (params.on_progress != nullptr) {
    options.progress = CallEvalProgress;
    options.progress_user = &params;
  }
  const RunGuard guard(session);
  const Status status = session->session->Eval(prompt, from, options);
  if (status.code() == Code::kCancelled) session->cancel.store(false);
  return status;
}

Status EvalTokens(mote_session* session, const int32_t* tokens, size_t count, const mote_eval_params* params) {
  if (session == nullptr) return NullArgument("session");
  MOTE_ASSIGN_OR_RETURN(const std::span<const int32_t> span, TokenSpan(tokens, count));
  return Eval(session, span, 0, params);
}

Status EvalPrompt(mote_session* session, const mote_prompt* prompt, uint32_t from, const mote_eval_params* params) {
  MOTE_ASSIGN_OR_RETURN(const PromptView view, ViewOf(session, prompt));
  return Eval(session, view, from, params);
}

Status RunGenerate(mote_session* session, const PromptView& prompt, const mote_generate_params* given,
                   mote_generate_result* result) {
  MOTE_RETURN_IF_ERROR(CheckIdle(session));
  if (result != nullptr) MOTE_RETURN_IF_ERROR(CheckResultStruct(result, "mote_generate_result"));
  mote_generate_params c_params = {};
  MOTE_ASSIGN_OR_RETURN(const GenerateParams params, ConvertGenerate(session, given, &c_params));
  const RunGuard guard(session);
  MOTE_ASSIGN_OR_RETURN(GenerateResult generated, Generate(*session->session, prompt, params));
  const mote_generate_result filled = KeepResult(session, std::move(generated));
  if (result != nullptr) WriteResult(filled, result);
  return {};
}

Status GenerateTokens(mote_session* session, const int32_t* prompt, size_t count, const mote_generate_params* params,
                      mote_generate_result* result) {
  if (session == nullptr) return NullArgument("session");
  MOTE_ASSIGN_OR_RETURN(const std::span<const int32_t> span, TokenSpan(prompt, count));
  return RunGenerate(session, span, params, result);
}

Status GeneratePrompt(mote_session* session, const mote_prompt* prompt, const mote_generate_params* params,
                      mote_generate_result* result) {
  MOTE_ASSIGN_OR_RETURN(const PromptView view, ViewOf(session, prompt));
  return RunGenerate(session, view, params, result);
}

}  // namespace

Result<std::span<const int32_t>> TokenSpan(const int32_t* tokens, size_t count) {
  if (tokens == nullptr && count > 0) return NullArgument("tokens");
  if (count > UINT32_MAX) return Error(Code::kInvalidArgument, "%zu tokens are more than any context holds", count);
  return std::span<const int32_t>(tokens, count);
}

Result<PromptView> ViewOf(const mote_session* session, const mote_prompt* prompt) {
  if (session == nullptr) return NullArgument("session");
  if (prompt == nullptr) return NullArgument("prompt");
  if (prompt->loaded != session->loaded) {
    return Error(Code::kInvalidArgument, "the prompt was made with another model than the session's");
  }
  return PromptView(prompt->prompt);
}

Status CheckIdle(const mote_session* session) {
  if (session->running.load()) {
    return Error(Code::kInvalidArgument, "a call computes with the session: wait until it has returned");
  }
  if (session->started == nullptr) return {};
  return Error(Code::kInvalidArgument, "a generation that was started runs on the session: wait until it is done");
}

Result<GenerateParams> ConvertGenerate(mote_session* session, const mote_generate_params* given,
                                       mote_generate_params* c_params) {
  mote_generate_params& c = *c_params;
  c = DefaultGenerate();
  MOTE_RETURN_IF_ERROR(ReadParams(given, "mote_generate_params", &c));
  GenerateParams params;
  MOTE_ASSIGN_OR_RETURN(params.sampler, ConvertSampling(c.sampling));
  params.max_tokens = c.max_tokens;
  params.ignore_eos = c.ignore_eos != 0;
  if (c.stop == nullptr && c.stop_count > 0) return NullArgument("stop");
  for (size_t i = 0; i < c.stop_count; ++i) {
    if (c.stop[i] == nullptr) return Error(Code::kInvalidArgument, "stop string %zu is null", i);
    params.stop.emplace_back(c.stop[i]);
  }
  if (c.on_text != nullptr) params.on_text = CallText;
  if (c.on_token != nullptr) params.on_token = CallToken;
  if (c.on_progress != nullptr) params.on_prefill = CallPrefillProgress;
  params.top_logprobs = c.top_logprobs;
  MOTE_ASSIGN_OR_RETURN(params.filter, ConvertGrammar(session, c));
  params.user = c_params;
  params.cancel = &session->cancel;
  return params;
}

mote_generate_result KeepResult(mote_session* session, GenerateResult generated) {
  if (generated.finish == FinishReason::kCancelled) session->cancel.store(false);
  session->text = std::move(generated.text);
  session->tokens = std::move(generated.tokens);
  mote_generate_result result = {};
  result.struct_size = sizeof(result);
  result.text = session->text.c_str();
  result.text_size = session->text.size();
  result.tokens = session->tokens.data();
  result.token_count = session->tokens.size();
  result.finish_reason = static_cast<int32_t>(generated.finish);
  result.prompt_tokens = generated.prompt_tokens;
  result.cached_tokens = generated.cached_tokens;
  result.prefill_seconds = generated.prefill_seconds;
  result.decode_seconds = generated.decode_seconds;
  return result;
}

Result<SamplerParams> ConvertSampling(const mote_sampling_params* given) {
  mote_sampling_params c = DefaultSampling();
  MOTE_RETURN_IF_ERROR(ReadParams(given, "mote_sampling_params", &c));
  SamplerParams params;
  params.temperature = c.temperature;
  params.top_k = c.top_k;
  params.top_p = c.top_p;
  params.min_p = c.min_p;
  params.repeat_penalty = c.repeat_penalty;
  params.presence_penalty = c.presence_penalty;
  params.frequency_penalty = c.frequency_penalty;
  params.penalty_window = c.penalty_window;
  params.seed = c.seed;
  if (c.logit_bias == nullptr && c.logit_bias_count > 0) return NullArgument("logit_bias");
  for (size_t i = 0; i < c.logit_bias_count; ++i) {
    params.logit_bias.emplace_back(c.logit_bias[i].token, c.logit_bias[i].bias);
  }
  return params;
}

}  // namespace mote::api

using namespace mote;       // NOLINT: the functions below must stand outside
using namespace mote::api;  // NOLINT

extern "C" {

void mote_sampling_params_init(mote_sampling_params* params, size_t struct_size) {
  if (params == nullptr || struct_size < sizeof(size_t)) return;
  params->struct_size = struct_size;
  WriteResult(DefaultSampling(), params);
}

mote_status mote_sampler_create(const mote_model* model, const mote_sampling_params* params, mote_sampler** sampler,
                                mote_error* error) {
  if (model == nullptr) return Report(NullArgument("model"), error);
  if (sampler == nullptr) return Report(NullArgument("sampler"), error);
  const Result<SamplerParams> converted = ConvertSampling(params);
  if (!converted.ok()) return Report(converted.status(), error);
  const uint32_t vocab_size = model->loaded->vocab_size();
  Result<Sampler> created = Sampler::Create(*converted, static_cast<int32_t>(vocab_size));
  if (created.ok()) *sampler = new mote_sampler{std::move(created).value(), vocab_size};
  return Report(created.status(), error);
}

void mote_sampler_free(mote_sampler* sampler) {
  delete sampler;
}

void mote_sampler_accept(mote_sampler* sampler, int32_t token) {
  if (sampler != nullptr) sampler->sampler.Accept(token);
}

mote_status mote_sampler_sample(mote_sampler* sampler, const float* logits, int32_t* token, mote_error* error) {
  if (sampler == nullptr) return Report(NullArgument("sampler"), error);
  if (logits == nullptr) return Report(NullArgument("logits"), error);
  if (token == nullptr) return Report(NullArgument("token"), error);
  const Result<int32_t> sampled = sampler->sampler.Sample({logits, sampler->vocab_size});
  if (sampled.ok()) *token = *sampled;
  // Logits are an argument here, and not the model's.
  const Status& status = sampled.status();
  return Report(status.code() == Code::kInternal ? Status(Code::kInvalidArgument, status.message()) : status, error);
}

mote_status mote_session_create(mote_model* model, uint32_t context, mote_session** session, mote_error* error) {
  if (model == nullptr) return Report(NullArgument("model"), error);
  if (session == nullptr) return Report(NullArgument("session"), error);
  if (model->loaded->model == nullptr) {
    return Report(Error(Code::kUnsupported, "the model was loaded with vocab_only: it has no sessions"), error);
  }
  Result<std::unique_ptr<Session>> created = Session::Create(*model->loaded->model, context);
  if (!created.ok()) return Report(created.status(), error);
  *session = new mote_session();
  (*session)->loaded = model->loaded;
  (*session)->session = std::move(created).value();
  return MOTE_OK;
}

void mote_session_free(mote_session* session) {
  if (session == nullptr) return;
  if (session->started != nullptr) session->loaded->model->stepper().Remove(*session->session);
  session->session.reset();  // before the model that it refers to
  delete session;
}

uint32_t mote_session_context(const mote_session* session) {
  return session == nullptr ? 0 : session->session->context();
}

uint64_t mote_session_cache_size(const mote_session* session) {
  return session == nullptr ? 0 : session->session->cache_bytes();
}

const int32_t* mote_session_tokens(const mote_session* session, size_t* count) {
  if (count != nullptr) *count = session == nullptr ? 0 : session->session->tokens().size();
  return session == nullptr ? nullptr : session->session->tokens().data();
}

const float* mote_session_logits(const mote_session* session) {
  return session == nullptr || session->session->logits().empty() ? nullptr : session->session->logits().data();
}

void mote_session_truncate(mote_session* session, uint32_t length) {
  if (session != nullptr && CheckIdle(session).ok()) session->session->Truncate(length);
}

uint32_t mote_session_keep_prefix(mote_session* session, const int32_t* tokens, size_t count) {
  if (session == nullptr || !CheckIdle(session).ok()) return 0;
  return session->session->KeepPrefix(std::span<const int32_t>(tokens, tokens == nullptr ? 0 : count));
}

uint32_t mote_session_keep_prompt(mote_session* session, const mote_prompt* prompt) {
  const Result<PromptView> view = ViewOf(session, prompt);
  return view.ok() && CheckIdle(session).ok() ? session->session->KeepPrefix(*view) : 0;
}

void mote_session_cancel(mote_session* session) {
  if (session != nullptr) session->cancel.store(true);
}

void mote_session_clear_cancel(mote_session* session) {
  if (session != nullptr) session->cancel.store(false);
}

void mote_eval_params_init(mote_eval_params* params, size_t struct_size) {
  if (params == nullptr || struct_size < sizeof(size_t)) return;
  params->struct_size = struct_size;
  WriteResult(mote_eval_params{}, params);
}

mote_status mote_session_eval(mote_session* session, const int32_t* tokens, size_t count,
                              const mote_eval_params* params, mote_error* error) {
  return Report(EvalTokens(session, tokens, count, params), error);
}

mote_status mote_session_eval_prompt(mote_session* session, const mote_prompt* prompt, uint32_t from,
                                     const mote_eval_params* params, mote_error* error) {
  return Report(EvalPrompt(session, prompt, from, params), error);
}

const char* mote_finish_reason_name(mote_finish_reason reason) {
  return FinishReasonName(static_cast<FinishReason>(reason));
}

void mote_generate_params_init(mote_generate_params* params, size_t struct_size) {
  if (params == nullptr || struct_size < sizeof(size_t)) return;
  params->struct_size = struct_size;
  WriteResult(DefaultGenerate(), params);
}

mote_status mote_session_generate(mote_session* session, const int32_t* prompt, size_t prompt_count,
                                  const mote_generate_params* params, mote_generate_result* result, mote_error* error) {
  return Report(GenerateTokens(session, prompt, prompt_count, params, result), error);
}

mote_status mote_session_generate_prompt(mote_session* session, const mote_prompt* prompt,
                                         const mote_generate_params* params, mote_generate_result* result,
                                         mote_error* error) {
  return Report(GeneratePrompt(session, prompt, params, result), error);
}

}  // extern "C"
