// Answers that were computed before, for requests whose answer is certain.
#ifndef MOTE_EDGE_SERVER_SERVING_REQUEST_CACHE_H_
#define MOTE_EDGE_SERVER_SERVING_REQUEST_CACHE_H_

#include <stdint.h>

#include <list>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "edge/server/config/settings.h"
#include "edge/server/serving/flight.h"

namespace mote::server {

// A digest of all that an answer depends on: the tenant (so that no tenant learns from another's hits), the model file,
// the prompt, images by their bytes, sampling, limits. 32 bytes. `model`: what tells the file from all others.
std::string CacheKey(const Task& task, const std::string& model);
// True where the same request always has the same answer: greedy, or with a seed.
bool IsCertain(const Task& task);

// From any thread. What leaves first when the cache is full: kLru, what was asked for longest ago; kLfu, what was asked
// for least often, where counts are halved as time goes by, so that old fame fades; kAdaptive, either, by which of the
// two has lately thrown out less that was asked for again.
class RequestCache {
 public:
  // `bytes`: of answers and their keys, at most; 0: keeps nothing. `ttl`: seconds that an answer stays true.
  RequestCache(uint64_t bytes, double ttl, CacheStrategy strategy);

  std::shared_ptr<const Record> Find(const std::string& key, double now);
  // Too large for the cache: it is not kept. One that is there already is replaced.
  void Insert(const std::string& key, std::shared_ptr<const Record> record, double now);
  void Clear();

  uint64_t bytes() const;
  uint64_t entries() const;
  // Of the decisions from here on, the share that goes by age: 1 for kLru, 0 for kLfu.
  double age_share() const;

 private:
  struct Entry;
  using Order = std::tuple<uint32_t, uint64_t, Entry*>;  // uses, then age

  struct Entry {
    std::string key;
    std::shared_ptr<const Record> record;
    uint64_t bytes = 0;
    double until = 0;
    uint32_t uses = 0;
    uint64_t touched = 0;  // a count of touches, not a time
    std::list<Entry*>::iterator age;
  };
  // Keys that left, and by which rule; as many as there are entries.
  struct Ghosts {
    std::list<std::string> order;
    std::unordered_map<std::string, std::list<std::string>::iterator> by_key;
    void Add(const std::string& key, size_t limit);
    bool Remove(const std::string& key);
  };

  void Touch(Entry& entry);
  void Remove(Entry& entry);
  void EvictOne();
  void Fade();
  void LearnFromMiss(const std::string& key);

  const uint64_t limit_;
  const double ttl_;
  const CacheStrategy strategy_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, std::unique_ptr<Entry>> entries_;
  std::list<Entry*> by_age_;  // oldest first
  std::set<Order> by_use_;
  Ghosts aged_;    // thrown out as the oldest
  Ghosts unused_;  // thrown out as the least used
  uint64_t bytes_ = 0;
  uint64_t touches_ = 0;
  uint64_t fade_at_ = 0;
  double age_share_ = 0.5;
  double debt_ = 0;  // turns age_share_ into a row of decisions without chance
};

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_SERVING_REQUEST_CACHE_H_
