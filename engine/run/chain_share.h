// Which rank of a chain takes which layers.
#ifndef MOTE_ENGINE_RUN_CHAIN_SHARE_H_
#define MOTE_ENGINE_RUN_CHAIN_SHARE_H_

#include <stdint.h>

#include <span>
#include <string>
#include <vector>

#include "engine/core/status.h"

namespace mote {

// What a rank says of itself.
struct ChainAbility {
  double bytes_per_second = 0;  // of the memory that its layers would lie in, measured or told by the driver
  uint64_t free_bytes = 0;      // of it; 0: not known
  std::string description;      // for people
};

// What the model asks for, estimated from the whole.
struct ChainLoad {
  uint32_t layers = 0;
  uint64_t layer_bytes = 0;   // weights and cache of one
  uint64_t first_bytes = 0;   // beside its layers, of the lead: the embedding, which is hardly read
  uint64_t last_bytes = 0;    // of the last rank: the output matrix
  uint64_t beside_bytes = 0;  // scratch, of each
};

// `split`: "auto": layers in proportion to the ranks' speeds, as far as their memories reach, so that a prompt's chunks
// take all of them the same time; "N": the first N layers on the lead, of two ranks; "3:2", "4:2:1": shares, one for
// each rank. Returns layers by rank, each at least 1. kInvalidArgument; kOutOfMemory with a table.
Result<std::vector<uint32_t>> ShareLayers(const std::string& split, std::span<const ChainAbility> ranks,
                                          const ChainLoad& load);

}  // namespace mote

#endif  // MOTE_ENGINE_RUN_CHAIN_SHARE_H_
