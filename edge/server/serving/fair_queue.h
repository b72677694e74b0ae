// A bounded queue that is fair between tenants: who has been served less goes first (start-time fair queueing).
#ifndef MOTE_EDGE_SERVER_SERVING_FAIR_QUEUE_H_
#define MOTE_EDGE_SERVER_SERVING_FAIR_QUEUE_H_

#include <stdint.h>

#include <algorithm>
#include <deque>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

namespace mote::server {

// Not locked: the owner does that. Within a tenant: first come, first served. A tenant's turn is its share of what has
// been served so far, so that one that sends a thousand requests does not delay one that sends a single one; a tenant
// that was away starts at the present, without credit.
template <class T>
class FairQueue {
 public:
  // `cost`: what serving the item takes, in any unit (tokens).
  void Push(const std::string& tenant, double cost, T item) {
    Tenant& t = tenants_[tenant];
    if (t.items.empty()) t.start = std::max(t.start, now_);
    t.items.emplace_back(std::max(cost, 1.0), std::move(item));
    ++size_;
  }

  std::optional<T> Pop() {
    auto best = tenants_.end();
    for (auto it = tenants_.begin(); it != tenants_.end(); ++it) {
      if (it->second.items.empty()) continue;
      if (best == tenants_.end() || it->second.start < best->second.start ||
          (it->second.start == best->second.start && it->first < best->first)) {
        best = it;
      }
    }
    if (best == tenants_.end()) return std::nullopt;
    Tenant& t = best->second;
    now_ = t.start;
    t.start += t.items.front().first;
    T item = std::move(t.items.front().second);
    t.items.pop_front();
    --size_;
    if (t.items.empty()) Forget();
    return item;
  }

  // Takes out what `wanted` says, in no particular order, and hands each to `take`.
  template <class Wanted, class Take>
  void Extract(Wanted wanted, Take take) {
    for (auto& [name, tenant] : tenants_) {
      std::deque<std::pair<double, T>> kept;
      for (auto& entry : tenant.items) {
        if (wanted(entry.second)) {
          take(std::move(entry.second));
          --size_;
        } else {
          kept.push_back(std::move(entry));
        }
      }
      tenant.items = std::move(kept);
    }
    Forget();
  }

  size_t size() const { return size_; }
  // Items of one tenant.
  size_t size(const std::string& tenant) const {
    const auto it = tenants_.find(tenant);
    return it == tenants_.end() ? 0 : it->second.items.size();
  }

 private:
  struct Tenant {
    double start = 0;  // when its next item's service begins, in served cost
    std::deque<std::pair<double, T>> items;
  };

  // Tenants whose past no longer counts, so that their number stays bounded by that of items.
  void Forget() {
    std::erase_if(tenants_,
                  [&](const auto& entry) { return entry.second.items.empty() && entry.second.start <= now_; });
    if (size_ == 0) {
      tenants_.clear();
      now_ = 0;
    }
  }

  std::unordered_map<std::string, Tenant> tenants_;
  double now_ = 0;
  size_t size_ = 0;
};

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_SERVING_FAIR_QUEUE_H_
