// mote_embed.h.
#include "engine/run/embed.h"

#include "engine/api/internal.h"

namespace mote::api {
namespace {

static_assert(static_cast<int>(MOTE_POOLING_MODEL) == static_cast<int>(Pooling::kModel));
static_assert(static_cast<int>(MOTE_POOLING_MEAN) == static_cast<int>(Pooling::kMean));
static_assert(static_cast<int>(MOTE_POOLING_FIRST) == static_cast<int>(Pooling::kFirst));
static_assert(static_cast<int>(MOTE_POOLING_LAST) == static_cast<int>(Pooling::kLast));

Status EmbedPrompt(mote_session* session, const mote_prompt* prompt, const mote_embed_params* given, float* values,
                   size_t capacity, size_t* count) {
  MOTE_ASSIGN_OR_RETURN(const PromptView view, ViewOf(session, prompt));
  MOTE_RETURN_IF_ERROR(CheckIdle(session));
  mote_embed_params c = {};
  MOTE_RETURN_IF_ERROR(ReadParams(given, "mote_embed_params", &c));
  if (c.pooling < MOTE_POOLING_MODEL || c.pooling > MOTE_POOLING_LAST) {
    return Error(Code::kInvalidArgument, "pooling is %d; a mote_pooling, 0 to %d, is wanted", c.pooling,
                 static_cast<int>(MOTE_POOLING_LAST));
  }
  const size_t width = session->session->model().hyper().width;
  if (values == nullptr || capacity < width) {  // told before the work
    return FillBuffer<float>(nullptr, width, values, capacity, count, "values");
  }
  EmbedParams params;
  params.pooling = static_cast<Pooling>(c.pooling);
  params.normalize = c.no_normalize == 0;
  params.cancel = &session->cancel;
  const RunGuard guard(session);
  const Result<std::vector<float>> embedded = Embed(*session->session, view, params);
  if (embedded.status().code() == Code::kCancelled) session->cancel.store(false);
  MOTE_RETURN_IF_ERROR(embedded.status());
  return FillBuffer(embedded->data(), width, values, capacity, count, "values");
}

}  // namespace
}  // namespace mote::api

using namespace mote;       // NOLINT: the functions below must stand outside
using namespace mote::api;  // NOLINT

extern "C" {

void mote_embed_params_init(mote_embed_params* params, size_t struct_size) {
  if (params == nullptr || struct_size < sizeof(size_t)) return;
  params->struct_size = struct_size;
  WriteResult(mote_embed_params{}, params);
}

mote_status mote_session_embed(mote_session* session, const mote_prompt* prompt, const mote_embed_params* params,
                               float* values, size_t capacity, size_t* count, mote_error* error) {
  return Report(EmbedPrompt(session, prompt, params, values, capacity, count), error);
}

}  // extern "C"
