/* Part of mote.h, which includes it: a model whose layers lie in several processes, on one machine or on several.
 *
 * Rank 0 leads: it loads a model with mote_model_params.link set, and it is a model like any other; text in, text out.
 * Every other rank calls mote_split_serve with the same file and computes its layers for the lead until that frees the
 * model. Which layers: the lead's mote_model_params.split.
 *
 * How bytes get from one to the other is the caller's affair (the mote program uses MPI). */
#ifndef MOTE_SPLIT_H_
#define MOTE_SPLIT_H_

#include "mote.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Failures: MOTE_IO with a line for people in error->message (error is never NULL), once any rank is lost. */
typedef struct mote_link {
  size_t struct_size;
  int32_t rank;  /* of this process */
  int32_t ranks; /* 2 or more */
  void* user;
  /* Takes the bytes over and returns without waiting for the peer. What one rank sends another arrives whole, in order
     and unchanged. Called from any thread. */
  mote_status (*send)(void* user, int32_t to, const void* bytes, uint64_t size, mote_error* error);
  /* Waits for the next message of a rank. *bytes: aligned to 8, there until the next call. From one thread at a time.
   */
  mote_status (*receive)(void* user, int32_t from, const void** bytes, uint64_t* size, mote_error* error);
  uint64_t memory_free; /* bytes that this process may take; 0: not known */
} mote_link;

/* Of the ranks behind the lead: loads the layers that the lead gives it, computes, and returns when the lead ends. Of
 * params, threads, isa, sparse_path, device, gpu_layers, memory_limit, log and progress count, and link must be set. */
MOTE_API mote_status mote_split_serve(const char* path, const mote_model_params* params, mote_error* error);

#ifdef __cplusplus
}
#endif

#endif /* MOTE_SPLIT_H_ */
