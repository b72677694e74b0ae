// mote quantize: the same model in fewer bits.
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "edge/cli/commands.h"
#include "edge/cli/console.h"
#include "edge/cli/interrupt.h"
#include "edge/cli/json_text.h"
#include "edge/cli/options.h"
#include "edge/cli/output_file.h"
#include "edge/cli/tools/name_rules.h"
#include "edge/cli/tools/new_file.h"
#include "engine/core/context.h"
#include "engine/format/convert.h"
#include "engine/format/gguf.h"
#include "engine/format/imatrix.h"

namespace mote::cli {
namespace {

struct QuantizeFlags {
  std::string in;
  std::string out;
  std::string type;
  std::vector<std::string> tensor_types;  // "PATTERN=TYPE"
  std::string output_type;
  std::string embedding_type;
  std::string imatrix;
  bool pure = false;
  bool leave_output = false;
  bool allow_requantize = false;
  bool dry_run = false;
  bool json = false;
  int threads = 0;
};

DType TypeNamed(const std::string& option, const std::string& name) {
  DType type = DType::kF32;
  if (DTypeFromName(name.c_str(), &type) && DTypeInfoOf(type)->is_weight) return type;
  WrongWords(option + ": \"" + name + "\" is no number format of weights; try Q8_0, or another of mote show's types");
}

// The choices of --tensor-type: the first pattern found in a tensor's name decides.
NameRules<DType> TypeRules(const std::vector<std::string>& words) {
  NameRules<DType> rules("--tensor-type");
  for (const std::string& word : words) {
    const size_t sign = word.rfind('=');
    if (sign == std::string::npos || sign == 0) {
      WrongWords("--tensor-type: \"" + word + "\" is not PATTERN=TYPE; try --tensor-type attn_v=Q8_0");
    }
    rules.Add(word.substr(0, sign), word, TypeNamed("--tensor-type", word.substr(sign + 1)));
  }
  return rules;
}

struct Work {
  NewFile file;
  Progress progress;
  const StopGuard& stop;
};

void CheckWords(QuantizeFlags* flags) {
  if (flags->dry_run && flags->type.empty()) std::swap(flags->type, flags->out);  // IN TYPE is enough
  if (flags->in.empty() || flags->type.empty() || (flags->out.empty() && !flags->dry_run)) {
    WrongWords("quantize needs IN OUT TYPE; TYPE is one of " + QuantizeTypeNames());
  }
  if (!flags->out.empty()) RefuseInput("OUT", flags->out, {flags->in, flags->imatrix});
}

[[noreturn]] void FailPlan(const Status& status) {
  throw Failure(status.code() == Code::kInvalidArgument ? kWrongWords : kFailed, status.message());
}

nlohmann::json Describe(const QuantizeFlags& flags, const GgufFile& in, const QuantizePlan& plan) {
  nlohmann::json tensors = nlohmann::json::array();
  uint64_t values = 0;
  uint64_t bytes = 0;
  for (size_t i = 0; i < plan.tensors.size(); ++i) {
    const TensorInfo& from = in.tensors()[i];
    const TensorInfo& to = plan.tensors[i];
    tensors.push_back({{"name", from.name},
                       {"from", DTypeName(from.type)},
                       {"to", DTypeName(to.type)},
                       {"bytes_in", from.bytes},
                       {"bytes_out", to.bytes}});
    values += from.values();
    bytes += to.bytes;
  }
  return {{"in", flags.in},
          {"type", flags.type},
          {"file_type", plan.file_type},
          {"bytes_in", in.file_bytes()},
          {"tensor_bytes_out", bytes},
          {"bits_per_weight", values == 0 ? 0.0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(values)},
          {"fallbacks", plan.fallbacks},
          {"without_importance", plan.without_importance},
          {"tensors", std::move(tensors)}};
}

void NotePlan(const GgufFile& in, const QuantizePlan& plan) {
  if (plan.fallbacks != 0) {
    Note(Format("%u of %zu tensors have columns that the wanted type's blocks do not divide: they get another type",
                plan.fallbacks, in.tensors().size()));
  }
  if (!plan.without_importance.empty()) {
    Note(Format("the importance matrix knows nothing of %zu tensors, %s the first", plan.without_importance.size(),
                plan.without_importance[0].c_str()));
  }
}

void PrintPlan(const GgufFile& in, const QuantizePlan& plan, const nlohmann::json& described) {
  for (size_t i = 0; i < plan.tensors.size(); ++i) {
    const TensorInfo& to = plan.tensors[i];
    Write(Format("%-40s %6s -> %-6s %10s\n", to.name.c_str(), DTypeName(in.tensors()[i].type), DTypeName(to.type),
                 HumanBytes(to.bytes).c_str()));
  }
  Write(Format("%s, %.2f bits per weight; was %s\n", HumanBytes(described["tensor_bytes_out"].get<uint64_t>()).c_str(),
               described["bits_per_weight"].get<double>(), HumanBytes(in.file_bytes()).c_str()));
}

void WriteModel(const QuantizeFlags& flags, const GgufFile& in, const QuantizeOptions& options, uint64_t bytes,
                ThreadPool* pool) {
  const StopGuard stop;
  Work work{NewFile(flags.out, bytes), Progress("quantizing"), stop};
  QuantizeSink sink;
  sink.user = &work;
  sink.write = [](void* user, const uint8_t* piece, size_t size) {
    return static_cast<Work*>(user)->file.Write(piece, size);
  };
  sink.progress = [](void* user, const QuantizeProgress& p) {
    Work& w = *static_cast<Work*>(user);
    w.progress.Update(p.bytes_written, p.bytes_total, std::string(p.tensor) + " to " + DTypeName(p.to));
    return !w.stop.stopped();
  };
  const Status status = QuantizeFile(in, options, pool, sink);
  if (status.code() == Code::kCancelled) Fail("stopped; " + flags.out + " was not written");
  if (!status.ok()) Fail(status.message());
  work.file.Finish();
  work.progress.Clear();
}

int Quantize(QuantizeFlags flags) {
  CheckWords(&flags);
  QuantizeOptions options;
  options.type = flags.type;
  options.pure = flags.pure;
  options.leave_output = flags.leave_output;
  options.allow_requantize = flags.allow_requantize;
  if (!flags.output_type.empty()) options.output_type = TypeNamed("--output-tensor-type", flags.output_type);
  if (!flags.embedding_type.empty()) {
    options.token_embedding_type = TypeNamed("--token-embedding-type", flags.embedding_type);
  }
  NameRules<DType> rules = TypeRules(flags.tensor_types);
  options.choose_user = &rules;
  options.choose = [](void* user, std::string_view tensor, DType* type) {
    const DType* chosen = static_cast<NameRules<DType>*>(user)->Find(tensor);
    if (chosen != nullptr) *type = *chosen;
    return chosen != nullptr;
  };
  const std::unique_ptr<Platform> platform = CreatePlatform();
  const Result<std::unique_ptr<GgufFile>> in = GgufFile::Open(platform->files(), flags.in);
  if (!in.ok()) Fail(in.status().message());
  std::optional<Imatrix> imatrix;
  if (!flags.imatrix.empty()) {
    Result<Imatrix> read = Imatrix::Read(platform->files(), flags.imatrix);
    if (!read.ok()) Fail(read.status().message());
    imatrix = std::move(read).value();
    options.imatrix = &*imatrix;
  }
  // Everything that can be told without work comes before OUT is touched.
  const Result<QuantizePlan> plan = PlanQuantization(**in, options);
  if (!plan.ok()) FailPlan(plan.status());
  rules.RequireAllMet("tensor that is encoded");
  nlohmann::json described = Describe(flags, **in, *plan);
  NotePlan(**in, *plan);
  if (flags.dry_run) {
    if (flags.json) {
      Write(JsonText(described) + "\n");
    } else {
      PrintPlan(**in, *plan, described);
    }
    FlushOutput();
    return kDone;
  }
  Result<std::unique_ptr<ThreadPool>> pool = platform->CreateThreadPool(flags.threads);
  if (!pool.ok()) Fail(pool.status().message());
  const uint64_t bytes = described["tensor_bytes_out"].get<uint64_t>();
  const auto start = std::chrono::steady_clock::now();
  WriteModel(flags, **in, options, bytes, pool->get());
  const double seconds = SecondsSince(start);
  if (flags.json) {
    described["out"] = flags.out;
    described["seconds"] = seconds;
    Write(JsonText(described) + "\n");
    FlushOutput();
  }
  Note(Format("%s: %s, %.2f bits per weight, was %s; %.1f s", flags.out.c_str(), HumanBytes(bytes).c_str(),
              described["bits_per_weight"].get<double>(), HumanBytes((*in)->file_bytes()).c_str(), seconds));
  return kDone;
}

}  // namespace

void AddQuantize(CLI::App& app, Action* action) {
  CLI::App* command = app.add_subcommand("quantize", "Write a model in another number format");
  const auto flags = std::make_shared<QuantizeFlags>();
  command->add_option("IN", flags->in, "A GGUF file in F32, F16 or BF16");
  command->add_option("OUT", flags->out, "The file to write");
  command->add_option("TYPE", flags->type, "One of " + QuantizeTypeNames());
  command->add_option("--imatrix", flags->imatrix, "An importance matrix, from mote imatrix or llama-imatrix");
  command
      ->add_option(
          "--tensor-type", flags->tensor_types,
          "PATTERN=TYPE: tensors in whose names the regular expression is found get that type; repeatable, the "
          "first that is found decides")
      ->allow_extra_args(false);
  command->add_option("--output-tensor-type", flags->output_type, "The type of output.weight");
  command->add_option("--token-embedding-type", flags->embedding_type, "The type of token_embd.weight");
  command->add_flag("--pure", flags->pure, "TYPE for every weight, without the mix that its name stands for");
  command->add_flag("--leave-output-tensor", flags->leave_output, "Keep output.weight as it is");
  command->add_flag("--allow-requantize", flags->allow_requantize, "Encode weights again that are quantised already");
  command->add_flag("--dry-run", flags->dry_run, "Tell what would become of each tensor; OUT may be left out");
  command->add_flag("--json", flags->json, "One JSON object on stdout");
  command->add_option("-t,--threads", flags->threads, "Worker threads; 0: one per core")
      ->transform(WholeWithin(0, 1024));
  command->callback([=] { *action = [=] { return Quantize(*flags); }; });
}

}  // namespace mote::cli
