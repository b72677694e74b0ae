#include "edge/server/serving/request_cache.h"

#include <algorithm>
#include <utility>

namespace mote::server {
namespace {

// How far one mistake moves the share of the other rule, and how far it may go: a rule that is never tried again could
// never be found right again.
constexpr double kLesson = 0.05;
constexpr double kLeastShare = 0.05;
// Counts of uses are halved after so many touches for each entry.
constexpr uint64_t kFadeTouches = 16;
constexpr uint64_t kEntryOverhead = 256;  // bytes of map, list, set and allocator for an entry, about

}  // namespace

RequestCache::RequestCache(uint64_t bytes, double ttl, CacheStrategy strategy)
    : limit_(bytes), ttl_(ttl), strategy_(strategy) {
  if (strategy == CacheStrategy::kLru) age_share_ = 1;
  if (strategy == CacheStrategy::kLfu) age_share_ = 0;
}

std::shared_ptr<const Record> RequestCache::Find(const std::string& key, double now) {
  const std::lock_guard lock(mutex_);
  const auto it = entries_.find(key);
  if (it == entries_.end()) {
    LearnFromMiss(key);
    return nullptr;
  }
  if (it->second->until <= now) {
    Remove(*it->second);
    return nullptr;
  }
  Touch(*it->second);
  return it->second->record;
}

void RequestCache::Insert(const std::string& key, std::shared_ptr<const Record> record, double now) {
  const uint64_t bytes = record->bytes() + key.size() + kEntryOverhead;
  const std::lock_guard lock(mutex_);
  if (bytes > limit_) return;
  if (const auto it = entries_.find(key); it != entries_.end()) Remove(*it->second);
  while (bytes_ + bytes > limit_) EvictOne();
  auto entry = std::make_unique<Entry>();
  Entry* raw = entry.get();
  raw->key = key;
  raw->record = std::move(record);
  raw->bytes = bytes;
  raw->until = now + ttl_;
  raw->uses = 0;
  raw->age = by_age_.insert(by_age_.end(), raw);
  by_use_.insert({raw->uses, raw->touched, raw});
  entries_.emplace(key, std::move(entry));
  bytes_ += bytes;
  Touch(*raw);
}

void RequestCache::Clear() {
  const std::lock_guard lock(mutex_);
  entries_.clear();
  by_age_.clear();
  by_use_.clear();
  aged_ = unused_ = Ghosts{};
  bytes_ = 0;
}

uint64_t RequestCache::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

uint64_t RequestCache::entries() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

double RequestCache::age_share() const {
  const std::lock_guard lock(mutex_);
  return age_share_;
}

void RequestCache::Touch(Entry& entry) {
  by_use_.erase({entry.uses, entry.touched, &entry});
  ++entry.uses;
  entry.touched = ++touches_;
  by_use_.insert({entry.uses, entry.touched, &entry});
  by_age_.splice(by_age_.end(), by_age_, entry.age);
  if (touches_ >= fade_at_) Fade();
}

void RequestCache::Fade() {
  fade_at_ = touches_ + kFadeTouches * std::max<uint64_t>(entries_.size(), 64);
  by_use_.clear();
  for (const auto& [key, entry] : entries_) {
    entry->uses = (entry->uses + 1) / 2;
    by_use_.insert({entry->uses, entry->touched, entry.get()});
  }
}

void RequestCache::Remove(Entry& entry) {
  bytes_ -= entry.bytes;
  by_use_.erase({entry.uses, entry.touched, &entry});
  by_age_.erase(entry.age);
  const std::string key = entry.key;  // the entry goes
  entries_.erase(key);
}

void RequestCache::EvictOne() {
  debt_ += age_share_;
  const bool by_age = debt_ >= 1;
  if (by_age) debt_ -= 1;
  Entry& victim = by_age ? *by_age_.front() : *std::get<2>(*by_use_.begin());
  if (strategy_ == CacheStrategy::kAdaptive) (by_age ? aged_ : unused_).Add(victim.key, entries_.size());
  Remove(victim);
}

void RequestCache::LearnFromMiss(const std::string& key) {
  if (strategy_ != CacheStrategy::kAdaptive) return;
  if (aged_.Remove(key)) age_share_ -= kLesson;
  if (unused_.Remove(key)) age_share_ += kLesson;
  age_share_ = std::clamp(age_share_, kLeastShare, 1 - kLeastShare);
}

void RequestCache::Ghosts::Add(const std::string& key, size_t limit) {
  if (by_key.count(key) > 0) return;
  order.push_back(key);
  by_key[key] = std::prev(order.end());
  while (order.size() > std::max<size_t>(limit, 1)) {
    by_key.erase(order.front());
    order.pop_front();
  }
}

bool RequestCache::Ghosts::Remove(const std::string& key) {
  const auto it = by_key.find(key);
  if (it == by_key.end()) return false;
  order.erase(it->second);
  by_key.erase(it);
  return true;
}

}  // namespace mote::server
