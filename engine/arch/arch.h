// Model families. Each is one file that reads hyper-parameters and builds a Graph; nothing else in the engine knows a
// family's name. docs/adding-a-model.md shows how to add one.
#ifndef MOTE_ENGINE_ARCH_ARCH_H_
#define MOTE_ENGINE_ARCH_ARCH_H_

#include <stdint.h>

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/status.h"
#include "engine/format/gguf.h"
#include "engine/graph/graph.h"

namespace mote {

// Common to all decoder families, from the `<architecture>.*` keys, checked: every count is in its stated range, and
// products of them fit in 32 bits.
struct HyperParams {
  std::string architecture;        // "llama"
  std::string name;                // general.name, or ""
  uint32_t vocab_size = 0;         // rows of token_embd.weight
  uint32_t context_train = 0;      // [1, 2^24]
  uint32_t layers = 0;             // [1, 1024]
  uint32_t width = 0;              // embedding_length, [1, 2^20]
  std::vector<uint32_t> heads;     // per layer, [1, 1024]
  std::vector<uint32_t> kv_heads;  // per layer, divides heads
  std::vector<uint32_t> ff;        // per layer, [1, 2^22]
  uint32_t key_dim = 0;            // per head, even, [2, 4096]
  uint32_t value_dim = 0;
  float norm_epsilon = 0;  // (0, 1)
  uint32_t rope_dims = 0;  // even, <= key_dim
  float rope_base = 0;     // > 0
  uint32_t window = 0;     // attention.sliding_window, 0: none
};

Result<HyperParams> ReadHyperParams(const GgufFile& file);

struct BuildInput {
  const GgufFile& file;
  const HyperParams& hyper;
  uint32_t context = 0;  // of the longest session (LongRoPE chooses its factors by it)
  // The file may be a header alone: no tensor is read, rotary factors become 1. Such a graph can be measured, not run.
  bool shapes_only = false;
};

struct Architecture {
  const char* name;  // general.architecture
  Status (*build)(const BuildInput& input, Graph* graph);
};

std::span<const Architecture> Architectures();
// kUnsupported lists the names that would have been accepted.
Status BuildGraph(const BuildInput& input, Graph* graph);

}  // namespace mote

#endif  // MOTE_ENGINE_ARCH_ARCH_H_
