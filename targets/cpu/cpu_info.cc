#include "targets/cpu/cpu_info.h"

#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "engine/core/context.h"
#include "targets/cpu/cpu_info_impl.h"
#if defined(__linux__)
#include "targets/cpu/platform/proc_files.h"
#include "targets/cpu/platform/topology.h"
#endif

namespace mote::cpu {
namespace {

#if defined(__linux__)
using native::ParseNumber;
using native::ReadSmallFile;

// "48K", "1024K", "32M" as sysfs prints cache sizes; 0 where it is no size.
uint64_t ParseCacheSize(const std::string& text) {
  const std::optional<uint64_t> number = ParseNumber(text);
  if (!number || text.empty() || *number > (uint64_t{1} << 40)) return 0;
  const char unit = text.back();
  return *number << (unit == 'K' ? 10 : unit == 'M' ? 20 : unit == 'G' ? 30 : 0);
}

void ReadCaches(const std::string& root, int cpu, CpuInfo& info) {
  const std::string folder = root + "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/cache/index";
  for (int index = 0; index < 16; ++index) {
    const std::string cache = folder + std::to_string(index);
    const std::optional<std::string> type = ReadSmallFile(cache + "/type");
    if (!type) break;
    if (*type == "Instruction") continue;
    CacheInfo found;
    found.bytes = ParseCacheSize(ReadSmallFile(cache + "/size").value_or(""));
    found.shared_by = std::max(1, native::CountIdList(ReadSmallFile(cache + "/shared_cpu_list").value_or("")));
    const uint64_t level = ParseNumber(ReadSmallFile(cache + "/level").value_or("")).value_or(0);
    CacheInfo* const slot = level == 1 ? &info.l1d : level == 2 ? &info.l2 : level == 3 ? &info.l3 : nullptr;
    if (slot != nullptr && found.bytes > 0) *slot = found;
  }
}

// The value of "key:   123 kB" or "key 123" lines, without its unit.
std::optional<uint64_t> FindNumber(const std::string& text, const std::string& key) {
  size_t at = 0;
  while (at < text.size()) {
    if (text.compare(at, key.size(), key) == 0) return ParseNumber(std::string_view(text).substr(at + key.size()));
    at = text.find('\n', at);
    if (at == std::string::npos) break;
    ++at;
  }
  return std::nullopt;
}

void ReadMemory(const std::string& root, CpuInfo& info) {
  const std::string memory = ReadSmallFile(root + "/proc/meminfo").value_or("");
  const auto kib = [&memory](const char* key) {
    const uint64_t value = FindNumber(memory, key).value_or(0);
    return value > (UINT64_MAX >> 10) ? 0 : value << 10;
  };
  info.memory_total = kib("MemTotal:");
  info.memory_available = kib("MemAvailable:");
  native::VisitControlGroups(root, "memory", [&info](const std::string& folder, bool unified) {
    // "max" is no number. Version 1 says "no limit" as a multiple of the page near 2^63.
    const auto read = [&folder](const char* name) {
      return ParseNumber(ReadSmallFile(folder + "/" + name).value_or(""));
    };
    const std::optional<uint64_t> limit = read(unified ? "memory.max" : "memory.limit_in_bytes");
    if (!limit || (info.memory_total > 0 && *limit >= info.memory_total)) return;
    if (info.memory_limit == 0 || *limit < info.memory_limit) info.memory_limit = *limit;
    const uint64_t used = read(unified ? "memory.current" : "memory.usage_in_bytes").value_or(0);
    // Files read once and not since are counted as used, but given back before anything is refused.
    const std::string statistics = ReadSmallFile(folder + "/memory.stat").value_or("");
    const uint64_t files = FindNumber(statistics, unified ? "inactive_file " : "total_inactive_file ").value_or(0);
    const uint64_t held = used - std::min(used, files);
    info.memory_available = std::min(info.memory_available, *limit - std::min(*limit, held));
  });
}

// The word in brackets of "always [madvise] never".
std::string ChosenWord(const std::string& text) {
  const size_t open = text.find('[');
  const size_t close = text.find(']', open == std::string::npos ? 0 : open);
  if (open == std::string::npos || close == std::string::npos) return "";
  return text.substr(open + 1, close - open - 1);
}

void DetectSystem(const std::string& root, CpuInfo& info) {
  const native::Topology topology = native::DetectTopology(root);
  info.logical_cpus = static_cast<int>(topology.cpus.size());
  info.physical_cores = topology.physical_cores;
  info.cpu_quota = topology.cpu_quota;
  info.default_workers = topology.DefaultWorkers();
  const int online = native::CountIdList(ReadSmallFile(root + "/sys/devices/system/cpu/online").value_or(""));
  info.online_cpus = std::max(online, info.logical_cpus);
  ReadCaches(root, topology.cpus.front(), info);
  ReadMemory(root, info);
  info.page_bytes = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  info.transparent_huge_pages =
      ChosenWord(ReadSmallFile(root + "/sys/kernel/mm/transparent_hugepage/enabled").value_or(""));
  const int nodes = native::CountIdList(ReadSmallFile(root + "/sys/devices/system/node/online").value_or(""));
  info.numa_nodes = std::max(nodes, 1);
}
#elif defined(__wasm__)
void DetectSystem(const std::string&, CpuInfo& info) {
  info.architecture = "wasm32";
  info.brand = "WebAssembly";
#if defined(__wasm_simd128__)
  info.features.push_back("simd128");
#endif
#if defined(__wasm_relaxed_simd__)
  info.features.push_back("relaxed_simd");
#endif
  info.page_bytes = 65536;
  // The threads that the module was started with: it sees no others, and no processors.
  const Result<std::unique_ptr<ThreadPool> > pool = CreatePlatform()->CreateThreadPool(0);
  info.default_workers = pool.ok() ? (*pool)->num_workers() : 1;
  info.logical_cpus = info.online_cpus = info.physical_cores = info.default_workers;
  // What the module may still grow to is the host's secret; the address space is what is known.
  info.memory_total = uint64_t{1} << 32;
  info.memory_available = info.memory_total - __builtin_wasm_memory_size(0) * info.page_bytes;
}
#else
void DetectSystem(const std::string&, CpuInfo&) {}
#endif

}  // namespace

CpuInfo DetectCpu(const std::string& root) {
  CpuInfo info;
  DetectX86(info);
  DetectArm(root, info);
  DetectSystem(root, info);
  return info;
}

}  // namespace mote::cpu
