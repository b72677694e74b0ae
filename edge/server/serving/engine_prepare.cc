// From a task to a prompt: images, template, tokens, grammar. On threads of their own.
#include <algorithm>
#include <utility>

#include "edge/pixels.h"
#include "edge/server/clock.h"
#include "edge/server/serving/engine.h"
#include "edge/server/serving/status.h"

namespace mote::server {

void Engine::PrepareLoop(bool images) {
  if (images && model_.vision_info().has_value()) {
    Result<Session> guard = Session::Create(model_, 1);
    if (guard.ok()) {
      const std::lock_guard lock(mutex_);
      image_guard_ = std::move(guard.value());
    }
  }
  while (true) {
    std::shared_ptr<Work> work;
    {
      std::unique_lock lock(mutex_);
      work_came_.wait(lock, [&] { return stop_ || (queue_[images].size() > 0 && admitted_ < AdmissionLimit()); });
      if (stop_) return;
      work = std::move(*queue_[images].Pop());
      work->started = Now();
      work->unfinished = work->task.choices;
      admitted_ += static_cast<uint32_t>(work->task.choices);
      ++works_;
      preparing_[images] = work;
    }
    bool good = !work->given_up && Prepare(*work);
    progress_.fetch_add(1, std::memory_order_relaxed);
    {
      const std::lock_guard lock(mutex_);
      preparing_[images] = nullptr;
      if (good && stop_) {
        Fail(*work, ShuttingDown());
        good = false;
      }
      if (good) {
        ready_.push_back(work);
      } else {
        admitted_ -= static_cast<uint32_t>(work->task.choices);
      }
    }
    if (good) {
      ready_came_.notify_one();
    } else {
      work_came_.notify_all();
      Finish(*work);
    }
  }
}

bool Engine::Prepare(Work& work) {
  Task& task = work.task;
  if (!CompileGrammar(work)) return false;
  std::vector<edge::Pixels> pictures;
  std::vector<mote_image> images;
  if (!task.images.empty()) {
    if (!model_.vision_info().has_value()) {
      Fail(work, {400, "invalid_request_error", "model_has_no_vision", "messages",
                  "the model \"" + options_.name + "\" sees no images: it was loaded without a vision file"});
      return false;
    }
    for (size_t i = 0; i < task.images.size(); ++i) {
      edge::Pixels picture;
      std::string why;
      if (!edge::DecodePixels(task.images[i], options_.max_image_pixels, &picture, &why)) {
        Fail(work, {400, "invalid_request_error", "invalid_image", "messages",
                    "image " + std::to_string(i + 1) + ": " + why});
        return false;
      }
      pictures.push_back(std::move(picture));
      images.push_back(pictures.back().ToC());
    }
    work.flight->TellStage(Stage::kImageDecoded, 1);
  }
  PromptOptions options;
  if (!images.empty()) {
    options.session = image_guard_.handle();
    if (options.session != nullptr) image_guard_.ClearCancel();
    options.on_progress = [&](uint32_t, uint32_t) {
      progress_.fetch_add(1, std::memory_order_relaxed);
      return !work.given_up;
    };
  }
  Result<Prompt> prompt = [&]() -> Result<Prompt> {
    if (task.chat) {
      ChatOptions chat;
      chat.tools_json = task.tools_json;
      chat.extra_json = task.template_json;
      return Prompt::FromChat(model_, task.messages, images, chat, options);
    }
    if (!task.tokens.empty()) return Prompt::FromTokens(model_, task.tokens);
    return Prompt::FromText(model_, task.text, images, MOTE_ADD_SPECIAL, options);
  }();
  if (!prompt.ok()) {
    ApiError error = ToApiError(prompt.error().code, prompt.error().message);
    if (error.status == 400 && error.param.empty()) error.param = task.chat ? "messages" : "prompt";
    if (!work.given_up) Fail(work, std::move(error));
    return false;
  }
  work.prompt = std::move(prompt.value());
  work.tokens = work.prompt.tokens();
  work.info = work.prompt.info();
  work.ready = Now();
  if (!images.empty()) work.flight->TellStage(Stage::kImageEncoded, 1);
  if (work.tokens.empty()) {
    Fail(work, {400, "invalid_request_error", "empty_prompt", "prompt", "the prompt has no tokens"});
    return false;
  }
  // The files are not needed any more; a long answer should not hold them.
  task.images.clear();
  task.images.shrink_to_fit();
  return true;
}

// Names the field that is to blame: of a constraint that has parts, the part.
ApiError Engine::GrammarRefusal(const Task& task, ApiError refusal) {
  refusal.param = !task.constraint_field.empty()            ? task.constraint_field
                  : task.constraint == Constraint::kGrammar ? "grammar"
                                                            : "response_format";
  for (const Task::Part& part : task.constraint_parts) {
    mote_grammar* grammar = nullptr;
    mote_error error = {};
    const mote_status status =
        mote_grammar_create_json_schema(model_.handle(), part.schema.data(), part.schema.size(), &grammar, &error);
    mote_grammar_free(grammar);
    if (status == MOTE_OK) continue;
    refusal = ToApiError(status, error.message);
    refusal.param = part.field;
    break;
  }
  return refusal;
}

bool Engine::CompileGrammar(Work& work) {
  const Task& task = work.task;
  if (task.constraint == Constraint::kNone) return true;
  const std::string key = std::to_string(static_cast<int>(task.constraint)) + task.constraint_text;
  {
    const std::lock_guard lock(mutex_);
    for (auto it = grammars_.begin(); it != grammars_.end(); ++it) {
      if (it->first != key) continue;
      std::rotate(grammars_.begin(), it, it + 1);
      work.grammar = grammars_.front().second;
      return true;
    }
  }
  mote_grammar* grammar = nullptr;
  mote_error error = {};
  mote_status status = MOTE_OK;
  const std::string& text = task.constraint_text;
  if (task.constraint == Constraint::kJson) {
    status = mote_grammar_create_json(model_.handle(), &grammar, &error);
  } else if (task.constraint == Constraint::kSchema) {
    status = mote_grammar_create_json_schema(model_.handle(), text.data(), text.size(), &grammar, &error);
  } else {
    status = mote_grammar_create(model_.handle(), text.data(), text.size(), &grammar, &error);
  }
  if (status != MOTE_OK) {
    Fail(work, GrammarRefusal(task, ToApiError(status, error.message)));
    return false;
  }
  work.grammar = std::shared_ptr<mote_grammar>(grammar, mote_grammar_free);
  const std::lock_guard lock(mutex_);
  grammars_.emplace_front(key, work.grammar);
  if (grammars_.size() > kGrammars) grammars_.pop_back();
  return true;
}

Result<Embedding> Engine::Embed(const std::string& text, const std::vector<Token>& tokens) {
  Result<Prompt> prompt =
      tokens.empty() ? Prompt::FromText(model_, text, {}, MOTE_ADD_SPECIAL) : Prompt::FromTokens(model_, tokens);
  if (!prompt.ok()) return prompt.error();
  Session session;
  {
    const std::lock_guard lock(embed_mutex_);
    if (!embed_sessions_.empty()) {
      session = std::move(embed_sessions_.back());
      embed_sessions_.pop_back();
    }
  }
  if (session.handle() == nullptr) {
    Result<Session> made = Session::Create(model_, options_.context);
    if (!made.ok()) return made.error();
    session = std::move(*made);
  }
  Result<std::vector<float>> values = session.Embed(*prompt);
  const std::lock_guard lock(embed_mutex_);
  embed_sessions_.push_back(std::move(session));
  if (!values.ok()) return values.error();
  progress_.fetch_add(1, std::memory_order_relaxed);
  return Embedding{std::move(*values), static_cast<uint32_t>(prompt->tokens().size())};
}

}  // namespace mote::server
