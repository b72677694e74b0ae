#include "simd/cpu_features.h"

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

}  // namespace mote::simd
