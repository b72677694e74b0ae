// mote show: what a model file says of itself, and what running it would take.
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "edge/cli/commands.h"
#include "edge/cli/console.h"
#include "edge/cli/json_text.h"
#include "edge/cli/options.h"
#include "edge/cli/tools/engine_params.h"
#include "edge/cli/tools/model_file.h"
#include "edge/cli/tools/sparsify_activations.h"
#include "engine/api/mote.h"
#include "engine/arch/tower.h"
#include "engine/format/activation_rules.h"
#include "engine/run/model.h"
#include "quant/dtype.h"

namespace mote::cli {
namespace {

constexpr size_t kTextColumns = 100;    // of a metadata string on a line
constexpr uint64_t kArrayElements = 8;  // of a metadata array that are shown
constexpr uint64_t kJsonElements = 64;  // arrays up to this length are whole in JSON

// An ordered object: metadata and tensors come out as they stand in the file.
using Json = nlohmann::ordered_json;

Json ScalarToJson(const GgufValue& value) {
  uint64_t u = 0;
  int64_t i = 0;
  double d = 0;
  bool b = false;
  std::string_view s;
  if (value.type() == GgufType::kBool && value.GetBool(&b)) return b;
  if (value.GetUint(&u)) return u;
  if (value.GetInt(&i)) return i;
  if (value.GetFloat(&d)) return d;
  if (value.GetString(&s)) return std::string(s);
  return nullptr;
}

Json ElementToJson(const GgufValue& value, uint64_t index) {
  uint64_t u = 0;
  int64_t i = 0;
  double d = 0;
  std::string_view s;
  if (value.element_type() == GgufType::kBool && value.UintAt(index, &u)) return u != 0;
  if (value.UintAt(index, &u)) return u;
  if (value.IntAt(index, &i)) return i;
  if (value.FloatAt(index, &d)) return d;
  if (value.StringAt(index, &s)) return std::string(s);
  return nullptr;
}

// Long arrays (vocabularies) are told by type and length, with their first elements.
Json ValueToJson(const GgufValue& value, uint64_t whole, uint64_t first) {
  if (value.type() != GgufType::kArray) return ScalarToJson(value);
  Json list = Json::array();
  const bool is_whole = value.count() <= whole;
  for (uint64_t i = 0; i < (is_whole ? value.count() : first); ++i) list.push_back(ElementToJson(value, i));
  if (is_whole) return list;
  return {{"type", GgufTypeName(value.element_type())}, {"count", value.count()}, {"first", std::move(list)}};
}

std::string ValueToText(const GgufValue& value) {
  std::string text;
  if (value.type() == GgufType::kArray) {
    text = Format("%s[%llu] ", GgufTypeName(value.element_type()), static_cast<unsigned long long>(value.count()));
    Json list = Json::array();
    for (uint64_t i = 0; i < std::min(value.count(), kArrayElements); ++i) list.push_back(ElementToJson(value, i));
    text += JsonText(list);
    if (value.count() > kArrayElements) text.insert(text.size() - 1, ",...");
  } else {
    text = JsonText(ScalarToJson(value));
  }
  if (text.size() <= kTextColumns) return text;
  size_t cut = kTextColumns;
  while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xC0) == 0x80) --cut;  // not inside a character
  return text.substr(0, cut) + Format("... (%zu bytes)", text.size());
}

std::string Shape(const TensorInfo& tensor) {
  std::string text;
  for (int i = 0; i < std::max(tensor.num_dims, 1); ++i) {
    text += (i == 0 ? "" : " x ") + std::to_string(tensor.shape[static_cast<size_t>(i)]);
  }
  return text;
}

struct ShowOptions {
  ModelOptions model;
  uint32_t max_tokens = 0;  // of a view
  bool vision = false;      // of the built-in model
  bool json = false;
};

struct Need {
  MemoryReport memory;
  std::string error;  // why it cannot be told, or why the model does not run
  // Of a vision file that mote runs.
  std::optional<TowerParams> tower;
};

// "type IQ2_XXS is not supported (16 tensors), type ..." ; empty where mote runs all types.
std::string ForeignTypes(const GgufFile& file) {
  std::string text;
  for (const TypeBytes& row : BytesByType(file)) {
    if (row.supported) continue;
    text += Format("%stype %s is not supported (%llu tensor%s)", text.empty() ? "" : ", ", row.type.c_str(),
                   static_cast<unsigned long long>(row.tensors), row.tensors == 1 ? "" : "s");
  }
  return text;
}

// What would become of block-sparse matrices here; none where the file has none.
std::vector<SparseDecision> Decisions(const ShowOptions& options, Platform& platform, const GgufFile& file) {
  const ModelParams params = EngineParams(options.model);
  Context context;
  context.platform = &platform;
  Result<std::vector<SparseDecision>> decisions = DecideSparse(file, context, params.isa, params.sparse);
  if (!decisions.ok()) Fail(decisions.status().message());
  return std::move(decisions).value();
}

// Blocks kept of all blocks of all of them.
double OverallDensity(const std::vector<SparseDecision>& decisions) {
  double kept = 0;
  double all = 0;
  for (const SparseDecision& d : decisions) {
    kept += static_cast<double>(d.tensor->sparse->blocks);
    all += static_cast<double>(d.tensor->sparse->blocks) / d.density;
  }
  return all == 0 ? 1 : kept / all;
}

std::unique_ptr<GgufFile> Open(const ShowOptions& options, Platform& platform) {
  const std::string& path = options.model.PathOrUsage("show");
  if (!options.vision) return OpenModelFile(platform, path);
  if (!path.empty()) WrongWords("--vision shows the vision file of the built-in model; give another one as MODEL");
  return OpenVisionFile(platform, path);
}

Need MeasureNeed(const ShowOptions& options, Platform& platform, const GgufFile& file) {
  Need need;
  need.error = ForeignTypes(file);
  if (!need.error.empty()) {
    need.error = "cannot be run: " + need.error;
    return need;
  }
  const ModelParams params = EngineParams(options.model);
  const Result<std::string> architecture = file.StringOr("general.architecture", "");
  Result<MemoryReport> report = MemoryReport();
  if (architecture.ok() && *architecture == "clip") {
    VisionParams vision;
    vision.max_tokens = options.max_tokens;
    report = Model::EstimateVision(file, params, vision);
    Result<TowerParams> tower = ReadTowerParams(file);
    if (report.ok() && tower.ok()) need.tower = *std::move(tower);
  } else {
    report = Model::Estimate(Open(options, platform), params);
  }
  if (report.ok()) {
    need.memory = *report;
  } else {
    need.error = "unknown: " + report.status().message();
  }
  return need;
}

// Rows that a view of the tower's own size gives the decoder.
uint32_t RowsPerView(const TowerParams& tower) {
  const uint32_t side = tower.image_size / (tower.patch_size * tower.merge);
  return side * side + (tower.projector == Projector::kPixtral ? side - 1 : 0);
}

Json TowerToJson(const TowerParams& t) {
  return {{"projector", t.projector_name},
          {"image_size", t.image_size},
          {"patch_size", t.patch_size},
          {"width", t.width},
          {"feed_forward", t.ff},
          {"layers", t.layers},
          {"heads", t.heads},
          {"merge", t.merge},
          {"rows_per_view", RowsPerView(t)},
          {"row_width", t.out_cols()},
          {"any_size", t.native_size},
          {"tiles", t.longest_side != 0 || t.max_tiles > 1}};
}

void PrintTower(const TowerParams& t) {
  Write(Format("  projector %s, %u layers of width %u with %u heads, feed-forward %u\n", t.projector_name.c_str(),
               t.layers, t.width, t.heads, t.ff));
  Write(Format("  views of %u x %u pixels%s, patches of %u, merged %u x %u: %u rows of %u values\n", t.image_size,
               t.image_size, t.native_size ? " or any other size" : "", t.patch_size, t.merge, t.merge, RowsPerView(t),
               t.out_cols()));
  if (t.longest_side != 0) {
    Write(Format("  images are scaled to %u pixels on the longer side and cut into tiles\n", t.longest_side));
  } else if (t.max_tiles > 1) {
    Write(Format("  images are cut into %u to %u tiles\n", t.min_tiles, t.max_tiles));
  }
}

Json SparseToJson(const std::vector<SparseDecision>& decisions) {
  Json matrices = Json::array();
  for (const SparseDecision& d : decisions) {
    matrices.push_back({{"name", d.tensor->name},
                        {"type", DTypeName(d.tensor->type)},
                        {"rows", d.tensor->rows()},
                        {"cols", d.tensor->cols()},
                        {"bytes", d.tensor->bytes},
                        {"density", d.density},
                        {"break_even", d.break_even},
                        {"path", d.sparse ? "sparse" : "dense"}});
  }
  return {{"density", OverallDensity(decisions)}, {"matrices", matrices}};
}

void PrintSparse(const std::vector<SparseDecision>& decisions) {
  size_t kept = 0;
  for (const SparseDecision& d : decisions) {
    Write(Format("  %-40s %-8s %-24s %s, %.1f %% of the blocks, path %s (sparse pays up to %.0f %%)\n",
                 Printable(d.tensor->name).c_str(), DTypeName(d.tensor->type), Shape(*d.tensor).c_str(),
                 HumanBytes(d.tensor->bytes).c_str(), 100 * d.density, d.sparse ? "sparse" : "dense",
                 100 * d.break_even));
    kept += d.sparse ? 1 : 0;
  }
  Write(Format("  together %.1f %% of the blocks; %zu of %zu run sparse here, the others are made dense\n",
               100 * OverallDensity(decisions), kept, decisions.size()));
}

// What the file says of dynamic sparsity; no rules where it says nothing.
ActivationRules Rules(const GgufFile& file) {
  Result<ActivationRules> rules = ReadActivationRules(file);
  if (!rules.ok()) Fail(rules.status().message());
  return std::move(rules).value();
}

double AverageShare(const ActivationRules& rules) {
  double sum = 0;
  for (const ActivationRule& rule : rules.rules) sum += static_cast<double>(rule.share);
  return sum / static_cast<double>(rules.rules.size());
}

Json RulesToJson(const GgufFile& file, const ActivationRules& rules) {
  Json matrices = Json::array();
  for (const ActivationRule& rule : rules.rules) {
    matrices.push_back({{"name", rule.tensor->name}, {"threshold", rule.threshold}, {"share", rule.share}});
  }
  Json json = {{"width", rules.width}, {"share", AverageShare(rules)}, {"matrices", matrices}};
  for (const auto& [name, key] :
       {std::pair{"perplexity_before", kPerplexityBeforeKey}, {"perplexity_after", kPerplexityAfterKey}}) {
    const Result<double> value = file.FloatOr(key, -1);
    if (value.ok() && *value >= 0) json[name] = *value;
  }
  return json;
}

void PrintRules(const GgufFile& file, const ActivationRules& rules) {
  for (const ActivationRule& rule : rules.rules) {
    Write(Format("  %-40s zero up to %-10.4g %.1f %% of them in the calibration\n",
                 Printable(rule.tensor->name).c_str(), static_cast<double>(rule.threshold),
                 100 * static_cast<double>(rule.share)));
  }
  std::string line = Format("  %u by %u, %.1f %% on average; off without --dynamic-sparsity", rules.width, rules.width,
                            100 * AverageShare(rules));
  const Result<double> before = file.FloatOr(kPerplexityBeforeKey, -1);
  const Result<double> after = file.FloatOr(kPerplexityAfterKey, -1);
  if (before.ok() && after.ok() && *before >= 0 && *after >= 0) {
    line += Format("; perplexity %.4f without, %.4f with it", *before, *after);
  }
  Write(line + "\n");
}

void PrintJson(const GgufFile& file, const Need& need, const std::vector<SparseDecision>& sparse) {
  Json json;
  json["file"] = file.name();
  json["version"] = file.version();
  json["parts"] = file.num_parts();
  json["file_bytes"] = file.file_bytes();
  json["alignment"] = file.alignment();
  Json& metadata = json["metadata"] = Json::object();
  for (const GgufFile::Entry& entry : file.metadata()) {
    metadata[std::string(entry.key)] = ValueToJson(entry.value, kJsonElements, kArrayElements);
  }
  uint64_t values = 0;
  Json& tensors = json["tensors"] = Json::array();
  for (const TensorInfo& t : file.tensors()) {
    Json shape = Json::array();
    for (int i = 0; i < t.num_dims; ++i) shape.push_back(t.shape[static_cast<size_t>(i)]);
    tensors.push_back({{"name", t.name}, {"type", DTypeName(t.type)}, {"shape", shape}, {"bytes", t.bytes}});
    values += t.values();
  }
  json["values"] = values;
  Json& types = json["bytes_by_type"] = Json::object();
  for (const TypeBytes& row : BytesByType(file)) {
    types[row.type] = {
        {"tensors", row.tensors}, {"values", row.values}, {"bytes", row.bytes}, {"supported", row.supported}};
  }
  if (need.error.empty()) {
    json["memory"] = {{"weights", need.memory.weight_bytes},
                      {"scratch", need.memory.scratch_bytes},
                      {"cache", need.memory.cache_bytes},
                      {"total", need.memory.total()}};
  } else {
    json["memory"] = nullptr;
    json["memory_error"] = need.error;
  }
  if (need.tower.has_value()) json["tower"] = TowerToJson(*need.tower);
  if (!sparse.empty()) json["sparse"] = SparseToJson(sparse);
  if (const ActivationRules rules = Rules(file); !rules.rules.empty()) json["dynamic"] = RulesToJson(file, rules);
  Write(JsonText(json, 1) + "\n");
}

void PrintText(const GgufFile& file, const Need& need, const std::vector<SparseDecision>& sparse) {
  const Colors colors(stdout);
  const auto heading = [&](const std::string& text) { Write(colors.bold + text + colors.reset + "\n"); };
  heading(Format("%s: GGUF version %u, %zu part%s, %s", file.name().c_str(), file.version(), file.num_parts(),
                 file.num_parts() == 1 ? "" : "s", HumanBytes(file.file_bytes()).c_str()));
  heading(Format("metadata (%zu)", file.metadata().size()));
  for (const GgufFile::Entry& entry : file.metadata()) {
    Write("  " + std::string(entry.key) + " = " + Printable(ValueToText(entry.value)) + "\n");
  }
  heading(Format("tensors (%zu)", file.tensors().size()));
  for (const TensorInfo& t : file.tensors()) {
    Write(Format("  %-40s %-8s %-24s %s\n", Printable(t.name).c_str(), DTypeName(t.type), Shape(t).c_str(),
                 HumanBytes(t.bytes).c_str()));
  }
  if (!sparse.empty()) {
    heading(Format("block-sparse matrices (%zu), made of the tensors .sparse_* above", sparse.size()));
    PrintSparse(sparse);
  }
  if (const ActivationRules rules = Rules(file); !rules.rules.empty()) {
    heading(Format("dynamic sparsity: small activations of %zu matrices", rules.rules.size()));
    PrintRules(file, rules);
  }
  heading("bytes by type");
  uint64_t values = 0;
  uint64_t bytes = 0;
  for (const TypeBytes& row : BytesByType(file)) {
    Write(Format("  %-8s %6llu tensors %16llu values %12s%s\n", row.type.c_str(),
                 static_cast<unsigned long long>(row.tensors), static_cast<unsigned long long>(row.values),
                 HumanBytes(row.bytes).c_str(), row.supported ? "" : "  not supported"));
    values += row.values;
    bytes += row.bytes;
  }
  Write(Format("  %-8s %6zu tensors %16llu values %12s\n", "together", file.tensors().size(),
               static_cast<unsigned long long>(values), HumanBytes(bytes).c_str()));
  if (need.tower.has_value()) {
    heading("tower");
    PrintTower(*need.tower);
  }
  heading("memory needed");
  if (!need.error.empty()) {
    Write("  " + Printable(need.error) + "\n");
    return;
  }
  const MemoryReport& memory = need.memory;
  if (need.tower.has_value()) {
    Write(Format("  weights %s, scratch %s, together %s, beside those of the model\n",
                 HumanBytes(memory.weight_bytes).c_str(), HumanBytes(memory.scratch_bytes).c_str(),
                 HumanBytes(memory.total()).c_str()));
    return;
  }
  Write(Format("  weights %s, scratch %s, cache %s (one session, full context), together %s\n",
               HumanBytes(memory.weight_bytes).c_str(), HumanBytes(memory.scratch_bytes).c_str(),
               HumanBytes(memory.cache_bytes).c_str(), HumanBytes(memory.total()).c_str()));
}

int Show(const ShowOptions& options) {
  const std::unique_ptr<Platform> platform = CreatePlatform();
  const std::unique_ptr<GgufFile> file = Open(options, *platform);
  const Need need = MeasureNeed(options, *platform, *file);
  const std::vector<SparseDecision> sparse = Decisions(options, *platform, *file);
  if (options.json) {
    PrintJson(*file, need, sparse);
  } else {
    PrintText(*file, need, sparse);
  }
  FlushOutput();
  return kDone;
}

}  // namespace

void AddShow(CLI::App& app, Action* action) {
  CLI::App* command = app.add_subcommand("show", "Metadata, tensors and memory needed by a model or vision file");
  const auto options = std::make_shared<ShowOptions>();
  options->model.AddAll(*command);
  command
      ->add_option("--image-max-tokens", options->max_tokens,
                   "Of a vision file for images of any size: tokens that one view may take; 0: what the file says")
      ->transform(WholeWithin(0, 1 << 20));
  command->add_flag("--vision", options->vision, "The vision file of the built-in model");
  command->add_flag("--json", options->json, "One JSON object; long arrays by their first elements");
  command->callback([=] { *action = [=] { return Show(*options); }; });
}

}  // namespace mote::cli
