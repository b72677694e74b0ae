// Counts the heap: replaces the global operator new and delete of the program that includes it. To be included by
// exactly one .cc file of a program, never by a header.
//
// Only operator new is seen, which is all that containers and make_unique use; Buffer (malloc) is not counted. Other
// threads may allocate too, but then the numbers include theirs.
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <atomic>
#include <new>

namespace mote {
namespace testing {

struct HeapMeter {
  std::atomic<uint64_t> live{0};         // bytes asked for and not given back
  std::atomic<uint64_t> peak{0};         // of live, since Start
  std::atomic<uint64_t> allocations{0};  // that may fail (nothrow), since Start
  std::atomic<uint64_t> largest_throwing{0};
  std::atomic<uint64_t> fail_at{0};  // the allocation that may fail with this number does; 0: none
  void Start(uint64_t fail = 0) {
    peak = live.load();
    allocations = 0;
    largest_throwing = 0;
    fail_at = fail;
  }
};
inline HeapMeter g_heap;

// In front of each block; keeps it aligned as malloc does.
struct alignas(16) HeapHeader {
  size_t bytes;
};

inline void* MeteredAllocate(size_t bytes) {
  if (bytes > SIZE_MAX / 2) return nullptr;
  HeapHeader* header = static_cast<HeapHeader*>(malloc(bytes + sizeof(HeapHeader)));
  if (header == nullptr) return nullptr;
  header->bytes = bytes;
  const uint64_t live = g_heap.live += bytes;
  if (live > g_heap.peak) g_heap.peak = live;
  return header + 1;
}

inline void MeteredFree(void* block) {
  if (block == nullptr) return;
  HeapHeader* header = static_cast<HeapHeader*>(block) - 1;
  g_heap.live -= header->bytes;
  free(header);
}

inline void* MeteredThrowing(size_t bytes) {
  if (bytes > g_heap.largest_throwing) g_heap.largest_throwing = bytes;
  void* block = MeteredAllocate(bytes);
  if (block == nullptr) abort();
  return block;
}

inline void* MeteredNothrow(size_t bytes) {
  if (++g_heap.allocations == g_heap.fail_at) return nullptr;
  return MeteredAllocate(bytes);
}

}  // namespace testing
}  // namespace mote

// NOLINTBEGIN: replacements of the library's own
void* operator new(size_t bytes) {
  return mote::testing::MeteredThrowing(bytes);
}
void* operator new[](size_t bytes) {
  return mote::testing::MeteredThrowing(bytes);
}
void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  return mote::testing::MeteredNothrow(bytes);
}
void* operator new[](size_t bytes, const std::nothrow_t&) noexcept {
  return mote::testing::MeteredNothrow(bytes);
}
void operator delete(void* block) noexcept {
  mote::testing::MeteredFree(block);
}
void operator delete[](void* block) noexcept {
  mote::testing::MeteredFree(block);
}
void operator delete(void* block, size_t) noexcept {
  mote::testing::MeteredFree(block);
}
void operator delete[](void* block, size_t) noexcept {
  mote::testing::MeteredFree(block);
}
void operator delete(void* block, const std::nothrow_t&) noexcept {
  mote::testing::MeteredFree(block);
}
void operator delete[](void* block, const std::nothrow_t&) noexcept {
  mote::testing::MeteredFree(block);
}
// NOLINTEND
