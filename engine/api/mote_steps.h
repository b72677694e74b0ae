/* Part of mote.h, which includes it: many generations, made step by step from one thread.
 *
 * mote_session_start begins a generation and returns; mote_model_step makes one step for all that were started and
 * calls back. Text and tokens are those of mote_session_generate_prompt, bit for bit, whoever else computes. */
#ifndef MOTE_ENGINE_API_MOTE_STEPS_H_
#define MOTE_ENGINE_API_MOTE_STEPS_H_

#include "mote.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A prompt of `count` tokens from ids, all in the vocabulary. */
MOTE_API mote_status mote_prompt_create_tokens(mote_model* model, const int32_t* tokens, size_t count,
                                               mote_prompt** prompt, mote_error* error);

/* Once for each generation, from mote_model_step. status is MOTE_OK and message NULL (being cancelled is MOTE_OK with
 * MOTE_FINISH_CANCELLED), or result is NULL and message, a line for people, lives during the call. The session may be
 * used, started again or freed in this call or after it; the result's text and tokens belong to the session, until its
 * next generation or its end. */
typedef void (*mote_done_fn)(void* user, mote_status status, const mote_generate_result* result, const char* message);

/* Begins what mote_session_generate_prompt does. Refuses all that it refuses, and then changes nothing and never calls
 * `done`; from here on errors are told to `done`. All callbacks come from mote_model_step. What params points to is
 * read during the call only, and the prompt may be freed after it.
 *
 * From any thread, also from callbacks of other sessions. Until `done` nothing may be done with the session but
 * mote_session_cancel, mote_session_copy_prefix from it, and what only reads it, between steps; calls that would change
 * it are refused or do nothing. Freed between steps it ends the generation without `done`. */
MOTE_API mote_status mote_session_start(mote_session* session, const mote_prompt* prompt,
                                        const mote_generate_params* params, mote_done_fn done, void* done_user,
                                        mote_error* error);

typedef struct mote_step_params {
  size_t struct_size;
  uint32_t max_prefill; /* tokens of prompts in one step, so that running answers do not wait long for them; 0: what the
                           batch holds. An image whose rows see each other is computed in one step all the same */
} mote_step_params;

MOTE_API void mote_step_params_init(mote_step_params* params, size_t struct_size);
static inline mote_step_params mote_step_default_params(void) {
  mote_step_params params;
  mote_step_params_init(&params, sizeof(params));
  return params;
}

typedef struct mote_step_report {
  size_t struct_size;
  uint32_t running;      /* generations left, those included that callbacks have started */
  uint32_t decode_rows;  /* tokens computed in this step: of answers, */
  uint32_t prefill_rows; /* and of prompts */
} mote_step_report;

/* One step for all generations that were started, together with whoever else computes with the model; then on_progress,
 * on_token, on_text and done of each, from this thread. Returns at once where nothing was started. Errors of one
 * generation go to its `done`. params NULL: the defaults; report may be NULL, else report->struct_size must be set.
 *
 * One thread at a time, and not from a callback: MOTE_INVALID_ARGUMENT. A generation that was cancelled ends with the
 * next step. */
MOTE_API mote_status mote_model_step(mote_model* model, const mote_step_params* params, mote_step_report* report,
                                     mote_error* error);

/* From the model's next step on, at most `threads` of its threads on the CPU compute, whoever asked for the step, those
 * of a vision tower included; 0, or more than there are: all. Results stay the same, bit for bit. For what shares the
 * machine, or a board that gets too hot. Any thread, at any time; a step under way ends as it began. */
MOTE_API mote_status mote_model_limit_threads(mote_model* model, int32_t threads, mote_error* error);

/* Makes `session` hold, instead of what it held, the first `length` tokens of another session of the same model, by
 * copying its keys and values: what would be computed from the same tokens is the same, bit for bit. Returns how many
 * it holds: fewer where the source has fewer, its own context is smaller, or an image would be cut; 0 after an error.
 *
 * `session` must not be in use. The source may be in the midst of a generation that was started, if this is called
 * between steps or from their callbacks, in the thread that makes them; it then has what is computed of its prompt. */
MOTE_API uint32_t mote_session_copy_prefix(mote_session* session, const mote_session* source, uint32_t length,
                                           mote_error* error);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* MOTE_ENGINE_API_MOTE_STEPS_H_ */
