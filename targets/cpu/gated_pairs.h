// Two products of one input and the gate of their results, done together where a step has many rows: a tile of both is
// gated while the caches hold it. Two results that would go to memory and come back do not.
#ifndef MOTE_TARGETS_CPU_GATED_PAIRS_H_
#define MOTE_TARGETS_CPU_GATED_PAIRS_H_

#include <stdint.h>

#include <vector>

#include "engine/graph/plan.h"

namespace mote {

class GatedPairs {
 public:
  explicit GatedPairs(const Plan& plan);

  // The kGate behind the two products of an instruction, which are alike and whose results nothing else reads, whatever
  // memory it writes; kNone: they are no such pair.
  uint32_t AnyGateOf(uint32_t instruction) const {
    return instruction < gates_.size() ? gates_[instruction].node : kNone;
  }
  // One that writes nothing that the products still read.
  uint32_t GateOf(uint32_t instruction) const {
    return instruction < gates_.size() && gates_[instruction].apart ? gates_[instruction].node : kNone;
  }
  bool any() const { return any_; }

 private:
  struct Gate {
    uint32_t node = kNone;
    bool apart = false;
  };
  std::vector<Gate> gates_;  // by instruction
  bool any_ = false;         // of those that GateOf gives
};

}  // namespace mote

#endif  // MOTE_TARGETS_CPU_GATED_PAIRS_H_
