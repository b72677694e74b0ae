// Least squares of the weights that are kept.
#ifndef MOTE_ENGINE_TUNE_RECONSTRUCT_H_
#define MOTE_ENGINE_TUNE_RECONSTRUCT_H_

#include <stdint.h>

#include "engine/core/buffer.h"
#include "engine/core/context.h"
#include "engine/core/status.h"
#include "engine/tune/prune.h"

namespace mote::tune {

// Fits the weights of a matrix to what its output was, as blocks go. All is done group by group (the rows that share a
// mask), and the groups are shared out to the workers.
//
// With H = X X^T + damping and kept columns S, a row w becomes the v with support S that makes (v - w) H (v - w)^T
// least: v_S = H_SS^-1 H_S w. What taking block b away then costs is v_b ((H_SS^-1)_bb)^-1 v_b^T, added up over the
// group's rows (the Optimal Brain Surgeon's saliency, Hassibi and Stork 1993, for blocks).
class Reconstruction {
 public:
  static Result<Reconstruction> Create(const PruneInput& input, double damping, ThreadPool* pool);

  // Takes blocks away until `keep` are left, in `rounds` steps.
  Status RemoveTo(uint64_t keep, uint32_t rounds);
  // The best weights for a mask, which becomes this one's.
  Status FitTo(const BlockMask& mask);

  const BlockMask& mask() const { return mask_; }
  std::vector<float> Weights() const;

 private:
  struct Scratch {
    Buffer factor;   // (cols, cols)
    Buffer inverse;  // (cols, cols), once scores are wanted
    std::vector<uint32_t> columns;
    std::vector<double> right;
    bool solved = true;
  };

  uint64_t SystemBytes() const { return input_.grid.cols * input_.grid.cols * sizeof(double); }
  Status MakeInverse(Scratch* scratch);
  Status Pass(bool fit, bool score);
  void FitGroup(uint64_t group, bool fit, bool score, Scratch* scratch);
  void ScoreGroup(uint64_t group, const Scratch& scratch);

  PruneInput input_;
  ThreadPool* pool_ = nullptr;
  double ridge_ = 0;  // what damping adds to the diagonal
  BlockMask mask_;
  std::vector<double> values_;    // (rows, cols): the weights as they are now
  std::vector<double> scores_;    // per block
  std::vector<Scratch> scratch_;  // per worker
};

}  // namespace mote::tune

#endif  // MOTE_ENGINE_TUNE_RECONSTRUCT_H_
