#include "edge/cli/options.h"

#include <errno.h>
#include <stdlib.h>

#include <cmath>

#include "edge/cli/builtin.h"
#include "edge/cli/console.h"
#include "edge/cli/tuning_file.h"

namespace mote::cli {

CLI::Validator Within(double low, double high, bool above) {
  const std::string range = above ? Format("above %g and at most %g", low, high) : Format("%g to %g", low, high);
  const auto check = [=](std::string& text) -> std::string {
    char* end = nullptr;
    const double value = strtod(text.c_str(), &end);
    if (text.empty() || *end != '\0') return "\"" + text + "\" is not a number; it must be " + range;
    if ((above ? value > low : value >= low) && value <= high) return "";
    return text + " is out of range; it must be " + range;
  };
  return CLI::Validator(check, "");
}

namespace {

// Rewrites `text` without zeros in front, so that the parser takes it for what it was checked as.
bool ReadWhole(std::string* text, int64_t* value) {
  const size_t sign = text->starts_with("-") ? 1 : 0;
  if (text->size() == sign || text->find_first_not_of("0123456789", sign) != std::string::npos) return false;
  errno = 0;
  *value = strtoll(text->c_str(), nullptr, 10);
  if (errno == 0) *text = std::to_string(*value);
  return true;
}

}  // namespace

CLI::Validator WholeWithin(int64_t low, int64_t high) {
  const long long from = low;
  const std::string range =
      high == INT32_MAX ? Format("%lld or more", from) : Format("%lld to %lld", from, static_cast<long long>(high));
  const auto check = [=](std::string& text) -> std::string {
    int64_t value = 0;
    if (!ReadWhole(&text, &value)) return "\"" + text + "\" is not a whole number; it must be " + range;
    return value >= low && value <= high ? "" : text + " is out of range; it must be " + range;
  };
  return CLI::Validator(check, "");
}

CLI::Validator CountOrAll() {
  const auto check = [](std::string& text) -> std::string {
    int64_t value = 0;
    const bool fits = ReadWhole(&text, &value) && (value == -1 || (value >= 1 && value <= INT32_MAX));
    return fits ? "" : "\"" + text + "\" is no number of chunks; it must be 1 or more, or -1 for all";
  };
  return CLI::Validator(check, "");
}

namespace {

bool IsNumber(const std::string& text, size_t digits) {
  return !text.empty() && text.size() <= digits && text.find_first_not_of("0123456789") == std::string::npos;
}

std::string CheckDeviceWords(const std::string& text) {
  if (text == "auto" || text == "cpu" || text == "cuda" ||
      (text.rfind("cuda:", 0) == 0 && IsNumber(text.substr(5), 2))) {
    return "";
  }
  return "\"" + text + "\" is no device; it must be auto, cpu, cuda or cuda:N";
}

std::string CheckLayerWords(const std::string& text) {
  if (text == "auto" || text == "all" || IsNumber(text, 6)) return "";
  return "\"" + text + "\" is no number of layers; it must be a number, auto or all";
}

}  // namespace

void ModelOptions::AddPath(CLI::App& command) {
  command.add_option("MODEL", path, "A GGUF file; of a split model, any part");
}

void ModelOptions::AddThreads(CLI::App& command) {
  command.add_option("-t,--threads", threads, "Threads; 0: one per core that may be used, fewer for small steps")
      ->transform(WholeWithin(0, 1024));
}

void ModelOptions::AddAll(CLI::App& command) {
  AddPath(command);
  AddThreads(command);
  command.add_option("-c,--ctx-size", context, "Context in tokens; 0: the model's, at most 8192")
      ->transform(WholeWithin(0, 1 << 24));
  command.add_option("-b,--batch-size", batch, "Tokens computed in one step")->transform(WholeWithin(1, 8192));
  const auto cache_type = CLI::IsMember({"f16", "q8_0"}, CLI::ignore_case);
  command.add_option("--cache-type-k", cache_type_k, "(-ctk) type of cached keys: f16 or q8_0")->check(cache_type);
  command.add_option("--cache-type-v", cache_type_v, "(-ctv) type of cached values: f16 or q8_0")->check(cache_type);
  command.add_option("--device", device, "auto, cpu, cuda or cuda:N; auto: a GPU where there is one that can")
      ->check(CheckDeviceWords);
  command.add_option("--gpu-layers", gpu_layers, "(-ngl) layers on the GPU: a number, auto (what fits) or all")
      ->check(CheckLayerWords);
  command.add_flag("--dynamic-sparsity", dynamic_sparsity,
                   "Take small activations as zero, by the thresholds of mote sparsify --activations");
  command.add_flag("--fast-prompts", fast_prompts,
                   "Read prompts by a matrix unit of the processor (AMX) or of the GPU (Hopper), where there is one");
  command.add_flag("--persistent-steps", persistent_steps,
                   "On a GPU: one kernel for all layers of a generated token (experimental)");
  command
      .add_option("--autotune", autotune,
                  "on: try out while loading what is fastest here, and remember it; off: neither; again: try anew")
      ->check(CLI::IsMember({"on", "off", "again"}));
  command.add_option("--memory-limit", memory_limit, "Refuse a model that needs more: 4G, 512M, bytes");
  command.add_flag("-v,--verbose", verbose, "Say what the library says");
}

void ModelOptions::AddSplit(CLI::App& command) {
  command.add_option(
      "--split", split,
      "Under mpirun: share the layers among its processes; auto, a number of layers for the first of two, "
      "or shares as 3:2");
}

const std::string& ModelOptions::PathOrUsage(const char* command) const {
  if (path.empty() && BuiltinModel() == nullptr) {
    WrongWords(Format("no MODEL given, and this build has none built in; try mote %s MODEL.gguf", command));
  }
  return path;
}

std::string ModelOptions::Name() const {
  return path.empty() && BuiltinModel() != nullptr ? BuiltinModel()->model.name : path;
}

std::string ForcedIsa() {
  const char* wanted = getenv("MOTE_ISA");
  if (wanted == nullptr || *wanted == '\0') return "";
  std::string possible;
  for (size_t i = 0; mote_isa_name(i) != nullptr; ++i) {
    if (mote_isa_can_run(i) == 0) continue;
    if (mote_isa_name(i) == std::string(wanted)) return wanted;
    possible += (possible.empty() ? "" : ", ") + std::string(mote_isa_name(i));
  }
  WrongWords(Format("MOTE_ISA is \"%s\"; this build and CPU can run %s", wanted, possible.c_str()));
}

mote_sparse_path ForcedSparsePath() {
  const char* wanted = getenv("MOTE_SPARSE");
  if (wanted == nullptr || *wanted == '\0' || wanted == std::string("auto")) return MOTE_SPARSE_AUTO;
  if (wanted == std::string("sparse")) return MOTE_SPARSE_SPARSE;
  if (wanted == std::string("dense")) return MOTE_SPARSE_DENSE;
  WrongWords(Format("MOTE_SPARSE is \"%s\"; it can be auto, sparse or dense", wanted));
}

namespace {

mote_cache_type CacheType(const std::string& name) {
  return CLI::detail::to_lower(name) == "q8_0" ? MOTE_CACHE_Q8_0 : MOTE_CACHE_F16;
}

}  // namespace

mote_model_params ModelOptions::Params() const {
  mote_model_params params = mote_model_default_params();
  params.threads = threads;
  params.context = context;
  params.max_batch = batch;
  params.memory_limit = ParseBytes("--memory-limit", memory_limit);
  params.cache_type_k = CacheType(cache_type_k);
  params.cache_type_v = CacheType(cache_type_v);
  isa_ = ForcedIsa();
  params.isa = isa_.empty() ? nullptr : isa_.c_str();
  params.sparse_path = ForcedSparsePath();
  params.device = device.c_str();
  params.dynamic_sparsity = dynamic_sparsity ? 1 : 0;
  params.fast_prompts = fast_prompts ? 1 : 0;
  params.persistent_steps = persistent_steps ? 1 : 0;
  params.gpu_layers = gpu_layers == "auto"  ? MOTE_GPU_LAYERS_AUTO
                      : gpu_layers == "all" ? MOTE_GPU_LAYERS_ALL
                                            : atoi(gpu_layers.c_str());
  params.autotune = autotune == "off" ? 0 : 1;
  tuning_ = autotune == "on" ? ReadTuning(TuningPath()) : "";
  params.tuning = tuning_.c_str();
  params.split = split.empty() ? nullptr : split.c_str();
  params.link = link;
  if (verbose) {
    params.log = [](void*, mote_log_level, const char* line) { Note(line); };
  }
  return params;
}

void ModelOptions::KeepTuning(const std::string& lines) const {
  if (autotune == "off" || lines.empty()) return;
  const std::string path = TuningPath();
  // Read again: others may have written meanwhile.
  const std::string before = ReadTuning(path);
  bool all_there = true;
  for (size_t at = 0; at < lines.size(); at = lines.find('\n', at) + 1) {
    const std::string line = lines.substr(at, lines.find('\n', at) + 1 - at);
    all_there = all_there && before.find(line) != std::string::npos;
  }
  if (all_there) return;
  const std::string why = WriteTuning(path, MergeTuning(before, lines));
  if (verbose && !why.empty()) Note("mote: autotune: not remembered: " + why);
}

namespace {

std::string CheckSeed(const std::string& text) {
  const bool digits = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
  errno = 0;
  if (text == "-1" || (digits && (strtoull(text.c_str(), nullptr, 10), errno == 0))) return "";
  return text + " is not a seed; it must be 0 to 18446744073709551615, or -1 for a new one each time";
}

}  // namespace

void SamplingFlags::Add(CLI::App& command) {
  command.add_option("--temp,--temperature", temperature, "Temperature; 0: the likeliest token each time")
      ->check(Within(0, 100));
  command.add_option("--top-k", top_k, "Only the K likeliest tokens; 0: all")->transform(WholeWithin(0, INT32_MAX));
  command.add_option("--top-p", top_p, "Only the likeliest tokens that together reach P; 1: all")
      ->check(Within(0, 1, /*above=*/true));
  command.add_option("--min-p", min_p, "Only tokens at least P times as likely as the likeliest; 0: all")
      ->check(Within(0, 1));
  command.add_option("--repeat-penalty", repeat_penalty, "Makes repetition less likely; 1: off")
      ->check(Within(0, 10, /*above=*/true));
  command.add_option("--repeat-last-n", penalty_window, "Tokens that penalties look back at; -1: all, 0: none")
      ->transform(WholeWithin(-1, INT32_MAX));
  command.add_option("--presence-penalty", presence_penalty, "Taken off the logit of a token seen before")
      ->check(Within(-10, 10));
  command.add_option("--frequency-penalty", frequency_penalty, "The same, for each time it was seen")
      ->check(Within(-10, 10));
  command.add_option("--logit-bias", logit_bias, "ID=VALUE added to a token's logit; -inf forbids it")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command.add_option("-s,--seed", seed, "Same seed, same text; -1: a new one each time")->check(CheckSeed);
}

uint64_t ParseBytes(const std::string& option, const std::string& text) {
  if (text.empty()) return 0;
  char* end = nullptr;
  const double value = strtod(text.c_str(), &end);
  while (*end == ' ') ++end;
  std::string unit(end);
  for (char& c : unit) c = static_cast<char>(toupper(static_cast<unsigned char>(c)));
  int shift = -1;
  if (unit.empty() || unit == "B") shift = 0;
  if (unit == "K" || unit == "KB" || unit == "KIB") shift = 10;
  if (unit == "M" || unit == "MB" || unit == "MIB") shift = 20;
  if (unit == "G" || unit == "GB" || unit == "GIB") shift = 30;
  if (unit == "T" || unit == "TB" || unit == "TIB") shift = 40;
  const double bytes = shift < 0 ? -1 : std::ldexp(value, shift);
  if (!(bytes >= 1 && bytes < 9e18)) {
    WrongWords(option + ": \"" + text + "\" is not a size; it must be like 4G, 512M or a number of bytes");
  }
  return static_cast<uint64_t>(bytes);
}

void FailWith(mote_status code, const std::string& message) {
  std::string advice;
  if (code == MOTE_CONTEXT_FULL) advice = "; try a larger -c, or a shorter prompt";
  if (code == MOTE_OUT_OF_MEMORY) advice = "; try a smaller -c or -b, or a model of fewer bits";
  Fail(message + advice);
}

}  // namespace mote::cli
