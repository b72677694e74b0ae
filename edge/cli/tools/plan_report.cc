#include "edge/cli/tools/plan_report.h"

#include <vector>

#include "edge/cli/console.h"
#include "engine/run/planner.h"

namespace mote::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr DType kTypes[] = {DType::kQ4_K, DType::kQ6_K, DType::kQ8_0, DType::kF16};
constexpr uint32_t kPositions = 2048;  // in the session's cache

Json RowToJson(const PlanDevice& device, const PlanModel& model, DType type) {
  const uint32_t layers = PlanLayers(device, model, type, kPositions);
  const auto limit = [&](uint32_t on_gpu) { return LimitOf(device, model, type, on_gpu, kPositions); };
  Json row = {{"model", model.name},
              {"type", DTypeName(type)},
              {"bytes", BytesOf(model, type).total(model.layers)},
              {"layers", model.layers},
              {"fits", FitsMachine(device, model, type, kPositions)},
              {"gpu_layers", device.has_gpu ? layers : 0}};
  if (!row["fits"].get<bool>()) return row;
  row["limit"] = limit(layers);
  if (device.has_gpu && !device.shared_memory) {
    if (layers >= model.layers / 2) row["limit_half"] = limit(model.layers / 2);
    row["limit_cpu"] = limit(0);
  }
  return row;
}

Json DeviceToJson(const PlanDevice& device) {
  Json json = {{"device", device.name},
               {"title", device.title},
               {"source", device.source},
               {"bytes_per_second", device.bytes_per_second},
               {"memory_bytes", device.memory_bytes},
               {"has_gpu", device.has_gpu},
               {"shared_memory", device.shared_memory},
               {"host_bytes_per_second", device.host_bytes_per_second},
               {"positions", kPositions},
               {"rows", Json::array()}};
  for (const PlanModel& model : PlanModels()) {
    for (const DType type : kTypes) json["rows"].push_back(RowToJson(device, model, type));
  }
  return json;
}

std::string Speed(const Json& row, const char* key) {
  return row.contains(key) ? Format("%.1f", row[key].get<double>()) : "";
}

std::string DeviceToText(const Json& device) {
  const bool split = device["has_gpu"].get<bool>() && !device["shared_memory"].get<bool>();
  std::string text =
      Format("### %s (`%s`)\n\n%.1f GB/s", device["title"].get<std::string>().c_str(),
             device["device"].get<std::string>().c_str(), device["bytes_per_second"].get<double>() / 1e9);
  if (split) text += Format("; %.1f GB/s beside it", device["host_bytes_per_second"].get<double>() / 1e9);
  if (device["shared_memory"].get<bool>()) text += ", shared by CPU and GPU";
  text += ". Source: " + device["source"].get<std::string>() + ".\n\n";
  text += split ? "| model | type | GB | layers on the GPU | tokens/s at most | half on the GPU | all on the CPU |\n"
                  "|---|---|---:|---:|---:|---:|---:|\n"
                : "| model | type | GB | tokens/s at most |\n|---|---|---:|---:|\n";
  for (const Json& row : device["rows"]) {
    const bool fits = row["fits"].get<bool>();
    text += Format("| %s | %s | %.1f |", row["model"].get<std::string>().c_str(),
                   row["type"].get<std::string>().c_str(), static_cast<double>(row["bytes"].get<uint64_t>()) / 1e9);
    const std::string most = fits ? Speed(row, "limit") : "does not fit";
    if (split) {
      text += Format(" %u of %u | %s | %s | %s |\n", row["gpu_layers"].get<uint32_t>(), row["layers"].get<uint32_t>(),
                     most.c_str(), Speed(row, "limit_half").c_str(), Speed(row, "limit_cpu").c_str());
    } else {
      text += " " + most + " |\n";
    }
  }
  return text;
}

}  // namespace

Json PlanToJson(const std::string& name) {
  Json plan = Json::array();
  if (name == "all") {
    for (const PlanDevice& device : PlanDevices()) plan.push_back(DeviceToJson(device));
    return plan;
  }
  const Result<PlanDevice> device = FindPlanDevice(name);
  if (!device.ok()) WrongWords("--plan: " + device.status().message() + ", and all");
  plan.push_back(DeviceToJson(*device));
  return plan;
}

std::string PlanToText(const Json& plan) {
  std::string text;
  for (const Json& device : plan) text += (text.empty() ? "" : "\n") + DeviceToText(device);
  return text;
}

}  // namespace mote::cli
