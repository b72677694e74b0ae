// Deadlines of thousands of connections: setting, moving and cancelling one takes the same short time whatever their
// number, and a loop without due deadlines has nothing to look at.
#ifndef MOTE_EDGE_SERVER_HTTP_WHEEL_H_
#define MOTE_EDGE_SERVER_HTTP_WHEEL_H_

#include <stdint.h>

namespace mote::server {

class Wheel;

struct TimerLink {
  TimerLink* previous = nullptr;
  TimerLink* next = nullptr;
};

class Timer : private TimerLink {
 public:
  Timer() = default;
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  virtual ~Timer();
  // Once per Set. May set and cancel any timer, and destroy this one.
  virtual void Fire(double now) = 0;

 private:
  friend class Wheel;
  void Unlink();
  double due_ = 0;
};

// One thread's. Seconds of one steady clock; a timer fires up to kTick late.
class Wheel {
 public:
  static constexpr double kTick = 0.02;

  explicit Wheel(double now);
  // Replaces what was set before.
  void Set(Timer* timer, double due);
  void Cancel(Timer* timer);
  void Advance(double now);
  // Seconds from `now` until Advance has something to do; at most kSlots ticks.
  double Wait(double now) const;

 private:
  // 20 seconds: the usual deadlines need no second look. Later ones are set again when they come by.
  static constexpr int kSlots = 1024;

  void FireSlot(TimerLink* slot, double now);

  double start_;
  int64_t tick_ = 0;  // the last that was fired
  TimerLink slots_[kSlots];
  mutable uint64_t used_[kSlots / 64] = {};  // which slots may hold something
};

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_HTTP_WHEEL_H_
