#include "edge/server/ops/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <system_error>

namespace mote::server {
namespace {

namespace fs = std::filesystem;

// Energy counters of Intel's and AMD's drivers step about once a millisecond, so half a second is read to 1 %.
constexpr double kLeastInterval = 0.5;  // seconds
constexpr size_t kMostBytes = 65536;    // of one file of /proc or /sys

// Files of /proc and /sys say 0 or 4096 for their size: read until the end. Absent where it cannot be read.
std::optional<std::string> ReadAll(const std::string& path) {
  FILE* file = fopen(path.c_str(), "re");
  if (file == nullptr) return std::nullopt;
  std::string text(kMostBytes, '\0');
  const size_t got = fread(text.data(), 1, text.size(), file);
  const bool failed = ferror(file) != 0;
  fclose(file);
  if (failed) return std::nullopt;
  text.resize(got);
  return text;
}

std::optional<std::string> ReadLine(const std::string& path) {
  std::optional<std::string> text = ReadAll(path);
  if (!text) return std::nullopt;
  text->resize(std::min(text->find('\n'), text->size()));
  return text;
}

std::optional<double> ReadNumber(const std::string& path) {
  const std::optional<std::string> text = ReadLine(path);
  if (!text || text->empty()) return std::nullopt;
  char* end = nullptr;
  const double value = strtod(text->c_str(), &end);
  if (end == text->c_str()) return std::nullopt;
  return value;
}

// The number after `key` at the start of a line: "MemAvailable:  123 kB", "inactive_file 123".
std::optional<uint64_t> NumberAfter(const std::string& text, std::string_view key) {
  for (size_t at = 0; at < text.size();) {
    if (text.compare(at, key.size(), key) == 0) return strtoull(text.c_str() + at + key.size(), nullptr, 10);
    const size_t end = text.find('\n', at);
    if (end == std::string::npos) break;
    at = end + 1;
  }
  return std::nullopt;
}

// Names of a folder's entries that begin so, sorted; none where the folder is not there.
std::vector<std::string> Entries(const std::string& folder, std::string_view prefix) {
  std::vector<std::string> names;
  std::error_code error;
  fs::directory_iterator entry(folder, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    std::string name = entry->path().filename().string();
    if (name.starts_with(prefix)) names.push_back(std::move(name));
  }
  std::sort(names.begin(), names.end());
  return names;
}

// Fields of /proc/self/stat after the name of the program, which may hold spaces and brackets: field 3 is at 0.
std::vector<std::string> StatFields(const std::string& text) {
  std::vector<std::string> fields;
  size_t at = text.rfind(')');
  if (at == std::string::npos) return fields;
  for (++at; at < text.size();) {
    at = text.find_first_not_of(" \n", at);
    if (at == std::string::npos) break;
    const size_t end = std::min(text.find_first_of(" \n", at), text.size());
    fields.push_back(text.substr(at, end - at));
    at = end;
  }
  return fields;
}

ProcessFacts ReadProcess(const std::string& root) {
  ProcessFacts facts;
  const double tick = 1.0 / static_cast<double>(sysconf(_SC_CLK_TCK));
  if (const auto text = ReadAll(root + "proc/self/stat")) {
    // proc(5) numbers from 1, and 1 and 2 are cut off above: utime 14, stime 15, num_threads 20, starttime 22, vsize
    // 23, rss 24.
    const std::vector<std::string> fields = StatFields(*text);
    const auto number = [&](size_t field) { return strtoull(fields[field - 3].c_str(), nullptr, 10); };
    if (fields.size() > 24 - 3) {
      facts.cpu_seconds = static_cast<double>(number(14) + number(15)) * tick;
      facts.threads = static_cast<uint32_t>(number(20));
      facts.virtual_bytes = number(23);
      facts.resident_bytes = number(24) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
      if (const auto boot_text = ReadAll(root + "proc/stat")) {
        if (const auto boot = NumberAfter(*boot_text, "btime ")) {
          facts.start_time = static_cast<double>(*boot) + static_cast<double>(number(22)) * tick;
        }
      }
    }
  }
  const size_t files = Entries(root + "proc/self/fd", "").size();
  if (files > 0) facts.open_files = static_cast<uint32_t>(files);
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) facts.max_files = limit.rlim_cur;
  return facts;
}

}  // namespace

Machine::Machine(std::string root) : root_(root.ends_with('/') ? std::move(root) : root + "/") {}

MachineFacts Machine::Read(double now) {
  MachineFacts facts;
  facts.process = ReadProcess(root_);
  ReadMemory(&facts);
  ReadTemperatures(&facts);
  ReadEnergyCounters(now, &facts);
  ReadPowerSensors(&facts);
  ReadClocks(&facts);
  facts.throttling = ReadBrakes();
  return facts;
}

void Machine::ReadMemory(MachineFacts* facts) const {
  if (const auto text = ReadAll(root_ + "proc/meminfo")) {
    if (const auto total = NumberAfter(*text, "MemTotal:")) facts->memory_total = *total * 1024;
    if (const auto available = NumberAfter(*text, "MemAvailable:")) facts->memory_available = *available * 1024;
  }
  // In a container the control group counts. Its current use includes pages of files that the kernel would drop first.
  const std::string group = root_ + "sys/fs/cgroup/";
  const auto limit = ReadNumber(group + "memory.max");  // absent for "max"
  const auto used = ReadNumber(group + "memory.current");
  if (!limit || !used || *limit < 0 || *used < 0) return;
  uint64_t held = static_cast<uint64_t>(*used);
  if (const auto text = ReadAll(group + "memory.stat")) {
    held -= std::min(held, NumberAfter(*text, "inactive_file ").value_or(0));
  }
  const uint64_t most = static_cast<uint64_t>(*limit);
  facts->memory_total = std::min(facts->memory_total.value_or(UINT64_MAX), most);
  facts->memory_available = std::min(facts->memory_available.value_or(UINT64_MAX), most - std::min(most, held));
}

void Machine::ReadTemperatures(MachineFacts* facts) const {
  const std::string folder = root_ + "sys/class/thermal/";
  for (const std::string& zone : Entries(folder, "thermal_zone")) {
    const auto milli = ReadNumber(folder + zone + "/temp");
    // A zone that is switched off reads as an error, as 0 or as far below any weather.
    if (!milli || *milli <= -60000 || *milli == 0) continue;
    facts->temperatures.push_back({zone, ReadLine(folder + zone + "/type").value_or(zone), *milli / 1000});
  }
}

void Machine::ReadEnergyCounters(double now, MachineFacts* facts) {
  const std::string folder = root_ + "sys/class/powercap/";
  const std::lock_guard lock(mutex_);
  for (const std::string& zone : Entries(folder, "intel-rapl:")) {
    const auto micro = ReadNumber(folder + zone + "/energy_uj");
    if (!micro) continue;
    const double joules = *micro / 1e6;
    const auto [found, is_new] = meters_.try_emplace(zone, Meter{joules, now, std::nullopt});
    Meter& meter = found->second;
    if (!is_new && now - meter.time >= kLeastInterval) {
      double spent = joules - meter.joules;
      // The counter starts again at its range.
      if (spent < 0) spent += ReadNumber(folder + zone + "/max_energy_range_uj").value_or(0) / 1e6;
      meter.watts = spent >= 0 ? std::optional(spent / (now - meter.time)) : std::nullopt;
      meter.joules = joules;
      meter.time = now;
    }
    if (meter.watts) facts->power.push_back({zone, ReadLine(folder + zone + "/name").value_or(zone), *meter.watts});
  }
}

void Machine::ReadPowerSensors(MachineFacts* facts) const {
  const std::string folder = root_ + "sys/class/hwmon/";
  for (const std::string& device : Entries(folder, "hwmon")) {
    const std::string base = folder + device + "/";
    const std::string driver = ReadLine(base + "name").value_or(device);
    for (int channel = 1; channel <= 8; ++channel) {
      const std::string number = std::to_string(channel);
      auto micro = ReadNumber(base + "power" + number + "_input");
      if (!micro) micro = ReadNumber(base + "power" + number + "_average");
      std::string label = "power" + number + "_label";
      // Jetson boards: a shunt monitor with three channels of millivolts and milliamperes, labelled by rail.
      if (!micro && driver == "ina3221" && channel <= 3) {
        const auto millivolts = ReadNumber(base + "in" + number + "_input");
        const auto milliamperes = ReadNumber(base + "curr" + number + "_input");
        if (millivolts && milliamperes) micro = *millivolts * *milliamperes;
        label = "in" + number + "_label";
      }
      if (!micro) continue;
      facts->power.push_back({device + "/" + number, ReadLine(base + label).value_or(driver), *micro / 1e6});
    }
  }
}

void Machine::ReadClocks(MachineFacts* facts) const {
  const std::string cpus = root_ + "sys/devices/system/cpu/";
  for (const std::string& cpu : Entries(cpus, "cpu")) {
    const auto kilohertz = ReadNumber(cpus + cpu + "/cpufreq/scaling_cur_freq");
    if (!kilohertz) continue;
    facts->clocks.push_back({cpu, *kilohertz * 1e3});
  }
  const std::string devices = root_ + "sys/class/devfreq/";
  for (const std::string& device : Entries(devices, "")) {
    const auto hertz = ReadNumber(devices + device + "/cur_freq");
    if (!hertz) continue;
    facts->clocks.push_back({device, *hertz});
  }
}

std::vector<std::string> Machine::ReadBrakes() const {
  std::vector<std::string> brakes;
  const std::string folder = root_ + "sys/class/thermal/";
  for (const std::string& device : Entries(folder, "cooling_device")) {
    const std::string type = ReadLine(folder + device + "/type").value_or(device);
    const auto state = ReadNumber(folder + device + "/cur_state");
    if (!state || *state <= 0 || type.find("fan") != std::string::npos || type.find("Fan") != std::string::npos)
      continue;
    brakes.push_back(type);
  }
  return brakes;
}

void Machine::ReadBoardGpu(std::optional<double>* load, std::optional<double>* clock) const {
  for (const char* path : {"sys/devices/gpu.0/load", "sys/devices/platform/gpu.0/load",
                           "sys/devices/platform/bus@0/17000000.gpu/load", "sys/devices/platform/17000000.gpu/load"}) {
    if (const auto mille = ReadNumber(root_ + path)) {
      *load = *mille / 1000;
      break;
    }
  }
  const std::string devices = root_ + "sys/class/devfreq/";
  for (const std::string& device : Entries(devices, "")) {
    if (device.find("gpu") == std::string::npos && device.find("gv11b") == std::string::npos &&
        device.find("ga10b") == std::string::npos) {
      continue;
    }
    if (const auto hertz = ReadNumber(devices + device + "/cur_freq")) *clock = *hertz;
  }
}

std::optional<uint64_t> FreeDiskBytes(const std::string& path) {
  struct statvfs info = {};
  if (statvfs(path.c_str(), &info) != 0) return std::nullopt;
  return static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
}

}  // namespace mote::server
