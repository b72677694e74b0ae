// mote serve: loads the models that the settings name and puts them behind the server.
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "edge/cli/builtin.h"
#include "edge/cli/commands.h"
#include "edge/cli/console.h"
#include "edge/cli/model_loader.h"
#include "edge/cli/options.h"
#include "edge/cli/repack.h"
#include "edge/cli/split.h"
#include "edge/cli/vision_file.h"
#if MOTE_HAVE_SERVER
#include "edge/server/config/settings.h"
#include "edge/server/ops/log.h"
#include "edge/server/ops/machine.h"
#include "edge/server/server.h"
#endif

namespace mote::cli {

#if MOTE_HAVE_SERVER
namespace {

using server::LoadedModel;
using server::ModelFile;
using server::Settings;

// The signals that the server waits for. Blocked before any thread is made, so that none of them gets one.
sigset_t BlockSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, number);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

// One that came while nobody waited: loading a large model should not have to end first.
void StopIfAsked() {
  sigset_t pending;
  sigpending(&pending);
  if (sigismember(&pending, SIGTERM) != 0 || sigismember(&pending, SIGINT) != 0) Fail("stopped while loading");
}

ModelOptions OptionsFor(const Settings& settings, const std::string& path) {
  ModelOptions options;
  options.path = path;
  options.threads = static_cast<int>(settings.threads);
  options.context = static_cast<uint32_t>(settings.context);
  options.batch = static_cast<uint32_t>(settings.batch_size);
  options.cache_type_k = settings.cache_type_k;
  options.cache_type_v = settings.cache_type_v;
  options.device = server::DeviceName(settings.device);
  options.gpu_layers = settings.gpu_layers;
  options.fast_prompts = settings.fast_prompts;
  options.persistent_steps = settings.persistent_steps;
  options.autotune = settings.autotune;
  options.split = settings.split;
  options.verbose = settings.log_level == server::LogLevel::kDebug;
  return options;
}

// "SmolVLM-256M-Q8_0" of models/SmolVLM-256M-Q8_0.gguf
std::string NameOf(const std::string& path) {
  return std::filesystem::path(path).stem().string();
}

// What serving takes, and whether that is allowed: told before anything large is read.
void CheckMemory(const Settings& settings, const std::vector<ModelFile>& files) {
  if (settings.memory_pool_size == 0) return;
  std::string table;
  uint64_t total = 0;
  const auto add = [&](const std::string& what, uint64_t bytes) {
    total += bytes;
    table += "\n  " + HumanBytes(bytes) + "  " + what;
  };
  for (const ModelFile& file : files) {
    const ModelOptions options = OptionsFor(settings, file.path);
    const mote_model_params params = options.Params();
    mote_memory memory = {};
    memory.struct_size = sizeof(memory);
    mote_error error = {};
    const mote_status status = mote_model_measure(file.path.c_str(), &params, &memory, &error);
    if (status != MOTE_OK) FailWith(status, error.message);
    add(file.path + ": weights", memory.weights);
    add(file.path + ": scratch", memory.scratch);
    add(file.path + ": " + std::to_string(settings.slots) + " sessions of " + HumanBytes(memory.cache),
        memory.cache * settings.slots);
    if (!file.mmproj.empty()) {
      const mote_vision_params vision = mote_vision_default_params();
      if (mote_vision_measure(file.mmproj.c_str(), &params, &vision, &memory, &error) != MOTE_OK) Fail(error.message);
      add(file.mmproj + ": weights and scratch", memory.total);
    }
  }
  add("cache of encoded images", settings.image_cache_size);
  add("cache of answers", settings.cache_size);
  if (total <= settings.memory_pool_size) return;
  Fail("serving needs " + HumanBytes(total) + " and MEMORY_POOL_SIZE allows " + HumanBytes(settings.memory_pool_size) +
       ":" + table + "\ntry fewer --slots, a smaller --context, or a smaller model");
}

// The vision files of the models: those that were told, and that of the first model as --mmproj says.
void FindVision(const Settings& settings, std::vector<ModelFile>* files) {
  if (settings.mmproj != "auto" && settings.mmproj != "none" && !files->empty()) {
    files->front().mmproj = settings.mmproj;
  }
  if (settings.mmproj != "auto") return;
  for (ModelFile& file : *files) {
    if (!file.mmproj.empty() || file.path.empty()) continue;
    const std::vector<std::string> beside = VisionFilesBeside(file.path);
    if (!beside.empty()) file.mmproj = beside.front();
  }
}

// As `mote --version` tells it.
std::string ActiveIsa() {
  std::string isa = ForcedIsa();
  for (size_t i = 0; isa.empty() && mote_isa_name(i) != nullptr; ++i) {
    if (mote_isa_can_run(i) != 0) isa = mote_isa_name(i);
  }
  return isa;
}

// As requests call it.
std::string ServedName(const ModelFile& file) {
  std::string name = !file.name.empty()  ? file.name
                     : file.path.empty() ? BuiltinModel()->model.name
                                         : NameOf(file.path);
  if (name.size() > 5 && name.ends_with(".gguf")) name.resize(name.size() - 5);
  return name;
}

// The vision file, where there is one. Failure where it was asked for and does not fit.
void AttachVision(const Settings& settings, const ModelFile& file, LoadedModel* model) {
  LoadedModel& loaded = *model;
  VisionOptions vision;
  vision.cache_bytes = settings.image_cache_size;
  vision.max_tokens = static_cast<uint32_t>(settings.image_max_tokens);
  if (file.path.empty()) {
    if (settings.mmproj != "none") {
      const BuiltinFile& builtin = BuiltinModel()->vision;
      const Result<void> attached = loaded.model.LoadVisionMemory(builtin.bytes, builtin.size, vision);
      if (!attached.ok()) FailWith(attached.error().code, attached.error().message);
    }
  } else if (!file.mmproj.empty()) {
    const Result<void> attached = loaded.model.LoadVision(file.mmproj, vision);
    const bool wanted = settings.mmproj != "auto";
    if (!attached.ok() && wanted) FailWith(attached.error().code, attached.error().message);
    Note("mote: vision file " + file.mmproj +
         (attached.ok() ? "" : " does not fit and is left out: " + attached.error().message));
  }
}

// `link`: to the other ranks of a split; null without.
LoadedModel LoadOne(const Settings& settings, const ModelFile& file, const mote_link* link) {
  ModelOptions options = OptionsFor(settings, file.path);
  options.link = link;
  LoadedModel loaded;
  loaded.model = LoadModel(options, "serve");
  StopIfAsked();
  loaded.path = file.path;
  loaded.name = ServedName(file);
  loaded.created = time(nullptr);
  loaded.isa = ActiveIsa();
  loaded.precision = loaded.model.info().weight_type;
  AttachVision(settings, file, &loaded);
  StopIfAsked();
  return loaded;
}

// Whether a repacked model that needs so many bytes fits.
bool HasRoomFor(const Settings& settings, uint64_t needed, std::string* why) {
  const server::MachineFacts facts = server::Machine().Read(0);
  const auto lacks = [&](uint64_t left) {
    *why = "it needs " + HumanBytes(needed) + ", and " + HumanBytes(left) + " are left";
    return false;
  };
  // A fifth stays free: for the sessions, and for others.
  if (facts.memory_available && needed > *facts.memory_available / 5 * 4) return lacks(*facts.memory_available);
  if (settings.memory_pool_size == 0) return true;
  const uint64_t used = std::min(facts.process.resident_bytes.value_or(0), settings.memory_pool_size);
  return needed <= settings.memory_pool_size - used || lacks(settings.memory_pool_size - used);
}

// Where a repacked model is kept: by what it was made from, so that another file of the name is not taken for it.
std::string RepackedPath(const Settings& settings, const ModelFile& file, const std::string& precision) {
  std::string name = ServedName(file);
  for (char& c : name) c = isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' ? c : '_';
  struct stat facts = {};
  if (!file.path.empty()) stat(file.path.c_str(), &facts);
  const uint64_t size = file.path.empty() ? BuiltinModel()->model.size : static_cast<uint64_t>(facts.st_size);
  return settings.repack_dir + "/" + name + "-" + std::to_string(size) + "-" + std::to_string(facts.st_mtime) + "-" +
         precision + ".gguf";
}

Error RepackError(mote_status code, std::string why) {
  return Error{code, std::move(why)};
}

// Another precision of a model that is being served.
Result<LoadedModel> RepackOne(const Settings& settings, const ModelFile& file, const std::string& precision,
                              const std::function<bool()>& go_on) {
  const RepackJob job{file.path, precision, go_on};
  std::string why;
  if (!settings.split.empty()) return RepackError(MOTE_UNSUPPORTED, "a model that is split keeps its precision");
  uint64_t bytes = 0;
  if (!MeasureRepack(job, &bytes, &why)) return RepackError(MOTE_UNSUPPORTED, why);
  if (!HasRoomFor(settings, bytes, &why)) return RepackError(MOTE_OUT_OF_MEMORY, why);
  ModelOptions options = OptionsFor(settings, file.path);
  LoadedModel loaded;
  try {
    if (settings.repack_dir.empty()) {
      const auto memory = std::make_shared<std::string>();
      if (!RepackToMemory(job, bytes, memory.get(), &why)) return RepackError(MOTE_IO, why);
      loaded.model = LoadModelInPlace(options, memory->data(), memory->size());
      loaded.backing = memory;
    } else {
      options.path = RepackedPath(settings, file, precision);
      const bool there = access(options.path.c_str(), R_OK) == 0;
      if (!there && !RepackToFile(job, bytes, options.path, &why)) return RepackError(MOTE_IO, why);
      loaded.model = LoadModelQuietly(options);
    }
    loaded.path = file.path;
    loaded.name = ServedName(file);
    loaded.created = time(nullptr);
    loaded.isa = ActiveIsa();
    for (const char c : precision) loaded.precision += static_cast<char>(toupper(static_cast<unsigned char>(c)));
    AttachVision(settings, file, &loaded);
  } catch (const std::exception& error) {
    return RepackError(MOTE_IO, error.what());
  }
  return loaded;
}

// From the first file of each name, which is the one that was meant most.
server::Repack RepackFrom(const Settings& settings, const std::vector<ModelFile>& files) {
  return [settings, files](const std::string& name, const std::string& precision,
                           const std::function<bool()>& go_on) -> Result<LoadedModel> {
    for (const ModelFile& file : files) {
      if (ServedName(file) == name) return RepackOne(settings, file, precision, go_on);
    }
    return RepackError(MOTE_NOT_FOUND, "there is no file of this model");
  };
}

int Serve(const std::vector<std::string>& words) {
  if (std::find(words.begin(), words.end(), "--help") != words.end() ||
      std::find(words.begin(), words.end(), "-h") != words.end()) {
    Write(
        "Serve models over HTTP, with OpenAI's protocol.\n\n"
        "mote serve [MODEL] [OPTIONS]\n\n"
        "  mote serve                                  the model in the program, on 127.0.0.1:8080, for this machine "
        "alone\n"
        "  mote serve model.gguf --port 9000           a file; its vision file beside it is found\n"
        "  mote key new --file KEYS --name camera      a key, then for others in the network, too:\n"
        "  mote serve model.gguf --host 0.0.0.0 --key-file KEYS --tls-cert CERT --tls-key KEY\n\n"
        "Each option is a variable as well (--max-body: MOTE_MAX_BODY) and a line in a file (max_body = 24M):\n"
        "  --config FILE\n"
        "      Settings, a line each; options and variables go before it\n\n" +
        server::SettingsHelp());
    FlushOutput();
    return kDone;
  }
  Result<Settings> settings = server::ReadSettings(server::SystemSources(words));
  if (!settings.ok()) WrongWords(settings.error().message);
  server::HoldStandardFiles();
  for (const std::string& note : settings->notes) Note("mote: " + note);
  const sigset_t signals = BlockSignals();
  std::vector<ModelFile> files = settings->models;
  if (files.empty()) {
    ModelOptions none;
    none.PathOrUsage("serve");  // wrong words where the program has no model of its own
    files.push_back({});
  }
  // Before any thread is made; the ranks behind the lead do nothing else.
  ModelOptions shared_out = OptionsFor(*settings, files.front().path);
  if (!settings->split.empty() && files.size() != 1) {
    WrongWords(Format("--split shares one model among the processes; --model names %zu", files.size()));
  }
  const SplitGuard split(&shared_out);
  if (split.follows()) return split.Serve();
  FindVision(*settings, &files);
  if (!settings->models.empty() && settings->split.empty()) CheckMemory(*settings, files);
  if (const std::string& kept = settings->repack_dir; !kept.empty() && access(kept.c_str(), R_OK | W_OK | X_OK) != 0) {
    Fail("repack_dir: " + kept + ": " + strerror(errno) + "; it must be a folder that this user may write");
  }
  std::vector<LoadedModel> models;
  for (const ModelFile& file : files) models.push_back(LoadOne(*settings, file, shared_out.link));

  Result<std::unique_ptr<server::Server>> running =
      server::Server::Start(*settings, std::move(models), RepackFrom(*settings, files));
  if (!running.ok()) Fail(running.error().message);
  server::Server& server = **running;
  Note("mote: listening on " + server.address() + "; stop with Ctrl+C");
  // One thread waits for signals, and the end comes as one too.
  while (true) {
    const timespec tick = {0, 100 * 1000 * 1000};
    const int number = sigtimedwait(&signals, nullptr, &tick);
    if (number == SIGHUP) server.Reload();
    if (number == SIGTERM || number == SIGINT) server.Stop();
    if (server.stopped()) break;
    split.CheckOthers();
  }
  return kDone;
}

}  // namespace

void AddServe(CLI::App& app, Action* action) {
  CLI::App* command = app.add_subcommand("serve", "Serve models over HTTP, with OpenAI's protocol");
  command->prefix_command();
  command->set_help_flag();  // the settings have a table, and a help, of their own
  command->callback([command, action] { *action = [words = command->remaining()] { return Serve(words); }; });
}

#else

void AddServe(CLI::App& app, Action* action) {
  CLI::App* command = app.add_subcommand("serve", "Serve models over HTTP (left out of this build)");
  command->prefix_command();
  command->callback([action] {
    *action = []() -> int {
      Fail("this program was built without the server: for its target there was no " MOTE_SERVER_MISSING);
    };
  });
}

#endif

}  // namespace mote::cli
