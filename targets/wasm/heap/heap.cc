// One lock around the C library's heap: Debian's wasi-libc is built without threads. The linker sends every call of
// malloc and its kin here (--wrap, cmake/MoteWasm.cmake), those of the C++ library too.
#include <stddef.h>

#include <atomic>

#include "targets/wasm/wait.h"

namespace {

constinit std::atomic<uint32_t> heap_lock{0};  // 0 free, 1 held, 2 held and somebody sleeps

// Never contended without helper threads, so nothing sleeps where nothing may.
class HeapLock {
 public:
  HeapLock() {
    uint32_t free = 0;
    if (heap_lock.compare_exchange_strong(free, 1, std::memory_order_acquire)) return;
    while (heap_lock.exchange(2, std::memory_order_acquire) != 0) mote::wasm::WaitOn(heap_lock, 2);
  }
  ~HeapLock() {
    if (heap_lock.exchange(0, std::memory_order_release) == 2) mote::wasm::WakeSleepers(heap_lock, 1);
  }
  HeapLock(const HeapLock&) = delete;
  HeapLock& operator=(const HeapLock&) = delete;
};

}  // namespace

extern "C" {

void* __real_malloc(size_t bytes);
void* __real_calloc(size_t count, size_t bytes);
void* __real_realloc(void* block, size_t bytes);
void* __real_aligned_alloc(size_t alignment, size_t bytes);
int __real_posix_memalign(void** block, size_t alignment, size_t bytes);
void __real_free(void* block);

void* __wrap_malloc(size_t bytes) {
  HeapLock lock;
  return __real_malloc(bytes);
}
void* __wrap_calloc(size_t count, size_t bytes) {
  HeapLock lock;
  return __real_calloc(count, bytes);
}
void* __wrap_realloc(void* block, size_t bytes) {
  HeapLock lock;
  return __real_realloc(block, bytes);
}
void* __wrap_aligned_alloc(size_t alignment, size_t bytes) {
  HeapLock lock;
  return __real_aligned_alloc(alignment, bytes);
}
int __wrap_posix_memalign(void** block, size_t alignment, size_t bytes) {
  HeapLock lock;
  return __real_posix_memalign(block, alignment, bytes);
}
void __wrap_free(void* block) {
  HeapLock lock;
  __real_free(block);
}

}  // extern "C"
