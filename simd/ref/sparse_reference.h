// The scalar twin of the kernels of simd/sparse.h.
#ifndef MOTE_SIMD_REF_SPARSE_REFERENCE_H_
#define MOTE_SIMD_REF_SPARSE_REFERENCE_H_

#include "simd/sparse.h"

namespace mote::simd::ref {

extern const SparseKernels kSparseRow;

}  // namespace mote::simd::ref

#endif  // MOTE_SIMD_REF_SPARSE_REFERENCE_H_
