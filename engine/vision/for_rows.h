// Rows of a picture over the workers of a pool.
#ifndef MOTE_ENGINE_VISION_FOR_ROWS_H_
#define MOTE_ENGINE_VISION_FOR_ROWS_H_

#include <stdint.h>

#include "engine/core/context.h"

namespace mote {

// Calls body(first, end, worker) for consecutive parts of [0, rows), one at most per worker; on this thread alone
// without a pool.
template <class Body>
void ForRows(ThreadPool* pool, uint32_t rows, const Body& body) {
  struct Argument {
    const Body* body;
    uint64_t rows;
    uint64_t workers;
  } argument = {&body, rows, pool == nullptr ? 1 : static_cast<uint64_t>(pool->num_workers())};
  const auto run = [](void* opaque, int worker) {
    const Argument& a = *static_cast<Argument*>(opaque);
    const uint64_t w = static_cast<uint64_t>(worker);
    const uint32_t first = static_cast<uint32_t>(a.rows * w / a.workers);
    const uint32_t end = static_cast<uint32_t>(a.rows * (w + 1) / a.workers);
    if (first < end) (*a.body)(first, end, w);
  };
  if (pool == nullptr) {
    run(&argument, 0);
  } else {
    pool->Run(run, &argument);
  }
}

}  // namespace mote

#endif  // MOTE_ENGINE_VISION_FOR_ROWS_H_
