// What the machine is: read once from the CPU and the operating system, for choosing and for telling people.
#ifndef MOTE_TARGETS_CPU_CPU_INFO_H_
#define MOTE_TARGETS_CPU_CPU_INFO_H_

#include <stdint.h>

#include <string>
#include <string_view>
#include <vector>

namespace mote::cpu {

// One instance of a cache, as seen from the first CPU that this process may use. 0 bytes: absent or unknown.
struct CacheInfo {
  uint64_t bytes = 0;
  int shared_by = 1;  // logical CPUs of the machine that share this instance
};

struct CpuInfo {
  std::string architecture;           // "x86-64", "aarch64", "wasm32", or another
  std::string vendor;                 // "AuthenticAMD", "GenuineIntel", "Arm", "NVIDIA"; empty: unknown
  std::string brand;                  // the name that the maker prints; empty: unknown
  uint32_t signature = 0;             // of x86: family, model and stepping, as CPUID has them in EAX of leaf 1
  std::vector<std::string> features;  // lower case, only those that matter to kernels, in a fixed order, and only where
                                      // the operating system saves their registers: "avx2", "avx512_vnni", "dotprod"

  int online_cpus = 1;      // logical CPUs of the machine
  int logical_cpus = 1;     // of those, the ones this process may run on (affinity)
  int physical_cores = 1;   // distinct cores among logical_cpus
  double cpu_quota = 0;     // CPUs' worth of time that the control group grants; 0: no limit
  int default_workers = 1;  // what CreateThreadPool(0) takes: physical cores, and no more than the quota

  CacheInfo l1d;
  CacheInfo l2;
  CacheInfo l3;

  uint64_t memory_total = 0;      // bytes of the machine; 0: unknown
  uint64_t memory_available = 0;  // bytes that can be taken without swapping, the control group's limit included
  uint64_t memory_limit = 0;      // bytes, of the control group; 0: no limit
  uint64_t page_bytes = 4096;
  std::string transparent_huge_pages;  // "always", "madvise", "never"; empty: unknown
  int numa_nodes = 1;

  bool Has(std::string_view feature) const {
    for (const std::string& have : features) {
      if (have == feature) return true;
    }
    return false;
  }
};

// Never fails: what cannot be found out keeps its default. `root` stands before /proc and /sys (for tests).
CpuInfo DetectCpu(const std::string& root = "");

}  // namespace mote::cpu

#endif  // MOTE_TARGETS_CPU_CPU_INFO_H_
