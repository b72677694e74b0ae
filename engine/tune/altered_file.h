// A model in memory in which some weights are others: how the later layers of a model see its earlier ones pruned.
#ifndef MOTE_ENGINE_TUNE_ALTERED_FILE_H_
#define MOTE_ENGINE_TUNE_ALTERED_FILE_H_

#include <stdint.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/core/status.h"
#include "engine/format/gguf.h"

namespace mote::tune {

// The layer that a tensor is of ("blk.3.attn_q.weight", "v.blk.3.attn_q.weight"), or -1.
int64_t LayerOf(const std::string& tensor);

struct Alteration {
  // New values of tensors, by name; as many as the tensor has. They are float32 in the copy.
  const std::map<std::string, std::vector<float>>* weights = nullptr;
  // Only so many layers, from the first; 0: all. What needs more than that is for whoever loads the copy to refuse.
  uint32_t layers = 0;
};

// A copy of `file` in memory of its own, of one part, under the same name. kOutOfMemory; kIo as `file` reads.
Result<std::unique_ptr<GgufFile>> AlterFile(const GgufFile& file, const Alteration& alteration);

}  // namespace mote::tune

#endif  // MOTE_ENGINE_TUNE_ALTERED_FILE_H_
