// What is known of requests under way, until their line is logged: who asks, and what the models' work came to.
#ifndef MOTE_EDGE_SERVER_LEDGER_H_
#define MOTE_EDGE_SERVER_LEDGER_H_

#include <mutex>
#include <string>
#include <unordered_map>

#include "edge/server/http/message.h"

namespace mote::server {

// Any thread. Two requests under way with one id (clients may choose it) share an entry.
class Ledger {
 public:
  struct Entry {
    std::string tenant;
    Outcome outcome;
  };

  void Open(const std::string& id, const std::string& tenant) {
    const std::lock_guard lock(mutex_);
    entries_[id].tenant = tenant;
  }
  // Nothing, where the entry is closed.
  void Note(const std::string& id, const Outcome& outcome) {
    const std::lock_guard lock(mutex_);
    const auto it = entries_.find(id);
    if (it != entries_.end()) it->second.outcome = outcome;
  }
  // That the request was answered with an error. False where the models' work has told of it, or nobody is to be told.
  bool NoteRefusal(const std::string& id, const std::string& code) {
    const std::lock_guard lock(mutex_);
    const auto it = entries_.find(id);
    if (it == entries_.end() || !it->second.outcome.error.empty()) return false;
    it->second.outcome.error = code;
    return true;
  }
  // An empty entry, where none was opened.
  Entry Close(const std::string& id) {
    const std::lock_guard lock(mutex_);
    const auto node = entries_.extract(id);
    return node.empty() ? Entry() : node.mapped();
  }

 private:
  std::mutex mutex_;
  std::unordered_map<std::string, Entry> entries_;
};

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_LEDGER_H_
