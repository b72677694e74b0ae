// What scripts/gen-unicode.py writes into unicode_tables.cc. Only unicode.cc reads this.
#ifndef MOTE_ENGINE_TEXT_UNICODE_TABLES_H_
#define MOTE_ENGINE_TEXT_UNICODE_TABLES_H_

#include <stddef.h>
#include <stdint.h>

namespace mote::unicode_tables {

inline constexpr uint32_t kPageBits = 7;

// kPages[kPageIndex[code >> kPageBits] << kPageBits | low bits] is Category, plus 32 where White_Space holds.
extern const uint16_t kPageIndex[];
extern const uint8_t kPages[];

// Code points first, first + stride, ..., last map to themselves + delta. Sorted; runs may interleave by stride 2.
struct LowerRun {
  uint32_t first;
  uint32_t last;
  int32_t stride;
  int32_t delta;
};
extern const LowerRun kLowerRuns[];
extern const size_t kNumLowerRuns;

// Decomposition of kDecomposed[i]: kDecompositions[kDecompositionStart[i] .. kDecompositionStart[i + 1]).
extern const uint32_t kDecomposed[];
extern const size_t kNumDecomposed;
extern const uint16_t kDecompositionStart[];
extern const uint32_t kDecompositions[];

}  // namespace mote::unicode_tables

#endif  // MOTE_ENGINE_TEXT_UNICODE_TABLES_H_
