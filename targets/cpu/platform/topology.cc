#include "targets/cpu/platform/topology.h"

#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string_view>

#include "targets/cpu/platform/proc_files.h"

namespace mote::native {
namespace {

std::vector<int> AffinityCpus() {
  constexpr size_t kWordBits = 8 * sizeof(unsigned long);
  std::vector<int> cpus;
  // The kernel refuses (EINVAL) a mask shorter than its own, whose length it does not tell.
  for (size_t words = 16; words <= 4096; words *= 2) {
    std::vector<unsigned long> mask(words, 0);
    if (sched_getaffinity(0, words * sizeof(unsigned long), reinterpret_cast<cpu_set_t*>(mask.data())) == 0) {
      for (size_t bit = 0; bit < words * kWordBits; ++bit) {
        if ((mask[bit / kWordBits] >> (bit % kWordBits)) & 1) cpus.push_back(static_cast<int>(bit));
      }
      break;
    }
    if (errno != EINVAL) break;
  }
  if (cpus.empty()) cpus.push_back(0);
  return cpus;
}

// CPUs' worth of time of one control group; 0: no limit, or not known.
double GroupQuota(const std::string& folder, bool unified) {
  std::optional<uint64_t> quota;
  std::optional<uint64_t> period;
  if (unified) {
    // "max 100000" or "150000 100000", microseconds.
    const std::optional<std::string> text = ReadSmallFile(folder + "/cpu.max");
    if (!text) return 0;
    const size_t space = text->find(' ');
    if (space == std::string::npos) return 0;
    quota = ParseNumber(std::string_view(*text).substr(0, space));
    period = ParseNumber(std::string_view(*text).substr(space));
  } else {
    // The quota is -1 where there is no limit, which is no number here.
    quota = ParseNumber(ReadSmallFile(folder + "/cpu.cfs_quota_us").value_or(""));
    period = ParseNumber(ReadSmallFile(folder + "/cpu.cfs_period_us").value_or(""));
  }
  if (!quota || !period || *period == 0) return 0;
  return static_cast<double>(*quota) / static_cast<double>(*period);
}

}  // namespace

int Topology::DefaultWorkers() const {
  int workers = physical_cores;
  if (cpu_quota > 0 && cpu_quota < workers) workers = static_cast<int>(cpu_quota);
  return std::clamp(workers, 1, 1024);
}

int CountCores(const std::string& root, const std::vector<int>& cpus) {
  std::set<std::string> cores;
  for (const int cpu : cpus) {
    const std::string folder = root + "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
    // core_id is not unique in a package of several dies or clusters; the list of siblings is. Its older name is the
    // second.
    std::optional<std::string> siblings = ReadSmallFile(folder + "core_cpus_list");
    if (!siblings || siblings->empty()) siblings = ReadSmallFile(folder + "thread_siblings_list");
    cores.insert(siblings && !siblings->empty() ? *siblings : std::to_string(cpu));
  }
  return std::max<int>(1, static_cast<int>(cores.size()));
}

double CpuQuota(const std::string& root) {
  double least = 0;
  VisitControlGroups(root, "cpu", [&least](const std::string& folder, bool unified) {
    const double quota = GroupQuota(folder, unified);
    if (quota > 0 && (least == 0 || quota < least)) least = quota;
  });
  return least;
}

Topology DetectTopology(const std::string& root) {
  Topology topology;
  topology.cpus = AffinityCpus();
  topology.physical_cores = CountCores(root, topology.cpus);
  topology.cpu_quota = CpuQuota(root);
  return topology;
}

}  // namespace mote::native
