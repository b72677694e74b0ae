// Ctrl+C: the first stops the answer, or the work; the second the program.
#ifndef MOTE_EDGE_CLI_INTERRUPT_H_
#define MOTE_EDGE_CLI_INTERRUPT_H_

#include "engine/api/mote.h"

namespace mote::cli {

// While one of these lives, SIGINT cancels `session`; a second SIGINT before Reset() does what it does by default. One
// at a time in a process, for signal handlers have no other place than globals.
class InterruptGuard {
 public:
  explicit InterruptGuard(mote_session* session);
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  bool interrupted() const;
  // Forgets the interrupt, here and in the session.
  void Reset();

 private:
  mote_session* session_;
};

// While one of these lives, SIGINT, SIGTERM and SIGHUP ask the work to stop; a second one does what it does by default.
// Not together with an InterruptGuard.
class StopGuard {
 public:
  StopGuard();
  ~StopGuard();
  StopGuard(const StopGuard&) = delete;
  StopGuard& operator=(const StopGuard&) = delete;

  bool stopped() const;
};

// Writes to a pipe that nobody reads (SIGPIPE), and beyond the size that a file may have (SIGXFSZ, ulimit -f), fail
// with an error instead of ending the program, so that what was begun is told and cleaned up.
void IgnoreWriteSignals();

}  // namespace mote::cli

#endif  // MOTE_EDGE_CLI_INTERRUPT_H_
