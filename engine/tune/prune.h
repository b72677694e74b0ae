// Which blocks of a matrix become zero, and what the others become.
#ifndef MOTE_ENGINE_TUNE_PRUNE_H_
#define MOTE_ENGINE_TUNE_PRUNE_H_

#include <stdint.h>

#include <span>
#include <vector>

#include "engine/core/context.h"
#include "engine/core/status.h"
#include "engine/tune/blocks.h"
#include "engine/tune/gram.h"

namespace mote::tune {

enum class PruneMethod : uint8_t {
  kMagnitude,    // keeps the largest blocks
  kWanda,        // the largest after each column is multiplied with the norm of what it is multiplied with
  kReconstruct,  // those that the others can replace least, which then take over for what is gone (least squares)
  kZeros,        // those that are not zero already: for weights trained that way
};

struct PruneOptions {
  PruneMethod method = PruneMethod::kWanda;
  // Of kReconstruct: added to the diagonal of the products, as a share of its mean, so that weights do not run away
  // where activations say little. Above 0.
  double damping = 0.01;
  // Of kReconstruct: in how many steps blocks go; after each the others are fitted anew, and judged by what they are
  // then. 0: as many as the number of columns makes cheap.
  uint32_t rounds = 0;
};

// A matrix, and what it is multiplied with.
struct PruneInput {
  const float* weights = nullptr;  // (grid.rows, grid.cols), row-major, finite
  BlockGrid grid;
  const Gram* gram = nullptr;  // of grid.cols columns, finished; may be null for kMagnitude and kZeros
};

struct Pruned {
  BlockMask mask;
  std::vector<float> weights;  // (grid.rows, grid.cols)
  // How far the output is from what it was: the norm of the difference over the norm of the output, over the rows that
  // were seen. Without a Gram matrix, of the weights themselves.
  double loss = 0;
  uint64_t kept = 0;  // blocks
};

// Leaves KeptAt(density, blocks) blocks; kZeros leaves what there is, whatever the density. The result does not depend
// on the pool. With the same density, kReconstruct's loss is not above kWanda's. kInvalidArgument: a method without
// the Gram matrix that it needs, or one of another width. kOutOfMemory. kMalformed: products that cannot be solved.
Result<Pruned> Prune(const PruneInput& input, double density, const PruneOptions& options, ThreadPool* pool);

// The least density, in steps of 1/64, whose loss is at most `max_loss`, found by halving: losses are taken to fall as
// the density grows.
Result<Pruned> PruneToLoss(const PruneInput& input, double max_loss, const PruneOptions& options, ThreadPool* pool);

// The loss of other weights in the place of input.weights; see Pruned::loss.
double OutputLoss(const PruneInput& input, const float* weights, ThreadPool* pool);

}  // namespace mote::tune

#endif  // MOTE_ENGINE_TUNE_PRUNE_H_
