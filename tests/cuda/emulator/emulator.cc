#include "tests/cuda/emulator/emulator.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <random>
#include <vector>

#include "tests/cuda/emulator/runtime.h"

#if !defined(__x86_64__)
#include <ucontext.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace mote_emulator {
namespace {

constexpr size_t kStackBytes = 256 << 10;
constexpr uint32_t kMaxThreads = 1024;
constexpr uint32_t kMaxTeams = 8;

#if defined(__x86_64__)
// Saves what a called function must keep, and goes on where `to` was saved. (ucontext.h asks the kernel each time.)
extern "C" void mote_emulator_switch(void** from, void* to);
asm(R"(
.text
.type mote_emulator_switch, @function
mote_emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size mote_emulator_switch, . - mote_emulator_switch
)");
#endif

struct Warp {
  uint32_t arrived = 0;
  uint32_t turn = 0;  // exchanges that are complete
  const char* word = nullptr;
  uint8_t places[2][32 * 64];
};

// Bytes on their way to shared memory.
struct Copy {
  uint8_t* to;
  const uint8_t* from;
  uint32_t bytes;
  uint32_t group;
};

// A place where so many threads meet.
struct Meeting {
  uint32_t arrived = 0;
  uint32_t turn = 0;
};
struct Block {
  uint8_t* shared = nullptr;
  Meeting all;
  Meeting teams[kMaxTeams];
  std::vector<Warp> warps;
};

struct Fiber {
#if defined(__x86_64__)
  void* saved = nullptr;
#else
  ucontext_t context;
#endif
  uint8_t* stack = nullptr;
  void* fake_stack = nullptr;  // of the address sanitizer
  size_t stack_bytes = kStackBytes;
  Place place;
  Block* block = nullptr;
  Warp* warp = nullptr;
  std::vector<Copy> copies;
  uint32_t groups = 0;  // of copies that were committed
  bool done = false;
  const uint32_t* waits_for = nullptr;  // runs again when this is no longer `waited`
  uint32_t waited = 0;
};

struct Machine {
  Order order = Order::kForward;
  std::deque<Fiber> fibers;
  Fiber scheduler;
  Fiber* current = nullptr;
  const std::function<void()>* kernel = nullptr;
};
Machine& TheMachine() {
  static Machine machine;
  return machine;
}

void Switch(Fiber* from, Fiber* to, bool ends) {
#if defined(__SANITIZE_ADDRESS__)
  const void* bottom = to->stack;  // the scheduler's own is remembered below
  __sanitizer_start_switch_fiber(ends ? nullptr : &from->fake_stack, bottom, to->stack_bytes);
#endif
#if defined(__x86_64__)
  mote_emulator_switch(&from->saved, to->saved);
#else
  swapcontext(&from->context, &to->context);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(from->fake_stack, nullptr, nullptr);
#endif
}

void FiberMain() {
  Machine& m = TheMachine();
#if defined(__SANITIZE_ADDRESS__)
  const void* bottom = nullptr;
  size_t bytes = 0;
  __sanitizer_finish_switch_fiber(nullptr, &bottom, &bytes);
  m.scheduler.stack = static_cast<uint8_t*>(const_cast<void*>(bottom));
  m.scheduler.stack_bytes = bytes;
#endif
  (*m.kernel)();
  if (!m.current->copies.empty()) Fault("a thread ended with copies under way");
  m.current->done = true;
  Switch(m.current, &m.scheduler, true);
  Fault("a finished thread ran again");
}

void Prepare(Fiber* fiber) {
  if (fiber->stack == nullptr) {
    void* memory =
        mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) Fault("no memory for a thread's stack");
    fiber->stack = static_cast<uint8_t*>(memory);
  }
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(fiber->stack, kStackBytes);  // the thread before it ended in the middle of a call
#endif
  fiber->done = false;
  fiber->groups = 0;
  fiber->waits_for = nullptr;
#if defined(__x86_64__)
  void** top = reinterpret_cast<void**>(fiber->stack + kStackBytes);
  *--top = nullptr;  // where a return address would be: the entry finds the stack as after a call
  *--top = reinterpret_cast<void*>(&FiberMain);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  fiber->saved = top;
#else
  getcontext(&fiber->context);
  fiber->context.uc_stack.ss_sp = fiber->stack;
  fiber->context.uc_stack.ss_size = kStackBytes;
  fiber->context.uc_link = nullptr;
  makecontext(&fiber->context, &FiberMain, 0);
#endif
}

void Wait(const uint32_t* turn, uint32_t seen) {
  Machine& m = TheMachine();
  Fiber* self = m.current;
  self->waits_for = turn;
  self->waited = seen;
  while (*turn == seen) Switch(self, &m.scheduler, false);
  self->waits_for = nullptr;
}

// The threads of the next `count` blocks, from `first` on in the grid's order.
void RunBlocks(const Shape& shape, uint64_t first, uint32_t count) {
  Machine& m = TheMachine();
  const uint32_t of_block = shape.threads * shape.teams;
  const uint32_t threads = of_block * count;
  std::vector<Block> blocks(count);
  for (Block& block : blocks) {
    // Exactly as many bytes as were asked for, and nothing useful in them.
    void* memory = nullptr;
    if (posix_memalign(&memory, 128, shape.shared_bytes == 0 ? 1 : shape.shared_bytes) != 0) Fault("no shared memory");
    memset(memory, 0xff, shape.shared_bytes);
    block.shared = static_cast<uint8_t*>(memory);
    block.warps.resize(of_block / 32);
  }
  while (m.fibers.size() < threads) m.fibers.emplace_back();
  std::vector<uint32_t> order(threads);
  for (uint32_t i = 0; i < threads; ++i) {
    order[i] = m.order == Order::kReverse ? threads - 1 - i : i;
    Fiber& fiber = m.fibers[i];
    Prepare(&fiber);
    const uint64_t index = first + i / of_block;
    const uint32_t own = i % of_block;
    const Dim block = {static_cast<uint32_t>(index % shape.grid.x),
                       static_cast<uint32_t>(index / shape.grid.x % shape.grid.y),
                       static_cast<uint32_t>(index / shape.grid.x / shape.grid.y)};
    fiber.place = {{own % shape.threads, own / shape.threads, 0}, block, shape.grid, {shape.threads, shape.teams, 1}};
    fiber.block = &blocks[i / of_block];
    fiber.warp = &fiber.block->warps[own / 32];
  }
  static std::minstd_rand random(1);
  uint32_t left = threads;
  while (left > 0) {
    if (m.order == Order::kShuffled) std::shuffle(order.begin(), order.end(), random);
    bool progress = false;
    for (const uint32_t i : order) {
      Fiber& fiber = m.fibers[i];
      if (fiber.done || (fiber.waits_for != nullptr && *fiber.waits_for == fiber.waited)) continue;
      m.current = &fiber;
      Switch(&m.scheduler, &fiber, false);
      progress = true;
      if (fiber.done) --left;
    }
    if (!progress) Fault("threads wait for others that have ended or wait elsewhere");
  }
  m.current = nullptr;
  for (const Block& block : blocks) free(block.shared);
}

void Meet(Meeting* meeting, uint32_t threads) {
  const uint32_t turn = meeting->turn;
  if (++meeting->arrived == threads) {
    meeting->arrived = 0;
    ++meeting->turn;
    return;
  }
  Wait(&meeting->turn, turn);
}

}  // namespace

void Fault(const char* message) {
  fprintf(stderr, "emulated GPU: %s\n", message);
  abort();
}

void SetOrder(Order order) {
  TheMachine().order = order;
}

const Place& Current() {
  return TheMachine().current->place;
}

uint8_t* Shared() {
  return TheMachine().current->block->shared;
}

void SyncBlock() {
  const Fiber& self = *TheMachine().current;
  Meet(&self.block->all, self.place.threads.x * self.place.threads.y);
}

void SyncTeam() {
  const Fiber& self = *TheMachine().current;
  Meet(&self.block->teams[self.place.thread.y], self.place.threads.x);
}

void AwaitChange(const uint32_t* word, uint32_t seen) {
  Wait(word, seen);
}

void CopyAsync(void* shared, const void* global, uint32_t bytes) {
  if ((reinterpret_cast<uintptr_t>(shared) | reinterpret_cast<uintptr_t>(global)) % bytes != 0) {
    Fault("CopyAsync16 or CopyAsync8: not aligned to its bytes");
  }
  Fiber& self = *TheMachine().current;
  memset(shared, 0xff, bytes);
  self.copies.push_back({static_cast<uint8_t*>(shared), static_cast<const uint8_t*>(global), bytes, self.groups});
}

void CommitCopies() {
  ++TheMachine().current->groups;
}

void WaitCopies(uint32_t pending) {
  Fiber& self = *TheMachine().current;
  size_t done = 0;
  while (done < self.copies.size() && self.copies[done].group + pending < self.groups) {
    memcpy(self.copies[done].to, self.copies[done].from, self.copies[done].bytes);
    ++done;
  }
  self.copies.erase(self.copies.begin(), self.copies.begin() + static_cast<ptrdiff_t>(done));
}

const uint8_t* Exchange(const char* word, const void* mine, size_t bytes) {
  Fiber& self = *TheMachine().current;
  Warp& warp = *self.warp;
  const uint32_t turn = warp.turn;
  if (warp.arrived == 0) warp.word = word;
  if (strcmp(warp.word, word) != 0) Fault("lanes of a warp are at different words");
  uint8_t* places = warp.places[turn % 2];
  if (bytes > 64) Fault("an exchange of more than 64 bytes");
  if (bytes > 0) memcpy(places + 64 * (self.place.thread.x % 32), mine, bytes);
  if (++warp.arrived == 32) {
    warp.arrived = 0;
    ++warp.turn;
  } else {
    Wait(&warp.turn, turn);
  }
  return places;
}

void Run(const Shape& shape, const std::function<void()>& kernel) {
  Machine& m = TheMachine();
  const Dim& grid = shape.grid;
  const uint32_t threads = shape.threads * shape.teams;
  if (m.current != nullptr) Fault("a kernel launched by a kernel");
  if (threads == 0 || threads > kMaxThreads || shape.threads % 32 != 0 || shape.teams > kMaxTeams) {
    Fault("a block of other than 32 to 1024 threads");
  }
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.y > 65535 || grid.z > 65535) Fault("a grid beyond the limits");
  if (shape.shared_bytes > Device().block_shared_bytes) Fault("more shared memory than a block can have");
  m.kernel = &kernel;
  const uint64_t blocks = uint64_t{grid.x} * grid.y * grid.z;
  if (shape.resident) {
    if (blocks > Device().multiprocessors) Fault("more blocks that stay than there is room for");
    return RunBlocks(shape, 0, static_cast<uint32_t>(blocks));
  }
  for (uint64_t block = 0; block < blocks; ++block) RunBlocks(shape, block, 1);
}

}  // namespace mote_emulator
