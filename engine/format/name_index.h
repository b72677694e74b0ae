// Finds names, and finds that a name is there twice, in 8 bytes per name and in bounded time whatever the names are.
#ifndef MOTE_ENGINE_FORMAT_NAME_INDEX_H_
#define MOTE_ENGINE_FORMAT_NAME_INDEX_H_

#include <stddef.h>
#include <stdint.h>

#include <algorithm>
#include <string_view>

#include "engine/format/fixed_array.h"

namespace mote {

// FNV-1a (Fowler, Noll, Vo), 64 bits folded to 32.
uint32_t NameHash(std::string_view name);

// The names themselves stay with the caller, who passes `name_of(position)` to each call.
//
// A table of (hash, position) sorted by hash, and by name where hashes are equal. A hash set would do on friendly
// files, but names chosen to collide would make it quadratic, and the engine has no source of randomness to seed it
// with; here they cost only the logarithm of a sort.
class NameIndex {
 public:
  static constexpr size_t kNone = SIZE_MAX;

  // Names of positions [0, count), count < 2^32. On a name that is there twice, *duplicate is the position of its
  // second appearance, else kNone.
  template <class NameOf>
  static Result<NameIndex> Create(size_t count, const char* what, NameOf name_of, size_t* duplicate) {
    NameIndex index;
    MOTE_ASSIGN_OR_RETURN(index.slots_, FixedArray<uint64_t>::Create(count, what));
    for (size_t i = 0; i < count; ++i) {
      index.slots_[i] = (uint64_t{NameHash(name_of(i))} << 32) | i;
    }
    uint64_t* slots = index.slots_.data();
    std::sort(slots, slots + count);
    *duplicate = kNone;
    for (size_t begin = 0; begin < count;) {
      size_t end = begin + 1;
      while (end < count && HashOf(slots[end]) == HashOf(slots[begin])) ++end;
      if (end - begin > 1) {
        std::sort(slots + begin, slots + end, [&](uint64_t a, uint64_t b) {
          const int order = name_of(PositionOf(a)).compare(name_of(PositionOf(b)));
          return order != 0 ? order < 0 : a < b;
        });
        for (size_t i = begin + 1; i < end; ++i) {
          if (name_of(PositionOf(slots[i])) == name_of(PositionOf(slots[i - 1]))) {
            *duplicate = std::min(*duplicate, PositionOf(slots[i]));
          }
        }
      }
      begin = end;
    }
    return index;
  }

  // The position of `name`, or kNone.
  template <class NameOf>
  size_t Find(std::string_view name, NameOf name_of) const {
    const uint32_t hash = NameHash(name);
    size_t begin = 0;
    size_t end = slots_.size();
    while (begin < end) {
      const size_t middle = begin + (end - begin) / 2;
      const uint32_t met = HashOf(slots_[middle]);
      const std::string_view met_name = name_of(PositionOf(slots_[middle]));
      const int order = met != hash ? (met < hash ? -1 : 1) : met_name.compare(name);
      if (order == 0) return PositionOf(slots_[middle]);
      if (order < 0) {
        begin = middle + 1;
      } else {
        end = middle;
      }
    }
    return kNone;
  }

 private:
  static uint32_t HashOf(uint64_t slot) { return static_cast<uint32_t>(slot >> 32); }
  static size_t PositionOf(uint64_t slot) { return static_cast<size_t>(slot & 0xFFFFFFFFu); }
  FixedArray<uint64_t> slots_;
};

}  // namespace mote

#endif  // MOTE_ENGINE_FORMAT_NAME_INDEX_H_
