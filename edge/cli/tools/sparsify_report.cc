#include "edge/cli/tools/sparsify_report.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "edge/cli/console.h"
#include "edge/cli/json_text.h"

namespace mote::cli {
namespace {

double DensityOf(const SparsifyMatrix& matrix) {
  return static_cast<double>(matrix.kept) / static_cast<double>(matrix.shape.all_blocks());
}

double DensityOf(const SparsifiedModel& model) {
  return static_cast<double>(model.kept_blocks) / static_cast<double>(model.all_blocks);
}

void PrintJson(const GgufFile& in, const SparsifyFlags& flags, const SparsifyPlan& plan, const SparsifiedModel& model,
               const SparsifyMaterials& materials, const SparsifyOutcome& outcome) {
  nlohmann::json matrices = nlohmann::json::array();
  for (const SparsifyMatrix& matrix : plan.matrices) {
    matrices.push_back({{"name", matrix.tensor->name},
                        {"rows", matrix.shape.rows},
                        {"cols", matrix.shape.cols},
                        {"type", DTypeName(matrix.shape.type)},
                        {"density", DensityOf(matrix)},
                        {"loss", matrix.loss}});
  }
  nlohmann::json dense = nlohmann::json::array();
  for (const SparsifyDense& one : plan.dense) dense.push_back({{"name", one.name}, {"why", one.why}});
  const nlohmann::json object = {{"in", flags.in},
                                 {"out", flags.out},
                                 {"method", flags.method},
                                 {"type", flags.type},
                                 {"density", DensityOf(model)},
                                 {"bytes_in", in.file_bytes()},
                                 {"bytes_out", model.layout.file_bytes},
                                 {"matrices", std::move(matrices)},
                                 {"dense", std::move(dense)},
                                 {"before", ExamToJson(outcome.before)},
                                 {"after", ExamToJson(outcome.after)},
                                 {"held_back_text", materials.held_back_text},
                                 {"held_back_pictures", materials.held_back_pictures},
                                 {"failed_floor", outcome.failed_floor},
                                 {"seconds", outcome.seconds}};
  Write(JsonText(object) + "\n");
}

// What the examination was made of, where it was not given.
std::string TestInWords(const SparsifyFlags& flags, const SparsifyMaterials& m) {
  std::string words;
  if (!m.test.text.empty() && flags.test.empty()) {
    words = m.held_back_text ? "the last quarter of the calibration text, held back"
                             : "the calibration text itself, which is too short to hold any back";
  }
  if (m.test.has_answers() && flags.test_images.empty()) {
    words += words.empty() ? "" : "; ";
    words +=
        m.held_back_pictures ? "the last quarter of the pictures, held back" : "the calibration pictures themselves";
  }
  return words;
}

}  // namespace

std::string LayerName(int64_t layer) {
  return layer < 0 ? "beside the layers" : Format("layer %lld", static_cast<long long>(layer));
}

nlohmann::json ExamToJson(const ExamResult& result) {
  nlohmann::json object = nlohmann::json::object();
  if (result.perplexity) object["perplexity"] = *result.perplexity;
  if (result.accuracy) object["accuracy"] = *result.accuracy;
  object["tokens_scored"] = result.scored_tokens;
  object["answers_scored"] = result.scored_answers;
  return object;
}

std::string ExamInWords(const ExamResult& result) {
  std::string words;
  if (result.perplexity) words += Format("perplexity %.4f", *result.perplexity);
  if (result.accuracy) words += Format("%s%.1f %% of answers right", words.empty() ? "" : ", ", *result.accuracy);
  return words;
}

void NoteLayer(int64_t layer, const std::vector<SparsifyMatrix*>& matrices, bool from_state) {
  double worst = 0;
  double sum = 0;
  uint64_t kept = 0;
  uint64_t all = 0;
  for (const SparsifyMatrix* matrix : matrices) {
    worst = std::max(worst, matrix->loss);
    sum += matrix->loss;
    kept += matrix->kept;
    all += matrix->shape.all_blocks();
  }
  Note(Format("%s: %zu matrices, density %.3f, loss %.4f on average, %.4f at worst%s", LayerName(layer).c_str(),
              matrices.size(), static_cast<double>(kept) / static_cast<double>(all),
              sum / static_cast<double>(matrices.size()), worst, from_state ? " (done before)" : ""));
}

std::string FailedFloor(const SparsifyFloors& floors, const ExamResult& after) {
  if (floors.perplexity && !(after.perplexity && *after.perplexity <= *floors.perplexity)) {
    return after.perplexity ? Format("perplexity %.4f is above the %g allowed", *after.perplexity, *floors.perplexity)
                            : "no perplexity was measured";
  }
  if (floors.accuracy && !(after.accuracy && *after.accuracy >= *floors.accuracy)) {
    return after.accuracy ? Format("%.2f %% of answers are right, %g %% are wanted", *after.accuracy, *floors.accuracy)
                          : "no accuracy was measured";
  }
  return "";
}

void PrintSparsified(const GgufFile& in, const SparsifyFlags& flags, const SparsifyPlan& plan,
                     const SparsifiedModel& model, const SparsifyMaterials& materials, const SparsifyOutcome& outcome) {
  if (flags.json) {
    PrintJson(in, flags, plan, model, materials, outcome);
    FlushOutput();
    return;
  }
  Write(Format("%-36s %13s %-5s %8s %8s\n", "matrix", "rows x cols", "type", "density", "loss"));
  for (const SparsifyMatrix& matrix : plan.matrices) {
    const std::string shape = Format("%llu x %llu", static_cast<unsigned long long>(matrix.shape.rows),
                                     static_cast<unsigned long long>(matrix.shape.cols));
    Write(Format("%-36s %13s %-5s %8.3f %8.4f\n", matrix.tensor->name.c_str(), shape.c_str(),
                 DTypeName(matrix.shape.type), DensityOf(matrix), matrix.loss));
  }
  Write(Format("bytes: %llu before, %llu after (%.2f times as many)\n",
               static_cast<unsigned long long>(in.file_bytes()),
               static_cast<unsigned long long>(model.layout.file_bytes),
               static_cast<double>(model.layout.file_bytes) / static_cast<double>(in.file_bytes())));
  Write(Format("density: %.4f of the blocks of %zu matrices; 1 before\n", DensityOf(model), plan.matrices.size()));
  const std::string before = ExamInWords(outcome.before);
  if (!before.empty()) {
    Write("before: " + before + "\n");
    Write("after: " + ExamInWords(outcome.after) + "\n");
    const std::string test = TestInWords(flags, materials);
    if (!test.empty()) Write("measured on: " + test + "\n");
  }
  FlushOutput();
}

}  // namespace mote::cli
