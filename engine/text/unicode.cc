#include "engine/text/unicode.h"

#include <algorithm>

#include "engine/text/unicode_tables.h"

namespace mote {

namespace {

// The Unicode Standard, section 3.12: Hangul syllables are composed by arithmetic.
constexpr uint32_t kHangulBase = 0xAC00;
constexpr uint32_t kLeadBase = 0x1100;
constexpr uint32_t kVowelBase = 0x1161;
constexpr uint32_t kTrailBase = 0x11A7;
constexpr uint32_t kNumVowels = 21;
constexpr uint32_t kNumTrails = 28;
constexpr uint32_t kNumHangul = 19 * kNumVowels * kNumTrails;

// Finds the run that may hold `code_point` among the runs starting at or before it. Runs of stride 2 may enclose the
// start of a neighbour, so a few are looked at.
constexpr size_t kEnclosingRuns = 4;

}  // namespace

uint8_t CodePointProperties(uint32_t code_point) {
  using namespace unicode_tables;
  if (code_point > kMaxCodePoint) return 0;
  const uint32_t page = kPageIndex[code_point >> kPageBits];
  return kPages[page << kPageBits | (code_point & ((1u << kPageBits) - 1))];
}

uint32_t ToLower(uint32_t code_point) {
  using unicode_tables::kLowerRuns;
  using unicode_tables::LowerRun;
  if (code_point < 0x80) return code_point - 'A' < 26 ? code_point + 32 : code_point;
  const LowerRun* end = kLowerRuns + unicode_tables::kNumLowerRuns;
  const LowerRun* after = std::upper_bound(kLowerRuns, end, code_point,
                                           [](uint32_t code, const LowerRun& run) { return code < run.first; });
  for (size_t i = 0; i < kEnclosingRuns && after != kLowerRuns; ++i) {
    const LowerRun& run = *--after;
    if (code_point <= run.last && (code_point - run.first) % static_cast<uint32_t>(run.stride) == 0) {
      return code_point + static_cast<uint32_t>(run.delta);
    }
  }
  return code_point;
}

size_t Decompose(uint32_t code_point, uint32_t* out) {
  using namespace unicode_tables;
  if (code_point < 0xC0) {
    out[0] = code_point;
    return 1;
  }
  if (code_point - kHangulBase < kNumHangul) {
    const uint32_t index = code_point - kHangulBase;
    out[0] = kLeadBase + index / (kNumVowels * kNumTrails);
    out[1] = kVowelBase + index % (kNumVowels * kNumTrails) / kNumTrails;
    const uint32_t trail = index % kNumTrails;
    if (trail == 0) return 2;
    out[2] = kTrailBase + trail;
    return 3;
  }
  const uint32_t* end = kDecomposed + kNumDecomposed;
  const uint32_t* found = std::lower_bound(kDecomposed, end, code_point);
  if (found == end || *found != code_point) {
    out[0] = code_point;
    return 1;
  }
  const size_t i = static_cast<size_t>(found - kDecomposed);
  const size_t first = kDecompositionStart[i];
  const size_t count = std::min<size_t>(kDecompositionStart[i + 1] - first, kMaxDecomposition);
  std::copy_n(kDecompositions + first, count, out);
  return count;
}

}  // namespace mote
