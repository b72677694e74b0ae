#include "edge/server/ops/backoff.h"

#include <algorithm>

namespace mote::server {

bool Backoff::Look(bool braked, double now) {
  if (!braked && braked_) free_ = now;
  braked_ = braked;
  const int quarters = quarters_.load(std::memory_order_relaxed);
  const bool worse = braked && quarters > 1 && now - since_ >= kWorse;
  const bool better = !braked && quarters < 4 && now - std::max(since_, free_) >= kBetter;
  if (!worse && !better) return false;
  quarters_.store(quarters + (better ? 1 : -1), std::memory_order_relaxed);
  since_ = now;
  return true;
}

uint32_t Backoff::Of(uint32_t count) const {
  const uint32_t quarters = static_cast<uint32_t>(quarters_.load(std::memory_order_relaxed));
  return static_cast<uint32_t>(std::max<uint64_t>((uint64_t{count} * quarters + 2) / 4, 1));
}

}  // namespace mote::server
