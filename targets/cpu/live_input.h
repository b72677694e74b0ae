// Dynamic sparsity: activations of little magnitude become zeros, and a step of one row passes over what they would be
// multiplied with. Private to CpuProgram.
//
// A row's zeros depend on the row alone, and are the same in every step: what a step of many rows multiplies with is
// what a step of one passes over. So a row has the same bits in a prompt, in a batch and alone.
#ifndef MOTE_TARGETS_CPU_LIVE_INPUT_H_
#define MOTE_TARGETS_CPU_LIVE_INPUT_H_

#include <stdint.h>

#include <atomic>
#include <vector>

#include "engine/core/buffer.h"
#include "engine/graph/backend.h"
#include "targets/cpu/weights.h"

namespace mote {

// Where one row is not zero, for products with one kind of activations: steps of live_step values (simd/live.h), or the
// places of the stretches of S8 rows.
struct LiveList {
  std::vector<uint32_t> steps;
  std::vector<uint8_t> index, counts;
  uint64_t live = 0;
  uint64_t all = 0;

  // Of a row of `cols` values, as the products want it. `raised`: codes of S8 rows have 128 added.
  void Fill(ActKind kind, const void* acts, uint64_t cols, bool raised);
  // Whether passing over the others is faster than not.
  bool pays() const;
};
// Whether products with the weight have a kernel for that.
bool CanPassOver(const CpuWeight& weight);

// Rows of `cols` values with zeros for what the rule takes as such.
void ThinRow(const float* x, uint64_t cols, uint32_t width, float threshold, float* out);

// All that a program has for it; empty where dynamic sparsity is off.
struct LiveInput {
  std::vector<float> thresholds;  // of each instruction; negative: its rows stay as they are
  Buffer rows;                    // (max_tokens, widest)
  struct Own {
    Buffer rows;  // (kOwnActsRows, widest)
    LiveList list;
  };
  std::vector<Own> workers;
  // Of steps of one row, since the program was made: what products with such inputs would have passed over at most.
  std::atomic<uint64_t> met{0}, passed_over{0};

  bool on() const { return !thresholds.empty(); }
  // What Create will allocate.
  static uint64_t Bytes(const Plan& plan, uint64_t workers);
  Status Create(const Plan& plan, int num_workers);
};

}  // namespace mote

#endif  // MOTE_TARGETS_CPU_LIVE_INPUT_H_
