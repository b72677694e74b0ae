// Whether a model's workers can compute at all.
#ifndef MOTE_ENGINE_RUN_WORKERS_H_
#define MOTE_ENGINE_RUN_WORKERS_H_

#include "engine/core/context.h"
#include "engine/core/status.h"

namespace mote {

// An error where a step would wait for workers for ever. Asked before a step takes any lock: a process may have been
// forked while another thread held it.
inline Status CheckWorkers(const ThreadPool* pool) {
  if (pool == nullptr || pool->num_workers() > 0) return {};
  return Error(Code::kUnsupported,
               "the model was loaded before fork(), and its threads are not in this process: load it here");
}

}  // namespace mote

#endif  // MOTE_ENGINE_RUN_WORKERS_H_
