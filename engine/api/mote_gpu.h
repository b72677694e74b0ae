/* GPUs, as this build of mote and this machine have them. */
#ifndef MOTE_GPU_H_
#define MOTE_GPU_H_

#include "mote.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mote_gpu {
  size_t struct_size;
  char name[128];
  int32_t major; /* compute capability */
  int32_t minor;
  uint64_t memory_total; /* bytes */
  uint64_t memory_free;  /* now */
  int32_t shared_memory; /* 1: its memory is the machine's (Tegra) */
  uint32_t multiprocessors;
  double bytes_per_second; /* of its memory, at best; 0: the driver does not tell */
  int32_t driver;          /* CUDA version of the driver, 12040 for 12.4 */
  char unusable[128];      /* why mote does not run on it; empty where it does */
} mote_gpu;

/* How many there are, in CUDA's order. 0 with a reason in `error` (which may be NULL) where there is none: no kernels
   in this build, no driver, or no GPU. Asks the driver: any thread, milliseconds (the first time up to seconds). */
MOTE_API size_t mote_gpu_count(mote_error* error);
/* MOTE_NOT_FOUND past the end. gpu->struct_size must be set. Takes some memory of that GPU, and of no other, for as
   long as the process lives. */
MOTE_API mote_status mote_gpu_get(size_t index, mote_gpu* gpu, mote_error* error);

#ifdef __cplusplus
}
#endif

#endif /* MOTE_GPU_H_ */
