#include "edge/server/server.h"

#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>

#include "edge/server/auth/gate.h"
#include "edge/server/canary.h"
#include "edge/server/clock.h"
#include "edge/server/config/settings.h"
#include "edge/server/fetch/fetching_service.h"
#include "edge/server/guard.h"
#include "edge/server/http/front.h"
#include "edge/server/openai/routes.h"
#include "edge/server/ops/gpus.h"
#include "edge/server/ops/health.h"
#include "edge/server/ops/log.h"
#include "edge/server/ops/metrics.h"
#include "edge/server/page/page.h"
#include "edge/server/serving/model_service.h"

namespace mote::server {
namespace {

FrontOptions FrontOptionsOf(const Settings& settings) {
  FrontOptions options;
  options.listen = {settings.bind.Text()};
  options.tls.certificate = settings.tls_cert;
  options.tls.key = settings.tls_key;
  options.tls.client_ca = settings.tls_client_ca;
  options.tls.crl = settings.tls_crl;
  options.tls.require_client = settings.mutual_tls();
  options.tls.allow_tls12 = settings.tls_min_version == "1.2";
  options.reader.request_line = options.reader.header_line = static_cast<uint32_t>(settings.max_line);
  options.reader.fields = static_cast<uint32_t>(settings.max_header_fields);
  options.reader.head = static_cast<uint32_t>(settings.max_header);
  options.large_body_bytes = settings.max_body;
  options.body_bytes = std::min(options.body_bytes, settings.max_body);
  options.connections = static_cast<uint32_t>(settings.max_connections);
  options.connections_per_peer =
      settings.connections_per_address > 0 ? static_cast<uint32_t>(settings.connections_per_address) : UINT32_MAX;
  options.proxies = settings.trusted_proxies;
  options.stream_buffer_bytes = settings.stream_buffer;
  options.handshake_seconds = options.head_seconds = options.body_window_seconds = settings.header_timeout;
  options.body_bytes_per_second = static_cast<double>(settings.min_body_rate);
  options.idle_seconds = settings.idle_timeout;
  options.stall_seconds = settings.write_timeout;
  options.workers = settings.workers.floor;
  options.most_workers = settings.workers.ceiling;
  options.lame_duck_seconds = settings.lame_duck;
  options.drain_seconds = settings.drain_timeout;
  return options;
}

EngineOptions EngineOptionsOf(const Settings& settings, const LoadedModel& model) {
  EngineOptions options;
  options.name = model.name;
  options.path = model.path;
  options.precision = model.precision;
  options.slots = static_cast<int>(settings.slots);
  options.context = static_cast<uint32_t>(settings.context);
  options.batch = static_cast<uint32_t>(settings.batch_size);
  options.prefill_budget = static_cast<uint32_t>(settings.prefill_budget);
  options.queue_length = static_cast<uint32_t>(settings.queue_length);
  options.queue_timeout = settings.queue_timeout;
  options.max_image_pixels = settings.max_image_pixels;
  return options;
}

// With a precision that is made while serving, its engine.
ServiceOptions ServiceOptionsOf(const Settings& settings) {
  ServiceOptions options;
  options.cache_bytes = settings.cache_size;
  options.cache_ttl = settings.cache_ttl;
  options.cache_strategy = settings.cache_strategy;
  options.adaptive = settings.quantization == "adaptive";
  if (!options.adaptive && settings.quantization != "off") options.precision = settings.quantization;
  options.request_timeout = settings.request_timeout;
  return options;
}

using SharedBackoff = std::shared_ptr<const Backoff>;

std::shared_ptr<Engine> MakeEngine(const Settings& settings, LoadedModel model, Metrics* metrics,
                                   const SharedBackoff& backoff) {
  EngineOptions options = EngineOptionsOf(settings, model);
  options.backoff = backoff;
  return std::make_shared<Engine>(std::move(model.model), options, metrics, std::move(model.backing));
}

std::unique_ptr<ModelService> MakeService(const Settings& settings, std::vector<LoadedModel> models, Repack repack,
                                          const SharedBackoff& backoff, Metrics* metrics, Log* log) {
  const ServiceOptions options = ServiceOptionsOf(settings);
  auto service = std::make_unique<ModelService>(options, metrics);
  for (LoadedModel& model : models) {
    const int64_t created = model.created;
    service->Add(MakeEngine(settings, std::move(model), metrics, backoff), created);
  }
  if (!options.adaptive || repack == nullptr || settings.repack.empty()) return service;
  RepackOptions made;
  made.precisions = settings.repack;
  made.idle_seconds = settings.repack_idle;
  made.make = [settings, backoff, metrics, log, repack = std::move(repack)](
                  const std::string& name, const std::string& precision,
                  const std::function<bool()>& go_on) -> Result<std::shared_ptr<Engine>> {
    log->Write(LogLevel::kInfo, "repacking", {{"model", name}, {"precision", precision}});
    Result<LoadedModel> model = repack(name, precision, go_on);
    if (!model.ok()) return model.error();
    return MakeEngine(settings, std::move(*model), metrics, backoff);
  };
  made.told = [log, metrics](const std::string& name, const std::string& precision, const char* result,
                             const std::string& why) {
    metrics->AddRepack(precision, result);
    const std::string_view what = result;
    if (what == "failed") {
      log->Write(LogLevel::kWarn, "not repacked", {{"model", name}, {"precision", precision}, {"error", why}});
    } else {
      log->Write(LogLevel::kInfo, what == "made" ? "repacked" : "precision given back",
                 {{"model", name}, {"precision", precision}});
    }
  };
  service->SetRepack(std::move(made));
  return service;
}

// What a request is drawn with where it does not say.
SamplingOptions SamplingOf(const SamplingDefaults& defaults) {
  SamplingOptions sampling;
  sampling.temperature = static_cast<float>(defaults.temperature);
  sampling.top_p = static_cast<float>(std::max(defaults.top_p, 1e-6));
  sampling.top_k = static_cast<int>(defaults.top_k);
  sampling.min_p = static_cast<float>(defaults.min_p);
  sampling.presence_penalty = static_cast<float>(defaults.presence_penalty);
  sampling.frequency_penalty = static_cast<float>(defaults.frequency_penalty);
  sampling.repeat_penalty = static_cast<float>(defaults.repeat_penalty);
  sampling.penalty_window = static_cast<int>(defaults.repeat_last_n);
  return sampling;
}

// The folder of the file that standard error goes to, or "" where that is none.
std::string LogFolder() {
  struct stat target = {};
  char path[PATH_MAX];
  if (fstat(STDERR_FILENO, &target) != 0 || !S_ISREG(target.st_mode)) return "";
  const ssize_t size = readlink("/proc/self/fd/2", path, sizeof(path));
  if (size <= 0 || static_cast<size_t>(size) >= sizeof(path)) return "";
  const std::string file(path, static_cast<size_t>(size));
  return file.substr(0, std::max<size_t>(file.rfind('/'), 1));
}

HealthOptions HealthOptionsOf(const Settings& settings) {
  HealthOptions options;
  if (const std::string folder = LogFolder(); !folder.empty()) options.folders.push_back({"logs", folder});
  if (!settings.repack_dir.empty()) options.folders.push_back({"models", settings.repack_dir});
  return options;
}

// As many as a body holds in base64; fetched ones are held to the same.
uint64_t ImagesBytes(const Settings& settings) {
  return settings.max_body / 4 * 3;
}

OpenAiLimits LimitsOf(const Settings& settings) {
  OpenAiLimits limits;
  limits.json.depth = static_cast<uint32_t>(settings.max_json_depth);
  if (settings.max_tokens > 0) limits.max_tokens = limits.answer_tokens = static_cast<uint32_t>(settings.max_tokens);
  limits.choices = static_cast<uint32_t>(settings.max_choices);
  limits.images = static_cast<uint32_t>(settings.max_images);
  limits.image_bytes = settings.max_image;
  limits.images_bytes = ImagesBytes(settings);
  limits.image_hosts = settings.image_hosts;
  limits.stops = static_cast<uint32_t>(settings.max_stop);
  limits.timeout = settings.request_timeout;
  return limits;
}

// Anybody may have these: they say nothing of the models or their users.
bool IsPublic(const std::string& pattern) {
  return pattern == "/openapi.json";
}

Scope ScopeOf(const std::string& pattern) {
  if (pattern.find("/embeddings") != std::string::npos) return kScopeEmbed;
  if (pattern == "/slots" || pattern == "/props") return kScopeMetrics;
  return kScopeChat;
}

// Tells of each change, since answers come more slowly.
void LookAtBrakes(const Machine& machine, Backoff* backoff, Log* log) {
  const std::vector<std::string> brakes = machine.ReadBrakes();
  const double before = backoff->share();
  if (!backoff->Look(!brakes.empty(), Now())) return;
  const double share = backoff->share();
  const std::string percent = std::to_string(static_cast<int>(share * 100));
  if (share < before) {
    log->Write(LogLevel::kWarn, "throttled by heat or power; computing less",
               {{"percent", percent}, {"brake", brakes[0]}});
  } else {
    log->Write(LogLevel::kInfo, "not throttled; computing more", {{"percent", percent}});
  }
}

// Until the handle is let go of.
std::shared_ptr<void> WatchBrakes(Front* front, std::shared_ptr<Backoff> backoff, Log* log) {
  return front->Every(Backoff::kLook, [backoff = std::move(backoff), log, machine = std::make_shared<Machine>()] {
    LookAtBrakes(*machine, backoff.get(), log);
  });
}

}  // namespace

struct Server::Parts {
  explicit Parts(const Settings& s) : settings(s) {}

  const Settings settings;
  // In the order in which they need each other; the front, which calls all of them, goes first at the end.
  Ledger ledger;
  std::unique_ptr<Log> log;
  std::unique_ptr<Metrics> metrics;
  const std::shared_ptr<Backoff> backoff = std::make_shared<Backoff>();
  std::unique_ptr<Gate> gate;
  std::unique_ptr<ModelService> service;
  std::unique_ptr<FetchingService> fetching;  // where images of other hosts are allowed
  std::unique_ptr<Front> front;
  std::unique_ptr<Health> health;
  std::shared_ptr<void> looking;  // at the machine's brakes
  std::thread waiter;             // for the end of a drain
  std::atomic<bool> stopped = false;
  int stops = 0;
};

// A request has been answered, or its client has gone.
void Server::Note(Parts& parts, const Served& served) {
  parts.metrics->AddHttp(served.route, served.method, served.status, served.seconds);
  const Ledger::Entry entry = parts.ledger.Close(served.id);
  const Outcome& outcome = entry.outcome;
  AccessRecord record;
  record.id = served.id;
  record.tenant = entry.tenant;
  record.address = served.peer;
  record.method = served.method;
  record.route = served.route;
  record.status = served.status;
  record.seconds = served.seconds;
  record.bytes_in = served.bytes_in;
  record.bytes_out = served.bytes_out;
  record.gone = served.status == 499;
  record.model = outcome.model;
  record.finish = outcome.finish;
  record.error = outcome.error;
  record.cache = outcome.cache;
  record.queued = outcome.queued;
  record.first_token = outcome.first_token;
  record.prompt_tokens = outcome.prompt_tokens;
  record.cached_tokens = outcome.cached_tokens;
  record.completion_tokens = outcome.completion_tokens;
  parts.log->WriteRequest(record);
}

// What operators ask.
Result<void> Server::AddOwnRoutes(Parts& parts, const Refused& refused) {
  HealthSources sources;
  sources.gpu = [sensors = std::make_shared<GpuSensors>(), machine = std::make_shared<Machine>()] {
    return ReadGpus(*sensors, *machine);
  };
  sources.draining = [front = parts.front.get()] { return front->draining(); };
  sources.queue_fill = [service = parts.service.get()] { return service->queue_filled(); };
  sources.has_work = [service = parts.service.get()] { return !service->idle(); };
  sources.progress = [service = parts.service.get()] { return service->progress(); };
  sources.canary = [service = parts.service.get()](std::function<void(CanaryAnswer)> done) {
    AskCanary(*service, std::move(done));
  };
  parts.health = std::make_unique<Health>(std::move(sources), HealthOptionsOf(parts.settings));
  Health* const health = parts.health.get();
  Metrics* const metrics = parts.metrics.get();
  RouteOptions direct;
  direct.direct = true;
  struct Own {
    const char* path;
    Handler handler;
    RouteOptions options;
  };
  const auto guarded = [&](Handler handler) {
    return Guard(parts.gate.get(), &parts.ledger, kScopeMetrics, std::move(handler), refused);
  };
  const Own routes[] = {
      {"/livez", [health](const Request&, std::shared_ptr<Reply> reply) { reply->Send(health->Live()); }, direct},
      {"/ready", [health](const Request&, std::shared_ptr<Reply> reply) { reply->Send(health->Ready()); }, direct},
      {"/health", [health](const Request&, std::shared_ptr<Reply> reply) { reply->Send(health->Plain()); }, direct},
      {"/health/deep",
       guarded([health](const Request&, std::shared_ptr<Reply> reply) { health->Deep(std::move(reply)); }),
       {}},
      {"/api/v1/gpu/stats",
       guarded([health](const Request&, std::shared_ptr<Reply> reply) { reply->Send(health->Gpu()); }),
       {}},
      {"/metrics",
       guarded([metrics](const Request&, std::shared_ptr<Reply> reply) {
         reply->Send({200, "text/plain; version=0.0.4; charset=utf-8", {}, metrics->Text()});
       }),
       {}},
  };
  for (const Own& route : routes) {
    const Result<void> added = parts.front->Route("GET", route.path, route.handler, route.options);
    if (!added.ok()) return added.error();
  }
  if (!parts.settings.page) return {};
  for (const std::string& path : PagePaths()) {
    const Result<void> added = parts.front->Route(
        "GET", path, [](const Request& request, std::shared_ptr<Reply> reply) { reply->Send(PageResponse(request)); });
    if (!added.ok()) return added.error();
  }
  return {};
}

Result<std::unique_ptr<Server>> Server::Start(const Settings& settings, std::vector<LoadedModel> models,
                                              Repack repack) {
  auto parts = std::make_unique<Parts>(settings);
  LogOptions log;
  log.format = settings.log_format;
  log.level = settings.log_level;
  parts->log = std::make_unique<Log>(log);

  MetricsOptions metrics;
  metrics.names = settings.metrics_compat;
  for (const LoadedModel& model : models) metrics.models.push_back(model.name);
  metrics.version = mote_version();
  if (!models.empty()) metrics.isa = models[0].isa;
  parts->metrics = std::make_unique<Metrics>(metrics);

  parts->service = MakeService(settings, std::move(models), std::move(repack), parts->backoff, parts->metrics.get(),
                               parts->log.get());
  if (const Result<void> checked = parts->service->Check(); !checked.ok()) return checked.error();
  if (!settings.image_hosts.empty()) {
    Result<std::shared_ptr<TlsTrust>> trust = TlsTrust::Load(settings.image_ca);
    if (!trust.ok()) return trust.error();
    FetchOptions fetch;
    fetch.timeout = settings.image_timeout;
    fetch.request_timeout = settings.request_timeout;
    fetch.image_bytes = settings.max_image;
    fetch.images_bytes = ImagesBytes(settings);
    parts->fetching =
        std::make_unique<FetchingService>(parts->service.get(), fetch, std::move(*trust), parts->metrics.get());
  }

  Result<std::unique_ptr<Gate>> gate = Gate::Open(settings);
  if (!gate.ok()) return gate.error();
  parts->gate = std::move(*gate);
  parts->gate->SetReloadFailed([log = parts->log.get()](const std::string& message) {
    log->Write(LogLevel::kError, "keys not reloaded; the old ones stay", {{"error", message}});
  });
  const Refused refused = [metrics = parts->metrics.get()](const std::string& code) { metrics->AddRefusal(code); };

  parts->front = std::make_unique<Front>(FrontOptionsOf(settings));
  Front* const front = parts->front.get();
  Result<void> routed;
  OpenAiOptions openai;
  openai.limits = LimitsOf(settings);
  openai.sampling = SamplingOf(settings.sampling);
  openai.tenant = [](const Request& request) { return request.tenant; };
  openai.every = [front](double seconds, std::function<void()> call) { return front->Every(seconds, std::move(call)); };
  AddOpenAiRoutes(
      [&](const std::string& method, const std::string& pattern, Handler handler, bool long_work) {
        RouteOptions route;
        route.large_body = method == "POST";
        route.long_work = long_work;
        if (!IsPublic(pattern))
          handler = Guard(parts->gate.get(), &parts->ledger, ScopeOf(pattern), std::move(handler), refused);
        const Result<void> added = front->Route(method, pattern, std::move(handler), route);
        if (!added.ok() && routed.ok()) routed = added;
      },
      parts->fetching != nullptr ? static_cast<Service&>(*parts->fetching) : *parts->service, openai);
  if (!routed.ok()) return routed.error();

  if (const Result<void> added = AddOwnRoutes(*parts, refused); !added.ok()) return added.error();
  front->SetScreen([gate = parts->gate.get(), refused](const Request& request, Reply& reply) {
    return ScreenRequest(*gate, request, reply, refused);
  });

  const auto gauges = [service = parts->service.get(), backoff = parts->backoff] {
    ServiceGauges all = service->Gauges();
    all.share = backoff->share();
    return all;
  };
  parts->metrics->SetGauges(gauges, [front] { return FrontGauges{front->connections(), front->streams()}; });
  front->SetObserver([parts = parts.get()](const Served& served) { Note(*parts, served); });
  const Result<void> started = front->Start();
  if (!started.ok()) return started.error();
  if (settings.throttle_backoff) parts->looking = WatchBrakes(front, parts->backoff, parts->log.get());
  parts->log->Write(LogLevel::kInfo, "listening", {{"address", front->addresses()[0]}});
  parts->waiter = std::thread([parts = parts.get()] {
    parts->front->Wait();
    parts->stopped = true;
  });
  return std::unique_ptr<Server>(new Server(std::move(parts)));
}

Server::Server(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Server::~Server() {
  parts_->front->DrainNow();
  parts_->waiter.join();
  parts_->looking = nullptr;
  parts_->health = nullptr;
  parts_->front = nullptr;
  parts_->fetching = nullptr;
}

bool Server::stopped() const {
  return parts_->stopped;
}

const std::string& Server::address() const {
  return parts_->front->addresses()[0];
}

void Server::Reload() {
  const Result<void> tls = parts_->front->ReloadTls();
  const Result<bool> keys = parts_->gate->Reload(true);
  if (!keys.ok()) {
    parts_->log->Write(LogLevel::kError, "keys not reloaded; the old ones stay", {{"error", keys.error().message}});
  }
  if (!tls.ok()) {
    parts_->log->Write(LogLevel::kError, "certificates not reloaded; the old ones stay",
                       {{"error", tls.error().message}});
  }
  if (!keys.ok() && !tls.ok()) return;
  parts_->log->Write(LogLevel::kInfo, !keys.ok()  ? "certificates read again"
                                      : !tls.ok() ? "keys read again"
                                                  : "certificates and keys read again");
}

void Server::Stop() {
  if (parts_->stops++ == 0) {
    parts_->log->Write(LogLevel::kInfo, "draining");
    parts_->front->BeginDrain();
  } else {
    parts_->log->Write(LogLevel::kInfo, "stopping at once");
    parts_->front->DrainNow();
  }
}

}  // namespace mote::server
