#include "engine/text/pretokenize_pattern.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "engine/text/utf8.h"

namespace mote {

namespace {

struct NamedCategories {
  const char* name;
  uint32_t categories;
};
constexpr NamedCategories kCategoryNames[] = {
    {"L", kLetters},
    {"M", kMarks},
    {"N", kNumbers},
    {"P", kPunctuation},
    {"S", kSymbols},
    {"Lu", CategoryBit(Category::kLu)},
    {"Ll", CategoryBit(Category::kLl)},
    {"Lt", CategoryBit(Category::kLt)},
    {"Lm", CategoryBit(Category::kLm)},
    {"Lo", CategoryBit(Category::kLo)},
    {"Nd", CategoryBit(Category::kNd)},
};

// Script=Han in Unicode 15 (Scripts.txt).
constexpr CodePointRange kHan[] = {
    {0x2E80, 0x2E99},   {0x2E9B, 0x2EF3},   {0x2F00, 0x2FD5},   {0x3005, 0x3005},   {0x3007, 0x3007},
    {0x3021, 0x3029},   {0x3038, 0x303B},   {0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFA6D},
    {0xFA70, 0xFAD9},   {0x16FE2, 0x16FE3}, {0x16FF0, 0x16FF1}, {0x20000, 0x2A6DF}, {0x2A700, 0x2B739},
    {0x2B740, 0x2B81D}, {0x2B820, 0x2CEA1}, {0x2CEB0, 0x2EBE0}, {0x2F800, 0x2FA1D}, {0x30000, 0x3134A},
    {0x31350, 0x323AF},
};

// Reads one pattern. After an error `failure` is set and nothing else matters.
class PatternParser {
 public:
  PatternParser(std::string_view pattern, SetTable* sets) : pattern_(pattern), sets_(sets) {}

  Status Parse(std::vector<Alternative>* out) {
    out->emplace_back();
    while (at_ < pattern_.size() && failure_ == nullptr) {
      if (Take("|")) {
        out->emplace_back();
      } else {
        ParseElement(&out->back());
      }
    }
    for (Alternative& alternative : *out) SetFirst(&alternative);
    return Outcome();
  }

  // The whole pattern is one set.
  Status ParseOnlySet(uint32_t* bit) {
    *bit = AddSet(ParseSet());
    if (at_ != pattern_.size()) Fail("one set expected");
    return Outcome();
  }

 private:
  Status Outcome() const {
    if (failure_ == nullptr) return Status();
    return Status(Code::kInternal, "pre-tokenizer pattern \"" + std::string(pattern_) + "\" at byte " +
                                       std::to_string(at_) + ": " + failure_);
  }
  void Fail(const char* why) {
    if (failure_ == nullptr) failure_ = why;
  }
  bool Take(std::string_view text) {
    if (pattern_.substr(at_, text.size()) != text) return false;
    at_ += text.size();
    return true;
  }
  uint32_t TakeChar() {
    if (at_ >= pattern_.size()) {
      Fail("unexpected end");
      return 0;
    }
    const Utf8Char c = DecodeUtf8(pattern_, at_);
    at_ += c.bytes;
    return c.code_point;
  }
  uint32_t TakeNumber(uint32_t base, char end) {
    uint32_t value = 0;
    while (at_ < pattern_.size() && pattern_[at_] != end) {
      const char c = pattern_[at_];
      const bool digit = c >= '0' && c <= '9';
      if (!digit && !(base == 16 && c >= 'A' && c <= 'F')) break;
      value = value * base + static_cast<uint32_t>(digit ? c - '0' : c - 'A' + 10);
      ++at_;
    }
    return value;
  }

  // What may stand inside brackets: a named class, added to *set, or a character, returned with true.
  bool TakeClassOrChar(CodePointSet* set, uint32_t* code_point) {
    if (Take("\\p{")) {
      const size_t end = std::min(pattern_.find('}', at_), pattern_.size());
      const std::string_view name = pattern_.substr(at_, end - at_);
      at_ = std::min(end + 1, pattern_.size());
      if (name == "Han") {
        set->ranges.insert(set->ranges.end(), std::begin(kHan), std::end(kHan));
        return false;
      }
      for (const NamedCategories& known : kCategoryNames) {
        if (name == known.name) {
          set->categories |= known.categories;
          return false;
        }
      }
      Fail("unknown category");
      return false;
    }
    if (Take("\\s")) {
      set->white_space = true;
      return false;
    }
    if (Take("\\d")) {
      set->categories |= CategoryBit(Category::kNd);
      return false;
    }
    *code_point = TakeEscapedChar();
    return true;
  }
  uint32_t TakeEscapedChar() {
    if (!Take("\\")) return TakeChar();
    if (Take("r")) return '\r';
    if (Take("n")) return '\n';
    if (Take("t")) return '\t';
    if (Take("x{")) {
      const uint32_t value = TakeNumber(16, '}');
      if (!Take("}")) Fail("} expected");
      return value;
    }
    return TakeChar();
  }

  CodePointSet ParseSet() {
    CodePointSet set;
    if (Take("\\S")) {
      set.white_space = true;
      set.negated = true;
      return set;
    }
    if (!Take("[")) {
      uint32_t c = 0;
      if (TakeClassOrChar(&set, &c)) set.ranges.push_back({c, c});
      return set;
    }
    set.negated = Take("^");
    while (!Take("]") && failure_ == nullptr) {
      if (Take("&&[^")) {
        CodePointSet excluded;
        while (!Take("]") && failure_ == nullptr) ParseRange(&excluded);
        if (excluded.categories != 0 || excluded.white_space) Fail("only ranges can be excluded");
        set.excluded = excluded.ranges;
      } else {
        ParseRange(&set);
      }
    }
    return set;
  }
  void ParseRange(CodePointSet* set) {
    uint32_t first = 0;
    if (!TakeClassOrChar(set, &first)) return;
    uint32_t last = first;
    if (pattern_.substr(at_, 1) == "-" && pattern_.substr(at_ + 1, 1) != "]") {
      ++at_;
      last = TakeEscapedChar();
    }
    if (last < first) Fail("range runs backwards");
    set->ranges.push_back({first, last});
  }

  uint32_t AddSet(const CodePointSet& set) {
    const int index = sets_->Add(set);
    if (index < 0) Fail("too many sets");
    return uint32_t{1} << std::max(index, 0);
  }

  void ParseElement(Alternative* out) {
    Element element;
    if (Take("(?!")) {
      element.kind = Element::Kind::kNotFollowedBy;
      element.bit = AddSet(ParseSet());
      if (!Take(")")) Fail(") expected");
    } else if (Take("(?words)")) {
      element.kind = Element::Kind::kWords;
      element.bit = AddSet({.categories = kLetters});
      element.mark_bit = AddSet({.categories = kMarks});
      element.space_bit = AddSet({.ranges = {{' ', ' '}}});
    } else if (Take("(?i:")) {
      ParseLiterals(true, &element);
    } else if (Take("(?:")) {
      ParseLiterals(false, &element);
    } else {
      element.bit = AddSet(ParseSet());
      ParseQuantifier(&element);
    }
    out->elements.push_back(std::move(element));
    if (out->elements.size() > kMaxElements) Fail("too many elements");
  }
  void ParseQuantifier(Element* element) {
    if (Take("?")) {
      element->min = 0;
    } else if (Take("*")) {
      element->min = 0;
      element->max = kUnlimited;
    } else if (Take("+")) {
      element->max = kUnlimited;
    } else if (Take("{")) {
      element->min = element->max = TakeNumber(10, '}');
      if (Take(",")) element->max = TakeNumber(10, '}');
      if (!Take("}")) Fail("} expected");
    }
  }
  void ParseLiterals(bool any_case, Element* element) {
    element->kind = Element::Kind::kLiterals;
    element->sequences.emplace_back();
    while (!Take(")") && failure_ == nullptr) {
      if (Take("|")) {
        element->sequences.emplace_back();
        continue;
      }
      const uint32_t c = TakeEscapedChar();
      CodePointSet set;
      set.ranges.push_back({c, c});
      if (any_case && c >= 'a' && c <= 'z') set.ranges.push_back({c - 32, c - 32});
      element->sequences.back().push_back(AddSet(set));
    }
    if (Take("?")) element->min = 0;
  }

  static void SetFirst(Alternative* alternative) {
    for (const Element& element : alternative->elements) {
      alternative->first |= element.bit;
      for (const std::vector<uint32_t>& sequence : element.sequences) {
        if (!sequence.empty()) alternative->first |= sequence[0];
      }
      if (element.min > 0) break;
    }
  }

  std::string_view pattern_;
  SetTable* sets_;
  size_t at_ = 0;
  const char* failure_ = nullptr;
};

bool Holds(const std::vector<CodePointRange>& ranges, uint32_t code_point) {
  return std::any_of(ranges.begin(), ranges.end(), [code_point](const CodePointRange& range) {
    return range.first <= code_point && code_point <= range.last;
  });
}

}  // namespace

int SetTable::Add(const CodePointSet& set) {
  const auto found = std::find(sets_.begin(), sets_.end(), set);
  if (found != sets_.end()) return static_cast<int>(found - sets_.begin());
  if (sets_.size() == kMaxSets) return -1;
  sets_.push_back(set);
  return static_cast<int>(sets_.size()) - 1;
}

void SetTable::Finish() {
  std::vector<uint32_t> cuts;  // where membership by ranges may change, past ASCII
  for (size_t i = 0; i < sets_.size(); ++i) {
    const CodePointSet& set = sets_[i];
    const uint32_t bit = uint32_t{1} << i;
    if (set.negated) negated_ |= bit;
    for (uint32_t property = 0; property < kNumProperties; ++property) {
      const bool in_category = (set.categories >> (property & 31) & 1) != 0;
      if (in_category || (set.white_space && (property & kWhiteSpaceBit) != 0)) by_property_[property] |= bit;
    }
    for (const std::vector<CodePointRange>* ranges : {&set.ranges, &set.excluded}) {
      for (const CodePointRange& range : *ranges) {
        if (range.last < 128) continue;
        cuts.push_back(range.first);
        cuts.push_back(range.last + 1);
      }
    }
  }
  if (!cuts.empty()) cuts.push_back(0);
  std::sort(cuts.begin(), cuts.end());
  cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
  for (const uint32_t cut : cuts) {
    Segment segment = {cut, 0, 0};
    for (size_t i = 0; i < sets_.size(); ++i) {
      if (Holds(sets_[i].ranges, cut)) segment.included |= uint32_t{1} << i;
      if (Holds(sets_[i].excluded, cut)) segment.excluded |= uint32_t{1} << i;
    }
    segments_.push_back(segment);
  }
  for (uint32_t c = 0; c < 128; ++c) {
    uint32_t mask = by_property_[CodePointProperties(c)];
    for (size_t i = 0; i < sets_.size(); ++i) {
      if (Holds(sets_[i].ranges, c)) mask |= uint32_t{1} << i;
      if (Holds(sets_[i].excluded, c)) mask &= ~(uint32_t{1} << i);
    }
    ascii_[c] = mask ^ negated_;
  }
}

uint32_t SetTable::Compute(uint32_t code_point) const {
  uint32_t mask = by_property_[CodePointProperties(code_point)];
  if (!segments_.empty()) {
    const auto after = std::upper_bound(segments_.begin(), segments_.end(), code_point,
                                        [](uint32_t code, const Segment& segment) { return code < segment.first; });
    const Segment& segment = *std::prev(after);  // the first segment starts at 0
    mask = (mask | segment.included) & ~segment.excluded;
  }
  return mask ^ negated_;
}

Result<Stage> CompileStage(const StageSpec& spec, SetTable* sets) {
  Stage stage;
  stage.kind = spec.kind;
  PatternParser parser(spec.pattern, sets);
  if (spec.kind == StageKind::kPattern) {
    MOTE_RETURN_IF_ERROR(parser.Parse(&stage.alternatives));
    return stage;
  }
  MOTE_RETURN_IF_ERROR(parser.ParseOnlySet(&stage.bit));
  if (spec.kind == StageKind::kGroupsAtWordEnd) {
    // \w of the regular expressions that models' tools use: alphabetic, marks, decimal digits, connectors.
    PatternParser word(
        "[\\p{L}\\p{M}\\p{Nd}_\\x{203F}\\x{2040}\\x{2054}\\x{FE33}\\x{FE34}\\x{FE4D}-\\x{FE4F}\\x{FF3F}]", sets);
    MOTE_RETURN_IF_ERROR(word.ParseOnlySet(&stage.word_bit));
  }
  return stage;
}

}  // namespace mote
