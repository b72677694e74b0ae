// How much of the machine the models use while heat or power holds it back.
//
// A board that throttles lowers all its clocks, and one that computes as much as before stays hot. With fewer threads
// it cools, and gives the clock back: generation, which waits for memory, loses little by that.
#ifndef MOTE_EDGE_SERVER_OPS_BACKOFF_H_
#define MOTE_EDGE_SERVER_OPS_BACKOFF_H_

#include <stdint.h>

#include <atomic>

namespace mote::server {

class Backoff {
 public:
  // Seconds between two looks; with brakes on, until a quarter more is given up; without, until one is taken back. A
  // board heats up within seconds and cools down slowly.
  static constexpr double kLook = 2;
  static constexpr double kWorse = 10;
  static constexpr double kBetter = 30;

  // From one thread. `now`: seconds of a clock that never goes back. True where the share is another than before.
  bool Look(bool braked, double now);
  // Of threads, and of the tokens of prompts in a step: 1, 0.75, 0.5 or 0.25. Any thread.
  double share() const { return quarters_.load(std::memory_order_relaxed) / 4.0; }
  // `count` (of 1 or more) by the share, rounded, and at least 1.
  uint32_t Of(uint32_t count) const;

 private:
  std::atomic<int> quarters_{4};
  double since_ = -kWorse;  // the share is what it is
  double free_ = 0;         // no brake has been on; while there was none at the last look
  bool braked_ = false;     // at the last look
};

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_OPS_BACKOFF_H_
