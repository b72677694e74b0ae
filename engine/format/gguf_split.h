// File names of split models: for engine/format, and for who must know which files a model is made of.
#ifndef MOTE_ENGINE_FORMAT_GGUF_SPLIT_H_
#define MOTE_ENGINE_FORMAT_GGUF_SPLIT_H_

#include <stdint.h>

#include <optional>
#include <string>
#include <string_view>

namespace mote {

// "dir/model-00002-of-00003.gguf": prefix "dir/model", number 2, count 3. The numbers are five digits, from 1 (the
// specification's naming convention).
struct PartName {
  std::string prefix;
  uint64_t number = 0;  // [1, count]
  uint64_t count = 0;   // [1, kGgufMaxParts]
};

// Nothing where the path is not named so.
std::optional<PartName> ParsePartName(std::string_view path);
// The path of part `number` beside it. Only the digits differ, so it cannot leave the folder.
std::string PartPath(const PartName& name, uint64_t number);

}  // namespace mote

#endif  // MOTE_ENGINE_FORMAT_GGUF_SPLIT_H_
