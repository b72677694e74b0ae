// Products of matrices by four warps, which Hopper alone has (PTX ISA, "Asynchronous warpgroup level matrix
// instructions"): D (64 x 128) += A (64 x 16) B (16 x 128) of halves or bfloat16. Warp w of the four has rows 16 w to
// 16 w + 15 of A and D, in its registers; B lies in shared memory and serves all four.
//
// Who holds what, with g = lane / 4 and t = lane % 4, is as in mma.h, for each 8 columns n of D: d[4 n], d[4 n + 1] are
// row g, columns 8 n + 2 t and the next; d[4 n + 2], d[4 n + 3] those of row g + 8.
//
// B: 8 columns are 1024 bytes, aligned to them, and lie one behind the other. A column is 128 bytes, 64 values of k;
// its pieces of 16 bytes are changed about, so that the same piece of 8 columns lies in all banks: GroupPlace.
//
// Nothing is there before it was waited for: not D, and registers of A and memory of B are read until then.
#ifndef MOTE_TARGETS_CUDA_WGMMA_H_
#define MOTE_TARGETS_CUDA_WGMMA_H_

#include "targets/cuda/vocabulary.h"

namespace mote::cuda {

inline constexpr uint32_t kGroupWarps = 4;
inline constexpr uint32_t kGroupRows = 64;
inline constexpr uint32_t kGroupTokens = 128;  // columns of B and D
inline constexpr uint32_t kGroupCols = 64;     // k of a column's 128 bytes
inline constexpr uint32_t kGroupSlab = 8;      // columns
inline constexpr uint32_t kGroupSlabBytes = 1024;
// Byte of value k (of 64) of column `token` (of 8) in their 1024.
constexpr uint32_t GroupPlace(uint32_t token, uint32_t k) {
  return token * 128 + ((k / 8 ^ token) * 16 | k % 8 * 2);
}

// True where this code can have the instructions: for compute capability 9.0 itself alone.
#if defined(__CUDA_ARCH_FEAT_SM90_ALL) || defined(MOTE_CUDA_EMULATED)
#define MOTE_HAS_GROUPS 1
#else
#define MOTE_HAS_GROUPS 0
#endif
inline constexpr bool kHasGroups = MOTE_HAS_GROUPS != 0;

}  // namespace mote::cuda

#if defined(__CUDACC__)

namespace mote::cuda {

// How the instruction is told where B is: of `b` in shared memory, values of k from a multiple of 16 on.
MOTE_DEVICE uint64_t GroupOperand(const uint8_t* b) {
  const uint64_t at = __cvta_generic_to_shared(b) >> 4 & 0x3fff;
  return at | uint64_t{1} << 16 | uint64_t{kGroupSlabBytes >> 4} << 32 | uint64_t{1} << 62;
}
// The same 16 further values of k.
MOTE_DEVICE uint64_t NextOperand(uint64_t b) {
  return b + (32 >> 4);
}
// What threads have written to shared memory, or copied there and waited for, before the barrier after which it is
// multiplied with.
MOTE_DEVICE void GroupSees() {
#if MOTE_HAS_GROUPS
  asm volatile("fence.proxy.async.shared::cta;\n" ::: "memory");
#endif
}
// Before the first product of a few, behind whatever else touched their registers.
MOTE_DEVICE void BeginGroup() {
#if MOTE_HAS_GROUPS
  asm volatile("wgmma.fence.sync.aligned;\n" ::: "memory");
#endif
}
MOTE_DEVICE void EndGroup() {
#if MOTE_HAS_GROUPS
  asm volatile("wgmma.commit_group.sync.aligned;\n" ::: "memory");
#endif
}
// All but the last kPending of what EndGroup ended are done.
template <int kPending>
MOTE_DEVICE void WaitGroups() {
#if MOTE_HAS_GROUPS
  asm volatile("wgmma.wait_group.sync.aligned %0;\n" ::"n"(kPending) : "memory");
#endif
}

// Sums are looked at after WaitGroups, and not before: the compiler does not know that they were not there.
MOTE_DEVICE void TakeSums(float d[kGroupTokens / 2]) {
#pragma unroll
  for (uint32_t i = 0; i < kGroupTokens / 2; ++i) asm volatile("" : "+f"(d[i])::"memory");
}

#if MOTE_HAS_GROUPS
#define MOTE_GROUP_16(d, i)                                                                                   \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), \
      "+f"(d[i + 7]), "+f"(d[i + 8]), "+f"(d[i + 9]), "+f"(d[i + 10]), "+f"(d[i + 11]), "+f"(d[i + 12]),      \
      "+f"(d[i + 13]), "+f"(d[i + 14]), "+f"(d[i + 15])
#define MOTE_GROUP_PRODUCT(type, d, a, b)                                                                          \
  asm volatile("wgmma.mma_async.sync.aligned.m64n128k16.f32." type "." type                                        \
               " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, " \
               "%21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, "   \
               "%40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, "   \
               "%59, %60, %61, %62, %63}, {%64, %65, %66, %67}, %68, 1, 1, 1, 0;\n"                                \
               : MOTE_GROUP_16(d, 0), MOTE_GROUP_16(d, 16), MOTE_GROUP_16(d, 32), MOTE_GROUP_16(d, 48)             \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b))
#else
#define MOTE_GROUP_PRODUCT(type, d, a, b) \
  do {                                    \
  } while (false)
#endif

MOTE_DEVICE void GroupHalves(float d[kGroupTokens / 2], const uint32_t a[4], uint64_t b) {
  MOTE_GROUP_PRODUCT("f16", d, a, b);
}
MOTE_DEVICE void GroupBf16(float d[kGroupTokens / 2], const uint32_t a[4], uint64_t b) {
  MOTE_GROUP_PRODUCT("bf16", d, a, b);
}

// Two halves at once, each result rounded once.
MOTE_DEVICE uint32_t AddHalves(uint32_t x, uint32_t y) {
  uint32_t sum;
  asm("add.rn.f16x2 %0, %1, %2;\n" : "=r"(sum) : "r"(x), "r"(y));
  return sum;
}
MOTE_DEVICE uint32_t MultiplyHalves(uint32_t x, uint32_t y) {
  uint32_t product;
  asm("mul.rn.f16x2 %0, %1, %2;\n" : "=r"(product) : "r"(x), "r"(y));
  return product;
}
MOTE_DEVICE uint32_t MultiplyAddHalves(uint32_t x, uint32_t y, uint32_t z) {
  uint32_t sum;
  asm("fma.rn.f16x2 %0, %1, %2, %3;\n" : "=r"(sum) : "r"(x), "r"(y), "r"(z));
  return sum;
}

}  // namespace mote::cuda

#endif  // __CUDACC__; the emulator has its own

#endif  // MOTE_TARGETS_CUDA_WGMMA_H_
