// mote_steps.h: generations that are started and stepped.
#include <utility>

#include "engine/api/internal.h"
#include "engine/run/generation.h"
#include "engine/run/stepper.h"

namespace mote::api {
namespace {

// Nothing of the session is touched after the caller has been told: it may be gone.
void TellDone(void* user, Result<GenerateResult> generated) {
  mote_session* session = static_cast<mote_session*>(user);
  const std::unique_ptr<mote_session::Started> started = std::move(session->started);
  if (!generated.ok()) {
    const Status& status = generated.status();
    const std::string line = OneLine(status.message());
    return started->done(started->user, static_cast<mote_status>(status.code()), nullptr, line.c_str());
  }
  const mote_generate_result result = KeepResult(session, std::move(generated).value());
  started->done(started->user, MOTE_OK, &result, nullptr);
}

Status StartGeneration(mote_session* session, const mote_prompt* prompt, const mote_generate_params* params,
                       mote_done_fn done, void* user) {
  MOTE_ASSIGN_OR_RETURN(const PromptView view, ViewOf(session, prompt));
  if (done == nullptr) return NullArgument("done");
  MOTE_RETURN_IF_ERROR(CheckIdle(session));
  auto started = std::make_unique<mote_session::Started>();
  started->done = done;
  started->user = user;
  MOTE_ASSIGN_OR_RETURN(const GenerateParams converted, ConvertGenerate(session, params, &started->params));
  MOTE_ASSIGN_OR_RETURN(std::unique_ptr<Generation> generation, Generation::Begin(*session->session, view, converted));
  session->started = std::move(started);
  session->loaded->model->stepper().Add(std::move(generation), TellDone, session);
  return {};
}

Status MakeStep(mote_model* model, const mote_step_params* given, mote_step_report* report) {
  if (model == nullptr) return NullArgument("model");
  if (model->loaded->model == nullptr) {
    return Error(Code::kUnsupported, "the model was loaded with vocab_only: it generates nothing");
  }
  if (report != nullptr) MOTE_RETURN_IF_ERROR(CheckResultStruct(report, "mote_step_report"));
  mote_step_params params = {};
  MOTE_RETURN_IF_ERROR(ReadParams(given, "mote_step_params", &params));
  // A callback may free the handle.
  const std::shared_ptr<Loaded> loaded = model->loaded;
  MOTE_ASSIGN_OR_RETURN(const StepReport made, loaded->model->stepper().Step(params.max_prefill));
  if (report == nullptr) return {};
  mote_step_report filled = {};
  filled.running = made.running;
  filled.decode_rows = made.decode_rows;
  filled.prefill_rows = made.prefill_rows;
  WriteResult(filled, report);
  return {};
}

Status LimitThreads(mote_model* model, int32_t threads) {
  if (model == nullptr) return NullArgument("model");
  if (threads < 0) return Error(Code::kInvalidArgument, "threads is %d; 0 (all) or more", threads);
  if (model->loaded->model == nullptr) {
    return Error(Code::kUnsupported, "the model was loaded with vocab_only: it computes nothing");
  }
  model->loaded->model->scheduler().LimitWorkers(threads);
  return {};
}

Result<uint32_t> CopyPrefix(mote_session* session, const mote_session* source, uint32_t length) {
  if (session == nullptr) return NullArgument("session");
  if (source == nullptr) return NullArgument("source");
  if (session->loaded != source->loaded) {
    return Error(Code::kInvalidArgument, "the source is a session of another model");
  }
  MOTE_RETURN_IF_ERROR(CheckIdle(session));
  return session->session->CopyPrefix(*source->session, length);
}

Result<mote_prompt*> FromTokens(mote_model* model, const int32_t* tokens, size_t count) {
  if (model == nullptr) return NullArgument("model");
  MOTE_ASSIGN_OR_RETURN(const std::span<const int32_t> span, TokenSpan(tokens, count));
  const uint32_t vocab_size = model->loaded->vocab_size();
  for (size_t i = 0; i < span.size(); ++i) {
    if (span[i] >= 0 && static_cast<uint32_t>(span[i]) < vocab_size) continue;
    return Error(Code::kInvalidArgument, "token %zu of the prompt is %d; the vocabulary has ids 0 to %u", i, span[i],
                 vocab_size - 1);
  }
  auto made = std::make_unique<mote_prompt>();
  made->loaded = model->loaded;
  made->prompt.Append(span);
  return made.release();
}

}  // namespace
}  // namespace mote::api

using namespace mote;       // NOLINT: the functions below must stand outside
using namespace mote::api;  // NOLINT

extern "C" {

mote_status mote_prompt_create_tokens(mote_model* model, const int32_t* tokens, size_t count, mote_prompt** prompt,
                                      mote_error* error) {
  if (prompt == nullptr) return Report(NullArgument("prompt"), error);
  const Result<mote_prompt*> made = FromTokens(model, tokens, count);
  if (made.ok()) *prompt = *made;
  return Report(made.status(), error);
}

mote_status mote_session_start(mote_session* session, const mote_prompt* prompt, const mote_generate_params* params,
                               mote_done_fn done, void* done_user, mote_error* error) {
  return Report(StartGeneration(session, prompt, params, done, done_user), error);
}

void mote_step_params_init(mote_step_params* params, size_t struct_size) {
  if (params == nullptr || struct_size < sizeof(size_t)) return;
  params->struct_size = struct_size;
  WriteResult(mote_step_params{}, params);
}

mote_status mote_model_step(mote_model* model, const mote_step_params* params, mote_step_report* report,
                            mote_error* error) {
  return Report(MakeStep(model, params, report), error);
}

mote_status mote_model_limit_threads(mote_model* model, int32_t threads, mote_error* error) {
  return Report(LimitThreads(model, threads), error);
}

uint32_t mote_session_copy_prefix(mote_session* session, const mote_session* source, uint32_t length,
                                  mote_error* error) {
  const Result<uint32_t> copied = CopyPrefix(session, source, length);
  Report(copied.status(), error);
  return copied.ok() ? *copied : 0;
}

}  // extern "C"
