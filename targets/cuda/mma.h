// Products of small matrices by a whole warp: D (16 x 8) += A (16 x K) B (K x 8), the shapes of the PTX instruction
// mma.sync (PTX ISA, "Warp-level matrix instructions"). Weights are always A and tokens always columns of B, in every
// kernel: a column's sums then do not depend on what the other columns hold, nor on which kernel computes them.
//
// Who holds what, with g = lane / 4 and t = lane % 4:
//   A, bytes (K = 32): a[0] row g, k 4t..4t+3; a[1] row g + 8, the same k; a[2], a[3]: the same rows, k 16 + 4t..
//   B, bytes:          b0 column g, k 4t..4t+3; b1 k 16 + 4t..
//   A, halves (K = 16): a[0] row g, k 2t, 2t+1; a[1] row g + 8; a[2], a[3]: k 8 + 2t..
//   B, halves:          b0 column g, k 2t, 2t+1; b1 k 8 + 2t..
//   D: d[0], d[1] row g, columns 2t and 2t + 1; d[2], d[3] row g + 8
//
// sm_75 has only the smaller shapes and puts these together from them; for bfloat16 it has none at all and takes the
// long way over shuffles.
#ifndef MOTE_TARGETS_CUDA_MMA_H_
#define MOTE_TARGETS_CUDA_MMA_H_

#include "targets/cuda/vocabulary.h"

#if defined(__CUDACC__)

namespace mote::cuda {

// Bytes, the first (or only) 16 of k: a0, a1 and b0; added to d.
MOTE_DEVICE void MmaBytes16(int32_t d[4], uint32_t a0, uint32_t a1, uint32_t b0) {
#if __CUDA_ARCH__ >= 800
  asm("mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};\n"
      : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
      : "r"(a0), "r"(a1), "r"(b0));
#else
  asm("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0,%1}, {%2}, {%3}, {%0,%1};\n"
      : "+r"(d[0]), "+r"(d[1])
      : "r"(a0), "r"(b0));
  asm("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0,%1}, {%2}, {%3}, {%0,%1};\n"
      : "+r"(d[2]), "+r"(d[3])
      : "r"(a1), "r"(b0));
#endif
}

// The same with all bytes of A without a sign, and those of B where kUnsignedB.
template <bool kUnsignedB>
MOTE_DEVICE void MmaUnsigned16(int32_t d[4], uint32_t a0, uint32_t a1, uint32_t b0) {
#if __CUDA_ARCH__ >= 800
  if (kUnsignedB) {
    asm("mma.sync.aligned.m16n8k16.row.col.s32.u8.u8.s32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};\n"
        : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
        : "r"(a0), "r"(a1), "r"(b0));
  } else {
    asm("mma.sync.aligned.m16n8k16.row.col.s32.u8.s8.s32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};\n"
        : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
        : "r"(a0), "r"(a1), "r"(b0));
  }
#else
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    if (kUnsignedB) {
      asm("mma.sync.aligned.m8n8k16.row.col.s32.u8.u8.s32 {%0,%1}, {%2}, {%3}, {%0,%1};\n"
          : "+r"(d[2 * half]), "+r"(d[2 * half + 1])
          : "r"(half == 0 ? a0 : a1), "r"(b0));
    } else {
      asm("mma.sync.aligned.m8n8k16.row.col.s32.u8.s8.s32 {%0,%1}, {%2}, {%3}, {%0,%1};\n"
          : "+r"(d[2 * half]), "+r"(d[2 * half + 1])
          : "r"(half == 0 ? a0 : a1), "r"(b0));
    }
  }
#endif
}

// Of 32.
template <bool kUnsignedB>
MOTE_DEVICE void MmaUnsigned32(int32_t d[4], const uint32_t a[4], uint32_t b0, uint32_t b1) {
#if __CUDA_ARCH__ >= 800
  if (kUnsignedB) {
    asm("mma.sync.aligned.m16n8k32.row.col.s32.u8.u8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
        : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  } else {
    asm("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
        : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
#else
  MmaUnsigned16<kUnsignedB>(d, a[0], a[1], b0);
  MmaUnsigned16<kUnsignedB>(d, a[2], a[3], b1);
#endif
}

// d = start + product of 32.
MOTE_DEVICE void MmaBytes32(int32_t d[4], const int32_t start[4], const uint32_t a[4], uint32_t b0, uint32_t b1) {
#if __CUDA_ARCH__ >= 800
  asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%11,%12,%13};\n"
      : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "r"(start[0]), "r"(start[1]), "r"(start[2]),
        "r"(start[3]));
#else
  for (int i = 0; i < 4; ++i) d[i] = start[i];
  MmaBytes16(d, a[0], a[1], b0);
  MmaBytes16(d, a[2], a[3], b1);
#endif
}

MOTE_DEVICE void MmaHalves(float d[4], const uint32_t a[4], uint32_t b0, uint32_t b1) {
#if __CUDA_ARCH__ >= 800
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
  asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};\n"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(b0));
  asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};\n"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[2]), "r"(a[3]), "r"(b1));
#endif
}

#if __CUDA_ARCH__ < 800
// Called, not inlined: the kernels unroll their loops over it, and the assembler would take minutes.
static __device__ __noinline__ float4 LongMmaBf16(float4 d, uint4 a, uint2 b) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int t = lane % 4;
#pragma unroll 1
  for (int half = 0; half < 2; ++half) {
#pragma unroll 1
    for (int pair = 0; pair < 4; ++pair) {  // k = 8 half + 2 pair, and the next
      const uint32_t top = ShuffleFrom(half == 0 ? a.x : a.z, lane - t + pair);
      const uint32_t bottom = ShuffleFrom(half == 0 ? a.y : a.w, lane - t + pair);
      const uint32_t left = ShuffleFrom(half == 0 ? b.x : b.y, 2 * t * 4 + pair);
      const uint32_t right = ShuffleFrom(half == 0 ? b.x : b.y, (2 * t + 1) * 4 + pair);
      const auto add = [](float sum, uint32_t x, uint32_t y) {
        sum = fmaf(BitsToFloat(x << 16), BitsToFloat(y << 16), sum);
        return fmaf(BitsToFloat(x & 0xffff0000u), BitsToFloat(y & 0xffff0000u), sum);
      };
      d.x = add(d.x, top, left);
      d.y = add(d.y, top, right);
      d.z = add(d.z, bottom, left);
      d.w = add(d.w, bottom, right);
    }
  }
  return d;
}
#endif

MOTE_DEVICE void MmaBf16(float d[4], const uint32_t a[4], uint32_t b0, uint32_t b1) {
#if __CUDA_ARCH__ >= 800
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
  const float4 sum =
      LongMmaBf16(make_float4(d[0], d[1], d[2], d[3]), make_uint4(a[0], a[1], a[2], a[3]), make_uint2(b0, b1));
  d[0] = sum.x;
  d[1] = sum.y;
  d[2] = sum.z;
  d[3] = sum.w;
#endif
}

// B of 16 x 8 halves that lie in shared memory as rows of k: `row` is that of k = lane % 16, aligned to 16 bytes.
MOTE_DEVICE void LoadTransposed(const uint16_t* row, uint32_t* b0, uint32_t* b1) {
  const uint32_t at = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];\n"
               : "=r"(*b0), "=r"(*b1)
               : "r"(at)
               : "memory");
}

// Four matrices of 8 x 8 halves in shared memory: lanes 8 i .. 8 i + 7 name the rows of the one that comes into m[i],
// aligned to 16 bytes. A lane gets columns 2t and 2t + 1 of row g: of rows of A that is A, of rows that are columns of
// B, with k side by side, B.
MOTE_DEVICE void LoadMatrices(const uint16_t* row, uint32_t m[4]) {
  const uint32_t at = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
               : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
               : "r"(at)
               : "memory");
}
// The same, but rows 2t and 2t + 1 of column g: B, where rows are those of k.
MOTE_DEVICE void LoadTransposedMatrices(const uint16_t* row, uint32_t m[4]) {
  const uint32_t at = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
               : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
               : "r"(at)
               : "memory");
}

}  // namespace mote::cuda

#endif  // __CUDACC__; the emulator has its own

#endif  // MOTE_TARGETS_CUDA_MMA_H_
