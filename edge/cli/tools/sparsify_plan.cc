#include "edge/cli/tools/sparsify_plan.h"

#include <stdlib.h>

#include <algorithm>
#include <map>
#include <sstream>
#include <utility>

#include "edge/cli/console.h"
#include "edge/cli/tools/name_rules.h"
#include "engine/format/convert.h"
#include "engine/format/sparse_tensors.h"
#include "engine/tune/altered_file.h"

namespace mote::cli {
namespace {

constexpr char kMatrixOfInterest[] = "matrix that could be sparse";

struct TypeChoice {
  const char* name;
  DType type;
  const char* quantize_type;  // what stays dense is written as mote quantize would
};
constexpr TypeChoice kTypes[] = {
    {"int8", DType::kI8, "Q8_0"},
    {"f16", DType::kF16, "F16"},
    {"bf16", DType::kBF16, "BF16"},
    {"q4_0", DType::kQ4_0, "Q4_0"},
};

void AddDensityRule(const std::string& word, NameRules<double>* rules) {
  const size_t sign = word.rfind('=');
  char* end = nullptr;
  const double density = sign == std::string::npos ? -1 : strtod(word.c_str() + sign + 1, &end);
  if (sign == std::string::npos || sign == 0 || end == word.c_str() + sign + 1 || *end != '\0' ||
      !(density >= 0 && density <= 1)) {
    WrongWords("--layer-density: \"" + word + "\" is not PATTERN=DENSITY with a density of 0 to 1; try " +
               "--layer-density ffn_down=0.6");
  }
  rules->Add(word.substr(0, sign), word, density);
}

NameRules<double> DensityRules(const SparsifyFlags& flags) {
  NameRules<double> rules("--layer-density");
  for (const std::string& word : flags.layer_densities) {
    if (word.empty() || word[0] != '@') {
      AddDensityRule(word, &rules);
      continue;
    }
    std::istringstream lines(ReadText(word.substr(1)));
    for (std::string line; std::getline(lines, line);) {
      while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
      if (!line.empty() && line[0] != '#') AddDensityRule(line, &rules);
    }
  }
  return rules;
}

bool IsFloatWeight(DType type) {
  return type == DType::kF32 || type == DType::kF16 || type == DType::kBF16;
}

// Routers choose experts by small differences; what a family multiplies from the other side has no groups of rows.
const char* WhyDense(const TensorInfo& tensor) {
  if (tensor.num_dims != 2) return "experts: only matrices of two dimensions can be sparse";
  if (tensor.name.find("_gate_inp") != std::string::npos) return "a router";
  if (tensor.name == "mm.input_projection.weight") return "is multiplied from the other side";
  return nullptr;
}

// The type, or one with narrower blocks where the columns are no whole blocks of it.
bool Fits(DType wanted, const TensorInfo& tensor, SparseShape* shape) {
  for (const DType type : {wanted, DType::kF16}) {
    *shape = {type, tensor.rows(), tensor.cols()};
    if (shape->valid()) return true;
  }
  return false;
}

bool IsMatrixOfInterest(const TensorInfo& tensor) {
  if (!tensor.name.ends_with(".weight") || tensor.num_dims < 2 || tensor.num_dims > 3) return false;
  return tune::LayerOf(tensor.name) >= 0 || tensor.name.starts_with("mm.");
}

void ChooseMatrices(const GgufFile& in, const SparsifyFlags& flags, SparsifyPlan* plan) {
  if (!in.sparse_tensors().empty()) {
    Fail(in.name() + " is block-sparse already; mote sparsify wants the float model that it was made from");
  }
  NameRules<bool> dense("--dense", flags.dense);
  NameRules<bool> also("--also", flags.also);
  for (const TensorInfo& tensor : in.tensors()) {
    // An embedding that is not the output matrix as well is looked up, and multiplied with nothing.
    const bool outside = tensor.name == "output.weight" ||
                         (tensor.name == "token_embd.weight" && in.FindTensor("output.weight") == nullptr);
    if (!IsMatrixOfInterest(tensor) && !(outside && also.Find(tensor.name) != nullptr)) continue;
    if (!IsFloatWeight(tensor.type)) {
      Fail(Format("%s is %s already; mote sparsify wants a model in F32, F16 or BF16", tensor.name.c_str(),
                  DTypeName(tensor.type)));
    }
    SparsifyMatrix matrix;
    if (const char* why = WhyDense(tensor); why != nullptr) {
      plan->dense.push_back({tensor.name, why});
    } else if (dense.Find(tensor.name) != nullptr) {
      plan->dense.push_back({tensor.name, "as --dense says"});
    } else if (!Fits(plan->type, tensor, &matrix.shape)) {
      plan->dense.push_back({tensor.name, Format("its %llu columns are no whole blocks",
                                                 static_cast<unsigned long long>(tensor.cols()))});
    } else {
      matrix.tensor = &tensor;
      matrix.layer = tune::LayerOf(tensor.name);
      plan->matrices.push_back(matrix);
    }
  }
  dense.RequireAllMet(kMatrixOfInterest);
  also.RequireAllMet(kMatrixOfInterest);
  if (plan->matrices.empty()) Fail(in.name() + " has no matrix that could be sparse");
  std::stable_sort(plan->matrices.begin(), plan->matrices.end(), [](const SparsifyMatrix& a, const SparsifyMatrix& b) {
    return static_cast<uint64_t>(a.layer) < static_cast<uint64_t>(b.layer);  // -1 is the last
  });
}

// What stays dense, in the types that mote quantize would give it.
void PlanOthers(const GgufFile& in, const char* quantize_type, SparsifyPlan* plan) {
  QuantizeOptions options;
  options.type = quantize_type;
  const QuantizePlan types = OrFailure(PlanQuantization(in, options));
  plan->file_type = types.file_type;
  std::map<std::string, bool> sparse;
  for (const SparsifyMatrix& matrix : plan->matrices) sparse[matrix.tensor->name] = true;
  for (const TensorInfo& tensor : types.tensors) {
    if (!sparse.contains(tensor.name)) plan->others.push_back(tensor);
  }
}

std::vector<uint64_t> BlocksAt(const SparsifyPlan& plan, double density) {
  std::vector<uint64_t> blocks;
  for (const SparsifyMatrix& matrix : plan.matrices) {
    const double own = matrix.has_own_density ? matrix.density : density;
    blocks.push_back(std::max<uint64_t>(1, tune::KeptAt(own, matrix.shape.all_blocks())));
  }
  return blocks;
}

// The largest density with which the file fits.
double DensityForSize(const GgufFile& in, const SparsifyPlan& plan, uint64_t bytes) {
  const uint64_t least = plan.FileBytes(in, BlocksAt(plan, 0));
  if (least > bytes) {
    Fail(Format("--size: without any block the file still has %s (%llu bytes), more than %s", HumanBytes(least).c_str(),
                static_cast<unsigned long long>(least), HumanBytes(bytes).c_str()));
  }
  double low = 0;
  double high = 1;
  if (plan.FileBytes(in, BlocksAt(plan, 1)) <= bytes) return 1;
  for (int step = 0; step < 40; ++step) {
    const double middle = (low + high) / 2;
    (plan.FileBytes(in, BlocksAt(plan, middle)) <= bytes ? low : high) = middle;
  }
  return low;
}

constexpr uint64_t Padded(uint64_t bytes) {
  return (bytes + GgufWriter::alignment() - 1) / GgufWriter::alignment() * GgufWriter::alignment();
}

}  // namespace

uint64_t SparsifyPlan::FileBytes(const GgufFile& in, const std::vector<uint64_t>& blocks) const {
  const GgufWriter::Layout layout = OrFailure(LayoutSparsified(in, *this, std::vector<uint64_t>(matrices.size(), 1)));
  uint64_t bytes = layout.file_bytes;
  for (const uint64_t count : blocks) {
    bytes += Padded(count) - Padded(1) + Padded(count * kSparseBlockBytes) - Padded(kSparseBlockBytes);
  }
  return bytes;
}

SparsifyPlan MakeSparsifyPlan(const GgufFile& in, const SparsifyFlags& flags) {
  SparsifyPlan plan;
  const TypeChoice* chosen = nullptr;
  for (const TypeChoice& choice : kTypes) {
    if (flags.type == choice.name) chosen = &choice;
  }
  plan.type = chosen->type;
  ChooseMatrices(in, flags, &plan);
  PlanOthers(in, chosen->quantize_type, &plan);
  NameRules<double> densities = DensityRules(flags);
  for (SparsifyMatrix& matrix : plan.matrices) {
    const double* own = densities.Find(matrix.tensor->name);
    matrix.has_own_density = own != nullptr;
    if (own != nullptr) matrix.density = *own;
  }
  densities.RequireAllMet(kMatrixOfInterest);
  double overall = flags.has_max_loss ? 1.0 : flags.density;
  if (!flags.size.empty()) overall = DensityForSize(in, plan, ParseBytes("--size", flags.size));
  for (SparsifyMatrix& matrix : plan.matrices) {
    if (!matrix.has_own_density) matrix.density = overall;
  }
  return plan;
}

Result<GgufWriter::Layout> LayoutSparsified(const GgufFile& in, const SparsifyPlan& plan,
                                            const std::vector<uint64_t>& blocks) {
  GgufWriter writer;
  for (const GgufFile::Entry& entry : in.metadata()) writer.Copy(entry);
  writer.SetUint32("general.quantization_version", 2);
  writer.SetUint32("general.file_type", plan.file_type);
  for (const TensorInfo& tensor : plan.others) writer.AddTensor(tensor);
  std::vector<SparseEntry> entries;
  for (size_t i = 0; i < plan.matrices.size(); ++i) {
    entries.push_back({plan.matrices[i].tensor->name, plan.matrices[i].shape, blocks[i]});
  }
  MOTE_RETURN_IF_ERROR(AddSparseTensors(entries, &writer));
  return writer.Finish();
}

}  // namespace mote::cli
