#include "edge/cli/model_loader.h"

#include <stdlib.h>

#include <cmath>

#include "edge/cli/builtin.h"
#include "edge/cli/console.h"
#include "edge/cli/tuning_file.h"
#include "edge/random.h"

namespace mote::cli {
namespace {

// Later loads of a server: while it serves nothing is tried out.
enum class When { kAtStart, kLater };

v0::ModelOptions Convert(const ModelOptions& options, When when) {
  const mote_model_params params = options.Params();
  v0::ModelOptions converted;
  converted.threads = params.threads;
  converted.context = params.context;
  converted.max_batch = params.max_batch;
  converted.memory_limit = params.memory_limit;
  converted.cache_type_k = static_cast<mote_cache_type>(params.cache_type_k);
  converted.cache_type_v = static_cast<mote_cache_type>(params.cache_type_v);
  if (params.isa != nullptr) converted.isa = params.isa;
  converted.sparse_path = static_cast<mote_sparse_path>(params.sparse_path);
  converted.device = options.device;
  converted.gpu_layers = params.gpu_layers;
  converted.dynamic_sparsity = params.dynamic_sparsity != 0;
  converted.fast_prompts = params.fast_prompts != 0;
  converted.persistent_steps = params.persistent_steps != 0;
  converted.autotune = when == When::kAtStart && params.autotune != 0;
  converted.tuning = when == When::kLater && options.autotune != "off" ? ReadTuning(TuningPath()) : params.tuning;
  converted.split = options.split;
  converted.link = params.link;
  if (options.verbose)
    converted.log = [](mote_log_level, std::string_view line) { Note("mote: " + std::string(line)); };
  return converted;
}

// Keeps what it has found out, and says what was asked for and cannot be had.
Model WithNote(const ModelOptions& options, Model model) {
  options.KeepTuning(Take(model.Tuning()));
  if (options.fast_prompts && model.info().fast_prompts == 0) {
    Note(
        "mote: --fast-prompts: there is no matrix unit (AMX, or a Hopper GPU's) for this model here; prompts are read "
        "as ever");
  }
  if (options.persistent_steps && model.info().gpu_layers == 0) {
    Note("mote: --persistent-steps: no layer of this model is on a GPU; its steps are as ever");
  }
  return model;
}

}  // namespace

Model LoadModel(const ModelOptions& options, const char* command) {
  const std::string& path = options.PathOrUsage(command);
  v0::ModelOptions converted = Convert(options, When::kAtStart);
  if (path.empty()) {
    const BuiltinFile& file = BuiltinModel()->model;
    Note(std::string("mote: no MODEL: the built-in one, ") + file.name);
    return WithNote(options, Take(Model::LoadMemory(file.bytes, file.size, converted)));
  }
  Progress progress("loading " + path.substr(path.rfind('/') + 1));
  converted.progress = [&](uint64_t done, uint64_t total) { progress.Update(done, total); };
  Model model = Take(Model::Load(path, converted));
  progress.Clear();
  if (options.link != nullptr) Note(std::string("mote: ") + model.info().backend);
  return WithNote(options, std::move(model));
}

Model LoadModelQuietly(const ModelOptions& options) {
  return Take(Model::Load(options.path, Convert(options, When::kLater)));
}

Model LoadModelInPlace(const ModelOptions& options, void* bytes, uint64_t size) {
  return Take(Model::LoadInPlace(bytes, size, Convert(options, When::kLater)));
}

Model LoadVocabulary(const ModelOptions& options, const char* command) {
  v0::ModelOptions converted;
  converted.vocab_only = true;
  const std::string& path = options.PathOrUsage(command);
  if (!path.empty()) return Take(Model::Load(path, converted));
  const BuiltinFile& file = BuiltinModel()->model;
  return Take(Model::LoadMemory(file.bytes, file.size, converted));
}

Session CreateSession(const Model& model) {
  return Take(Session::Create(model));
}

SamplingOptions ConvertSampling(const SamplingFlags& flags) {
  SamplingOptions sampling;
  sampling.temperature = flags.temperature;
  sampling.top_k = flags.top_k;
  sampling.top_p = flags.top_p;
  sampling.min_p = flags.min_p;
  sampling.repeat_penalty = flags.repeat_penalty;
  sampling.penalty_window = flags.penalty_window;
  sampling.presence_penalty = flags.presence_penalty;
  sampling.frequency_penalty = flags.frequency_penalty;
  if (flags.seed == "-1") {
    sampling.seed = edge::RandomBits();
  } else {
    sampling.seed = strtoull(flags.seed.c_str(), nullptr, 10);
  }
  for (const std::string& text : flags.logit_bias) {
    char* end = nullptr;
    const long token = strtol(text.c_str(), &end, 10);
    const bool has_value = end != text.c_str() && *end == '=' && end[1] != '\0';
    const float bias = has_value ? strtof(end + 1, &end) : 0;
    if (!has_value || *end != '\0' || token < 0 || token > INT32_MAX || std::isnan(bias)) {
      WrongWords("--logit-bias: \"" + text + "\" is not ID=VALUE; try --logit-bias 42=-inf");
    }
    sampling.logit_bias.push_back({static_cast<Token>(token), bias});
  }
  return sampling;
}

}  // namespace mote::cli
