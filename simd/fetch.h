// How a product fetches its weights into the caches, how far ahead and from how many places: processors want it
// differently.
#ifndef MOTE_SIMD_FETCH_H_
#define MOTE_SIMD_FETCH_H_

#include <stdint.h>

namespace mote::simd {

// Of speed alone: results do not depend on it. As it stands here, what Intel's servers want, which alone have a matrix
// unit; on other architectures than x86 kernels take these constants and no others.
struct FetchAhead {
#if defined(__x86_64__) || defined(__i386__)
  // Bytes.
  uint32_t near = 1024;  // into the first-level cache
  uint32_t far = 3584;   // into the second-level cache, besides; 0: not
#else
  uint32_t near = 2560;
  uint32_t far = 0;
#endif
  // Panels of a call, far apart, that few tokens pass side by side, a line of each in turn: 1, 2 or 4. No more than the
  // kernel of a type has registers and reason for (simd/gemm-inl.h).
  uint32_t streams = 1;

  bool operator==(const FetchAhead&) const = default;
};

// What suits the CPU under this process. Asks it anew each time, which takes microseconds in a virtual machine.
FetchAhead FetchAheadOfCpu();

}  // namespace mote::simd

#endif  // MOTE_SIMD_FETCH_H_
