#include "simd/cpu_features.h"

#include "simd/fetch.h"

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace mote::simd {

#if defined(__x86_64__) || defined(__i386__)

namespace {

struct CpuId {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

CpuId Leaf(unsigned leaf, unsigned subleaf = 0) {
  CpuId id;
  if (__get_cpuid_count(leaf, subleaf, &id.eax, &id.ebx, &id.ecx, &id.edx) == 0) return CpuId();
  return id;
}

constexpr bool AllOf(unsigned bits, unsigned wanted) {
  return (bits & wanted) == wanted;
}

// Registers that the operating system saves on a context switch (XCR0): an instruction set without them is not usable.
// Only where CPUID says OSXSAVE.
bool SystemSaves(unsigned long long wanted) {
  if (!AllOf(Leaf(1).ecx, bit_OSXSAVE)) return false;
  unsigned low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  const unsigned long long enabled = (static_cast<unsigned long long>(high) << 32) | low;
  return (enabled & wanted) == wanted;
}
constexpr unsigned long long kXmmYmm = 0x6;
constexpr unsigned long long kXmmYmmZmmMask = 0xe6;
constexpr unsigned long long kTiles = 0x60000;

// CPUID leaf 7, Intel SDM volume 2A, table 3-8. Spelt out: cpuid.h of the oldest supported compilers lacks some names.
constexpr unsigned kEbxBmi1 = 1u << 3, kEbxAvx2 = 1u << 5, kEbxBmi2 = 1u << 8;
constexpr unsigned kEbxAvx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;  // F, DQ, BW, VL
constexpr unsigned kEcxVbmi = 1u << 1, kEcxVbmi2 = 1u << 6, kEcxGfni = 1u << 8, kEcxVaes = 1u << 9;
constexpr unsigned kEcxVpclmulqdq = 1u << 10, kEcxVnni = 1u << 11, kEcxBitalg = 1u << 12, kEcxVpopcntdq = 1u << 14;
constexpr unsigned kEdxAmx = 1u << 22 | 1u << 24;  // products of bfloat16, tiles
// Of subleaf 1, where subleaf 0 says in EAX that there is one.
constexpr unsigned kEaxAvxVnni = 1u << 4, kEaxAvx512Bf16 = 1u << 5;

}  // namespace

bool CpuHasSse4() {
  return AllOf(Leaf(1).ecx, bit_SSE3 | bit_SSSE3 | bit_SSE4_1 | bit_SSE4_2);
}

bool CpuHasAvx2() {
  return CpuHasSse4() && AllOf(Leaf(1).ecx, bit_AVX | bit_FMA | bit_F16C) &&
         AllOf(Leaf(7).ebx, kEbxBmi1 | kEbxAvx2 | kEbxBmi2) && SystemSaves(kXmmYmm);
}

bool CpuHasAvx2Vnni() {
  return CpuHasAvx2() && Leaf(7).eax >= 1 && AllOf(Leaf(7, 1).eax, kEaxAvxVnni);
}

bool CpuHasAvx512() {
  return CpuHasAvx2() && AllOf(Leaf(7).ebx, kEbxAvx512) && SystemSaves(kXmmYmmZmmMask);
}

// All that Highway may use in HWY_AVX3_DL (Ice Lake, Zen 4 and later). AVX-VNNI, the 256-bit form with VEX encoding, is
// not asked for: Highway 1.0.3 names it as a compiler flag, but neither it nor our kernels use it, and Ice Lake and
// Zen 4 lack it. PCLMUL and AES are in every CPU that has their wide forms.
bool CpuHasAvx512Vnni() {
  return CpuHasAvx512() && AllOf(Leaf(7).ecx, kEcxVbmi | kEcxVbmi2 | kEcxGfni | kEcxVaes | kEcxVpclmulqdq | kEcxVnni |
                                                  kEcxBitalg | kEcxVpopcntdq);
}

bool CpuHasAmx() {
#if defined(__x86_64__) && defined(__linux__)
  if (!CpuHasAvx512Vnni() || !AllOf(Leaf(7).edx, kEdxAmx) || !SystemSaves(kTiles)) return false;
  if (Leaf(7).eax < 1 || !AllOf(Leaf(7, 1).eax, kEaxAvx512Bf16)) return false;
  // The 8 KiB of a thread's tiles are saved for those who have asked: arch_prctl(ARCH_REQ_XCOMP_PERM,
  // XFEATURE_XTILEDATA), Linux, Documentation/arch/x86/xstate.rst. Allocates nothing, and may be asked for again.
  constexpr long kArchPrctl = 158, kRequestPermission = 0x1023, kTileData = 18;
  long result = kArchPrctl;
  asm volatile("syscall" : "+a"(result) : "D"(kRequestPermission), "S"(kTileData) : "rcx", "r11", "memory");
  return result == 0;
#else
  return false;
#endif
}

#else

bool CpuHasSse4() {
  return false;
}
bool CpuHasAvx2() {
  return false;
}
bool CpuHasAvx2Vnni() {
  return false;
}
bool CpuHasAvx512() {
  return false;
}
bool CpuHasAvx512Vnni() {
  return false;
}
bool CpuHasAmx() {
  return false;
}

#endif

#if defined(__aarch64__)
bool CpuHasNeon() {
  return true;  // part of the base architecture
}
// The dot product's row is compiled with the half-precision extension as well: both came with Armv8.2 and no CPU that
// we know has one alone.
bool CpuHasNeonDot() {
#if defined(__linux__)
  constexpr unsigned long kWanted = HWCAP_ASIMDDP | HWCAP_ASIMDHP | HWCAP_FPHP;
  return (getauxval(AT_HWCAP) & kWanted) == kWanted;
#elif defined(__ARM_FEATURE_DOTPROD)
  return true;
#else
  return false;
#endif
}
#else
bool CpuHasNeon() {
  return false;
}
bool CpuHasNeonDot() {
  return false;
}
#endif

// Generation, GB/s of each of two cores by distance, on Granite Rapids (few_tokens_bench, large pages, medians,
// 2026-11; a plain read loop has 14 to 16), into the first-level cache and, where there are two, into the second:
//          none  2048   2560   4096   2560 into the second   1024, and into the second 2560   3072   3584   4096
//   Q4_0   11.1  11.3   11.4   10.2   12.6                                           12.5   13.0          12.9
//   Q4_K   10.1  11.7   11.3    9.9   12.0                                           12.5   12.7          12.2
//   Q6_K   10.0  11.9   11.8    9.9   11.5                                           12.4   13.2          12.7
//   Q8_0   12.4  13.7   14.2   13.2   14.3                                           14.6   15.0          14.4
// and in a quieter hour, with four tokens in brackets,
//   Q4_0                13.2 (11.1)                                                         13.9   14.7 (11.7)
//   Q4_K                13.3 (11.0)                                                         13.8   14.3 (11.1)
//   Q6_K                13.5 (11.9)                                                         13.9   14.5 (13.2)
//   Q8_0                15.4 (13.3)                                                         15.7   16.3 (15.5)
//   IQ4_XS              12.6 (11.0)                                                         13.7   14.0 (11.5)
//   F16                 17.2 (14.5)                                                         16.9   17.7 (16.3)
//   I8                  16.2 (13.9)                                                         16.2   16.5 (15.8)
// Zen 5 wants its lines in the first-level cache and early: the time of a token of the 1B shape over that with 1024 and
// 3584, by hand, medians within one process that changed them from token to token, two processes in hours of other
// bandwidth (22 and 16 ms a token in Q4_K_M; 2026-11):
//                            3072         4096         6144         8192   2048 and 8192         none
//   Q4_0                     1.01         1.03         1.03         1.04            1.00         1.06
//   Q4_K_M             0.90, 0.99   0.95, 0.91   1.01, 0.85   1.06, 0.82      1.05, 0.89   1.09, 1.52
//   Q6_K               0.93, 0.87   0.95, 0.85   1.00, 0.81   1.05, 0.79      1.07, 0.89   1.16, 1.32
//   Q8_0               1.03, 0.98   1.05, 0.98   1.04, 1.05   1.02, 1.08      0.99, 1.06   0.99, 0.98
//   F16                0.82, 0.83   0.84, 0.85   0.85, 0.84   0.86, 0.88      0.93, 0.97   0.81, 0.85
//   I8                 0.91, 0.93   0.91, 0.91   0.91, 0.92   0.92, 0.93      0.95, 0.96   0.83, 0.86
//   sparse int8        0.96, 0.98   0.96, 0.98   0.99, 0.99   1.01, 1.04      1.01, 1.02   1.23, 1.23
// Four tokens 0.84 to 0.99 with 4096, AVX2 0.84 to 0.92. Marked as not to be kept (prefetchnta): no better.
FetchAhead FetchAheadOfCpu() {
  FetchAhead fetch;
#if defined(__x86_64__) || defined(__i386__)
  const CpuId id = Leaf(0);
  const bool amd = id.ebx == signature_AMD_ebx && id.edx == signature_AMD_edx && id.ecx == signature_AMD_ecx;
  if (amd) fetch = {.near = 4096, .far = 0, .streams = 4};
#endif
  return fetch;
}

}  // namespace mote::simd
