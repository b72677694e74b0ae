// mote sparsify --activations: thresholds for dynamic sparsity (docs/block_sparse.md).
#ifndef MOTE_EDGE_CLI_TOOLS_SPARSIFY_ACTIVATIONS_H_
#define MOTE_EDGE_CLI_TOOLS_SPARSIFY_ACTIVATIONS_H_

#include "edge/cli/tools/sparsify_flags.h"
#include "engine/core/context.h"
#include "engine/format/gguf.h"

namespace mote::cli {

// Wrong words where options do not go together with --activations, or want it.
void CheckActivationFlags(const SparsifyFlags& flags);

// The whole command: calibrates, examines, writes OUT. The exit code.
int SparsifyActivations(const SparsifyFlags& flags, const SparsifyFloors& floors, const GgufFile& in,
                        Platform& platform);

// Keys for people, beside those of ActivationRules: perplexities on the test text, without and with them.
inline constexpr char kPerplexityBeforeKey[] = "mote.dynamic.perplexity_before";
inline constexpr char kPerplexityAfterKey[] = "mote.dynamic.perplexity_after";

}  // namespace mote::cli

#endif  // MOTE_EDGE_CLI_TOOLS_SPARSIFY_ACTIVATIONS_H_
