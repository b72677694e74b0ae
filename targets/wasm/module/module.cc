// What JavaScript needs beside the functions of mote.h: memory to write into, the layout of the structs, functions to
// put into them. Only in the module for browsers (mote.wasm).
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <type_traits>

#include "engine/api/internal.h"
#include "engine/api/mote.h"

#define MOTE_EXPORT(name) __attribute__((export_name(#name)))
#define MOTE_IMPORT(name) __attribute__((import_module("mote"), import_name(#name)))

namespace {

// Kernels may load a whole vector past the end, as of Buffer (engine/core/buffer.h).
constexpr size_t kAlignment = 64;

enum class Kind : uint32_t { kInt32, kUint32, kInt64, kUint64, kFloat32, kFloat64, kPointer };

template <class T>
constexpr Kind KindOf() {
  if constexpr (std::is_pointer_v<T>) {
    return Kind::kPointer;
  } else if constexpr (std::is_floating_point_v<T>) {
    return sizeof(T) == 4 ? Kind::kFloat32 : Kind::kFloat64;
  } else {
    static_assert(std::is_integral_v<T> && sizeof(T) >= 4);
    if (sizeof(T) == 4) return std::is_signed_v<T> ? Kind::kInt32 : Kind::kUint32;
    return std::is_signed_v<T> ? Kind::kInt64 : Kind::kUint64;
  }
}

// A struct, then its fields. Names are those of mote.h.
struct Entry {
  const char* name;
  uint32_t value;  // of a struct its size, of a field its offset
  uint32_t kind;   // kStruct or a Kind
};
constexpr uint32_t kStruct = 255;

#define MOTE_STRUCT(type) \
  { #type, sizeof(type), kStruct }
#define MOTE_FIELD(type, field) \
  { #field, offsetof(type, field), static_cast < uint32_t>(KindOf <decltype(type::field)>()) }

constexpr Entry kLayout[] = {
    MOTE_STRUCT(mote_model_params),
    MOTE_FIELD(mote_model_params, threads),
    MOTE_FIELD(mote_model_params, context),
    MOTE_FIELD(mote_model_params, max_batch),
    MOTE_FIELD(mote_model_params, vocab_only),
    MOTE_FIELD(mote_model_params, memory_limit),
    MOTE_FIELD(mote_model_params, isa),
    MOTE_FIELD(mote_model_params, log),
    MOTE_FIELD(mote_model_params, progress),
    MOTE_FIELD(mote_model_params, progress_user),
    MOTE_FIELD(mote_model_params, cache_type_k),
    MOTE_FIELD(mote_model_params, cache_type_v),
    MOTE_STRUCT(mote_model_info),
    MOTE_FIELD(mote_model_info, struct_size),
    MOTE_FIELD(mote_model_info, architecture),
    MOTE_FIELD(mote_model_info, name),
    MOTE_FIELD(mote_model_info, backend),
    MOTE_FIELD(mote_model_info, chat_template),
    MOTE_FIELD(mote_model_info, template_error),
    MOTE_FIELD(mote_model_info, vocab_size),
    MOTE_FIELD(mote_model_info, context),
    MOTE_FIELD(mote_model_info, context_train),
    MOTE_FIELD(mote_model_info, layers),
    MOTE_FIELD(mote_model_info, width),
    MOTE_FIELD(mote_model_info, threads),
    MOTE_FIELD(mote_model_info, bos_token),
    MOTE_FIELD(mote_model_info, eos_token),
    MOTE_FIELD(mote_model_info, weight_bytes),
    MOTE_FIELD(mote_model_info, scratch_bytes),
    MOTE_FIELD(mote_model_info, cache_bytes),
    MOTE_FIELD(mote_model_info, weight_type),
    MOTE_STRUCT(mote_chat_message),
    MOTE_FIELD(mote_chat_message, role),
    MOTE_FIELD(mote_chat_message, content),
    MOTE_FIELD(mote_chat_message, extra_json),
    MOTE_STRUCT(mote_chat_params),
    MOTE_FIELD(mote_chat_params, no_generation_prompt),
    MOTE_FIELD(mote_chat_params, tools_json),
    MOTE_FIELD(mote_chat_params, extra_json),
    MOTE_STRUCT(mote_vision_params),
    MOTE_FIELD(mote_vision_params, cache_bytes),
    MOTE_FIELD(mote_vision_params, progress),
    MOTE_FIELD(mote_vision_params, progress_user),
    MOTE_FIELD(mote_vision_params, max_tokens),
    MOTE_STRUCT(mote_vision_info),
    MOTE_FIELD(mote_vision_info, struct_size),
    MOTE_FIELD(mote_vision_info, projector),
    MOTE_FIELD(mote_vision_info, name),
    MOTE_FIELD(mote_vision_info, image_size),
    MOTE_FIELD(mote_vision_info, patch_size),
    MOTE_FIELD(mote_vision_info, width),
    MOTE_FIELD(mote_vision_info, layers),
    MOTE_FIELD(mote_vision_info, heads),
    MOTE_FIELD(mote_vision_info, rows_per_view),
    MOTE_FIELD(mote_vision_info, any_size),
    MOTE_FIELD(mote_vision_info, max_rows),
    MOTE_FIELD(mote_vision_info, weight_bytes),
    MOTE_FIELD(mote_vision_info, scratch_bytes),
    MOTE_STRUCT(mote_image),
    MOTE_FIELD(mote_image, pixels),
    MOTE_FIELD(mote_image, stride),
    MOTE_FIELD(mote_image, width),
    MOTE_FIELD(mote_image, height),
    MOTE_FIELD(mote_image, channels),
    MOTE_STRUCT(mote_prompt_params),
    MOTE_FIELD(mote_prompt_params, session),
    MOTE_FIELD(mote_prompt_params, on_progress),
    MOTE_FIELD(mote_prompt_params, user),
    MOTE_STRUCT(mote_prompt_info),
    MOTE_FIELD(mote_prompt_info, struct_size),
    MOTE_FIELD(mote_prompt_info, tokens),
    MOTE_FIELD(mote_prompt_info, images),
    MOTE_FIELD(mote_prompt_info, images_known),
    MOTE_FIELD(mote_prompt_info, image_rows),
    MOTE_FIELD(mote_prompt_info, views),
    MOTE_FIELD(mote_prompt_info, preprocess_seconds),
    MOTE_FIELD(mote_prompt_info, encode_seconds),
    MOTE_STRUCT(mote_logit_bias),
    MOTE_FIELD(mote_logit_bias, token),
    MOTE_FIELD(mote_logit_bias, bias),
    MOTE_STRUCT(mote_sampling_params),
    MOTE_FIELD(mote_sampling_params, temperature),
    MOTE_FIELD(mote_sampling_params, top_k),
    MOTE_FIELD(mote_sampling_params, top_p),
    MOTE_FIELD(mote_sampling_params, min_p),
    MOTE_FIELD(mote_sampling_params, repeat_penalty),
    MOTE_FIELD(mote_sampling_params, presence_penalty),
    MOTE_FIELD(mote_sampling_params, frequency_penalty),
    MOTE_FIELD(mote_sampling_params, penalty_window),
    MOTE_FIELD(mote_sampling_params, seed),
    MOTE_FIELD(mote_sampling_params, logit_bias),
    MOTE_FIELD(mote_sampling_params, logit_bias_count),
    MOTE_STRUCT(mote_eval_params),
    MOTE_FIELD(mote_eval_params, on_logits),
    MOTE_FIELD(mote_eval_params, on_progress),
    MOTE_FIELD(mote_eval_params, user),
    MOTE_STRUCT(mote_token_prob),
    MOTE_FIELD(mote_token_prob, token),
    MOTE_FIELD(mote_token_prob, logprob),
    MOTE_STRUCT(mote_token_info),
    MOTE_FIELD(mote_token_info, token),
    MOTE_FIELD(mote_token_info, logprob),
    MOTE_FIELD(mote_token_info, top),
    MOTE_FIELD(mote_token_info, top_count),
    MOTE_STRUCT(mote_generate_params),
    MOTE_FIELD(mote_generate_params, sampling),
    MOTE_FIELD(mote_generate_params, max_tokens),
    MOTE_FIELD(mote_generate_params, ignore_eos),
    MOTE_FIELD(mote_generate_params, stop),
    MOTE_FIELD(mote_generate_params, stop_count),
    MOTE_FIELD(mote_generate_params, on_text),
    MOTE_FIELD(mote_generate_params, on_progress),
    MOTE_FIELD(mote_generate_params, user),
    MOTE_FIELD(mote_generate_params, top_logprobs),
    MOTE_FIELD(mote_generate_params, on_token),
    MOTE_FIELD(mote_generate_params, grammar),
    MOTE_FIELD(mote_generate_params, grammar_trigger),
    MOTE_STRUCT(mote_generate_result),
    MOTE_FIELD(mote_generate_result, struct_size),
    MOTE_FIELD(mote_generate_result, text),
    MOTE_FIELD(mote_generate_result, text_size),
    MOTE_FIELD(mote_generate_result, tokens),
    MOTE_FIELD(mote_generate_result, token_count),
    MOTE_FIELD(mote_generate_result, finish_reason),
    MOTE_FIELD(mote_generate_result, prompt_tokens),
    MOTE_FIELD(mote_generate_result, cached_tokens),
    MOTE_FIELD(mote_generate_result, prefill_seconds),
    MOTE_FIELD(mote_generate_result, decode_seconds),
    MOTE_STRUCT(mote_embed_params),
    MOTE_FIELD(mote_embed_params, pooling),
    MOTE_FIELD(mote_embed_params, no_normalize),
    MOTE_STRUCT(mote_step_params),
    MOTE_FIELD(mote_step_params, max_prefill),
    MOTE_STRUCT(mote_step_report),
    MOTE_FIELD(mote_step_report, struct_size),
    MOTE_FIELD(mote_step_report, running),
    MOTE_FIELD(mote_step_report, decode_rows),
    MOTE_FIELD(mote_step_report, prefill_rows),
};

// Functions of JavaScript, as mote.h's callbacks. `user` is a number of its choice.
extern "C" {
MOTE_IMPORT(log) void OnLog(void* user, mote_log_level level, const char* line);
MOTE_IMPORT(load_progress) void OnLoadProgress(void* user, uint64_t done, uint64_t total);
MOTE_IMPORT(image_progress) int OnImageProgress(void* user, uint32_t done, uint32_t total);
MOTE_IMPORT(logits) int OnLogits(void* user, size_t index, const float* logits);
MOTE_IMPORT(progress) void OnProgress(void* user, size_t done, size_t total);
MOTE_IMPORT(text) int OnText(void* user, const char* text, size_t size, int32_t token);
MOTE_IMPORT(token) int OnToken(void* user, const mote_token_info* info);
MOTE_IMPORT(done) void OnDone(void* user, mote_status status, const mote_generate_result* result, const char* message);
}

struct Callbacks {
  mote_log_fn log = OnLog;
  mote_load_progress_fn load_progress = OnLoadProgress;
  mote_image_progress_fn image_progress = OnImageProgress;
  mote_logits_fn logits = OnLogits;
  mote_progress_fn progress = OnProgress;
  mote_text_fn text = OnText;
  mote_token_fn token = OnToken;
  mote_done_fn done = OnDone;
};
const Callbacks kCallbacks;

}  // namespace

extern "C" {

// Null where there is not so much. Cache lines, with one to spare at the end.
MOTE_EXPORT(mote_web_allocate) void* mote_web_allocate(size_t bytes) {
  if (bytes > SIZE_MAX - 2 * kAlignment) return nullptr;
  return aligned_alloc(kAlignment, (bytes + 2 * kAlignment - 1) / kAlignment * kAlignment);
}
MOTE_EXPORT(mote_web_free) void mote_web_free(void* block) {
  free(block);
}

// The byte that mote_session_cancel sets, for threads that share the memory and cannot call into it.
MOTE_EXPORT(mote_web_cancel_flag) std::atomic<bool>* mote_web_cancel_flag(mote_session* session) {
  static_assert(sizeof(session->cancel) == 1);
  return &session->cancel;
}

MOTE_EXPORT(mote_web_layout) const Entry* mote_web_layout(void) {
  return kLayout;
}
MOTE_EXPORT(mote_web_layout_count) size_t mote_web_layout_count(void) {
  return sizeof(kLayout) / sizeof(kLayout[0]);
}
// Indices into the table of functions, in the order of Callbacks.
MOTE_EXPORT(mote_web_callbacks) const Callbacks* mote_web_callbacks(void) {
  return &kCallbacks;
}

}  // extern "C"
