// StartHeapGrowth() and PeakHeap(): how much the heap grows at most in between. To be included by exactly one .cc file
// of a program. Single-threaded use.
#include <stddef.h>
#include <stdint.h>

// Clang alone: gcc comes without the header.
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MOTE_HEAP_BY_ASAN 1
#endif
#endif

#ifdef MOTE_HEAP_BY_ASAN

// The sanitizer's own count, so that its red zones stay right at the blocks.
#include <sanitizer/allocator_interface.h>

#include <atomic>

namespace mote {

// Other threads are libFuzzer's own, which may allocate as well.
struct HeapGrowth {
  std::atomic<int64_t> live{0};
  std::atomic<int64_t> peak{0};
  bool hooked = false;
};
inline HeapGrowth g_growth;

inline void OnMalloc(const volatile void* block, size_t bytes) {
  const int64_t live = g_growth.live += static_cast<int64_t>(bytes);
  if (live > g_growth.peak) g_growth.peak = live;
}
inline void OnFree(const volatile void* block) {
  if (block == nullptr) return;
  g_growth.live -= static_cast<int64_t>(__sanitizer_get_allocated_size(const_cast<const void*>(block)));
}
// Heap bytes now. Counted from the first call on, so that blocks of before may take it below zero.
inline int64_t StartHeapGrowth() {
  if (!g_growth.hooked) {
    g_growth.hooked = true;
    __sanitizer_install_malloc_and_free_hooks(OnMalloc, OnFree);
  }
  g_growth.peak = g_growth.live.load();
  return g_growth.peak;
}
inline int64_t PeakHeap() {
  return g_growth.peak;
}

}  // namespace mote

#else

#include "tests/support/heap_meter-inl.h"

namespace mote {

inline int64_t StartHeapGrowth() {
  testing::g_heap.Start();
  return static_cast<int64_t>(testing::g_heap.live.load());
}
inline int64_t PeakHeap() {
  return static_cast<int64_t>(testing::g_heap.peak.load());
}

}  // namespace mote

#endif
