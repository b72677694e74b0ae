// One lock around the C library's heap: Debian's wasi-libc is built without threads. The linker sends every call of
// malloc and its kin here (--wrap, cmake/MoteWasm.cmake), those of the C++ library too.
#include <stddef.h>

#include "targets/wasm/wait.h"

namespace {

constinit mote::wasm::WordLock heap_lock;

class HeapLock {
 public:
  HeapLock() { heap_lock.Lock(); }
  ~HeapLock() { heap_lock.Unlock(); }
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
