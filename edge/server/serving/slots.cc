#include "edge/server/serving/slots.h"

#include <algorithm>

namespace mote::server {
namespace {

// Copying keys and values of a token costs a few microseconds, computing it hundreds at least: but below this many
// tokens a match is chance (the template's first words).
constexpr size_t kWorthCopying = 16;

size_t Match(const Slot& slot, const std::vector<Token>& prompt, size_t limit) {
  const size_t end = std::min({slot.held.size(), prompt.size() - 1, limit});
  return std::mismatch(prompt.begin(), prompt.begin() + end, slot.held.begin()).first - prompt.begin();
}

}  // namespace

Placement Slots::Place(const std::vector<Token>& prompt, const std::string& tenant, const std::string& conversation) {
  Slot* oldest = nullptr;     // free, unused for longest
  Slot* best_free = nullptr;  // free, with the longest match
  const Slot* best = nullptr;
  size_t match_free = 0;
  size_t match = 0;
  for (Slot& slot : slots_) {
    if (!slot.busy && (oldest == nullptr || slot.used < oldest->used)) oldest = &slot;
    if (!slot.made || slot.tenant != tenant) continue;
    const size_t length = Match(slot, prompt, slot.busy ? slot.ready : slot.held.size());
    const bool same = !conversation.empty() && slot.conversation == conversation;
    if (!slot.busy && (best_free == nullptr || length > match_free || (length == match_free && same))) {
      best_free = &slot;
      match_free = length;
    }
    if (best == nullptr || length > match) {
      best = &slot;
      match = length;
    }
  }
  if (oldest == nullptr) return {};
  Placement placement;
  // A slot that would keep less than half of what it holds is somebody else's conversation; it may be continued yet.
  const bool keeps = best_free != nullptr && match_free > 0 &&
                     (match_free * 2 >= best_free->held.size() || best_free == oldest ||
                      (!conversation.empty() && best_free->conversation == conversation));
  placement.slot = keeps ? best_free : oldest;
  const size_t here = placement.slot->tenant == tenant && placement.slot->made
                          ? Match(*placement.slot, prompt, placement.slot->held.size())
                          : 0;
  if (best != nullptr && best != placement.slot && match >= here + kWorthCopying) {
    placement.source = best;
    placement.copied = static_cast<uint32_t>(match);
  }
  return placement;
}

void Slots::Take(Slot& slot, const std::vector<Token>& prompt, const std::string& tenant,
                 const std::string& conversation) {
  slot.busy = true;
  slot.tenant = tenant;
  slot.conversation = conversation;
  slot.held = prompt;
  slot.ready = 0;
  slot.used = ++uses_;
}

bool Slots::any_free() const {
  return std::any_of(slots_.begin(), slots_.end(), [](const Slot& slot) { return !slot.busy; });
}

}  // namespace mote::server
