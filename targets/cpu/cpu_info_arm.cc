// What Linux says about a 64-bit Arm CPU: the auxiliary vector, /proc/cpuinfo and the device tree.
#include "targets/cpu/cpu_info_impl.h"

#if defined(__aarch64__) && defined(__linux__)
#include <stdint.h>
#include <stdlib.h>
#include <sys/auxv.h>

#include <string_view>

#include "targets/cpu/platform/proc_files.h"

namespace mote::cpu {
namespace {

// The value of the first "key : value" line of /proc/cpuinfo; empty if there is none.
std::string FindValue(const std::string& text, std::string_view key) {
  const size_t at = text.find(key);
  if (at == std::string::npos) return "";
  const size_t colon = text.find(':', at);
  if (colon == std::string::npos) return "";
  const size_t start = text.find_first_not_of(" \t", colon + 1);
  const size_t end = text.find('\n', colon);
  if (start == std::string::npos || start >= end) return "";
  return text.substr(start, end == std::string::npos ? end : end - start);
}

// MIDR_EL1.Implementer, Arm Architecture Reference Manual.
const char* ImplementerName(unsigned long implementer) {
  switch (implementer) {
    case 0x41:
      return "Arm";
    case 0x42:
      return "Broadcom";
    case 0x43:
      return "Cavium";
    case 0x46:
      return "Fujitsu";
    case 0x48:
      return "HiSilicon";
    case 0x4E:
      return "NVIDIA";
    case 0x50:
      return "Applied Micro";
    case 0x51:
      return "Qualcomm";
    case 0x53:
      return "Samsung";
    case 0x61:
      return "Apple";
    case 0x6D:
      return "Microsoft";
    case 0xC0:
      return "Ampere";
    default:
      return "";
  }
}

// MIDR_EL1.PartNum of Arm's own cores that people run models on (each core's technical reference manual).
const char* ArmCoreName(unsigned long part) {
  switch (part) {
    case 0xD03:
      return "Cortex-A53";
    case 0xD05:
      return "Cortex-A55";
    case 0xD07:
      return "Cortex-A57";
    case 0xD08:
      return "Cortex-A72";
    case 0xD09:
      return "Cortex-A73";
    case 0xD0A:
      return "Cortex-A75";
    case 0xD0B:
      return "Cortex-A76";
    case 0xD0C:
      return "Neoverse N1";
    case 0xD0D:
      return "Cortex-A77";
    case 0xD40:
      return "Neoverse V1";
    case 0xD41:
      return "Cortex-A78";
    case 0xD42:
      return "Cortex-A78AE";
    case 0xD44:
      return "Cortex-X1";
    case 0xD46:
      return "Cortex-A510";
    case 0xD47:
      return "Cortex-A710";
    case 0xD48:
      return "Cortex-X2";
    case 0xD49:
      return "Neoverse N2";
    case 0xD4D:
      return "Cortex-A715";
    case 0xD4E:
      return "Cortex-X3";
    case 0xD4F:
      return "Neoverse V2";
    default:
      return "";
  }
}

// Bits of AT_HWCAP and AT_HWCAP2, Linux arch/arm64/include/uapi/asm/hwcap.h. Written out, since the headers of older
// distributions lack the newer ones.
void ReadFeatures(CpuInfo& info) {
  const uint64_t hwcap = getauxval(AT_HWCAP);
  const uint64_t hwcap2 = getauxval(AT_HWCAP2);
  const struct {
    const char* name;
    uint64_t bits;
    int bit;
  } features[] = {
      {"neon", hwcap, 1},  {"fp16", hwcap, 10},  {"dotprod", hwcap, 20}, {"sve", hwcap, 22},
      {"sve2", hwcap2, 1}, {"i8mm", hwcap2, 13}, {"bf16", hwcap2, 14},   {"sme", hwcap2, 23},
  };
  for (const auto& feature : features) {
    if (((feature.bits >> feature.bit) & 1) != 0) info.features.push_back(feature.name);
  }
}

}  // namespace

void DetectArm(const std::string& root, CpuInfo& info) {
  info.architecture = "aarch64";
  const std::string text = native::ReadSmallFile(root + "/proc/cpuinfo").value_or("");
  const unsigned long implementer = strtoul(FindValue(text, "CPU implementer").c_str(), nullptr, 0);
  const unsigned long part = strtoul(FindValue(text, "CPU part").c_str(), nullptr, 0);
  info.vendor = ImplementerName(implementer);
  info.brand = FindValue(text, "model name");
  if (info.brand.empty() && implementer == 0x41) info.brand = ArmCoreName(part);
  // Boards name themselves in the device tree ("NVIDIA Jetson Orin Nano Developer Kit"), with a zero byte at the end.
  std::string board = native::ReadSmallFile(root + "/proc/device-tree/model").value_or("");
  board.resize(board.find('\0') == std::string::npos ? board.size() : board.find('\0'));
  if (!board.empty()) info.brand = info.brand.empty() ? board : info.brand + ", " + board;
  ReadFeatures(info);
}

}  // namespace mote::cpu

#else

namespace mote::cpu {
void DetectArm(const std::string&, CpuInfo&) {}
}  // namespace mote::cpu

#endif
