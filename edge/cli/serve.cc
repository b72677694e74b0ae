// mote serve: loads the models that the settings name and puts them behind the server.
#include <signal.h>
#include <time.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "edge/cli/builtin.h"
#include "edge/cli/commands.h"
#include "edge/cli/console.h"
#include "edge/cli/model_loader.h"
#include "edge/cli/options.h"
#include "edge/cli/vision_file.h"
#if MOTE_HAVE_SERVER
#include "edge/server/config/settings.h"
#include "edge/server/ops/log.h"
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

LoadedModel LoadOne(const Settings& settings, const ModelFile& file) {
  const ModelOptions options = OptionsFor(settings, file.path);
  LoadedModel loaded;
  loaded.model = LoadModel(options, "serve");
  StopIfAsked();
  loaded.path = file.path;
  loaded.name = !file.name.empty() ? file.name : file.path.empty() ? BuiltinModel()->model.name : NameOf(file.path);
  if (loaded.name.size() > 5 && loaded.name.substr(loaded.name.size() - 5) == ".gguf") {
    loaded.name.resize(loaded.name.size() - 5);
  }
  loaded.created = time(nullptr);
  loaded.isa = ActiveIsa();
  loaded.precision = loaded.model.info().weight_type;
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
  StopIfAsked();
  return loaded;
}

int Serve(const std::vector<std::string>& words) {
  if (std::find(words.begin(), words.end(), "--help") != words.end() ||
      std::find(words.begin(), words.end(), "-h") != words.end()) {
    Write("Serve models over HTTP, with OpenAI's protocol.\n\nmote serve [MODEL] [OPTIONS]\n\n" +
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
  FindVision(*settings, &files);
  if (!settings->models.empty()) CheckMemory(*settings, files);
  std::vector<LoadedModel> models;
  for (const ModelFile& file : files) models.push_back(LoadOne(*settings, file));

  Result<std::unique_ptr<server::Server>> running = server::Server::Start(*settings, std::move(models));
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
