// The helper threads of a module instance's memory, and the thread pools made of them.
//
// WebAssembly starts no threads. Whoever runs the module starts them before anything else runs in it, and each enters
// mote_thread_main() with an instance of its own over the same memory; there it sleeps until a pool has work. All pools
// share them, one Run at a time: only one thread calls the engine. Who starts them, step by step: README.md.
#ifndef MOTE_TARGETS_WASM_TEAM_H_
#define MOTE_TARGETS_WASM_TEAM_H_

#include <stdint.h>

#include <memory>

#include "engine/core/context.h"

namespace mote::wasm {

inline constexpr int kMaxWorkers = 64;

// Workers that a pool can have: the helpers that take part, and the caller.
int TeamSize();

// A pool of `workers` >= 1, but not more than there are.
std::unique_ptr<ThreadPool> CreatePool(int workers);
std::unique_ptr<Monitor> CreateTeamMonitor();

}  // namespace mote::wasm

#endif  // MOTE_TARGETS_WASM_TEAM_H_
