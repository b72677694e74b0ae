// Which instruction sets Highway compiles for us. Include before any hwy header.
#ifndef MOTE_SIMD_TARGETS_H_
#define MOTE_SIMD_TARGETS_H_

// AVX-512 with VNNI: off unless wanted, because it lengthens compilation.
#ifndef HWY_WANT_AVX3_DL
#define HWY_WANT_AVX3_DL 1
#endif
// Newer Highway leaves SSE4 out as well where it is not wanted or the baseline.
#ifndef HWY_WANT_SSE4
#define HWY_WANT_SSE4 1
#endif
// No kernel uses AES or carry-less multiplication: without them the SSE4 row runs on CPUs that lack them.
#ifndef HWY_DISABLE_PCLMUL_AES
#define HWY_DISABLE_PCLMUL_AES 1
#endif

// Instruction sets that get no row.
//   SSE2, SSSE3: every x86-64 CPU since 2008 has SSE4.1; older ones get the scalar row.
//   AVX3_ZEN4, AVX3_SPR, AVX10_2: bf16 and fp16 arithmetic, which no kernel uses; such CPUs run the VNNI row.
//   SVE*: Arm servers with 128-bit SVE2 gain nothing over NEON with dot product; sizeless types would forbid our tiles.
//   NEON_BF16: a row of its own only pays with packed bf16 weights.
//   NEON, where Highway is new enough to know NEON_WITHOUT_AES: that one runs on every Arm CPU (Raspberry Pi 4). Older
//   Highway's NEON names the crypto extension to the compiler, but neither it nor we use an instruction of it.
#define HWY_DISABLED_TARGETS                                                                                      \
  (MOTE_OFF_SSE2 | HWY_SSSE3 | MOTE_OFF_AVX3_ZEN4 | MOTE_OFF_AVX3_SPR | MOTE_OFF_AVX10_2 | MOTE_OFF_AVX10_2_512 | \
   HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | MOTE_OFF_NEON_BF16 | MOTE_OFF_NEON | MOTE_OFF_VARIANT)
// A variant (below) may leave out more.
#ifndef MOTE_OFF_VARIANT
#define MOTE_OFF_VARIANT 0
#endif

// Names that this Highway may not know. It expands them after this file.
#include "hwy/detect_targets.h"

#ifdef HWY_SSE2
#define MOTE_OFF_SSE2 HWY_SSE2
#else
#define MOTE_OFF_SSE2 0
#endif
#ifdef HWY_AVX3_ZEN4
#define MOTE_OFF_AVX3_ZEN4 HWY_AVX3_ZEN4
#else
#define MOTE_OFF_AVX3_ZEN4 0
#endif
#ifdef HWY_AVX3_SPR
#define MOTE_OFF_AVX3_SPR HWY_AVX3_SPR
#else
#define MOTE_OFF_AVX3_SPR 0
#endif
#ifdef HWY_AVX10_2
#define MOTE_OFF_AVX10_2 HWY_AVX10_2
#else
#define MOTE_OFF_AVX10_2 0
#endif
#ifdef HWY_AVX10_2_512
#define MOTE_OFF_AVX10_2_512 HWY_AVX10_2_512
#else
#define MOTE_OFF_AVX10_2_512 0
#endif
#ifdef HWY_NEON_BF16
#define MOTE_OFF_NEON_BF16 HWY_NEON_BF16
#else
#define MOTE_OFF_NEON_BF16 0
#endif
#ifdef HWY_NEON_WITHOUT_AES
#define MOTE_OFF_NEON HWY_NEON
#define MOTE_TARGET_NEON HWY_NEON_WITHOUT_AES
#define MOTE_NEON_NAMESPACE N_NEON_WITHOUT_AES
#else
#define MOTE_OFF_NEON 0
#define MOTE_TARGET_NEON HWY_NEON
#define MOTE_NEON_NAMESPACE N_NEON
#endif

// The same sources can be compiled again, for an instruction set that Highway has no target for, as a row of another
// name: neon_dot by compiler flags, avx2_vnni by MOTE_AVX_VNNI (primitives-inl.h). Everything lives in a namespace of
// the variant, so that no two definitions share a symbol.
#ifndef MOTE_VARIANT
#define MOTE_VARIANT base
#endif

#endif  // MOTE_SIMD_TARGETS_H_
