// The scalar twin of the kernels of simd/live.h.
#ifndef MOTE_SIMD_REF_LIVE_REFERENCE_H_
#define MOTE_SIMD_REF_LIVE_REFERENCE_H_

#include "simd/live.h"

namespace mote::simd::ref {

extern const LiveKernels kLiveRow;

}  // namespace mote::simd::ref

#endif  // MOTE_SIMD_REF_LIVE_REFERENCE_H_
