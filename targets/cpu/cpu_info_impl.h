// Between cpu_info.cc and its one file per architecture.
#ifndef MOTE_TARGETS_CPU_CPU_INFO_IMPL_H_
#define MOTE_TARGETS_CPU_CPU_INFO_IMPL_H_

#include <string>

#include "targets/cpu/cpu_info.h"

namespace mote::cpu {

// Fill in architecture, vendor, brand, features and, where the CPU itself tells them, caches. `root` stands before
// /proc and /sys. Exactly one of the two does something, or none on other architectures.
void DetectX86(CpuInfo& info);
void DetectArm(const std::string& root, CpuInfo& info);

}  // namespace mote::cpu

#endif  // MOTE_TARGETS_CPU_CPU_INFO_IMPL_H_
