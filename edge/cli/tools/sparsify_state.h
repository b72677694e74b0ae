// Layers that are done, kept beside OUT until all are: what a run that was stopped or killed has to go on with.
#ifndef MOTE_EDGE_CLI_TOOLS_SPARSIFY_STATE_H_
#define MOTE_EDGE_CLI_TOOLS_SPARSIFY_STATE_H_

#include <stdint.h>

#include <map>
#include <string>
#include <vector>

#include "edge/cli/tools/sparsify_plan.h"
#include "engine/core/context.h"

namespace mote::cli {

using SparsifyWeights = std::map<std::string, std::vector<float>>;  // by tensor

// A small GGUF file per layer, OUT.layer-N (layer-end: what is in no layer), which appears whole or not at all. Files
// of other runs (another IN, other material, other options that matter) are not taken, and written over.
class SparsifyState {
 public:
  // `digest`: of everything that the result depends on.
  SparsifyState(std::string out, std::string digest) : out_(std::move(out)), digest_(std::move(digest)) {}

  // Fills in the matrices of a layer and their weights; false where there is no file for it, or another run's.
  bool Load(Platform& platform, int64_t layer, std::vector<SparsifyMatrix*> matrices, SparsifyWeights* weights) const;
  void Save(int64_t layer, const std::vector<SparsifyMatrix*>& matrices, const SparsifyWeights& weights) const;
  void Remove(int64_t layer) const;

 private:
  std::string PathOf(int64_t layer) const;

  std::string out_;
  std::string digest_;
};

// Tells runs apart: the file (by its header, its size, its time and samples of its bytes), the material, the options.
std::string DigestOfRun(const GgufFile& in, const SparsifyFlags& flags, const SparsifyPlan& plan,
                        const std::string& material);

}  // namespace mote::cli

#endif  // MOTE_EDGE_CLI_TOOLS_SPARSIFY_STATE_H_
