// Texts of a grammar, found by walking its automaton at random.
#ifndef MOTE_TESTS_TEXT_WALK_H_
#define MOTE_TESTS_TEXT_WALK_H_

#include <stddef.h>
#include <stdint.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/text/grammar_matcher.h"

namespace mote::testing {

struct Random {
  uint64_t state;
  uint32_t Below(uint32_t count) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>((state >> 33) % count);
  }
};

// The shortest text that ends what `matcher` has begun, by looking at everything nearer first. False if that is not
// found within so many sets, or items looked at.
inline bool Complete(GrammarMatcher* matcher, size_t max_sets, std::string* out) {
  GrammarSets& sets = matcher->sets();
  const uint64_t max_work = sets.work() + 64 * uint64_t{max_sets};
  struct Place {
    uint32_t set;
    size_t from;
    char byte;
  };
  std::vector<Place> places = {{matcher->now(), 0, 0}};
  std::vector<bool> met(matcher->now() + 1);
  for (size_t i = 0; i < places.size() && places.size() < max_sets && sets.work() < max_work; ++i) {
    if (sets.HasBottom(places[i].set)) {
      std::string text;
      for (size_t k = i; k != 0; k = places[k].from) text.insert(text.begin(), places[k].byte);
      *out += text;
      return matcher->Accept(text);
    }
    for (uint32_t byte = 0, last = UINT32_MAX; byte < 256; ++byte) {
      const uint32_t byte_class = sets.grammar().ClassOf(static_cast<uint8_t>(byte));
      if (byte_class == last) continue;
      last = byte_class;
      const uint32_t next = sets.Step(places[i].set, byte_class);
      if (next >= met.size()) met.resize(2 * size_t{next} + 1);
      if (next == GrammarSets::kDead || met[next]) continue;
      met[next] = true;
      places.push_back({next, i, static_cast<char>(byte)});
    }
  }
  return false;
}

// Any byte that may follow, each as likely; the end as likely as one of them. After `soft` bytes, the shortest way to
// an end. False if there is none, or if that takes over 64 * max_sets looks at items.
inline bool RandomText(const std::shared_ptr<const Grammar>& grammar, Random* random, size_t soft, size_t max_sets,
                       std::string* out) {
  GrammarMatcher matcher(grammar);
  uint64_t work = 0;
  out->clear();
  while (true) {
    const uint64_t before = matcher.sets().work();
    std::vector<uint8_t> bytes;
    for (uint32_t byte = 0; byte < 256; ++byte) {
      GrammarSets& sets = matcher.sets();
      if (sets.Step(matcher.now(), sets.grammar().ClassOf(static_cast<uint8_t>(byte))) != GrammarSets::kDead) {
        bytes.push_back(static_cast<uint8_t>(byte));
      }
    }
    if (bytes.empty()) return matcher.MayEnd();
    work += matcher.sets().work() - before;
    if (work > 64 * uint64_t{max_sets}) return false;
    if (matcher.MayEnd() && random->Below(static_cast<uint32_t>(bytes.size()) + 1) == 0) return true;
    if (out->size() >= soft) return Complete(&matcher, max_sets, out);
    // One of the ASCII ones half of the time: of most classes they are few.
    size_t ascii = 0;
    while (ascii < bytes.size() && bytes[ascii] < 0x80) ++ascii;
    const size_t among = ascii > 0 && random->Below(2) == 0 ? ascii : bytes.size();
    const char c = static_cast<char>(bytes[random->Below(static_cast<uint32_t>(among))]);
    if (!matcher.Accept({&c, 1})) return false;
    out->push_back(c);
  }
}

}  // namespace mote::testing

#endif  // MOTE_TESTS_TEXT_WALK_H_
