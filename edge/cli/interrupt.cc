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
  mote_session* session = g_session.load();
  if (session != nullptr) mote_session_cancel(session);
}

void Catch(int signal) {
  struct sigaction action = {};
  action.sa_handler = OnInterrupt;
  sigemptyset(&action.sa_mask);
  // No SA_RESTART: waiting for a line must end too.
  sigaction(signal, &action, nullptr);
}

constexpr int kStopSignals[] = {SIGINT, SIGTERM, SIGHUP};

}  // namespace

InterruptGuard::InterruptGuard(mote_session* session) : session_(session) {
  g_session.store(session);
  g_interrupts.store(0);
  Catch(SIGINT);
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

StopGuard::StopGuard() {
  g_interrupts.store(0);
  for (int signal : kStopSignals) Catch(signal);
}

StopGuard::~StopGuard() {
  for (int signal : kStopSignals) ::signal(signal, SIG_DFL);
}

bool StopGuard::stopped() const {
  return g_interrupts.load() > 0;
}

void IgnoreWriteSignals() {
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
}

}  // namespace mote::cli
