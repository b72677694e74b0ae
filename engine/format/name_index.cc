#include "engine/format/name_index.h"

namespace mote {

uint32_t NameHash(std::string_view name) {
  uint64_t hash = 0xCBF29CE484222325ull;
  for (const char c : name) {
    hash ^= static_cast<uint8_t>(c);
    hash *= 0x100000001B3ull;
  }
  return static_cast<uint32_t>(hash ^ (hash >> 32));
}

}  // namespace mote
