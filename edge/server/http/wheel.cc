#include "edge/server/http/wheel.h"

#include <algorithm>
#include <cmath>

namespace mote::server {
namespace {

void Append(TimerLink* list, TimerLink* link) {
  link->previous = list->previous;
  link->next = list;
  list->previous->next = link;
  list->previous = link;
}

}  // namespace

Timer::~Timer() {
  Unlink();
}

void Timer::Unlink() {
  if (next == nullptr) return;
  previous->next = next;
  next->previous = previous;
  previous = next = nullptr;
}

Wheel::Wheel(double now) : start_(now) {
  for (TimerLink& slot : slots_) slot.previous = slot.next = &slot;
}

void Wheel::Set(Timer* timer, double due) {
  timer->Unlink();
  timer->due_ = due;
  const double ticks = std::ceil((due - start_) / kTick);
  const int64_t tick = std::clamp<int64_t>(static_cast<int64_t>(ticks), tick_ + 1, tick_ + kSlots - 1);
  const int slot = static_cast<int>(tick % kSlots);
  Append(&slots_[slot], timer);
  used_[slot / 64] |= uint64_t{1} << (slot % 64);
}

void Wheel::Cancel(Timer* timer) {
  timer->Unlink();
}

void Wheel::FireSlot(TimerLink* slot, double now) {
  // Into a list of its own, since what fires may set timers for this slot again.
  TimerLink due;
  due.previous = due.next = &due;
  if (slot->next != slot) {
    due = *slot;
    due.next->previous = due.previous->next = &due;
    slot->previous = slot->next = slot;
  }
  while (due.next != &due) {
    auto* timer = static_cast<Timer*>(due.next);
    timer->Unlink();
    if (timer->due_ > now) {
      Set(timer, timer->due_);
    } else {
      timer->Fire(now);
    }
  }
}

void Wheel::Advance(double now) {
  const auto target = static_cast<int64_t>(std::floor((now - start_) / kTick));
  // Beyond one turn, each slot once is enough.
  tick_ = std::max(tick_, target - kSlots);
  while (tick_ < target) {
    ++tick_;
    const int slot = static_cast<int>(tick_ % kSlots);
    if ((used_[slot / 64] >> (slot % 64) & 1) == 0) continue;
    used_[slot / 64] &= ~(uint64_t{1} << (slot % 64));
    FireSlot(&slots_[slot], now);
  }
}

double Wheel::Wait(double now) const {
  for (int i = 1; i < kSlots;) {
    const int slot = static_cast<int>((tick_ + i) % kSlots);
    const uint64_t rest = used_[slot / 64] >> (slot % 64);
    if (rest == 0) {
      i += 64 - slot % 64;
      continue;
    }
    const int found = slot + __builtin_ctzll(rest);
    i += found - slot;
    if (slots_[found].next != &slots_[found]) {
      return std::max(0.0, start_ + static_cast<double>(tick_ + i) * kTick - now);
    }
    used_[found / 64] &= ~(uint64_t{1} << (found % 64));
  }
  return kSlots * kTick;
}

}  // namespace mote::server
