// What the machine is, against what the system's own files say, and against made-up systems.
#include "targets/cpu/cpu_info.h"

#include <gtest/gtest.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <set>
#include <string>

#include "engine/core/context.h"

#if defined(__linux__)
#include <stdlib.h>
#include <sys/stat.h>

#include "targets/cpu/platform/proc_files.h"
#include "targets/cpu/platform/topology.h"
#endif

namespace mote::cpu {
namespace {

TEST(CpuInfo, IsComplete) {
  const CpuInfo info = DetectCpu();
  EXPECT_FALSE(info.architecture.empty());
  EXPECT_GE(info.physical_cores, 1);
  EXPECT_GE(info.logical_cpus, info.physical_cores);
  EXPECT_GE(info.online_cpus, info.logical_cpus);
  EXPECT_GE(info.default_workers, 1);
  EXPECT_LE(info.default_workers, info.physical_cores);
  EXPECT_GT(info.memory_total, 0u);
  EXPECT_LE(info.memory_available, info.memory_total);
  EXPECT_GE(info.page_bytes, 4096u);
  EXPECT_EQ(info.page_bytes & (info.page_bytes - 1), 0u);
  EXPECT_GE(info.numa_nodes, 1);
  EXPECT_EQ(std::set<std::string>(info.features.begin(), info.features.end()).size(), info.features.size());
  EXPECT_FALSE(info.Has(""));
  EXPECT_FALSE(
      info.Has("avx"
               "2048"));
}

TEST(CpuInfo, DefaultPoolHasThatManyWorkers) {
  Result<std::unique_ptr<ThreadPool>> pool = CreatePlatform()->CreateThreadPool(0);
  ASSERT_TRUE(pool.ok());
  EXPECT_EQ((*pool)->num_workers(), DetectCpu().default_workers);
}

#if defined(__linux__)
#if defined(__x86_64__)
// The kernel lists what it and the CPU can do; ours must be the same for the names that mean the same.
TEST(CpuInfo, AgreesWithTheKernel) {
  const std::string text = native::ReadSmallFile("/proc/cpuinfo").value_or("");
  const size_t flags = text.find("\nflags");
  if (flags == std::string::npos) GTEST_SKIP() << "no flags in /proc/cpuinfo";
  const std::string line = text.substr(flags + 1, text.find('\n', flags + 1) - flags - 1) + " ";
  const CpuInfo info = DetectCpu();
  for (const char* name :
       {"ssse3",       "sse4_1",      "sse4_2",   "popcnt",   "avx",      "f16c",        "fma",      "bmi2",
        "avx2",        "avx_vnni",    "avx512f",  "avx512bw", "avx512dq", "avx512cd",    "avx512vl", "avx512_vnni",
        "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16", "avx512_vbmi2"}) {
    EXPECT_EQ(info.Has(name), line.find(" " + std::string(name) + " ") != std::string::npos) << name;
  }
  EXPECT_EQ(info.Has("avx512_vbmi"), line.find(" avx512vbmi ") != std::string::npos);
  const size_t model = text.find("model name\t: ");
  ASSERT_NE(model, std::string::npos);
  EXPECT_NE(text.find(info.vendor), std::string::npos);
  EXPECT_FALSE(info.brand.empty());
  const bool same_name = text.compare(model + 13, info.brand.size(), info.brand) == 0;
  if (!same_name && line.find(" hypervisor ") != std::string::npos) {
    GTEST_SKIP() << "the hypervisor tells programs the name " << info.brand << ", and the kernel another one";
  }
  EXPECT_TRUE(same_name) << info.brand;
}
#endif

// A made-up system below a temporary folder.
class FakeRoot : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string path = ::testing::TempDir() + "mote_cpu_XXXXXX";
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    root_ = path;
  }
  void TearDown() override {
    for (auto it = made_.rbegin(); it != made_.rend(); ++it) remove(it->c_str());
    remove(root_.c_str());
  }
  void Write(const std::string& path, const std::string& text) {
    for (size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
      if (mkdir((root_ + path.substr(0, slash)).c_str(), 0700) == 0) made_.push_back(root_ + path.substr(0, slash));
    }
    FILE* file = fopen((root_ + path).c_str(), "wb");
    ASSERT_NE(file, nullptr) << path;
    fwrite(text.data(), 1, text.size(), file);
    fclose(file);
    made_.push_back(root_ + path);
  }
  void WriteMemory(const char* total, const char* available) {
    Write("/proc/meminfo", std::string("MemTotal:  ") + total + " kB\nMemFree:  1 kB\nMemAvailable:  " + available +
                               " kB\nSwapTotal: 0 kB\n");
  }

  std::string root_;
  std::vector<std::string> made_;
};

TEST_F(FakeRoot, NothingKnownIsNoError) {
  const CpuInfo info = DetectCpu(root_);
  EXPECT_EQ(info.memory_total, 0u);
  EXPECT_EQ(info.memory_limit, 0u);
  EXPECT_EQ(info.cpu_quota, 0);
  EXPECT_EQ(info.physical_cores, info.logical_cpus);
  EXPECT_EQ(info.numa_nodes, 1);
}

TEST_F(FakeRoot, CountsCoresBySiblings) {
  const char* siblings[] = {"0,4\n", "1,5\n", "2,6\n", "3,7\n"};
  for (int cpu = 0; cpu < 8; ++cpu) {
    // The older name for half of them.
    Write("/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/" +
              (cpu % 2 == 0 ? "core_cpus_list" : "thread_siblings_list"),
          siblings[cpu % 4]);
  }
  EXPECT_EQ(native::CountCores(root_, {0, 1, 2, 3, 4, 5, 6, 7}), 4);
  EXPECT_EQ(native::CountCores(root_, {0, 4}), 1);
  EXPECT_EQ(native::CountCores(root_, {0, 5, 6}), 3);
  EXPECT_EQ(native::CountCores(root_, {0, 4, 100, 101}), 3);  // not described: a core each
}

TEST_F(FakeRoot, QuotaOfVersion2IsTheLeastOnTheWay) {
  Write("/proc/self/cgroup", "0::/a/b\n");
  Write("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
  EXPECT_EQ(native::CpuQuota(root_), 0);
  Write("/sys/fs/cgroup/a/cpu.max", "250000 100000\n");
  EXPECT_EQ(native::CpuQuota(root_), 2.5);
  Write("/sys/fs/cgroup/cpu.max", "50000 100000\n");
  EXPECT_EQ(native::CpuQuota(root_), 0.5);
}

TEST_F(FakeRoot, QuotaWhereThePathIsTheHosts) {
  Write("/proc/self/cgroup", "0::/system.slice/docker-1234.scope\n");
  Write("/sys/fs/cgroup/cpu.max", "300000 100000\n");
  EXPECT_EQ(native::CpuQuota(root_), 3);
}

TEST_F(FakeRoot, QuotaOfVersion1) {
  Write("/proc/self/cgroup", "5:memory:/m\n4:cpu,cpuacct:/docker/x\n0::/\n");
  Write("/sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_quota_us", "-1\n");
  Write("/sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(native::CpuQuota(root_), 0);
  Write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "150000\n");
  Write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(native::CpuQuota(root_), 1.5);
}

TEST_F(FakeRoot, NonsenseIsNoQuota) {
  Write("/proc/self/cgroup", "garbage\n0:\n::\n0::/a//b/../c/\n:cpu\n");
  for (const char* text : {"", "max", "100", "100 0", "x y", "99999999999999999999999 100000", " ", "-5 100000"}) {
    Write("/sys/fs/cgroup/cpu.max", text);
    EXPECT_EQ(native::CpuQuota(root_), 0) << text;
  }
}

TEST(DefaultWorkers, CoresAndQuota) {
  const auto workers = [](int cores, double quota) {
    native::Topology topology;
    topology.physical_cores = cores;
    topology.cpu_quota = quota;
    return topology.DefaultWorkers();
  };
  EXPECT_EQ(workers(8, 0), 8);
  EXPECT_EQ(workers(8, 3.9), 3);
  EXPECT_EQ(workers(8, 0.5), 1);
  EXPECT_EQ(workers(4, 16), 4);
  EXPECT_EQ(workers(4000, 0), 1024);
}

TEST_F(FakeRoot, MemoryWithoutLimit) {
  WriteMemory("1000000", "400000");
  Write("/proc/self/cgroup", "0::/\n");
  Write("/sys/fs/cgroup/memory.max", "max\n");
  const CpuInfo info = DetectCpu(root_);
  EXPECT_EQ(info.memory_total, 1024000000u);
  EXPECT_EQ(info.memory_available, 409600000u);
  EXPECT_EQ(info.memory_limit, 0u);
}

TEST_F(FakeRoot, MemoryLimitOfTheGroup) {
  WriteMemory("1000000", "800000");
  Write("/proc/self/cgroup", "0::/g\n");
  Write("/sys/fs/cgroup/g/memory.max", "300000000\n");
  Write("/sys/fs/cgroup/g/memory.current", "250000000\n");
  Write("/sys/fs/cgroup/g/memory.stat", "anon 5\nfile 120000000\ninactive_file 100000000\n");
  const CpuInfo info = DetectCpu(root_);
  EXPECT_EQ(info.memory_limit, 300000000u);
  EXPECT_EQ(info.memory_available, 150000000u);
}

TEST_F(FakeRoot, MemoryLimitOfVersion1) {
  WriteMemory("1000000", "800000");
  Write("/proc/self/cgroup", "4:memory:/g\n");
  Write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");  // none
  Write("/sys/fs/cgroup/memory/g/memory.limit_in_bytes", "200000000\n");
  Write("/sys/fs/cgroup/memory/g/memory.usage_in_bytes", "250000000\n");
  Write("/sys/fs/cgroup/memory/g/memory.stat", "inactive_file 1\ntotal_inactive_file 90000000\n");
  const CpuInfo info = DetectCpu(root_);
  EXPECT_EQ(info.memory_limit, 200000000u);
  EXPECT_EQ(info.memory_available, 40000000u);
}

TEST_F(FakeRoot, CachesPagesAndNodes) {
  const int cpu = native::DetectTopology().cpus.front();
  const std::string caches = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/cache/index";
  const struct {
    const char* type;
    const char* level;
    const char* size;
    const char* shared;
  } rows[] = {{"Data\n", "1\n", "48K\n", "0\n"},
              {"Instruction\n", "1\n", "32K\n", "0\n"},
              {"Unified\n", "2\n", "2048K\n", "0,8\n"},
              {"Unified\n", "3\n", "32M\n", "0-7,16-23\n"}};
  for (size_t i = 0; i < 4; ++i) {
    Write(caches + std::to_string(i) + "/type", rows[i].type);
    Write(caches + std::to_string(i) + "/level", rows[i].level);
    Write(caches + std::to_string(i) + "/size", rows[i].size);
    Write(caches + std::to_string(i) + "/shared_cpu_list", rows[i].shared);
  }
  Write("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
  Write("/sys/devices/system/node/online", "0-1\n");
  const CpuInfo info = DetectCpu(root_);
  EXPECT_EQ(info.l1d.bytes, 48u << 10);
  EXPECT_EQ(info.l1d.shared_by, 1);
  EXPECT_EQ(info.l2.bytes, 2u << 20);
  EXPECT_EQ(info.l2.shared_by, 2);
  EXPECT_EQ(info.l3.bytes, 32u << 20);
  EXPECT_EQ(info.l3.shared_by, 16);
  EXPECT_EQ(info.transparent_huge_pages, "madvise");
  EXPECT_EQ(info.numa_nodes, 2);
}

TEST(ProcFiles, IdLists) {
  EXPECT_EQ(native::CountIdList("0"), 1);
  EXPECT_EQ(native::CountIdList("0-3,8,10-11"), 7);
  for (const char* wrong : {"", "x", "3-1", "-", "1-", "0-99999999999999999999", "0-4294967295", "0,,1"}) {
    EXPECT_EQ(native::CountIdList(wrong), 0) << wrong;
  }
}

TEST(ProcFiles, Numbers) {
  EXPECT_EQ(native::ParseNumber(" \t42 kB"), 42u);
  EXPECT_EQ(native::ParseNumber("18446744073709551615"), UINT64_MAX);
  for (const char* wrong : {"", " ", "x1", "-1", "18446744073709551616", "max"}) {
    EXPECT_FALSE(native::ParseNumber(wrong).has_value()) << wrong;
  }
}
#endif  // defined(__linux__)

}  // namespace
}  // namespace mote::cpu
