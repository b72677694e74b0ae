// How far ahead of a product its weights are fetched, and from how many places (simd/fetch.h): a choice among a few,
// for each shape of a model's matrices, by trying them.
//
// What one machine wants another of the same maker does not: its memory, its neighbours and its hypervisor have a say.
// No bit of a result depends on it, so it may be measured where everything else is fixed. What suits the CPU as far as
// is known (simd::FetchAheadOfCpu) stays unless another one is clearly faster, so that the choice is the same in a
// quiet hour and in a busy one.
#ifndef MOTE_TARGETS_CPU_FETCH_CHOICE_H_
#define MOTE_TARGETS_CPU_FETCH_CHOICE_H_

#include <stdint.h>

#include <span>
#include <vector>

#include "simd/fetch.h"

namespace mote {

// Elsewhere kernels know one distance alone (simd/fetch.h).
#if defined(__x86_64__) || defined(__i386__)
inline constexpr bool kFetchVaries = true;
#else
inline constexpr bool kFetchVaries = false;
#endif

// The CPU's own way, and the others that are worth a try; that alone where kernels take no others.
std::vector<simd::FetchAhead> FetchCandidates();

// Pieces of work that can be timed: matrices, or parts of them, each multiplied by one token.
class FetchTrials {
 public:
  virtual ~FetchTrials() = default;
  // All pieces once, in their order, as a step of generation comes by them; piece i as candidate number `which[i]`
  // says. The seconds of each.
  virtual void Sweep(std::span<const uint8_t> which, std::span<double> seconds) = 0;
};

struct FetchVerdict {
  uint8_t choice = 0;  // of the candidates
  double ratio = 1;    // its time over that of candidate 0: the median
};

// One verdict for each group of pieces; `group_of`: of each piece. Begins no sweep that would end after `most_seconds`,
// as far as those before it tell; empty where these do not suffice. Everything it decides, it decides by the seconds
// that the sweeps have given.
std::vector<FetchVerdict> ChooseFetch(std::span<const uint32_t> group_of, size_t candidates, double most_seconds,
                                      FetchTrials& trials);

}  // namespace mote

#endif  // MOTE_TARGETS_CPU_FETCH_CHOICE_H_
