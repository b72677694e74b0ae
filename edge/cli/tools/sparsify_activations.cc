#include "edge/cli/tools/sparsify_activations.h"

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "edge/cli/console.h"
#include "edge/cli/interrupt.h"
#include "edge/cli/json_text.h"
#include "edge/cli/tools/name_rules.h"
#include "edge/cli/tools/new_file.h"
#include "edge/cli/tools/sparsify_material.h"
#include "edge/cli/tools/sparsify_report.h"
#include "edge/cli/tools/sparsify_subject.h"
#include "edge/cli/tools/sparsify_write.h"
#include "engine/format/activation_rules.h"
#include "engine/tune/altered_file.h"
#include "engine/tune/thresholds.h"

namespace mote::cli {
namespace {

// Of a sparse matrix that keeps more blocks than this, the blocks are all there when it is loaded.
constexpr double kFullDensity = 0.97;

// Why products with a matrix pass over nothing; null where they do.
const char* WhyNot(const TensorInfo& tensor) {
  if (tensor.num_dims != 2) return "experts";
  if (tensor.sparse == nullptr) {
    return PassesOverZeros(tensor.type) ? nullptr : "products with this type pass over nothing";
  }
  const SparseShape shape = {tensor.type, tensor.rows(), tensor.cols()};
  const double density = static_cast<double>(tensor.sparse->blocks) / static_cast<double>(shape.all_blocks());
  if (tensor.type != DType::kI8) return "is block-sparse, and not int8";
  return density > kFullDensity ? nullptr : "is block-sparse: its blocks are left out already";
}

std::vector<const TensorInfo*> ChooseMatrices(const GgufFile& in, const SparsifyFlags& flags) {
  NameRules<bool> dense("--dense", flags.dense);
  std::vector<const TensorInfo*> chosen;
  const char* why_not = nullptr;
  const auto look_at = [&](const TensorInfo& tensor) {
    if (tensor.num_dims < 2 || !tensor.name.ends_with(".weight") || tune::LayerOf(tensor.name) < 0) return;
    if (dense.Find(tensor.name) != nullptr) return;
    if (const char* why = WhyNot(tensor); why != nullptr) {
      why_not = why_not == nullptr ? why : why_not;
      Note(Format("%s (%s) keeps all of its input: %s", tensor.name.c_str(), DTypeName(tensor.type), why));
      return;
    }
    chosen.push_back(&tensor);
  };
  for (const TensorInfo& tensor : in.tensors()) look_at(tensor);
  for (const TensorInfo& tensor : in.sparse_tensors()) look_at(tensor);
  dense.RequireAllMet("matrix of a layer");
  if (chosen.empty()) {
    Fail(in.name() + " has no matrix that could pass over activations; F32, F16, BF16 and Q8_0 can" +
         (why_not == nullptr ? "" : std::string(" (") + why_not + ")"));
  }
  return chosen;
}

// What is told in the end.
struct Outcome {
  std::vector<ActivationEntry> entries;
  ExamResult before, after;
  std::string failed_floor;
  double seconds = 0;

  double share() const {
    double sum = 0;
    for (const ActivationEntry& entry : entries) sum += static_cast<double>(entry.share);
    return sum / static_cast<double>(entries.size());
  }
};

GgufWriter::Layout LayoutOf(const GgufFile& in, uint32_t width, const Outcome& outcome) {
  GgufWriter writer;
  for (const GgufFile::Entry& entry : in.metadata()) writer.Copy(entry);
  SetActivationRules(width, outcome.entries, &writer);
  if (outcome.before.perplexity && outcome.after.perplexity) {
    writer.SetFloat32(kPerplexityBeforeKey, static_cast<float>(*outcome.before.perplexity));
    writer.SetFloat32(kPerplexityAfterKey, static_cast<float>(*outcome.after.perplexity));
  }
  for (const TensorInfo& tensor : in.tensors()) writer.AddTensor(tensor);
  return OrFailure(writer.Finish());
}

void Print(const SparsifyFlags& flags, const Outcome& outcome) {
  if (flags.json) {
    nlohmann::json matrices = nlohmann::json::array();
    for (const ActivationEntry& entry : outcome.entries) {
      matrices.push_back({{"name", entry.name}, {"threshold", entry.threshold}, {"share", entry.share}});
    }
    const nlohmann::json object = {{"in", flags.in},
                                   {"out", flags.out},
                                   {"activations", flags.activations},
                                   {"width", flags.width},
                                   {"share", outcome.share()},
                                   {"matrices", std::move(matrices)},
                                   {"before", ExamToJson(outcome.before)},
                                   {"after", ExamToJson(outcome.after)},
                                   {"failed_floor", outcome.failed_floor},
                                   {"seconds", outcome.seconds}};
    Write(JsonText(object) + "\n");
  } else {
    Write(Format("%-36s %12s %8s\n", "matrix", "threshold", "zero"));
    for (const ActivationEntry& entry : outcome.entries) {
      Write(Format("%-36s %12.6g %6.1f %%\n", entry.name.c_str(), static_cast<double>(entry.threshold),
                   100 * static_cast<double>(entry.share)));
    }
    Write(Format("activations, %u by %u: %.1f %% zero on average of %zu matrices\n", flags.width, flags.width,
                 100 * outcome.share(), outcome.entries.size()));
    Write("before: " + ExamInWords(outcome.before) + "\nafter: " + ExamInWords(outcome.after) + "\n");
  }
  FlushOutput();
}

}  // namespace

void CheckActivationFlags(const SparsifyFlags& flags) {
  if (!flags.has_activations) {
    if (flags.has_width) WrongWords("--width is for --activations; try --activations 0.4 --width 4");
    return;
  }
  if (!flags.method.empty() || flags.has_density || !flags.size.empty() || flags.has_max_loss ||
      !flags.layer_densities.empty() || !flags.also.empty()) {
    WrongWords(
        "--activations leaves all weights as they are; leave --method, --density, --size, --max-loss, "
        "--layer-density and --also out");
  }
  if (!flags.calibrates()) WrongWords("--activations looks at activations; try --calibration TEXT or --images DIR");
}

int SparsifyActivations(const SparsifyFlags& flags, const SparsifyFloors& floors, const GgufFile& in,
                        Platform& platform) {
  const auto start = std::chrono::steady_clock::now();
  const std::vector<const TensorInfo*> matrices = ChooseMatrices(in, flags);
  std::set<std::string> names;
  for (const TensorInfo* tensor : matrices) names.insert(tensor->name);
  const SparsifyMaterials materials = ReadMaterials(flags);
  const StopGuard stop;
  SparsifySubject subject(flags, platform, /*tower=*/false, stop);
  const auto open = [&](const std::string& path) { return OrFailure(GgufFile::Open(platform.files(), path)); };
  subject.Prepare(open(flags.in), materials);
  Outcome outcome;
  outcome.before = subject.Examine(open(flags.in), "examining IN");
  tune::ThresholdCollector collector(flags.width, std::move(names));
  subject.Calibrate(open(flags.in), /*may_fail=*/false, collector.observer(), [&] { OrFailure(collector.status()); });
  for (const TensorInfo* tensor : matrices) {
    if (!collector.Saw(tensor->name)) continue;  // multiplied with nothing
    const tune::ActivationThreshold found = collector.Find(tensor->name, flags.activations);
    outcome.entries.push_back({tensor->name, found.threshold, static_cast<float>(found.share)});
  }
  if (outcome.entries.empty()) Fail(flags.in + ": no matrix of a layer is multiplied with anything");
  {
    // What OUT is worth can only be known, and be written into it, once it is there.
    const GgufWriter::Layout layout = LayoutOf(in, flags.width, outcome);
    NewFile draft(flags.out + ".draft", layout.file_bytes);
    WriteCopied(in, layout, stop, &draft);
    OrFailure(draft.Flush());
    outcome.after = subject.Examine(open(draft.partial()), "examining OUT", /*dynamic=*/true);
  }
  outcome.failed_floor = FailedFloor(floors, outcome.after);
  const bool write = outcome.failed_floor.empty() || flags.keep_failed;
  if (write) {
    const GgufWriter::Layout layout = LayoutOf(in, flags.width, outcome);
    NewFile file(flags.out, layout.file_bytes);
    WriteCopied(in, layout, stop, &file);
    OrFailure(file.Flush());
    file.Finish();
  }
  outcome.seconds = SecondsSince(start);
  Print(flags, outcome);
  if (!outcome.failed_floor.empty()) {
    Fail(outcome.failed_floor + "; " + flags.out + (write ? " is kept all the same" : " was not written") +
         ". Fewer --activations or a smaller --width would help");
  }
  return kDone;
}

}  // namespace mote::cli
