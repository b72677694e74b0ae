// mote sparsify: the same model with blocks of its weights left out.
//
// Layer by layer, from the first: the model reads the calibration with all earlier layers as they have become, what the
// layer's matrices are multiplied with is added up, and its blocks go. A layer that is done is kept beside OUT until
// OUT is there, so that a run that was stopped goes on where it was.
#include <math.h>
#include <stdlib.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "edge/cli/commands.h"
#include "edge/cli/console.h"
#include "edge/cli/interrupt.h"
#include "edge/cli/output_file.h"
#include "edge/cli/tools/new_file.h"
#include "edge/cli/tools/sparsify_activations.h"
#include "edge/cli/tools/sparsify_flags.h"
#include "edge/cli/tools/sparsify_material.h"
#include "edge/cli/tools/sparsify_plan.h"
#include "edge/cli/tools/sparsify_report.h"
#include "edge/cli/tools/sparsify_state.h"
#include "edge/cli/tools/sparsify_subject.h"
#include "edge/cli/tools/sparsify_write.h"
#include "engine/tune/altered_file.h"
#include "engine/tune/prune.h"
#include "quant/codec.h"

namespace mote::cli {
namespace {

// Everything that the layers share.
struct SparsifyWork {
  const SparsifyFlags& flags;
  const GgufFile& in;
  SparsifySubject* subject;  // null: nothing is calibrated
  ThreadPool* pool;
  SparsifyWeights weights;  // of the layers that are done
};

tune::PruneOptions OptionsOf(const SparsifyFlags& flags) {
  tune::PruneOptions options;
  options.damping = flags.damping;
  options.rounds = flags.rounds;
  options.method = flags.method == "magnitude" ? tune::PruneMethod::kMagnitude
                   : flags.method == "wanda"   ? tune::PruneMethod::kWanda
                   : flags.method == "zeros"   ? tune::PruneMethod::kZeros
                                               : tune::PruneMethod::kReconstruct;
  return options;
}

std::vector<float> Values(const GgufFile& in, const TensorInfo& tensor) {
  const std::span<const uint8_t> bytes = OrFailure(in.TensorBytes(tensor));
  std::vector<float> values(static_cast<size_t>(tensor.values()));
  DecodeRow(tensor.type, bytes.data(), values.data(), values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    if (!isfinite(values[i])) {
      Fail(Format("%s: row %llu, column %llu is %g; weights must be finite", tensor.name.c_str(),
                  static_cast<unsigned long long>(i / tensor.cols()),
                  static_cast<unsigned long long>(i % tensor.cols()), static_cast<double>(values[i])));
    }
  }
  return values;
}

// What the matrices of a layer see: from a model of no more layers than that, where it can be cut so.
void CalibrateLayer(SparsifyWork* work, int64_t layer, const std::vector<SparsifyMatrix*>& matrices,
                    std::unique_ptr<tune::GramCollector>* collector) {
  std::set<std::string> names;
  for (const SparsifyMatrix* matrix : matrices) names.insert(matrix->tensor->name);
  for (const bool cut : {true, false}) {
    if (cut && layer < 0) continue;
    const uint32_t layers = cut ? static_cast<uint32_t>(layer) + 1 : 0;
    *collector = std::make_unique<tune::GramCollector>(names);
    std::unique_ptr<GgufFile> altered = OrFailure(tune::AlterFile(work->in, {&work->weights, layers}));
    const auto flush = [&] { OrFailure((*collector)->Flush(work->pool)); };
    if (!work->subject->Calibrate(std::move(altered), cut, (*collector)->observer(), flush)) continue;
    (*collector)->Finish();
    bool all_seen = true;
    for (const std::string& name : names) all_seen = all_seen && (*collector)->Find(name, 0) != nullptr;
    if (all_seen) return;
  }
}

void PruneMatrix(SparsifyWork* work, SparsifyMatrix* matrix, const tune::GramCollector* collector) {
  const SparsifyFlags& flags = work->flags;
  const std::string& name = matrix->tensor->name;
  const std::vector<float> values = Values(work->in, *matrix->tensor);
  tune::PruneInput input;
  input.weights = values.data();
  input.grid = matrix->grid();
  tune::PruneOptions options = OptionsOf(flags);
  if (collector != nullptr) {
    input.gram = collector->Find(name, 0);
    if (input.gram == nullptr) {
      Fail(name + " is multiplied with nothing while the calibration is read; leave it dense (--dense '" + name + "')");
    }
  }
  const bool by_loss = flags.has_max_loss && !matrix->has_own_density;
  Result<tune::Pruned> pruned = by_loss ? tune::PruneToLoss(input, flags.max_loss, options, work->pool)
                                        : tune::Prune(input, matrix->density, options, work->pool);
  if (!pruned.ok()) Fail(name + ": " + pruned.status().message());
  matrix->kept = pruned->kept;
  // As a state file holds it, so that a run that went on tells the same.
  matrix->loss = static_cast<double>(static_cast<float>(pruned->loss));
  work->weights[name] = std::move(pruned->weights);
}

// A fit to fewer rows than there are columns learns them by heart.
void NoteShortCalibration(const std::vector<SparsifyMatrix*>& matrices, const tune::GramCollector& collector) {
  for (const SparsifyMatrix* matrix : matrices) {
    const tune::Gram* gram = collector.Find(matrix->tensor->name, 0);
    if (gram == nullptr || gram->rows >= gram->cols) continue;
    Note(Format("%s saw %llu rows and has %llu columns: the calibration is too short to tell what they are worth",
                matrix->tensor->name.c_str(), static_cast<unsigned long long>(gram->rows),
                static_cast<unsigned long long>(gram->cols)));
    return;
  }
}

void PruneLayers(SparsifyWork* work, Platform& platform, const SparsifyState& state, const StopGuard& stop,
                 std::map<int64_t, std::vector<SparsifyMatrix*>>* layers, const std::vector<int64_t>& order) {
  for (size_t i = 0; i < order.size(); ++i) {
    const int64_t layer = order[i];
    std::vector<SparsifyMatrix*>& matrices = (*layers)[layer];
    if (work->subject != nullptr && state.Load(platform, layer, matrices, &work->weights)) {
      NoteLayer(layer, matrices, /*from_state=*/true);
      continue;
    }
    std::unique_ptr<tune::GramCollector> collector;
    if (work->subject != nullptr) {
      CalibrateLayer(work, layer, matrices, &collector);
      NoteShortCalibration(matrices, *collector);
    }
    Progress progress(Format("%s (%zu after it)", LayerName(layer).c_str(), order.size() - i - 1));
    size_t done = 0;
    for (SparsifyMatrix* matrix : matrices) {
      if (stop.stopped()) Fail("stopped; " + work->flags.out + " was not written");
      progress.Update(done++, matrices.size(), matrix->tensor->name);
      PruneMatrix(work, matrix, collector.get());
    }
    progress.Clear();
    if (work->subject != nullptr) state.Save(layer, matrices, work->weights);
    NoteLayer(layer, matrices, /*from_state=*/false);
  }
}

void NoteDense(const SparsifyPlan& plan) {
  for (const SparsifyDense& one : plan.dense) Note(one.name + " stays dense: " + one.why);
  for (const SparsifyMatrix& matrix : plan.matrices) {
    if (matrix.shape.type == plan.type) continue;
    Note(Format("%s becomes %s: its %llu columns are no whole blocks of %s", matrix.tensor->name.c_str(),
                DTypeName(matrix.shape.type), static_cast<unsigned long long>(matrix.shape.cols),
                DTypeName(plan.type)));
  }
}

int Sparsify(SparsifyFlags flags) {
  const SparsifyFloors floors = CheckSparsifyFlags(&flags);
  const auto start = std::chrono::steady_clock::now();
  const std::unique_ptr<Platform> platform = CreatePlatform();
  const std::unique_ptr<GgufFile> in = OrFailure(GgufFile::Open(platform->files(), flags.in));
  const bool tower = OrFailure(in->StringOr("general.architecture", "")) == "clip";
  const bool runs = flags.calibrates() || !flags.test.empty() || !flags.test_images.empty();
  if (tower && runs && flags.decoder.empty()) {
    WrongWords(flags.in + " is a vision file: to run it, its model is needed; try --decoder MODEL.gguf");
  }
  if (!tower && !flags.decoder.empty()) WrongWords("--decoder is for vision files; " + flags.in + " is none");
  if (tower && !flags.calibration.empty())
    WrongWords("--calibration TEXT says nothing to a vision file; try --images DIR");
  if (flags.has_activations) {
    if (tower) WrongWords("--activations is for language models; " + flags.in + " is a vision file");
    return SparsifyActivations(flags, floors, *in, *platform);
  }
  SparsifyPlan plan = MakeSparsifyPlan(*in, flags);
  NoteDense(plan);
  const SparsifyMaterials materials = ReadMaterials(flags);
  const std::unique_ptr<ThreadPool> pool = OrFailure(platform->CreateThreadPool(flags.model.threads));
  const StopGuard stop;
  SparsifySubject subject(flags, *platform, tower, stop);
  SparsifyOutcome outcome;
  if (runs) {
    subject.Prepare(OrFailure(GgufFile::Open(platform->files(), flags.in)), materials);
    outcome.before = subject.Examine(OrFailure(GgufFile::Open(platform->files(), flags.in)), "examining IN");
  }

  std::map<int64_t, std::vector<SparsifyMatrix*>> layers;
  std::vector<int64_t> order;
  for (SparsifyMatrix& matrix : plan.matrices) {
    if (!layers.contains(matrix.layer)) order.push_back(matrix.layer);
    layers[matrix.layer].push_back(&matrix);
  }
  const SparsifyState state(flags.out, DigestOfRun(*in, flags, plan, materials.bytes_digest));
  SparsifyWork work{flags, *in, flags.calibrates() ? &subject : nullptr, pool.get(), {}};
  PruneLayers(&work, *platform, state, stop, &layers, order);

  const SparsifiedModel model = EncodeSparsified(*in, plan, work.weights, pool.get());
  work.weights.clear();
  NewFile file(flags.out, model.layout.file_bytes);
  WriteSparsified(*in, plan, model, stop, &file);
  OrFailure(file.Flush());
  if (runs)
    outcome.after = subject.Examine(OrFailure(GgufFile::Open(platform->files(), file.partial())), "examining OUT");
  outcome.failed_floor = FailedFloor(floors, outcome.after);
  outcome.seconds = SecondsSince(start);
  // Before the report: a stdout that cannot be written must not throw the work away.
  if (outcome.failed_floor.empty() || flags.keep_failed) file.Finish();
  for (const int64_t layer : order) state.Remove(layer);
  PrintSparsified(*in, flags, plan, model, materials, outcome);
  if (!outcome.failed_floor.empty()) {
    Fail(outcome.failed_floor + "; " + flags.out + (flags.keep_failed ? " is kept all the same" : " was not written") +
         ". A higher density, --method reconstruct or more calibration would help");
  }
  Note(Format("%s: %s, was %s; %.1f s", flags.out.c_str(), HumanBytes(model.layout.file_bytes).c_str(),
              HumanBytes(in->file_bytes()).c_str(), outcome.seconds));
  return kDone;
}

}  // namespace

void OrFailure(const Status& status) {
  if (!status.ok()) Fail(status.message());
}

SparsifyFloors CheckSparsifyFlags(SparsifyFlags* flags) {
  if (flags->in.empty() || flags->out.empty()) {
    WrongWords("sparsify needs IN and OUT; try mote sparsify IN.gguf OUT.gguf --calibration TEXT");
  }
  RefuseInput("OUT", flags->out, {flags->in, flags->calibration, flags->test, flags->mmproj, flags->decoder});
  CheckActivationFlags(*flags);
  if (flags->method.empty()) flags->method = flags->calibrates() ? "reconstruct" : "magnitude";
  const bool needs_activations = flags->method == "wanda" || flags->method == "reconstruct";
  if (needs_activations && !flags->calibrates()) {
    WrongWords("--method " + flags->method + " looks at activations; try --calibration TEXT or --images DIR");
  }
  const int targets = (flags->has_density ? 1 : 0) + (flags->size.empty() ? 0 : 1) + (flags->has_max_loss ? 1 : 0);
  if (targets > 1) WrongWords("--density, --size and --max-loss each say how much; try one of them");
  if (flags->method == "zeros" && (targets > 0 || !flags->layer_densities.empty())) {
    WrongWords("--method zeros keeps what is not zero, whatever that is; leave the density out");
  }
  SparsifyFloors floors;
  for (const std::string& word : flags->floors) {
    const size_t colon = word.find(':');
    const std::string what = word.substr(0, colon);
    char* end = nullptr;
    const double value = colon == std::string::npos ? 0 : strtod(word.c_str() + colon + 1, &end);
    const bool is_number = end != nullptr && end != word.c_str() + colon + 1 && *end == '\0' && value > 0;
    if (!is_number || (what != "perplexity" && what != "accuracy") || (what == "accuracy" && value > 100)) {
      WrongWords("--floor: \"" + word + "\" is neither perplexity:X nor accuracy:PERCENT; try --floor perplexity:12.5");
    }
    if (what == "perplexity") {
      if (flags->calibration.empty() && flags->test.empty()) {
        WrongWords("--floor perplexity needs a text to measure on; try --test TEXT");
      }
      floors.perplexity = value;
    } else {
      if (flags->images.empty() && flags->test_images.empty()) {
        WrongWords("--floor accuracy needs pictures with questions; try --test-images DIR");
      }
      floors.accuracy = value;
    }
  }
  return floors;
}

void AddSparsify(CLI::App& app, Action* action) {
  CLI::App* command = app.add_subcommand("sparsify", "Write a model with blocks of its weights left out");
  const auto flags = std::make_shared<SparsifyFlags>();
  const auto many = [&](const char* name, std::vector<std::string>* words, const char* help) {
    command->add_option(name, *words, help)->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  };
  command->add_option("IN", flags->in, "A GGUF file in F32, F16 or BF16: a model, or a vision file (mmproj)");
  command->add_option("OUT", flags->out, "The file to write");
  command
      ->add_option(
          "--method", flags->method,
          "magnitude, wanda, reconstruct, or zeros (of a model trained that way); without it, reconstruct where "
          "there is a calibration, else magnitude")
      ->check(CLI::IsMember({"magnitude", "wanda", "reconstruct", "zeros"}));
  command->add_option("--type", flags->type, "int8, f16, bf16 or q4_0: of the weights that are kept")
      ->check(CLI::IsMember({"int8", "f16", "bf16", "q4_0"}));
  CLI::Option* density = command->add_option("--density", flags->density, "The share of blocks that is kept; 0.5");
  density->check(Within(0, 1));
  many("--layer-density", &flags->layer_densities,
       "PATTERN=DENSITY: of matrices in whose names the regular expression is found; repeatable, the first that is "
       "found "
       "decides. @FILE: one a line");
  command->add_option("--size", flags->size, "The density with which the file has no more bytes: 300M");
  CLI::Option* max_loss = command->add_option(
      "--max-loss", flags->max_loss, "For each matrix, the least density that changes its output by no more: 0.2");
  max_loss->check(Within(0, 10));
  CLI::Option* activations = command->add_option(
      "--activations", flags->activations,
      "Dynamic sparsity: the share of activations that become zero. OUT has the weights of IN, and the thresholds");
  activations->check(Within(0, 1));
  CLI::Option* width =
      command->add_option("--width", flags->width, "Of --activations: how many in a row stand or fall together; 4");
  width->check(CLI::IsMember({"1", "2", "4", "8", "16", "32"}));
  many("--dense", &flags->dense, "PATTERN: matrices that stay dense; repeatable");
  many("--also", &flags->also, "PATTERN: output.weight or token_embd.weight, which stay dense otherwise");
  command->add_option("--calibration", flags->calibration, "A text that the model reads");
  command->add_option("--images", flags->images,
                      "A folder of pictures that it looks at; questions.json in it has questions and answers");
  command->add_option("--test", flags->test, "A text for the perplexity; without it, a quarter of the calibration");
  command->add_option("--test-images", flags->test_images, "The same for answers about pictures");
  command->add_option("--chunks", flags->chunks, "Read only so many chunks of each text; -1: all")
      ->transform(CountOrAll());
  many("--floor", &flags->floors, "perplexity:X at most, or accuracy:PERCENT at least; else OUT is not written");
  command->add_flag("--keep-failed", flags->keep_failed, "Keep OUT where it fails the floor (the exit code stays 1)");
  command->add_option("--damping", flags->damping, "Of reconstruct: 0.01")->check(Within(0, 100, /*above=*/true));
  command->add_option("--rounds", flags->rounds, "Of reconstruct: steps in which blocks go; 0: as is cheap")
      ->transform(WholeWithin(0, 64));
  command->add_option("--mmproj", flags->mmproj, "(-mm) the vision file of IN, for pictures");
  command->add_option("--decoder", flags->decoder, "Where IN is a vision file: the model that it belongs to");
  command->add_option("-t,--threads", flags->model.threads, "Worker threads; 0: one per core")
      ->transform(WholeWithin(0, 1024));
  command->add_option("-c,--ctx-size", flags->model.context, "Tokens of a chunk; 0: 512, or what IN was trained for")
      ->transform(WholeWithin(0, 1 << 24));
  command->add_option("-b,--batch-size", flags->model.batch, "Rows of a step")->transform(WholeWithin(1, 8192));
  command->add_flag("--json", flags->json, "One JSON object on stdout");
  command->callback([=] {
    flags->has_density = density->count() > 0;
    flags->has_max_loss = max_loss->count() > 0;
    flags->has_activations = activations->count() > 0;
    flags->has_width = width->count() > 0;
    *action = [=] { return Sparsify(*flags); };
  });
}

}  // namespace mote::cli
