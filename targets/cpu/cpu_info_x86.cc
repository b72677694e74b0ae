// What an x86 CPU says about itself: the CPUID instruction (Intel SDM volume 2A, AMD APM volume 3).
#include "simd/cpu_features.h"
#include "targets/cpu/cpu_info_impl.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <stdint.h>
#include <string.h>

namespace mote::cpu {
namespace {

struct Registers {
  uint32_t eax = 0;
  uint32_t ebx = 0;
  uint32_t ecx = 0;
  uint32_t edx = 0;
};

// All zero where the CPU does not have the leaf.
Registers Cpuid(uint32_t leaf, uint32_t subleaf = 0) {
  Registers r;
  if (__get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx) == 0) return Registers();
  return r;
}

// Which register states the operating system saves (XCR0); 0 where it does not use XSAVE.
uint64_t SavedStates() {
  constexpr uint32_t kOsXsave = 1u << 27;
  if ((Cpuid(1).ecx & kOsXsave) == 0) return 0;
  uint32_t low = 0;
  uint32_t high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t{high} << 32) | low;
}

std::string Trimmed(const char* text, size_t bytes) {
  std::string out(text, strnlen(text, bytes));
  while (!out.empty() && out.back() == ' ') out.pop_back();
  const size_t start = out.find_first_not_of(' ');
  return start == std::string::npos ? "" : out.substr(start);
}

std::string Vendor() {
  const Registers r = Cpuid(0);
  char text[12];
  memcpy(text, &r.ebx, 4);
  memcpy(text + 4, &r.edx, 4);
  memcpy(text + 8, &r.ecx, 4);
  return Trimmed(text, sizeof(text));
}

std::string Brand() {
  char text[48];
  for (uint32_t i = 0; i < 3; ++i) {
    const Registers r = Cpuid(0x80000002u + i);
    memcpy(text + 16 * i, &r, 16);
  }
  return Trimmed(text, sizeof(text));
}

void ReadFeatures(CpuInfo& info) {
  const uint64_t saved = SavedStates();
  const bool ymm = (saved & 0x6) == 0x6;
  const bool zmm = (saved & 0xE6) == 0xE6;
  const bool tiles = simd::CpuHasAmx();  // the system has to be asked
  const Registers base = Cpuid(1);
  const Registers extended = Cpuid(7, 0);
  const Registers more = Cpuid(7, 1);
  const struct {
    const char* name;
    bool saved;
    uint32_t bits;
    int bit;
  } features[] = {
      {"ssse3", true, base.ecx, 9},
      {"sse4_1", true, base.ecx, 19},
      {"sse4_2", true, base.ecx, 20},
      {"popcnt", true, base.ecx, 23},
      {"avx", ymm, base.ecx, 28},
      {"f16c", ymm, base.ecx, 29},
      {"fma", ymm, base.ecx, 12},
      {"bmi2", true, extended.ebx, 8},
      {"avx2", ymm, extended.ebx, 5},
      {"avx_vnni", ymm, more.eax, 4},
      {"avx_vnni_int8", ymm, more.edx, 4},
      {"avx512f", zmm, extended.ebx, 16},
      {"avx512bw", zmm, extended.ebx, 30},
      {"avx512dq", zmm, extended.ebx, 17},
      {"avx512cd", zmm, extended.ebx, 28},
      {"avx512vl", zmm, extended.ebx, 31},
      {"avx512_vbmi", zmm, extended.ecx, 1},
      {"avx512_vbmi2", zmm, extended.ecx, 6},
      {"avx512_vnni", zmm, extended.ecx, 11},
      {"avx512_bf16", zmm, more.eax, 5},
      {"avx512_fp16", zmm, extended.edx, 23},
      {"amx_tile", tiles, extended.edx, 24},
      {"amx_int8", tiles, extended.edx, 25},
      {"amx_bf16", tiles, extended.edx, 22},
  };
  for (const auto& feature : features) {
    if (feature.saved && ((feature.bits >> feature.bit) & 1) != 0) info.features.push_back(feature.name);
  }
}

// Deterministic cache parameters: leaf 4 at Intel, 0x8000001D at AMD, of the same layout. Only a fallback: sysfs, read
// later, also knows what the hypervisor hides.
void ReadCaches(CpuInfo& info) {
  const uint32_t leaf = info.vendor == "AuthenticAMD" || info.vendor == "HygonGenuine" ? 0x8000001Du : 4u;
  for (uint32_t index = 0; index < 16; ++index) {
    const Registers r = Cpuid(leaf, index);
    const uint32_t type = r.eax & 31;  // 0: no more, 1: data, 2: instructions, 3: both
    if (type == 0) break;
    if (type == 2) continue;
    const uint64_t ways = (r.ebx >> 22) + 1;
    const uint64_t partitions = ((r.ebx >> 12) & 1023) + 1;
    const uint64_t line = (r.ebx & 4095) + 1;
    const uint64_t sets = uint64_t{r.ecx} + 1;
    const uint32_t level = (r.eax >> 5) & 7;
    CacheInfo* const slot = level == 1 ? &info.l1d : level == 2 ? &info.l2 : level == 3 ? &info.l3 : nullptr;
    if (slot == nullptr) continue;
    slot->bytes = ways * partitions * line * sets;
    slot->shared_by = static_cast<int>((r.eax >> 14) & 4095) + 1;
  }
}

}  // namespace

void DetectX86(CpuInfo& info) {
  info.architecture = "x86-64";
  info.vendor = Vendor();
  info.brand = Brand();
  info.signature = Cpuid(1).eax;
  ReadFeatures(info);
  ReadCaches(info);
}

}  // namespace mote::cpu

#else

namespace mote::cpu {
void DetectX86(CpuInfo&) {}
}  // namespace mote::cpu

#endif
