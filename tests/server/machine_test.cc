// What the operating system tells, from folders made for the purpose; and this machine, where it must agree with
// itself.
#include "edge/server/ops/machine.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace mote::server {
namespace {

namespace fs = std::filesystem;

class MachineTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/mote-machine-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    root_ = name;
  }
  void TearDown() override { fs::remove_all(root_); }
  void Put(const std::string& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  fs::path root_;
};

TEST_F(MachineTest, WhatIsNotThereIsAbsent) {
  Machine machine(root_.string());
  const MachineFacts facts = machine.Read(1);
  EXPECT_FALSE(facts.process.resident_bytes);
  EXPECT_FALSE(facts.process.start_time);
  EXPECT_FALSE(facts.memory_available);
  EXPECT_TRUE(facts.temperatures.empty());
  EXPECT_TRUE(facts.power.empty());
}

TEST_F(MachineTest, ProcessOfOddName) {
  Put("proc/self/stat",
      "7 (a ) b (c) S 1 7 7 0 -1 4194560 500 0 0 0 250 150 0 0 20 0 12 0 1000 123456789 77 18446744073709551615\n");
  Put("proc/stat", "cpu 1 2 3\nbtime 1700000000\nprocesses 9\n");
  Put("proc/self/fd/0", "");
  Put("proc/self/fd/1", "");
  const ProcessFacts facts = Machine(root_.string()).Read(1).process;
  const double tick = static_cast<double>(sysconf(_SC_CLK_TCK));
  EXPECT_DOUBLE_EQ(facts.cpu_seconds.value(), 400 / tick);
  EXPECT_EQ(facts.threads.value(), 12u);
  EXPECT_EQ(facts.virtual_bytes.value(), 123456789u);
  EXPECT_EQ(facts.resident_bytes.value(), 77u * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)));
  EXPECT_DOUBLE_EQ(facts.start_time.value(), 1700000000 + 1000 / tick);
  EXPECT_EQ(facts.open_files.value(), 2u);
}

TEST_F(MachineTest, MemoryIsHeldToTheControlGroup) {
  Put("proc/meminfo", "MemTotal:  8000 kB\nMemFree:  10 kB\nMemAvailable:  4000 kB\n");
  Machine machine(root_.string());
  MachineFacts facts;
  machine.ReadMemory(&facts);
  EXPECT_EQ(facts.memory_total.value(), 8000u * 1024);
  EXPECT_EQ(facts.memory_available.value(), 4000u * 1024);
  Put("sys/fs/cgroup/memory.max", "max\n");
  Put("sys/fs/cgroup/memory.current", "1000000\n");
  machine.ReadMemory(&facts);
  EXPECT_EQ(facts.memory_available.value(), 4000u * 1024);
  Put("sys/fs/cgroup/memory.max", "1048576\n");
  Put("sys/fs/cgroup/memory.stat", "anon 5\ninactive_file 400000\n");
  machine.ReadMemory(&facts);
  EXPECT_EQ(facts.memory_total.value(), 1048576u);
  EXPECT_EQ(facts.memory_available.value(), 1048576u - 600000u);
}

TEST_F(MachineTest, TemperaturesOfZonesThatTell) {
  Put("sys/class/thermal/thermal_zone0/temp", "48500\n");
  Put("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n");
  Put("sys/class/thermal/thermal_zone1/temp", "0\n");
  Put("sys/class/thermal/thermal_zone1/type", "off\n");
  Put("sys/class/thermal/thermal_zone2/temp", "-256000\n");
  Put("sys/class/thermal/cooling_device0/temp", "1000\n");
  const MachineFacts facts = Machine(root_.string()).Read(1);
  ASSERT_EQ(facts.temperatures.size(), 1u);
  EXPECT_EQ(facts.temperatures[0].id, "thermal_zone0");
  EXPECT_EQ(facts.temperatures[0].name, "cpu-thermal");
  EXPECT_DOUBLE_EQ(facts.temperatures[0].value, 48.5);
}

TEST_F(MachineTest, EnergyBecomesWattsBetweenTwoReadings) {
  const std::string zone = "sys/class/powercap/intel-rapl:0/";
  Put(zone + "name", "package-0\n");
  Put(zone + "max_energy_range_uj", "100000000\n");
  Put(zone + "energy_uj", "90000000\n");
  Machine machine(root_.string());
  EXPECT_TRUE(machine.Read(10).power.empty());
  Put(zone + "energy_uj", "98000000\n");
  MachineFacts facts = machine.Read(12);
  ASSERT_EQ(facts.power.size(), 1u);
  EXPECT_EQ(facts.power[0].name, "package-0");
  EXPECT_DOUBLE_EQ(facts.power[0].value, 4);
  // Too soon to tell: the figure stays, and the counter's steps are not lost.
  Put(zone + "energy_uj", "99000000\n");
  EXPECT_DOUBLE_EQ(machine.Read(12.1).power.at(0).value, 4);
  // Past its range the counter begins again: 2 J to the end and 4 J from there.
  Put(zone + "energy_uj", "4000000\n");
  EXPECT_DOUBLE_EQ(machine.Read(14).power.at(0).value, 3);
}

TEST_F(MachineTest, PowerOfABoardsMonitor) {
  const std::string device = "sys/class/hwmon/hwmon1/";
  Put(device + "name", "ina3221\n");
  Put(device + "in1_input", "5000\n");
  Put(device + "curr1_input", "1200\n");
  Put(device + "in1_label", "VDD_IN\n");
  Put(device + "in2_input", "5000\n");  // no current: no watts
  Put("sys/class/hwmon/hwmon0/name", "amdgpu\n");
  Put("sys/class/hwmon/hwmon0/power1_average", "12500000\n");
  const MachineFacts facts = Machine(root_.string()).Read(1);
  ASSERT_EQ(facts.power.size(), 2u);
  EXPECT_EQ(facts.power[0].name, "amdgpu");
  EXPECT_DOUBLE_EQ(facts.power[0].value, 12.5);
  EXPECT_EQ(facts.power[1].id, "hwmon1/1");
  EXPECT_EQ(facts.power[1].name, "VDD_IN");
  EXPECT_DOUBLE_EQ(facts.power[1].value, 6);
}

TEST_F(MachineTest, ClocksAndBrakesOfABoard) {
  Put("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "1190400\n");
  Put("sys/devices/system/cpu/cpufreq/boost", "0\n");
  Put("sys/class/devfreq/17000000.gpu/cur_freq", "612000000\n");
  Put("sys/devices/platform/17000000.gpu/load", "437\n");
  Put("sys/class/thermal/cooling_device0/type", "pwm-fan\n");
  Put("sys/class/thermal/cooling_device0/cur_state", "3\n");
  Put("sys/class/thermal/cooling_device1/type", "cpufreq-cpu0\n");
  Put("sys/class/thermal/cooling_device1/cur_state", "2\n");
  Put("sys/class/thermal/cooling_device2/type", "devfreq-17000000.gpu\n");
  Put("sys/class/thermal/cooling_device2/cur_state", "0\n");
  const Machine machine(root_.string());
  const MachineFacts facts = Machine(root_.string()).Read(1);
  ASSERT_EQ(facts.clocks.size(), 2u);
  EXPECT_EQ(facts.clocks[0].id, "cpu0");
  EXPECT_DOUBLE_EQ(facts.clocks[0].hertz, 1.1904e9);
  EXPECT_DOUBLE_EQ(facts.clocks[1].hertz, 6.12e8);
  EXPECT_EQ(facts.throttling, std::vector<std::string>{"cpufreq-cpu0"});
  std::optional<double> load, clock;
  machine.ReadBoardGpu(&load, &clock);
  EXPECT_DOUBLE_EQ(load.value(), 0.437);
  EXPECT_DOUBLE_EQ(clock.value(), 6.12e8);
}

TEST(Machine, ThisOneTellsOfThisProcess) {
  const MachineFacts facts = Machine().Read(1);
  if (!facts.process.resident_bytes) GTEST_SKIP() << "no /proc here";
  EXPECT_GT(*facts.process.resident_bytes, 100u * 1024);
  EXPECT_GE(facts.process.virtual_bytes.value(), *facts.process.resident_bytes);
  EXPECT_GE(facts.process.threads.value(), 1u);
  EXPECT_GE(facts.process.open_files.value(), 3u);
  EXPECT_GT(facts.process.start_time.value(), 1.6e9);
  EXPECT_LE(facts.memory_available.value(), facts.memory_total.value());
  EXPECT_GT(FreeDiskBytes("/tmp").value_or(0), 0u);
  EXPECT_FALSE(FreeDiskBytes("/no/such/folder"));
}

}  // namespace
}  // namespace mote::server
