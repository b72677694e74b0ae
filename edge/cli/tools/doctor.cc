// mote doctor: what this machine is, how fast it is at best, and what will run on it.
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "edge/cli/commands.h"
#include "edge/cli/console.h"
#include "edge/cli/json_text.h"
#include "edge/cli/options.h"
#include "edge/cli/tools/gpu_report.h"
#include "edge/cli/tools/model_file.h"
#include "edge/cli/tools/peaks_report.h"
#include "edge/cli/tools/plan_report.h"
#include "engine/api/mote.h"
#include "engine/arch/arch.h"
#include "engine/run/planner.h"
#include "targets/cpu/cpu_info.h"
#include "targets/cpu/peaks.h"

namespace mote::cli {
namespace {

using Json = nlohmann::ordered_json;

// Room for the system, the program and a cache, beside the weights.
constexpr double kUsableShare = 0.85;

// Bits per weight of the types that people choose between, scales included (block bytes * 8 / block values).
constexpr struct {
  const char* type;
  double bits;
} kCommonTypes[] = {{"Q4_0", 4.5}, {"Q4_K", 4.5}, {"Q8_0", 8.5}, {"F16", 16}};

struct Isa {
  std::string name;
  std::string why;
};

Isa ChosenIsa() {
  const std::string forced = ForcedIsa();
  if (!forced.empty()) return {forced, "forced by MOTE_ISA"};
  std::string missing;
  for (size_t i = 0; mote_isa_name(i) != nullptr; ++i) {
    if (mote_isa_can_run(i) != 0) {
      return {mote_isa_name(i), missing.empty() ? "the best that this build has" : "this CPU cannot run " + missing};
    }
    missing += (missing.empty() ? "" : ", ") + std::string(mote_isa_name(i));
  }
  return {"none", "no instruction set in this build runs here"};
}

Json CacheToJson(const cpu::CacheInfo& cache) {
  return {{"bytes", cache.bytes}, {"shared_by", cache.shared_by}};
}

Json CpuToJson(const cpu::CpuInfo& info, const Isa& isa) {
  return {{"architecture", info.architecture},
          {"vendor", info.vendor},
          {"brand", info.brand},
          {"features", info.features},
          {"isa", isa.name},
          {"isa_reason", isa.why},
          {"online_cpus", info.online_cpus},
          {"logical_cpus", info.logical_cpus},
          {"physical_cores", info.physical_cores},
          {"cpu_quota", info.cpu_quota},
          {"threads", info.default_workers},
          {"l1d", CacheToJson(info.l1d)},
          {"l2", CacheToJson(info.l2)},
          {"l3", CacheToJson(info.l3)}};
}

Json MemoryToJson(const cpu::CpuInfo& info) {
  return {{"total", info.memory_total},
          {"available", info.memory_available},
          {"limit", info.memory_limit},
          {"page_bytes", info.page_bytes},
          {"transparent_huge_pages", info.transparent_huge_pages},
          {"numa_nodes", info.numa_nodes}};
}

// Parameters that fit, by type, and how fast such a model could at best be written with: each token reads it once.
Json FitsToJson(const cpu::CpuInfo& info, double bandwidth) {
  Json list = Json::array();
  for (const auto& common : kCommonTypes) {
    const double bytes = static_cast<double>(info.memory_available) * kUsableShare;
    list.push_back({{"type", common.type},
                    {"parameters", static_cast<uint64_t>(bytes * 8 / common.bits)},
                    {"tokens_per_second_at_1b", bandwidth * 8 / common.bits / 1e9}});
  }
  return list;
}

// What to take instead, or how far the context could go, in the memory that is free.
Json AdviceToJson(const ModelOptions& options, const GgufFile& file, const mote_memory& memory, const TokenWork& work,
                  uint64_t free_bytes) {
  MemoryShape shape;
  shape.weight_bytes = memory.weights;
  shape.values = work.values;
  shape.scratch_bytes = memory.scratch;
  shape.batch = options.batch;
  const Result<HyperParams> hyper = ReadHyperParams(file);
  if (!hyper.ok() || hyper->context_train == 0) return nullptr;
  shape.context_train = hyper->context_train;
  const uint32_t context = options.context != 0 ? options.context : std::min(shape.context_train, 8192u);
  shape.cache_bytes_position = memory.cache / context;
  const MemoryAdvice advice = AdviseMemory(shape, free_bytes);
  return {{"fits", advice.fits}, {"precision", advice.precision}, {"context", advice.context}, {"batch", advice.batch}};
}

Json ModelToJson(const ModelOptions& options, const Json& gpus, const GgufFile& file, const cpu::CpuInfo& info,
                 double bandwidth) {
  Json json = {{"file", options.path}};
  mote_memory memory = {};
  memory.struct_size = sizeof(memory);
  mote_error error = {};
  const mote_model_params params = options.Params();
  if (mote_model_measure(options.path.c_str(), &params, &memory, &error) != MOTE_OK) {
    json["runs"] = false;
    json["reason"] = error.message;
    return json;
  }
  const TokenWork work = WorkPerToken(file);
  json["memory"] = {
      {"weights", memory.weights}, {"scratch", memory.scratch}, {"cache", memory.cache}, {"total", memory.total}};
  json["runs"] = info.memory_available == 0 || memory.total <= info.memory_available;
  if (!json["runs"].get<bool>()) {
    json["reason"] = Format("needs %s, available are %s; try a smaller -c, or a model of fewer bits",
                            HumanBytes(memory.total).c_str(), HumanBytes(info.memory_available).c_str());
  }
  json["tokens_per_second_limit"] = work.bytes_read == 0 ? 0 : bandwidth / static_cast<double>(work.bytes_read);
  const Json advice = AdviceToJson(options, file, memory, work, info.memory_available);
  if (!advice.is_null()) json["advice"] = advice;
  for (const Json& gpu : gpus["gpus"]) {
    const Json own = AdviceToJson(options, file, memory, work, gpu["memory_free"].get<uint64_t>());
    if (!own.is_null() && !gpu.contains("unusable")) json["gpu_advice"].push_back(own);
  }
  return json;
}

std::string CacheText(const char* name, const Json& cache) {
  if (cache["bytes"] == 0) return "";
  return Format(" %s %s (shared by %d)", name, HumanBytes(cache["bytes"].get<uint64_t>()).c_str(),
                cache["shared_by"].get<int>());
}

void PrintCpu(const Json& json, const Colors& colors) {
  const Json& cpu = json["cpu"];
  const std::string brand = cpu["brand"].get<std::string>();
  Write(Format("%sCPU%s      %s, %s\n", colors.bold, colors.reset, brand.empty() ? "unknown" : brand.c_str(),
               cpu["architecture"].get<std::string>().c_str()));
  std::string features;
  for (const auto& feature : cpu["features"]) features += " " + feature.get<std::string>();
  Write("features" + (features.empty() ? " none" : features) + "\n");
  Write(
      Format("ISA      %s: %s\n", cpu["isa"].get<std::string>().c_str(), cpu["isa_reason"].get<std::string>().c_str()));
  std::string quota = cpu["cpu_quota"] > 0 ? Format(", a quota of %.1f", cpu["cpu_quota"].get<double>()) : "";
  Write(Format("threads  %d (%d cores, %d logical CPUs%s)\n", cpu["threads"].get<int>(),
               cpu["physical_cores"].get<int>(), cpu["logical_cpus"].get<int>(), quota.c_str()));
  Write("caches  " + CacheText("L1d", cpu["l1d"]) + CacheText("L2", cpu["l2"]) + CacheText("L3", cpu["l3"]) + "\n");
  const Json& memory = json["memory"];
  const uint64_t limit = memory["limit"].get<uint64_t>();
  const std::string pages = memory["transparent_huge_pages"].get<std::string>();
  Write(Format("memory   %s, %s available%s; huge pages %s; %d NUMA node%s\n",
               HumanBytes(memory["total"].get<uint64_t>()).c_str(),
               HumanBytes(memory["available"].get<uint64_t>()).c_str(),
               limit > 0 ? (", limit " + HumanBytes(limit)).c_str() : "", pages.empty() ? "unknown" : pages.c_str(),
               memory["numa_nodes"].get<int>(), memory["numa_nodes"] == 1 ? "" : "s"));
}

std::string AdviceText(const char* where, const Json& advice) {
  const std::string precision = advice["precision"].get<std::string>();
  if (precision == "none") return Format("  %s: too large in every type; some of its layers may fit (-ngl)\n", where);
  return Format("  %s: %s, -c %u, -b %u\n", where,
                advice["fits"].get<bool>() ? "as it is" : ("quantised to " + precision).c_str(),
                advice["context"].get<uint32_t>(), advice["batch"].get<uint32_t>());
}

void PrintFits(const Json& json, const Colors& colors) {
  if (json.contains("model")) {
    const Json& model = json["model"];
    Write(Format("%smodel%s    %s: %s\n", colors.bold, colors.reset, model["file"].get<std::string>().c_str(),
                 model["runs"].get<bool>() ? "runs here" : model["reason"].get<std::string>().c_str()));
    if (model.contains("memory")) {
      const Json& memory = model["memory"];
      Write(Format(
          "  weights %s, scratch %s, cache %s, together %s; at most %.1f tokens/s\n",
          HumanBytes(memory["weights"].get<uint64_t>()).c_str(), HumanBytes(memory["scratch"].get<uint64_t>()).c_str(),
          HumanBytes(memory["cache"].get<uint64_t>()).c_str(), HumanBytes(memory["total"].get<uint64_t>()).c_str(),
          model["tokens_per_second_limit"].get<double>()));
    }
    if (model.contains("advice")) Write(AdviceText("best in this machine's memory", model["advice"]));
    for (size_t i = 0; model.contains("gpu_advice") && i < model["gpu_advice"].size(); ++i) {
      Write(AdviceText(Format("best in the memory of GPU %zu", i).c_str(), model["gpu_advice"][i]));
    }
    return;
  }
  Write(Format("%swhat fits%s in the memory available, and the speed limit of a model of a billion parameters\n",
               colors.bold, colors.reset));
  for (const Json& row : json["fits"]) {
    Write(Format("  %-6s %7.1f billion parameters %9.1f tokens/s\n", row["type"].get<std::string>().c_str(),
                 static_cast<double>(row["parameters"].get<uint64_t>()) / 1e9,
                 row["tokens_per_second_at_1b"].get<double>()));
  }
}

int Plan(const std::string& device, const ModelOptions& options, bool as_json) {
  if (!options.path.empty()) WrongWords("--plan is about other machines and known models; leave MODEL out");
  const Json plan = PlanToJson(device);
  Write(as_json ? JsonText(plan, 1) + "\n" : PlanToText(plan));
  FlushOutput();
  return kDone;
}

int Doctor(const ModelOptions& options, bool as_json) {
  const std::unique_ptr<Platform> platform = CreatePlatform();
  // A path that is wrong should be told before seconds of measuring.
  std::unique_ptr<GgufFile> file;
  if (!options.path.empty()) file = OpenModelFile(*platform, options.path);
  const cpu::CpuInfo info = cpu::DetectCpu();
  Json json;
  json["version"] = mote_version();
  json["cpu"] = CpuToJson(info, ChosenIsa());
  json["memory"] = MemoryToJson(info);
  json["gpu"] = GpusToJson();
  Result<std::unique_ptr<ThreadPool>> pool = platform->CreateThreadPool(options.threads);
  if (!pool.ok()) Fail(pool.status().message());
  const cpu::Peaks peaks = TakePeaks(**pool, platform->clock(), info, /*passes=*/2);
  json["peaks"] = PeaksToJson(peaks);
  const cpu::BandwidthRow* memory = peaks.Bandwidth("memory");
  const double bandwidth = memory != nullptr ? memory->bytes_per_second.median : 0;
  if (file != nullptr) {
    json["model"] = ModelToJson(options, json["gpu"], *file, info, bandwidth);
  } else {
    json["fits"] = FitsToJson(info, bandwidth);
  }
  if (as_json) {
    Write(JsonText(json, 1) + "\n");
  } else {
    const Colors colors(stdout);
    PrintCpu(json, colors);
    Write(GpusToText(json["gpu"], colors));
    Write(Format("%smeasured%s (best, median, worst round)\n", colors.bold, colors.reset) + PeaksToText(json["peaks"]));
    PrintFits(json, colors);
  }
  FlushOutput();
  return kDone;
}

}  // namespace

void AddDoctor(CLI::App& app, Action* action) {
  CLI::App* command = app.add_subcommand("doctor", "What this machine is, its limits measured, and what fits");
  const auto options = std::make_shared<ModelOptions>();
  const auto json = std::make_shared<bool>(false);
  const auto plan = std::make_shared<std::string>();
  options->AddAll(*command);
  command->add_option("--plan", *plan, "What bandwidth allows on another machine, by name, or on all that are known");
  command->add_flag("--json", *json, "One JSON object");
  command->callback(
      [=] { *action = [=] { return plan->empty() ? Doctor(*options, *json) : Plan(*plan, *options, *json); }; });
}

}  // namespace mote::cli
