// From a prompt that is ready to the end of its answer. All on the thread that steps.
#include "edge/server/serving/engine_run.h"

#include <algorithm>
#include <utility>

#include "edge/server/clock.h"
#include "edge/server/serving/status.h"

namespace mote::server {
namespace {

std::string TextOf(const Model& model, Token token) {
  char small[64];
  size_t size = 0;
  if (mote_token_text(model.handle(), token, MOTE_SHOW_SPECIAL, small, sizeof(small), &size, nullptr) == MOTE_OK) {
    return std::string(small, size);
  }
  std::string text(size, '\0');
  mote_token_text(model.handle(), token, MOTE_SHOW_SPECIAL, text.data(), text.size(), &size, nullptr);
  return text;
}

}  // namespace

// What the engine calls back. A namespace-like struct, because it reaches into Engine.
struct EngineCallbacks {
  static void FirstToken(Engine::Run& run) {
    run.prefilled = true;
    run.slot->ready = run.slot->held.size();
    if (run.work->first != 0) return;
    run.work->first = Now();
    run.work->flight->TellStage(Stage::kFirstToken, 1);
  }

  static int OnText(void* user, const char* text, size_t size, int32_t) {
    Engine::Run& run = *static_cast<Engine::Run*>(user);
    FirstToken(run);
    const double now = Now();
    if (run.last_token != 0 && run.engine->metrics_ != nullptr) {
      run.engine->metrics_->AddInterToken(run.engine->options_.name, now - run.last_token);
    }
    run.last_token = now;
    run.work->flight->TellText(run.choice, std::string_view(text, size), std::exchange(run.details, {}));
    return run.work->given_up ? 1 : 0;
  }

  static int OnToken(void* user, const mote_token_info* info) {
    Engine::Run& run = *static_cast<Engine::Run*>(user);
    FirstToken(run);
    const Model& model = run.engine->model_;
    TokenDetail detail;
    detail.token = info->token;
    detail.bytes = TextOf(model, info->token);
    detail.logprob = info->logprob;
    for (size_t i = 0; i < info->top_count; ++i) {
      TokenDetail other;
      other.token = info->top[i].token;
      other.bytes = TextOf(model, info->top[i].token);
      other.logprob = info->top[i].logprob;
      detail.top.push_back(std::move(other));
    }
    run.details.push_back(std::move(detail));
    return 0;
  }

  static void OnProgress(void* user, size_t done, size_t total) {
    Engine::Run& run = *static_cast<Engine::Run*>(user);
    run.slot->ready = std::min(run.slot->held.size(), run.slot->held.size() - total + done);
    if (run.choice == 0) {
      run.work->flight->TellStage(Stage::kPrefill,
                                  total > 0 ? static_cast<double>(done) / static_cast<double>(total) : 1);
    }
    if (done == total) run.prefilled = true;
  }

  static void OnDone(void* user, mote_status status, const mote_generate_result* result, const char* message) {
    Engine::Run& run = *static_cast<Engine::Run*>(user);
    run.engine->EndRun(run, status, result, message);
  }
};

void Engine::StartReady() {
  bool changed = false;
  while (!wanting_.empty() && slots_.any_free()) {
    // Further choices of a request wait until the first has its prompt, and then copy it.
    const auto next = std::find_if(wanting_.begin(), wanting_.end(), [](const std::unique_ptr<Run>& run) {
      return run->choice == 0 || run->work->first != 0;
    });
    if (next == wanting_.end()) break;
    std::unique_ptr<Run> run = std::move(*next);
    wanting_.erase(next);
    changed = true;
    const std::shared_ptr<Work> work = run->work;
    if (!StartRun(run)) EndChoice(work);
  }
  if (changed) PublishState();
}

bool Engine::StartRun(std::unique_ptr<Run>& run) {
  Work& work = *run->work;
  const Placement place = slots_.Place(work.tokens, work.task.tenant, work.task.conversation);
  Slot& slot = *place.slot;
  if (!slot.made) {
    Result<Session> session = Session::Create(model_, options_.context);
    if (!session.ok()) {
      Fail(work, ToApiError(session.error().code, session.error().message));
      return false;
    }
    slot.session = std::move(session.value());
    slot.made = true;
  }
  if (slot.tenant != work.task.tenant) slot.session.Truncate(0);
  mote_error error = {};
  if (place.source != nullptr) {
    // Where it fails, the prompt is computed instead.
    mote_session_copy_prefix(slot.session.handle(), place.source->session.handle(), place.copied, &error);
  }
  slots_.Take(slot, work.tokens, work.task.tenant, work.task.conversation);

  SamplingOptions options = work.task.sampling;
  options.seed += static_cast<uint64_t>(run->choice);
  const mote_sampling_params sampling = options.ToC();
  std::vector<const char*> stop;
  for (const std::string& text : work.task.stop) stop.push_back(text.c_str());
  mote_generate_params params = mote_generate_default_params();
  params.sampling = &sampling;
  params.max_tokens = work.task.max_tokens;
  params.ignore_eos = work.task.ignore_eos ? 1 : 0;
  params.stop = stop.data();
  params.stop_count = stop.size();
  params.on_text = EngineCallbacks::OnText;
  params.on_progress = EngineCallbacks::OnProgress;
  if (work.task.logprobs >= 0) {
    params.top_logprobs = work.task.logprobs;
    params.on_token = EngineCallbacks::OnToken;
  }
  params.grammar = work.grammar.get();
  if (!work.task.constraint_trigger.empty()) params.grammar_trigger = work.task.constraint_trigger.c_str();
  params.user = run.get();
  run->slot = &slot;
  slot.session.ClearCancel();
  const mote_status status = mote_session_start(slot.session.handle(), work.prompt.handle(), &params,
                                                EngineCallbacks::OnDone, run.get(), &error);
  if (status != MOTE_OK) {
    Fail(work, ToApiError(status, error.message));
    slot.held.clear();
    slots_.Free(slot);
    return false;
  }
  {
    const std::lock_guard lock(mutex_);
    computing_.emplace_back(&work, slot.session.handle());
    if (work.placed == 0) {
      work.placed = Now();
      ++placed_;
    }
    if (work.given_up) slot.session.Cancel();  // whose Wake came before
  }
  runs_.push_back(std::move(run));
  return true;
}

void Engine::EndRun(Run& run, mote_status status, const mote_generate_result* result, const char* message) {
  Work& work = *run.work;
  run.over = true;
  run.slot->held = run.slot->session.tokens();
  run.slot->ready = run.slot->held.size();
  if (work.first == 0) work.first = Now();
  if (status != MOTE_OK) {
    Fail(work, ToApiError(status, message));
    return;
  }
  work.cached_tokens = run.choice == 0 ? result->cached_tokens : work.cached_tokens;
  work.completion_tokens += static_cast<uint32_t>(result->token_count);
  work.prefill_seconds += result->prefill_seconds;
  work.decode_seconds = std::max(work.decode_seconds, result->decode_seconds);
  if (!run.details.empty()) work.flight->TellText(run.choice, "", std::exchange(run.details, {}));
  server::Finish reason = server::Finish::kStop;
  if (result->finish_reason == MOTE_FINISH_LENGTH) reason = server::Finish::kLength;
  if (result->finish_reason == MOTE_FINISH_CANCELLED) reason = server::Finish::kCancelled;
  work.finish = reason;
  if (!work.error) work.flight->TellFinished(run.choice, reason);
}

void Engine::Finish(Work& work) {
  const double now = Now();
  {
    const std::lock_guard lock(mutex_);
    ended_at_[ended_++ % std::size(ended_at_)] = now;
    if (work.started != 0) --works_;
    if (work.placed != 0) --placed_;
  }
  Summary summary;
  summary.model = options_.name;
  summary.precision = options_.precision;
  summary.usage.prompt_tokens = static_cast<uint32_t>(work.tokens.size());
  summary.usage.cached_tokens = work.cached_tokens;
  summary.usage.image_tokens = work.info.image_rows;
  summary.usage.completion_tokens = work.completion_tokens;
  // For a turn and for a session, and not while it was prepared.
  const double prepared = work.ready != 0 ? work.ready - work.started : 0;
  const double end = work.placed != 0 ? work.placed : work.started != 0 && work.ready == 0 ? work.started : now;
  summary.timings.queued = end - work.arrived - prepared;
  summary.timings.images = work.info.images == 0 ? 0 : prepared;
  summary.timings.prefill = work.prefill_seconds;
  summary.timings.first_token = work.first != 0 ? work.first - work.arrived : 0;
  summary.timings.decode = work.decode_seconds;
  summary.timings.total = now - work.arrived;
  Account(work, summary);
  const bool good = !work.error && !work.given_up;
  if (work.ended) work.ended(good ? work.flight->Seal(summary) : nullptr);
  if (good) {
    work.flight->TellDone(summary);
  } else {
    work.flight->TellFailed(
        work.error.value_or(ApiError{499, "invalid_request_error", "cancelled", "", "the client went away"}));
  }
}

Outcome OutcomeOf(const RequestRecord& record) {
  Outcome outcome;
  outcome.model = record.model;
  outcome.finish = record.finish;
  outcome.error = record.error;
  outcome.cache = record.request_cache;
  outcome.queued = record.queued;
  outcome.first_token = record.first_token;
  outcome.prompt_tokens = record.prompt_tokens;
  outcome.cached_tokens = record.cached_tokens;
  outcome.completion_tokens = record.completion_tokens;
  return outcome;
}

void Engine::Account(const Work& work, const Summary& summary) {
  RequestRecord record;
  record.model = options_.name;
  record.finish = work.finish == server::Finish::kLength ? "length" : "stop";
  if (work.given_up) record.finish = "cancelled";
  if (work.error) {
    record.finish = "error";
    record.error = work.error->code;
  }
  record.queued = summary.timings.queued;
  record.images = summary.timings.images;
  record.prefill = summary.timings.prefill;
  record.first_token = summary.timings.first_token;
  record.decode = summary.timings.decode;
  record.total = summary.timings.total;
  record.prompt_tokens = summary.usage.prompt_tokens;
  record.cached_tokens = summary.usage.cached_tokens;
  record.completion_tokens = summary.usage.completion_tokens;
  record.images_read = work.info.images - work.info.images_known;
  record.images_known = work.info.images_known;
  record.request_cache = work.cacheable ? "miss" : "off";
  if (metrics_ != nullptr) metrics_->AddRequest(record);
  if (work.task.ended) work.task.ended(OutcomeOf(record));
}

}  // namespace mote::server
