/* Part of mote.h, which includes it: what is fastest on this very machine, tried out while a model is loaded.
 *
 * Of a model on the CPU: how far ahead of a product its weights are fetched from memory, and from how many places at
 * once, one choice of a few for each type and shape of its larger matrices. Which one is chosen never changes a result,
 * not by a bit. Where no other is clearly faster, it is what mote takes without trying.
 *
 * mote_model_params.autotune = 1 tries them out, which takes up to about a second of loading; models whose matrices
 * take less than 256 MiB together, and processors other than x86, have nothing to try. The library writes no files:
 * what was found comes as text from mote_model_tuning, and mote_model_params.tuning gives it to a later load, which
 * then measures nothing. A line holds for one CPU model, instruction set, number of threads, type and shape, so lines
 * of many machines and models may stand together in one text, in any order; what is not understood is passed over. */
#ifndef MOTE_TUNING_H_
#define MOTE_TUNING_H_

#include "mote.h"

#ifdef __cplusplus
extern "C" {
#endif

/* All that the model's speed was chosen by, tried out or given to it: lines of printable ASCII and tabs, each with its
 * end, and no NUL. Empty where nothing was. `text` holds `capacity` bytes; *size: how many there are. */
MOTE_API mote_status mote_model_tuning(const mote_model* model, char* text, size_t capacity, size_t* size,
                                       mote_error* error);

#ifdef __cplusplus
}
#endif

#endif /* MOTE_TUNING_H_ */
