#include "targets/cpu/fetch_choice.h"

#include <algorithm>
#include <cmath>

namespace mote {
namespace {

// Less is not worth being another one than everybody else has.
constexpr double kClearly = 0.97;
// Of the pairs, the other one is to be the faster in more than half by so many standard deviations of what chance
// gives: in 20 of 24, in 65 of 100. By its median alone the best of several would often seem better on a busy machine.
constexpr double kDeviations = 3;
// Times that each piece meets each candidate, at most, in twos; and after that, the best of them and the default.
constexpr int kTurns = 6;

// The times of one group's pieces with a candidate over those with candidate 0, a piece's own in the same turn.
struct Ratios {
  std::vector<double> of_pairs;

  double Median() {
    const auto middle = of_pairs.begin() + static_cast<ptrdiff_t>(of_pairs.size() / 2);
    std::nth_element(of_pairs.begin(), middle, of_pairs.end());
    return *middle;
  }
  bool Clear() {
    const auto faster = std::count_if(of_pairs.begin(), of_pairs.end(), [](double r) { return r < 1; });
    const double pairs = static_cast<double>(of_pairs.size());
    return pairs > 0 && Median() <= kClearly &&
           static_cast<double>(faster) >= pairs / 2 + kDeviations * std::sqrt(pairs) / 2;
  }
  bool Hopeless() { return of_pairs.empty() || Median() > kClearly; }
};

// Whether more times of a group would hardly change anything.
bool IsSettled(std::vector<Ratios>& of_group) {
  return std::any_of(of_group.begin(), of_group.end(), [](Ratios& r) { return r.Clear(); }) ||
         std::all_of(of_group.begin(), of_group.end(), [](Ratios& r) { return r.Hopeless(); });
}

class Chooser {
 public:
  Chooser(std::span<const uint32_t> group_of, size_t candidates, double most_seconds, FetchTrials& trials)
      : group_of_(group_of),
        candidates_(candidates),
        most_seconds_(most_seconds),
        trials_(trials),
        place_(group_of.size()),
        which_(group_of.size()),
        seconds_(group_of.size()) {
    for (size_t i = 0; i < group_of.size(); ++i) {
      if (group_of[i] >= groups_) groups_ = group_of[i] + 1;
    }
    std::vector<uint32_t> counts(groups_);
    for (size_t i = 0; i < group_of.size(); ++i) place_[i] = counts[group_of[i]]++;
  }

  std::vector<FetchVerdict> Choose() {
    if (groups_ == 0 || candidates_ < 2) return std::vector<FetchVerdict>(groups_);
    Sweep();  // what lies in caches goes, and workers wake up: no measure, unless it is a good one
    if (!HasTimeFor(candidates_ + 2)) Sweep();
    std::vector<std::vector<uint8_t>> all(groups_);
    for (std::vector<uint8_t>& these : all) {
      for (size_t c = 0; c < candidates_; ++c) these.push_back(static_cast<uint8_t>(c));
    }
    // The deciders must still follow.
    std::vector<std::vector<Ratios>> tried = Try(all, 2);
    if (tried.empty()) return {};
    std::vector<FetchVerdict> verdicts(groups_);
    std::vector<std::vector<uint8_t>> finals(groups_, {0});
    bool any = false;
    for (size_t g = 0; g < groups_; ++g) {
      for (size_t c = 1; c < candidates_; ++c) {
        Ratios& ratios = tried[g][c];
        if (!ratios.Clear() || ratios.Median() >= verdicts[g].ratio) continue;
        verdicts[g] = {static_cast<uint8_t>(c), ratios.Median()};
      }
      if (verdicts[g].choice == 0) continue;
      finals[g].push_back(verdicts[g].choice);
      any = true;
    }
    if (!any) return verdicts;
    tried = Try(finals, 0);
    if (tried.empty()) return {};
    for (size_t g = 0; g < groups_; ++g) {
      if (verdicts[g].choice == 0) continue;
      Ratios& ratios = tried[g][1];
      verdicts[g] = ratios.Clear() ? FetchVerdict{verdicts[g].choice, ratios.Median()} : FetchVerdict{};
    }
    return verdicts;
  }

 private:
  void Sweep() {
    trials_.Sweep(which_, seconds_);
    double seconds = 0;
    for (const double s : seconds_) seconds += s;
    spent_ += seconds;
    if (sweeps_ == 0) first_ = seconds;
    ++sweeps_;
  }
  bool HasTimeFor(size_t sweeps) const {
    const double of_one = sweeps_ == 1 ? first_ : (spent_ - first_) / (sweeps_ - 1);
    return spent_ + of_one * static_cast<double>(sweeps) <= most_seconds_;
  }

  // Some turns, until all is settled, in each of which a piece meets all of its group's `entrants` once; of group g,
  // those of entrant e over those of entrant 0 stand at [g][e]. Neighbours differ in what they are at, so that a slow
  // moment hits all alike; every other turn is in the opposite order, in time and from piece to piece, so that a
  // machine that slows down favours nobody. `reserve`: sweeps that there is to be time for after each turn. Empty:
  // there was time for none.
  std::vector<std::vector<Ratios>> Try(const std::vector<std::vector<uint8_t>>& entrants, size_t reserve) {
    size_t most = 0;
    for (const std::vector<uint8_t>& these : entrants) most = std::max(most, these.size());
    std::vector<std::vector<Ratios>> ratios(groups_, std::vector<Ratios>(most));
    std::vector<double> of_entrant(group_of_.size() * most);
    for (int turn = 0; turn < kTurns; ++turn) {
      if (turn > 0 && turn % 2 == 0 && std::all_of(ratios.begin(), ratios.end(), IsSettled)) break;
      if (!HasTimeFor(most + reserve)) return turn == 0 ? std::vector<std::vector<Ratios>>() : ratios;
      for (size_t s = 0; s < most; ++s) {
        for (size_t i = 0; i < group_of_.size(); ++i) {
          which_[i] = entrants[group_of_[i]][EntrantOf(i, s, turn, entrants[group_of_[i]].size())];
        }
        Sweep();
        for (size_t i = 0; i < group_of_.size(); ++i) {
          // Of a group with fewer entrants the last of its times counts.
          of_entrant[i * most + EntrantOf(i, s, turn, entrants[group_of_[i]].size())] = seconds_[i];
        }
      }
      for (size_t i = 0; i < group_of_.size(); ++i) {
        const uint32_t g = group_of_[i];
        for (size_t e = 1; e < entrants[g].size(); ++e) {
          if (of_entrant[i * most] > 0) {
            ratios[g][e].of_pairs.push_back(of_entrant[i * most + e] / of_entrant[i * most]);
          }
        }
      }
    }
    return ratios;
  }

  size_t EntrantOf(size_t piece, size_t sweep, int turn, size_t entrants) const {
    const size_t at = (place_[piece] + sweep + static_cast<size_t>(turn) / 2) % entrants;
    return turn % 2 == 0 ? at : (entrants - at) % entrants;
  }

  const std::span<const uint32_t> group_of_;
  const size_t candidates_;
  const double most_seconds_;
  FetchTrials& trials_;
  size_t groups_ = 0;
  std::vector<uint32_t> place_;  // of a piece among its group's
  std::vector<uint8_t> which_;
  std::vector<double> seconds_;
  double spent_ = 0, first_ = 0;
  int sweeps_ = 0;
};

}  // namespace

std::vector<simd::FetchAhead> FetchCandidates() {
  std::vector<simd::FetchAhead> candidates = {simd::FetchAheadOfCpu()};
  if (!kFetchVaries) return candidates;
  // What AMD's processors want, nearer, further, and the lines themselves that are read next, which leaves it to the
  // hardware, from several streams and from one; and what Intel's servers want: the winners of the tables in
  // simd/cpu_features.cc and docs/performance.md. Types that take one stream in any case meet two of them twice.
  constexpr simd::FetchAhead kOthers[] = {{4096, 0, 4}, {2048, 0, 4}, {8192, 0, 4},   {0, 0, 4},
                                          {4096, 0, 1}, {0, 0, 1},    {1024, 3584, 1}};
  for (const simd::FetchAhead& other : kOthers) {
    if (other == candidates[0]) continue;
    candidates.push_back(other);
  }
  return candidates;
}

std::vector<FetchVerdict> ChooseFetch(std::span<const uint32_t> group_of, size_t candidates, double most_seconds,
                                      FetchTrials& trials) {
  return Chooser(group_of, candidates, most_seconds, trials).Choose();
}

}  // namespace mote
