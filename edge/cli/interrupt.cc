#include "edge/cli/interrupt.h"

#include <signal.h>

#include <atomic>

namespace mote::cli {
namespace {

std::atomic<mote_session*> g_session{nullptr};
std::atomic<int> g_interrupts{0};

void OnInterrupt(int signal) {
  if (g_interrupts.fetch_add(1) > 0) {
    ::signal(signal, SIG_DFL);
    raise(signal);
    return;
  }
  mote_session_cancel(g_session.load());
}

}  // namespace

InterruptGuard::InterruptGuard(mote_session* session) : session_(session) {
  g_session.store(session);
  g_interrupts.store(0);
  struct sigaction action = {};
  action.sa_handler = OnInterrupt;
  sigemptyset(&action.sa_mask);
  // No SA_RESTART: waiting for a line must end too.
  sigaction(SIGINT, &action, nullptr);
}

InterruptGuard::~InterruptGuard() {
  signal(SIGINT, SIG_DFL);
  g_session.store(nullptr);
}

bool InterruptGuard::interrupted() const {
  return g_interrupts.load() > 0;
}

void InterruptGuard::Reset() {
  g_interrupts.store(0);
  mote_session_clear_cancel(session_);
}

void IgnoreBrokenPipes() {
  signal(SIGPIPE, SIG_IGN);
}

}  // namespace mote::cli
