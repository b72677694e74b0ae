// Values that a matrix unit's next products read: written as their activations at once, and not as floats that are
// split afterwards.
#ifndef MOTE_TARGETS_CPU_UNIT_VALUES_H_
#define MOTE_TARGETS_CPU_UNIT_VALUES_H_

#include <stdint.h>

#include <vector>

#include "engine/graph/plan.h"
#include "simd/unit.h"
#include "targets/cpu/gated_pairs.h"

namespace mote {

class UnitValues {
 public:
  // No value.
  UnitValues() = default;
  // Of a plan whose products run on the unit with activations without low parts, but for types that it does not take.
  UnitValues(const Plan& plan, const GatedPairs& pairs, const simd::UnitKernels& unit);

  // What `split` would make of the value stands in the value's place in the arena: a norm, or an activation that its
  // product applies, which nothing but products read.
  bool Holds(ValueId value) const { return value < held_.size() && held_[value]; }
  // A gated pair, as one: the two products of instruction `i` and the kGate behind it, whose result only the product
  // behind that reads. The gate's node; kNone: not joined. The result stands in the place of split rows, which is free:
  // the pair's own input is a value that is held.
  uint32_t GateOf(uint32_t instruction) const { return instruction < gates_.size() ? gates_[instruction] : kNone; }
  bool IsJoined(ValueId value) const { return value < joined_.size() && joined_[value]; }

 private:
  bool Joins(const Plan& plan, const std::vector<uint32_t>& readers, uint32_t gate, uint32_t instruction) const;

  std::vector<bool> held_, joined_;  // by value
  std::vector<uint32_t> gates_;      // by instruction
};

}  // namespace mote

#endif  // MOTE_TARGETS_CPU_UNIT_VALUES_H_
