// Seconds of a clock that only goes forward.
#ifndef MOTE_EDGE_SERVER_CLOCK_H_
#define MOTE_EDGE_SERVER_CLOCK_H_

#include <chrono>

namespace mote::server {

inline double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_CLOCK_H_
