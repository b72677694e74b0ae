// Which CPUs this process may use.
#ifndef MOTE_TARGETS_CPU_PLATFORM_TOPOLOGY_H_
#define MOTE_TARGETS_CPU_PLATFORM_TOPOLOGY_H_

#include <string>
#include <vector>

namespace mote::native {

struct Topology {
  std::vector<int> cpus;   // ids of the logical CPUs in this process's affinity mask, ascending; at least one
  int physical_cores = 1;  // distinct cores among them
  double cpu_quota = 0;    // CPUs' worth of time that the control group grants; 0: no limit

  // One per physical core: the units that matter to mote are shared by the threads of a core. Not more than whole CPUs
  // of quota: a group that has used up its quota is stopped as a whole until the next period (100 ms), in the middle of
  // a step.
  int DefaultWorkers() const;
};

// Never fails. `root` stands before /proc and /sys (for tests).
Topology DetectTopology(const std::string& root = "");

// The parts, for tests. Cores are told apart by their lists of sibling threads.
int CountCores(const std::string& root, const std::vector<int>& cpus);
double CpuQuota(const std::string& root);

}  // namespace mote::native

#endif  // MOTE_TARGETS_CPU_PLATFORM_TOPOLOGY_H_
