#include "edge/cli/tools/peaks_report.h"

#include <utility>

#include "edge/cli/console.h"
#include "edge/cli/options.h"

namespace mote::cli {

using Json = nlohmann::ordered_json;

cpu::Peaks TakePeaks(ThreadPool& pool, const Clock& clock, const cpu::CpuInfo& info, int passes) {
  cpu::PeakOptions options;
  options.passes = passes;
  options.isa = ForcedIsa();
  Result<cpu::Peaks> peaks = cpu::MeasurePeaks(pool, clock, info, options);
  if (!peaks.ok()) Fail(peaks.status().message());
  return std::move(peaks).value();
}

Json PeaksToJson(const cpu::Peaks& peaks) {
  Json json = {{"bandwidth", Json::array()}, {"compute", Json::array()}};
  const auto rate = [](const cpu::Rate& r) { return Json{{"min", r.min}, {"median", r.median}, {"max", r.max}}; };
  for (const cpu::BandwidthRow& row : peaks.bandwidth) {
    json["bandwidth"].push_back({{"level", row.level},
                                 {"working_set", row.bytes},
                                 {"threads", row.workers},
                                 {"bytes_per_second", rate(row.bytes_per_second)}});
  }
  for (const cpu::ComputeRow& row : peaks.compute) {
    json["compute"].push_back({{"kind", row.kind},
                               {"instruction", row.primitive},
                               {"threads", row.workers},
                               {"ops_per_second", rate(row.ops_per_second)}});
  }
  return json;
}

std::string PeaksToText(const Json& peaks) {
  std::string text;
  const auto line = [&text](const std::string& what, int threads, const Json& rate, double unit, const char* name) {
    text += Format("  %-34s %3d thread%s %9.1f %9.1f %9.1f %s\n", what.c_str(), threads, threads == 1 ? " " : "s",
                   rate["max"].get<double>() / unit, rate["median"].get<double>() / unit,
                   rate["min"].get<double>() / unit, name);
  };
  for (const Json& row : peaks["bandwidth"]) {
    line("read " + row["level"].get<std::string>() + " (" + HumanBytes(row["working_set"].get<uint64_t>()) + ")",
         row["threads"].get<int>(), row["bytes_per_second"], 1e9, "GB/s");
  }
  for (const Json& row : peaks["compute"]) {
    line(row["kind"].get<std::string>() + " (" + row["instruction"].get<std::string>() + ")", row["threads"].get<int>(),
         row["ops_per_second"], 1e9, "Gop/s");
  }
  return text;
}

std::string PeaksToCsv(const Json& peaks) {
  std::string text = "what,instruction,threads,working_set,unit,best,median,worst\n";
  for (const Json& row : peaks["bandwidth"]) {
    const Json& rate = row["bytes_per_second"];
    text += Format("read %s,,%d,%llu,bytes/s,%.4g,%.4g,%.4g\n", row["level"].get<std::string>().c_str(),
                   row["threads"].get<int>(), static_cast<unsigned long long>(row["working_set"].get<uint64_t>()),
                   rate["max"].get<double>(), rate["median"].get<double>(), rate["min"].get<double>());
  }
  for (const Json& row : peaks["compute"]) {
    const Json& rate = row["ops_per_second"];
    text += Format("%s,\"%s\",%d,,op/s,%.4g,%.4g,%.4g\n", row["kind"].get<std::string>().c_str(),
                   row["instruction"].get<std::string>().c_str(), row["threads"].get<int>(), rate["max"].get<double>(),
                   rate["median"].get<double>(), rate["min"].get<double>());
  }
  return text;
}

}  // namespace mote::cli
