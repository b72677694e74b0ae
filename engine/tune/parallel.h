// Work shared out to the workers of a pool.
#ifndef MOTE_ENGINE_TUNE_PARALLEL_H_
#define MOTE_ENGINE_TUNE_PARALLEL_H_

#include <stdint.h>

#include <atomic>

#include "engine/core/context.h"

namespace mote::tune {

// Calls body(index, worker) once for each index below `count`, from any worker, in any order: what one index does must
// not depend on another. Without a pool (null) all on this thread.
template <class Body>
void ForEach(ThreadPool* pool, uint64_t count, const Body& body) {
  struct Work {
    const Body* body;
    uint64_t count;
    std::atomic<uint64_t> next{0};
  } work = {&body, count};
  const auto run = [](void* opaque, int worker) {
    Work& w = *static_cast<Work*>(opaque);
    for (uint64_t i = w.next.fetch_add(1, std::memory_order_relaxed); i < w.count;
         i = w.next.fetch_add(1, std::memory_order_relaxed)) {
      (*w.body)(i, worker);
    }
  };
  if (pool == nullptr) {
    run(&work, 0);
  } else {
    pool->Run(run, &work);
  }
}

inline int NumWorkers(const ThreadPool* pool) {
  return pool == nullptr ? 1 : pool->num_workers();
}

}  // namespace mote::tune

#endif  // MOTE_ENGINE_TUNE_PARALLEL_H_
