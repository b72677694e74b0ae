// The pattern language of pre-tokenizers, compiled: sets of code points, and sequences of repeated sets.
#ifndef MOTE_ENGINE_TEXT_PRETOKENIZE_PATTERN_H_
#define MOTE_ENGINE_TEXT_PRETOKENIZE_PATTERN_H_

#include <stddef.h>
#include <stdint.h>

#include <string_view>
#include <vector>

#include "engine/core/status.h"
#include "engine/text/unicode.h"

namespace mote {

struct CodePointRange {
  uint32_t first;
  uint32_t last;
  bool operator==(const CodePointRange&) const = default;
};

// ((categories or white space or ranges) and not excluded), the whole negated or not.
struct CodePointSet {
  uint32_t categories = 0;  // CategoryBit
  bool white_space = false;
  bool negated = false;
  std::vector<CodePointRange> ranges = {};
  std::vector<CodePointRange> excluded = {};
  bool operator==(const CodePointSet&) const = default;
};

// Up to kMaxSets sets, answered for one code point by one word: bit i tells whether set i holds it.
class SetTable {
 public:
  static constexpr uint32_t kMaxSets = 28;  // the upper four bits of a word hold the character's length in bytes
  static constexpr uint32_t kLengthShift = 28;

  // The index of `set`, or -1 where the table is full.
  int Add(const CodePointSet& set);
  // Call once, when all sets are in.
  void Finish();
  uint32_t Mask(uint32_t code_point) const { return code_point < 128 ? ascii_[code_point] : Compute(code_point); }

 private:
  struct Segment {  // from `first` to the next segment's
    uint32_t first;
    uint32_t included;  // sets with a range over it
    uint32_t excluded;
  };
  uint32_t Compute(uint32_t code_point) const;

  std::vector<CodePointSet> sets_;
  uint32_t negated_ = 0;
  uint32_t ascii_[128] = {};
  uint32_t by_property_[kNumProperties] = {};
  std::vector<Segment> segments_;
};

inline constexpr uint32_t kUnlimited = 0xFFFFFFFFu;

struct Element {
  enum class Kind : uint8_t {
    kRepeat,         // `set`, between min and max times, greedy
    kNotFollowedBy,  // at the end, or `set` does not hold the next character
    kLiterals,       // the first of several sequences that fits; if `min` is 0, possibly none
    kWords,          // letters with their marks, words joined by single spaces: (?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+
  };
  Kind kind = Kind::kRepeat;
  uint32_t bit = 0;  // of `set`; kWords: of the letters
  uint32_t min = 1;
  uint32_t max = 1;
  uint32_t mark_bit = 0;                         // kWords
  uint32_t space_bit = 0;                        // kWords
  std::vector<std::vector<uint32_t>> sequences;  // kLiterals: bits, one per character
};

struct Alternative {
  std::vector<Element> elements;  // at most kMaxElements
  uint32_t first = 0;             // a match starts with a character of one of these sets
};
inline constexpr size_t kMaxElements = 16;

// How a stage cuts.
enum class StageKind : uint8_t {
  kNone,                // past the last stage
  kPattern,             // matches of the pattern stand alone
  kTrailing,            // the longest run of the pattern's set at the end of the piece stands alone
  kGroupsOfThree,       // runs of the set stand alone, cut into threes counted from their end
  kGroupsAtWordEnd,     // the same, for runs not followed by a word character
  kCutBeforeThreesEnd,  // a cut before each place in a run from where 3, 6, 9, ... remain; (?=(\d{3})+(?!\d))
};

struct StageSpec {
  StageKind kind = StageKind::kNone;
  const char* pattern = nullptr;
};

struct Stage {
  StageKind kind = StageKind::kPattern;
  std::vector<Alternative> alternatives;  // kPattern
  uint32_t bit = 0;                       // other kinds: of the set
  uint32_t word_bit = 0;                  // kGroupsAtWordEnd
};

// Adds the pattern's sets to `sets`. kInternal says what is wrong with the pattern.
//
// The language: alternatives by |; sets \p{L} \p{Lu} ... \p{Han} \s \S \d [...] [^...] [...&&[^...]] and characters,
// with \r \n \t \x{HEX} and \ before what would otherwise mean something; after a set ? * + {n} {n,m}; (?:x|y) and
// (?i:x|y) around plain characters, with ? or without; (?!SET); and (?words), see Element::Kind::kWords.
Result<Stage> CompileStage(const StageSpec& spec, SetTable* sets);

}  // namespace mote

#endif  // MOTE_ENGINE_TEXT_PRETOKENIZE_PATTERN_H_
