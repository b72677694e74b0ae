#include "engine/text/pretokenize.h"

#include <algorithm>

#include "engine/text/utf8.h"

namespace mote {

namespace {

// Works on one fragment of text: `masks` holds a word per character (SetTable), cuts are character indices.
class Splitter {
 public:
  explicit Splitter(const std::vector<uint32_t>& masks) : masks_(masks.data()) {}

  // Call before the first Apply() of a stage. Pieces then come in order.
  void BeginStage(const Stage& stage) { barren_.assign(stage.alternatives.size(), 0); }

  // Cuts [begin, end) and appends the end of each piece to `out`, increasing.
  void Apply(const Stage& stage, size_t begin, size_t end, std::vector<uint32_t>* out) {
    switch (stage.kind) {
      case StageKind::kNone:
        break;
      case StageKind::kPattern:
        return ApplyPattern(stage, begin, end, out);
      case StageKind::kTrailing:
        return ApplyTrailing(stage, begin, end, out);
      case StageKind::kGroupsOfThree:
      case StageKind::kGroupsAtWordEnd:
      case StageKind::kCutBeforeThreesEnd:
        return ApplyGroups(stage, begin, end, out);
    }
    out->push_back(static_cast<uint32_t>(end));
  }

  uint64_t steps() const { return steps_; }

 private:
  bool Is(size_t at, uint32_t bit) {
    ++steps_;
    return (masks_[at] & bit) != 0;
  }
  size_t RunEnd(size_t at, size_t limit, uint32_t bit) {
    while (at < limit && Is(at, bit)) ++at;
    return at;
  }

  void ApplyPattern(const Stage& stage, size_t begin, size_t end, std::vector<uint32_t>* out) {
    size_t gap = begin;  // start of what no match has covered
    size_t at = begin;
    while (at < end) {
      const size_t stop = MatchAny(stage, at, end);
      if (stop == at) {
        ++at;
        continue;
      }
      if (gap < at) out->push_back(static_cast<uint32_t>(at));
      out->push_back(static_cast<uint32_t>(stop));
      gap = at = stop;
    }
    if (gap < end) out->push_back(static_cast<uint32_t>(end));
  }

  void ApplyTrailing(const Stage& stage, size_t begin, size_t end, std::vector<uint32_t>* out) {
    size_t start = end;
    while (start > begin && Is(start - 1, stage.bit)) --start;
    if (start > begin && start < end) out->push_back(static_cast<uint32_t>(start));
    out->push_back(static_cast<uint32_t>(end));
  }

  void ApplyGroups(const Stage& stage, size_t begin, size_t end, std::vector<uint32_t>* out) {
    const auto cut = [&](size_t at) {
      if (at > begin && (out->empty() || out->back() < at)) out->push_back(static_cast<uint32_t>(at));
    };
    size_t at = begin;
    while (at < end) {
      const size_t stop = RunEnd(at, end, stage.bit);
      if (stop == at) {
        ++at;
        continue;
      }
      const bool inside_word = stop < end && (masks_[stop] & stage.word_bit) != 0;
      if (stage.kind != StageKind::kGroupsAtWordEnd || !inside_word) {
        const bool alone = stage.kind != StageKind::kCutBeforeThreesEnd;
        if (alone) cut(at);
        for (size_t i = at + (stop - at) % 3; i < stop; i += 3) cut(i);
        if (alone) cut(stop);
      }
      at = stop;
    }
    cut(end);
  }

  // The end of the match at `at` by the first alternative that matches; `at` if none does.
  size_t MatchAny(const Stage& stage, size_t at, size_t end) {
    const uint32_t mask = masks_[at];
    for (size_t i = 0; i < stage.alternatives.size(); ++i) {
      const Alternative& alternative = stage.alternatives[i];
      ++steps_;
      if ((mask & alternative.first) == 0 || at < barren_[i]) continue;
      const size_t stop = Match(alternative, at, end, &barren_[i]);
      if (stop > at) return stop;
    }
    return at;
  }

  // Greedy, with backtracking: an element that fails makes the nearest repeat before it give back one character.
  //
  // Where an alternative starts with an unlimited repeat and fails, the rest of it has been tried after every character
  // of that run: it fails from everywhere inside the run too. *barren is set to the run's end, so that no run is
  // searched again and again (\s*[\r\n]+ before rules that take a part of the spaces only).
  size_t Match(const Alternative& alternative, size_t start, size_t end, size_t* barren) {
    struct Frame {
      size_t floor;  // the repeat can end here at the earliest
      size_t stop;   // where it ends now
    };
    Frame frames[kMaxElements];
    const size_t count = alternative.elements.size();
    size_t at = start;
    size_t first_run_end = start;
    size_t i = 0;
    while (i < count) {
      const Element& element = alternative.elements[i];
      size_t stop = at;
      bool fits = false;
      frames[i] = {at, at};
      switch (element.kind) {
        case Element::Kind::kRepeat:
          stop = RunEnd(at, end - at > element.max ? at + element.max : end, element.bit);
          fits = stop - at >= element.min;
          frames[i] = {at + element.min, stop};
          if (i == 0 && element.max == kUnlimited) first_run_end = stop;
          break;
        case Element::Kind::kNotFollowedBy:
          fits = at == end || !Is(at, element.bit);
          break;
        case Element::Kind::kLiterals:
          stop = MatchLiterals(element, at, end);
          fits = stop > at || element.min == 0;
          frames[i] = {stop, stop};
          break;
        case Element::Kind::kWords:
          stop = MatchWords(element, at, end);
          fits = stop > at;
          frames[i] = {stop, stop};
          break;
      }
      if (fits) {
        at = stop;
        ++i;
        continue;
      }
      do {
        if (i == 0) {
          *barren = first_run_end;
          return start;
        }
        --i;
      } while (frames[i].stop == frames[i].floor);
      ++steps_;
      at = --frames[i].stop;
      ++i;
    }
    return at;
  }

  size_t MatchLiterals(const Element& element, size_t at, size_t end) {
    for (const std::vector<uint32_t>& sequence : element.sequences) {
      size_t i = 0;
      while (i < sequence.size() && at + i < end && Is(at + i, sequence[i])) ++i;
      if (i == sequence.size()) return at + i;
    }
    return at;
  }

  size_t MatchWords(const Element& element, size_t at, size_t end) {
    while (at < end && Is(at, element.bit)) {
      at = RunEnd(at + 1, end, element.mark_bit);
      if (at + 1 < end && Is(at, element.space_bit) && Is(at + 1, element.bit)) ++at;
    }
    return at;
  }

  const uint32_t* masks_;
  std::vector<size_t> barren_;  // of each alternative: it matches nowhere before
  uint64_t steps_ = 0;
};

// Calls visit(name) for each name of a list separated by spaces, until it returns true. True if it did.
template <class Visit>
bool ForEachName(const char* names, Visit visit) {
  std::string_view rest = names;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find(' '), rest.size());
    if (visit(rest.substr(0, end))) return true;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return false;
}

}  // namespace

const PretokenizerSpec* FindPretokenizer(std::string_view name) {
  for (const PretokenizerSpec& spec : Pretokenizers()) {
    if (ForEachName(spec.names, [name](std::string_view known) { return known == name; })) return &spec;
  }
  return nullptr;
}

std::string PretokenizerNames() {
  std::string result;
  for (const PretokenizerSpec& spec : Pretokenizers()) {
    ForEachName(spec.names, [&result](std::string_view name) {
      if (!result.empty()) result += ", ";
      result += name;
      return false;
    });
  }
  return result;
}

Result<Pretokenizer> Pretokenizer::Create(const PretokenizerSpec& spec) {
  Pretokenizer result;
  for (const StageSpec& stage_spec : spec.stages) {
    if (stage_spec.kind == StageKind::kNone) break;
    MOTE_ASSIGN_OR_RETURN(Stage stage, CompileStage(stage_spec, &result.sets_));
    result.stages_.push_back(std::move(stage));
  }
  result.sets_.Finish();
  return result;
}

uint64_t Pretokenizer::Split(std::string_view text, std::vector<uint32_t>* pieces) const {
  if (text.empty()) return 0;
  std::vector<uint32_t> masks;
  masks.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = DecodeUtf8(text, at);
    masks.push_back(sets_.Mask(c.code_point) | c.bytes << SetTable::kLengthShift);
    at += c.bytes;
  }
  Splitter splitter(masks);
  std::vector<uint32_t> ends = {static_cast<uint32_t>(masks.size())};
  std::vector<uint32_t> next;
  for (const Stage& stage : stages_) {
    next.clear();
    splitter.BeginStage(stage);
    size_t begin = 0;
    for (const uint32_t end : ends) {
      splitter.Apply(stage, begin, end, &next);
      begin = end;
    }
    ends.swap(next);
  }
  size_t i = 0;
  for (const uint32_t end : ends) {
    uint32_t bytes = 0;
    for (; i < end; ++i) bytes += masks[i] >> SetTable::kLengthShift;
    pieces->push_back(bytes);
  }
  return masks.size() + splitter.steps();
}

}  // namespace mote
