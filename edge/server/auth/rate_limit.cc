#include "edge/server/auth/rate_limit.h"

#include <algorithm>
#include <cmath>

namespace mote::server {
namespace {

// Sums of slots are exact to this.
constexpr double kClose = 1e-6;

}  // namespace

// Slots that have left the window become empty; a debt is paid at the rate, into the slots that pass.
void SlidingWindow::Advance(const Rate& rate, double now) {
  const double slot = rate.seconds / kParts;
  const auto current = static_cast<int64_t>(std::floor(now / slot));
  if (newest_ < 0) {
    newest_ = current;
    advanced_ = now;
  }
  const int64_t oldest = current - kSlots + 1;
  for (int64_t i = std::max(newest_ + 1, oldest); i <= current; ++i) slots_[i % kSlots] = 0;
  newest_ = std::max(newest_, current);
  if (debt_ > 0 && now > advanced_) {
    const double paid = std::min(debt_, rate.per_second() * (now - advanced_));
    const double end = advanced_ + paid / rate.per_second();
    // What was paid in slots that are gone by now is gone with them.
    const auto first = static_cast<int64_t>(std::floor(advanced_ / slot));
    for (int64_t i = std::max({first, oldest, int64_t{0}}); i <= current; ++i) {
      const double from = std::max(advanced_, static_cast<double>(i) * slot);
      const double to = std::min(end, static_cast<double>(i + 1) * slot);
      if (to > from) slots_[i % kSlots] += static_cast<float>(rate.per_second() * (to - from));
    }
    debt_ -= paid;
    if (debt_ < kClose) debt_ = 0;
  }
  advanced_ = std::max(advanced_, now);
}

double SlidingWindow::Used() const {
  double used = 0;
  for (const float slot : slots_) used += slot;
  return used;
}

double SlidingWindow::Left(const Rate& rate, double now) {
  Advance(rate, now);
  if (debt_ > 0) return 0;
  return std::max(0.0, rate.count - Used());
}

bool SlidingWindow::Take(const Rate& rate, double amount, double now) {
  if (Left(rate, now) + kClose < amount) return false;
  slots_[newest_ % kSlots] += static_cast<float>(amount);
  return true;
}

void SlidingWindow::Charge(const Rate& rate, double amount, double now) {
  const double fits = std::min(amount, Left(rate, now));
  slots_[newest_ % kSlots] += static_cast<float>(fits);
  debt_ += amount - fits;
}

double SlidingWindow::Wait(const Rate& rate, double amount, double now) {
  Advance(rate, now);
  if (debt_ > 0) {
    const double paying = debt_ / rate.per_second();
    SlidingWindow later = *this;
    later.Advance(rate, now + paying);
    later.debt_ = 0;  // but for rounding
    return paying + later.Wait(rate, amount, now + paying);
  }
  double excess = Used() + std::min(amount, rate.count) - rate.count;
  if (excess <= kClose) return 0;
  const double slot = rate.seconds / kParts;
  int64_t number = std::max<int64_t>(newest_ - kSlots + 1, 0);
  for (; number < newest_; ++number) {
    excess -= slots_[number % kSlots];
    if (excess <= kClose) break;
  }
  return std::max(0.0, static_cast<double>(number + kSlots) * slot - now);
}

RateTable::Client* RateTable::Find(const std::string& client) {
  const auto found = clients_.find(client);
  if (found != clients_.end()) {
    order_.splice(order_.end(), order_, found->second.place);
    return &found->second;
  }
  if (clients_.size() >= capacity_) {
    clients_.erase(order_.front());
    order_.pop_front();
  }
  order_.push_back(client);
  Client& fresh = clients_[client];
  fresh.place = std::prev(order_.end());
  return &fresh;
}

RateTable::Answer RateTable::Admit(const std::string& client, const Rate& requests, const Rate& tokens, double now) {
  Answer answer;
  if (!requests.limited() && !tokens.limited()) return answer;
  const std::lock_guard<std::mutex> lock(mutex_);
  Client* const found = Find(client);
  if (tokens.limited()) {
    answer.retry_after = found->tokens.Wait(tokens, 1, now);
    answer.tokens_left = found->tokens.Left(tokens, now);
    answer.tokens_reset = found->tokens.Wait(tokens, tokens.count, now);
  }
  // A request that the tokens refuse costs none of the requests.
  answer.admitted = answer.retry_after <= 0;
  if (requests.limited()) {
    if (answer.admitted) answer.admitted = found->requests.Take(requests, 1, now);
    if (!answer.admitted) answer.retry_after = std::max(answer.retry_after, found->requests.Wait(requests, 1, now));
    answer.requests_left = found->requests.Left(requests, now);
    answer.requests_reset = found->requests.Wait(requests, requests.count, now);
  }
  return answer;
}

void RateTable::Charge(const std::string& client, const Rate& tokens, double amount, double now) {
  if (!tokens.limited() || !(amount > 0)) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  Find(client)->tokens.Charge(tokens, amount, now);
}

size_t RateTable::size() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return clients_.size();
}

}  // namespace mote::server
