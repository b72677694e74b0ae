// The sessions of one model, and which of them a prompt should go to.
#ifndef MOTE_EDGE_SERVER_SERVING_SLOTS_H_
#define MOTE_EDGE_SERVER_SERVING_SLOTS_H_

#include <stdint.h>

#include <memory>
#include <string>
#include <vector>

#include "edge/server/serving/task.h"

namespace mote::server {

struct Slot {
  int id = 0;
  Session session;
  bool made = false;  // the session exists
  bool busy = false;
  std::string tenant;        // whose words it holds: nobody else's prompt continues them
  std::string conversation;  // of the last request
  std::vector<Token> held;   // what the session holds or is about to hold
  size_t ready = 0;          // of these, so many are computed for sure and may be copied
  uint64_t used = 0;         // counts up with each use
};

// Where a prompt should run.
struct Placement {
  Slot* slot = nullptr;          // free; null: none is
  const Slot* source = nullptr;  // copy from this one first, or null
  uint32_t copied = 0;           // so many tokens
};

// Used by one thread, the one that makes the steps.
class Slots {
 public:
  // Sessions are made when they are first needed.
  explicit Slots(int count) : slots_(count) {
    for (int i = 0; i < count; ++i) slots_[i].id = i;
  }

  // The free slot in which the least of the prompt is left to compute. Where the longest match is in a slot that is
  // busy, or in one that would lose much more than it keeps, the match is copied to the slot that was not used for
  // longest. -1 in `prompt` is a row of an image: the engine compares images by their content, so a match that is told
  // here may turn out shorter.
  Placement Place(const std::vector<Token>& prompt, const std::string& tenant, const std::string& conversation);
  void Take(Slot& slot, const std::vector<Token>& prompt, const std::string& tenant, const std::string& conversation);
  void Free(Slot& slot) { slot.busy = false; }

  bool any_free() const;
  std::vector<Slot>& all() { return slots_; }
  const std::vector<Slot>& all() const { return slots_; }

 private:
  std::vector<Slot> slots_;
  uint64_t uses_ = 0;
};

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_SERVING_SLOTS_H_
