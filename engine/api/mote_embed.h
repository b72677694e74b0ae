/* Part of mote.h, which includes it: what a text means, as one vector. */
#ifndef MOTE_ENGINE_API_MOTE_EMBED_H_
#define MOTE_ENGINE_API_MOTE_EMBED_H_

#include "mote.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Of the model's states after its last norm, one for each token or row of an image. */
typedef enum mote_pooling {
  MOTE_POOLING_MODEL = 0, /* what the file's pooling_type says; the mean where it says nothing */
  MOTE_POOLING_MEAN = 1,
  MOTE_POOLING_FIRST = 2,
  MOTE_POOLING_LAST = 3
} mote_pooling;

typedef struct mote_embed_params {
  size_t struct_size;
  int32_t pooling;      /* a mote_pooling. default MOTE_POOLING_MODEL */
  int32_t no_normalize; /* 1: leave the vector as it is; 0: scale it to a length of 1 */
} mote_embed_params;

MOTE_API void mote_embed_params_init(mote_embed_params* params, size_t struct_size);
static inline mote_embed_params mote_embed_default_params(void) {
  mote_embed_params params;
  mote_embed_params_init(&params, sizeof(params));
  return params;
}

/* Computes the prompt, in batches with whoever else computes with the model, and pools: mote_model_info.width values,
 * the same bits whatever the neighbours. `values` holds `capacity`; *count: how many there are. The session forgets
 * what it held and then holds the prompt, without logits; mote_session_cancel stops it. params NULL: the defaults.
 * MOTE_INVALID_ARGUMENT (an empty prompt too), MOTE_CONTEXT_FULL, and MOTE_UNSUPPORTED for a model that was made to
 * rank, change nothing. */
MOTE_API mote_status mote_session_embed(mote_session* session, const mote_prompt* prompt,
                                        const mote_embed_params* params, float* values, size_t capacity, size_t* count,
                                        mote_error* error);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* MOTE_ENGINE_API_MOTE_EMBED_H_ */
