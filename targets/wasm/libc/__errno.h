// In the place of wasi-libc's header of this name, which makes errno a variable of each thread. Debian's library is
// built without threads and holds one for all: declared as what it is, it can be linked. Two threads may overwrite each
// other's; only the thread that calls the engine looks at it.
#ifndef __wasilibc___errno_h  // the C library's own guard
#define __wasilibc___errno_h

#ifdef __cplusplus
extern "C" {
#endif

extern int errno;
#define errno errno

#ifdef __cplusplus
}
#endif

#endif  // __wasilibc___errno_h
