// Messages between the processes that share a model. Whoever starts them implements it (edge/mpi does, over MPI); the
// engine knows no network.
#ifndef MOTE_ENGINE_GRAPH_TRANSPORT_H_
#define MOTE_ENGINE_GRAPH_TRANSPORT_H_

#include <stdint.h>

#include <span>

#include "engine/core/status.h"

namespace mote {

class Transport {
 public:
  virtual ~Transport() = default;
  virtual int rank() const = 0;   // of this process; 0 leads
  virtual int ranks() const = 0;  // >= 2
  // Takes the bytes over and returns without waiting for the peer. Messages from one rank to another arrive whole and
  // in their order. From any thread. kIo where a rank is lost.
  virtual Status Send(int to, std::span<const uint8_t> bytes) = 0;
  // Waits for the next message of a rank; aligned to 8 bytes, there until the next call. From one thread at a time.
  // kIo where any rank is lost, and not only the one that is waited for: what it has not handed on will never come.
  virtual Result<std::span<const uint8_t>> Receive(int from) = 0;
};

}  // namespace mote

#endif  // MOTE_ENGINE_GRAPH_TRANSPORT_H_
