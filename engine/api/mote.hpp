// mote in C++17: owners, containers and std::function over mote.h, header-only. No exceptions are thrown; works with
// and without them. Everything that mote.h says about threads, ranges and lifetimes holds here. Strings that C takes as
// far as their first NUL must have none: MOTE_INVALID_ARGUMENT.
//
// The inline namespace keeps these names apart from the engine's own in a static link.
#ifndef MOTE_ENGINE_API_MOTE_HPP_
#define MOTE_ENGINE_API_MOTE_HPP_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mote.h"
#include "mote_grammar.hpp"
#include "mote_options.hpp"
#include "mote_result.hpp"

namespace mote {
inline namespace v0 {

class Model {
 public:
  static Result<Model> Load(const std::string& path, const ModelOptions& options = {}) {
    if (internal::WithNul({{"path", &path}}) != nullptr) return internal::NulIn("path");
    return LoadWith(options, [&](const mote_model_params* params, mote_model** model, mote_error* error) {
      return mote_model_load(path.c_str(), params, model, error);
    });
  }
  // The bytes must stay until the model and its sessions are gone.
  static Result<Model> LoadMemory(const void* bytes, uint64_t size, const ModelOptions& options = {}) {
    return LoadWith(options, [&](const mote_model_params* params, mote_model** model, mote_error* error) {
      return mote_model_load_memory(bytes, size, params, model, error);
    });
  }
  // The same, overwriting them: weights are packed where they lie, without memory for a second copy.
  static Result<Model> LoadInPlace(void* bytes, uint64_t size, const ModelOptions& options = {}) {
    return LoadWith(options, [&](const mote_model_params* params, mote_model** model, mote_error* error) {
      return mote_model_load_in_place(bytes, size, params, model, error);
    });
  }
  using Read = std::function<int64_t(uint64_t offset, void* buffer, uint64_t bytes)>;
  static Result<Model> LoadCallback(Read read, uint64_t size, const ModelOptions& options = {}) {
    return LoadWith(options, [&](const mote_model_params* params, mote_model** model, mote_error* error) {
      return mote_model_load_callback(read ? CallRead : nullptr, &read, size, params, model, error);
    });
  }
  static Result<mote_memory> Measure(const std::string& path, const ModelOptions& options = {}) {
    if (internal::WithNul({{"path", &path}}) != nullptr) return internal::NulIn("path");
    if (const char* field = options.WithNul()) return internal::NulIn(field);
    const mote_model_params params = ToC(options, nullptr);
    mote_memory memory = {};
    memory.struct_size = sizeof(memory);
    mote_error error = {};
    const mote_status status = mote_model_measure(path.c_str(), &params, &memory, &error);
    if (status != MOTE_OK) return internal::Take(status, error);
    return memory;
  }

  // The vision file that belongs to the model; once, before other threads use it.
  Result<void> LoadVision(const std::string& path, const VisionOptions& options = {}) {
    if (internal::WithNul({{"path", &path}}) != nullptr) return internal::NulIn("path");
    return LoadVisionWith(options, [&](const mote_vision_params* params, mote_error* error) {
      return mote_model_load_vision(handle_.get(), path.c_str(), params, error);
    });
  }
  // The bytes must stay until the model and its sessions are gone.
  Result<void> LoadVisionMemory(const void* bytes, uint64_t size, const VisionOptions& options = {}) {
    return LoadVisionWith(options, [&](const mote_vision_params* params, mote_error* error) {
      return mote_model_load_vision_memory(handle_.get(), bytes, size, params, error);
    });
  }
  Result<void> LoadVisionInPlace(void* bytes, uint64_t size, const VisionOptions& options = {}) {
    return LoadVisionWith(options, [&](const mote_vision_params* params, mote_error* error) {
      return mote_model_load_vision_in_place(handle_.get(), bytes, size, params, error);
    });
  }
  Result<void> LoadVisionCallback(Read read, uint64_t size, const VisionOptions& options = {}) {
    return LoadVisionWith(options, [&](const mote_vision_params* params, mote_error* error) {
      return mote_model_load_vision_callback(handle_.get(), read ? CallRead : nullptr, &read, size, params, error);
    });
  }
  // What LoadVision would add to Measure.
  static Result<mote_memory> MeasureVision(const std::string& path, const ModelOptions& options = {},
                                           const VisionOptions& vision = {}) {
    if (internal::WithNul({{"path", &path}}) != nullptr) return internal::NulIn("path");
    if (const char* field = options.WithNul()) return internal::NulIn(field);
    const mote_model_params params = ToC(options, nullptr);
    const mote_vision_params vision_params = vision.ToC();
    mote_memory memory = {};
    memory.struct_size = sizeof(memory);
    mote_error error = {};
    const mote_status status = mote_vision_measure(path.c_str(), &params, &vision_params, &memory, &error);
    if (status != MOTE_OK) return internal::Take(status, error);
    return memory;
  }
  // Its strings live as long as the model; nothing where it has no vision file.
  std::optional<mote_vision_info> vision_info() const {
    mote_vision_info info = {};
    info.struct_size = sizeof(info);
    if (mote_model_get_vision_info(handle_.get(), &info, nullptr) != MOTE_OK) return std::nullopt;
    return info;
  }

  // Its strings live as long as the model.
  mote_model_info info() const {
    mote_model_info info = {};
    info.struct_size = sizeof(info);
    mote_model_get_info(handle_.get(), &info, nullptr);
    return info;
  }

  // What is fastest on this machine, for the ModelOptions of a later process; see mote_tuning.h.
  Result<std::string> Tuning() const {
    return internal::Fill<std::string>([&](char* text, size_t capacity, size_t* size, mote_error* error) {
      return mote_model_tuning(handle_.get(), text, capacity, size, error);
    });
  }

  // flags: MOTE_ADD_SPECIAL | MOTE_PARSE_SPECIAL
  Result<std::vector<Token>> Tokenize(std::string_view text, uint32_t flags = MOTE_ADD_SPECIAL) const {
    return internal::Fill<std::vector<Token>>([&](Token* tokens, size_t capacity, size_t* count, mote_error* error) {
      return mote_tokenize(handle_.get(), text.data(), text.size(), flags, tokens, capacity, count, error);
    });
  }
  // flags: MOTE_SHOW_SPECIAL
  Result<std::string> Detokenize(const std::vector<Token>& tokens, uint32_t flags = 0) const {
    return internal::Fill<std::string>([&](char* text, size_t capacity, size_t* size, mote_error* error) {
      return mote_detokenize(handle_.get(), tokens.data(), tokens.size(), flags, text, capacity, size, error);
    });
  }
  Result<std::string> TokenText(Token token, uint32_t flags = 0) const {
    return internal::Fill<std::string>([&](char* text, size_t capacity, size_t* size, mote_error* error) {
      return mote_token_text(handle_.get(), token, flags, text, capacity, size, error);
    });
  }
  bool IsEnd(Token token) const { return mote_token_is_end(handle_.get(), token) != 0; }
  bool IsControl(Token token) const { return mote_token_is_control(handle_.get(), token) != 0; }
  Token Find(std::string_view text) const { return mote_token_find(handle_.get(), text.data(), text.size()); }

  Result<std::vector<Token>> TokenizeChat(const std::vector<ChatMessage>& messages,
                                          const ChatOptions& options = {}) const {
    if (const char* field = WithNul(messages, options)) return internal::NulIn(field);
    const std::vector<mote_chat_message> list = ToC(messages);
    const mote_chat_params params = ToC(options);
    return internal::Fill<std::vector<Token>>([&](Token* tokens, size_t capacity, size_t* count, mote_error* error) {
      return mote_chat_tokenize(handle_.get(), list.data(), list.size(), &params, tokens, capacity, count, error);
    });
  }
  Result<std::string> RenderChat(const std::vector<ChatMessage>& messages, const ChatOptions& options = {}) const {
    if (const char* field = WithNul(messages, options)) return internal::NulIn(field);
    const std::vector<mote_chat_message> list = ToC(messages);
    const mote_chat_params params = ToC(options);
    return internal::Fill<std::string>([&](char* text, size_t capacity, size_t* size, mote_error* error) {
      return mote_chat_render(handle_.get(), list.data(), list.size(), &params, text, capacity, size, error);
    });
  }

  // At most so many of the model's threads compute from the next step on; 0: all. See mote_model_limit_threads.
  Result<void> LimitThreads(int32_t threads) {
    mote_error error = {};
    return internal::Done(mote_model_limit_threads(handle_.get(), threads, &error), error);
  }
  // One step of all generations that were started (Session::Start); see mote_model_step.
  Result<mote_step_report> Step(uint32_t max_prefill = 0) {
    mote_step_params params = mote_step_default_params();
    params.max_prefill = max_prefill;
    mote_step_report report = {};
    report.struct_size = sizeof(report);
    mote_error error = {};
    const mote_status status = mote_model_step(handle_.get(), &params, &report, &error);
    if (status != MOTE_OK) return internal::Take(status, error);
    return report;
  }

  mote_model* handle() const { return handle_.get(); }

 private:
  using Log = std::function<void(mote_log_level, std::string_view)>;
  using Handle = std::unique_ptr<mote_model, internal::Deleter<mote_model_free>>;
  friend class Session;
  friend class Prompt;

  static int64_t CallRead(void* user, uint64_t offset, void* buffer, uint64_t bytes) {
    return (*static_cast<Read*>(user))(offset, buffer, bytes);
  }
  template <class Call>
  static Result<void> LoadVisionWith(const VisionOptions& options, Call call) {
    const mote_vision_params params = options.ToC();
    mote_error error = {};
    return internal::Done(call(&params, &error), error);
  }
  template <class Call>
  static Result<Model> LoadWith(const ModelOptions& options, Call call) {
    if (const char* field = options.WithNul()) return internal::NulIn(field);
    Model model;
    if (options.log) model.log_ = std::make_shared<Log>(options.log);
    const mote_model_params params = ToC(options, model.log_.get());
    mote_model* handle = nullptr;
    mote_error error = {};
    const mote_status status = call(&params, &handle, &error);
    if (status != MOTE_OK) return internal::Take(status, error);
    model.handle_ = Handle(handle);
    return model;
  }
  static mote_model_params ToC(const ModelOptions& options, Log* log) {
    mote_model_params params = options.ToC();
    if (log != nullptr) {
      params.log = [](void* user, mote_log_level level, const char* line) { (*static_cast<Log*>(user))(level, line); };
      params.log_user = log;
    }
    if (options.progress) {
      params.progress = [](void* user, uint64_t done, uint64_t total) {
        static_cast<const ModelOptions*>(user)->progress(done, total);
      };
      params.progress_user = const_cast<ModelOptions*>(&options);
    }
    return params;
  }
  static const char* WithNul(const std::vector<ChatMessage>& messages, const ChatOptions& options) {
    for (const ChatMessage& message : messages) {
      if (const char* field = message.WithNul()) return field;
    }
    return options.WithNul();
  }
  static std::vector<mote_chat_message> ToC(const std::vector<ChatMessage>& messages) {
    std::vector<mote_chat_message> list;
    for (const ChatMessage& m : messages) {
      list.push_back({m.role.c_str(), m.content.c_str(), m.extra_json.empty() ? nullptr : m.extra_json.c_str()});
    }
    return list;
  }
  static mote_chat_params ToC(const ChatOptions& options) {
    mote_chat_params params = mote_chat_default_params();
    params.no_generation_prompt = options.add_generation_prompt ? 0 : 1;
    params.tools_json = options.tools_json.empty() ? nullptr : options.tools_json.c_str();
    params.extra_json = options.extra_json.empty() ? nullptr : options.extra_json.c_str();
    params.now = options.now;
    return params;
  }

  std::shared_ptr<Log> log_;  // also held by sessions, as they keep the model alive
  Handle handle_;
};

struct GenerateOptions {
  SamplingOptions sampling;
  int max_tokens = -1;
  bool ignore_eos = false;
  std::vector<std::string> stop;
  std::function<bool(std::string_view text, Token token)> on_text;    // false stops
  std::function<bool(const mote_token_info& info)> on_token;          // each token, before its text; false stops
  int top_logprobs = -1;                                              // that on_token is told; -1: no logprobs
  std::optional<Grammar> grammar;                                     // what the text may look like
  std::string grammar_trigger;                                        // the grammar begins after it; empty: at once
  std::function<void(size_t done, size_t total)> on_prompt_progress;  // in tokens

  // The field that has a NUL, or null.
  const char* WithNul() const {
    for (const std::string& text : stop) {
      if (internal::WithNul({{"stop", &text}}) != nullptr) return "stop";
    }
    return internal::WithNul({{"grammar_trigger", &grammar_trigger}});
  }
};

struct Generation {
  std::string text;
  std::vector<Token> tokens;
  mote_finish_reason finish_reason = MOTE_FINISH_STOP;
  uint32_t prompt_tokens = 0;
  uint32_t cached_tokens = 0;
  double prefill_seconds = 0;
  double decode_seconds = 0;
};

struct PromptOptions {
  mote_session* session = nullptr;                                 // Session::Cancel stops the reading of images too
  std::function<bool(uint32_t done, uint32_t total)> on_progress;  // in views; false stops
};

// Text and images, ready for sessions of one model.
class Prompt {
 public:
  // Each image stands where the text has MOTE_IMAGE_MARK. flags: MOTE_ADD_SPECIAL | MOTE_PARSE_SPECIAL
  static Result<Prompt> FromText(const Model& model, std::string_view text, const std::vector<mote_image>& images,
                                 uint32_t flags = MOTE_ADD_SPECIAL, const PromptOptions& options = {}) {
    return CreateWith(model, options, [&](const mote_prompt_params* params, mote_prompt** prompt, mote_error* error) {
      return mote_prompt_create_text(model.handle(), text.data(), text.size(), flags, images.data(), images.size(),
                                     params, prompt, error);
    });
  }
  // Each image stands where a message has MOTE_IMAGE_MARK, or all before the text of the user's last message.
  static Result<Prompt> FromChat(const Model& model, const std::vector<ChatMessage>& messages,
                                 const std::vector<mote_image>& images, const ChatOptions& chat = {},
                                 const PromptOptions& options = {}) {
    if (const char* field = Model::WithNul(messages, chat)) return internal::NulIn(field);
    const std::vector<mote_chat_message> list = Model::ToC(messages);
    const mote_chat_params chat_params = Model::ToC(chat);
    return CreateWith(model, options, [&](const mote_prompt_params* params, mote_prompt** prompt, mote_error* error) {
      return mote_prompt_create_chat(model.handle(), list.data(), list.size(), &chat_params, images.data(),
                                     images.size(), params, prompt, error);
    });
  }

  static Result<Prompt> FromTokens(const Model& model, const std::vector<Token>& tokens) {
    return CreateWith(model, {}, [&](const mote_prompt_params*, mote_prompt** prompt, mote_error* error) {
      return mote_prompt_create_tokens(model.handle(), tokens.data(), tokens.size(), prompt, error);
    });
  }

  // -1 for rows of images.
  std::vector<Token> tokens() const {
    size_t count = 0;
    const Token* tokens = mote_prompt_tokens(handle_.get(), &count);
    return std::vector<Token>(tokens, tokens + count);
  }
  mote_prompt_info info() const {
    mote_prompt_info info = {};
    info.struct_size = sizeof(info);
    mote_prompt_get_info(handle_.get(), &info, nullptr);
    return info;
  }
  // Of the image at `index`.
  uint32_t image_rows(size_t index) const { return mote_prompt_image_rows(handle_.get(), index, nullptr); }
  bool image_known(size_t index) const {
    int known = 0;
    mote_prompt_image_rows(handle_.get(), index, &known);
    return known != 0;
  }

  mote_prompt* handle() const { return handle_.get(); }

 private:
  using Handle = std::unique_ptr<mote_prompt, internal::Deleter<mote_prompt_free>>;

  template <class Call>
  static Result<Prompt> CreateWith(const Model& model, const PromptOptions& options, Call call) {
    mote_prompt_params params = mote_prompt_default_params();
    params.session = options.session;
    if (options.on_progress) {
      params.on_progress = [](void* user, uint32_t done, uint32_t total) {
        return static_cast<const PromptOptions*>(user)->on_progress(done, total) ? 0 : 1;
      };
      params.user = const_cast<PromptOptions*>(&options);
    }
    mote_prompt* handle = nullptr;
    mote_error error = {};
    const mote_status status = call(&params, &handle, &error);
    if (status != MOTE_OK) return internal::Take(status, error);
    Prompt prompt;
    prompt.log_ = model.log_;
    prompt.handle_ = Handle(handle);
    return prompt;
  }

  std::shared_ptr<Model::Log> log_;
  Handle handle_;
};

class Session {
 public:
  static Result<Session> Create(const Model& model, uint32_t context = 0) {
    mote_session* handle = nullptr;
    mote_error error = {};
    const mote_status status = mote_session_create(model.handle(), context, &handle, &error);
    if (status != MOTE_OK) return internal::Take(status, error);
    Session session;
    session.log_ = model.log_;
    session.handle_ = Handle(handle);
    return session;
  }

  Result<Generation> Generate(const std::vector<Token>& prompt, const GenerateOptions& options = {}) {
    return GenerateWith(
        options, [&](const mote_generate_params* params, mote_generate_result* result, mote_error* error) {
          return mote_session_generate(handle_.get(), prompt.data(), prompt.size(), params, result, error);
        });
  }
  Result<Generation> Generate(const Prompt& prompt, const GenerateOptions& options = {}) {
    return GenerateWith(options,
                        [&](const mote_generate_params* params, mote_generate_result* result, mote_error* error) {
                          return mote_session_generate_prompt(handle_.get(), prompt.handle(), params, result, error);
                        });
  }

  // Begins a generation and returns; Model::Step carries it on, makes the callbacks, and at its end calls `done`, which
  // may use, start and destroy the session. See mote_session_start.
  using OnDone = std::function<void(Result<Generation>)>;
  Result<void> Start(const Prompt& prompt, const GenerateOptions& options, OnDone done) {
    if (const char* field = options.WithNul()) return internal::NulIn(field);
    auto started = std::make_unique<Started>(Started{options, std::move(done)});
    const GenerateCall call(started->options);
    mote_error error = {};
    const mote_status status =
        mote_session_start(handle_.get(), prompt.handle(), &call.params, CallDone, started.get(), &error);
    if (status != MOTE_OK) return internal::Take(status, error);
    started_ = std::move(started);
    return {};
  }
  // Holds the first `length` tokens of another session of the model instead of its own; see mote_session_copy_prefix.
  Result<uint32_t> CopyPrefix(const Session& source, uint32_t length) {
    mote_error error = {};
    const uint32_t held = mote_session_copy_prefix(handle_.get(), source.handle(), length, &error);
    if (error.code != MOTE_OK) return internal::Take(static_cast<mote_status>(error.code), error);
    return held;
  }

  // The prompt as one vector of `width` values; see mote_session_embed.
  Result<std::vector<float>> Embed(const Prompt& prompt, mote_pooling pooling = MOTE_POOLING_MODEL,
                                   bool normalize = true) {
    mote_embed_params params = mote_embed_default_params();
    params.pooling = pooling;
    params.no_normalize = normalize ? 0 : 1;
    return internal::Fill<std::vector<float>>([&](float* values, size_t capacity, size_t* count, mote_error* error) {
      return mote_session_embed(handle_.get(), prompt.handle(), &params, values, capacity, count, error);
    });
  }

  // on_logits: for every token, (vocab_size) values; false stops. Null: only the last token's logits are computed.
  using OnLogits = std::function<bool(size_t index, const float* logits)>;
  Result<void> Eval(const Token* tokens, size_t count, const OnLogits& on_logits = nullptr) {
    return EvalWith(on_logits, [&](const mote_eval_params* params, mote_error* error) {
      return mote_session_eval(handle_.get(), tokens, count, params, error);
    });
  }
  Result<void> Eval(const std::vector<Token>& tokens, const OnLogits& on_logits = nullptr) {
    return Eval(tokens.data(), tokens.size(), on_logits);
  }
  // From the prompt's token `from` on; see KeepPrefix.
  Result<void> Eval(const Prompt& prompt, uint32_t from = 0, const OnLogits& on_logits = nullptr) {
    return EvalWith(on_logits, [&](const mote_eval_params* params, mote_error* error) {
      return mote_session_eval_prompt(handle_.get(), prompt.handle(), from, params, error);
    });
  }

  // (vocab_size) of the last token evaluated; null if there are none.
  const float* logits() const { return mote_session_logits(handle_.get()); }
  std::vector<Token> tokens() const {
    size_t count = 0;
    const Token* tokens = mote_session_tokens(handle_.get(), &count);
    return std::vector<Token>(tokens, tokens + count);
  }
  uint32_t context() const { return mote_session_context(handle_.get()); }
  uint64_t cache_size() const { return mote_session_cache_size(handle_.get()); }
  void Truncate(uint32_t length) { mote_session_truncate(handle_.get(), length); }
  uint32_t KeepPrefix(const std::vector<Token>& tokens) {
    return mote_session_keep_prefix(handle_.get(), tokens.data(), tokens.size());
  }
  uint32_t KeepPrefix(const Prompt& prompt) { return mote_session_keep_prompt(handle_.get(), prompt.handle()); }
  void Cancel() { mote_session_cancel(handle_.get()); }  // from any thread
  void ClearCancel() { mote_session_clear_cancel(handle_.get()); }

  mote_session* handle() const { return handle_.get(); }

 private:
  using Handle = std::unique_ptr<mote_session, internal::Deleter<mote_session_free>>;

  // A view of options.
  struct GenerateCall {
    mote_sampling_params sampling;
    std::vector<const char*> stop;
    mote_generate_params params = mote_generate_default_params();

    GenerateCall(const GenerateCall&) = delete;
    explicit GenerateCall(const GenerateOptions& options) : sampling(options.sampling.ToC()) {
      for (const std::string& s : options.stop) stop.push_back(s.c_str());
      params.sampling = &sampling;
      params.max_tokens = options.max_tokens;
      params.ignore_eos = options.ignore_eos ? 1 : 0;
      params.stop = stop.data();
      params.stop_count = stop.size();
      params.top_logprobs = options.top_logprobs;
      if (options.grammar) params.grammar = options.grammar->handle();
      if (!options.grammar_trigger.empty()) params.grammar_trigger = options.grammar_trigger.c_str();
      params.user = const_cast<GenerateOptions*>(&options);
      if (options.on_text) {
        params.on_text = [](void* user, const char* text, size_t size, Token token) {
          return static_cast<const GenerateOptions*>(user)->on_text(std::string_view(text, size), token) ? 0 : 1;
        };
      }
      if (options.on_token) {
        params.on_token = [](void* user, const mote_token_info* info) {
          return static_cast<const GenerateOptions*>(user)->on_token(*info) ? 0 : 1;
        };
      }
      if (options.on_prompt_progress) {
        params.on_progress = [](void* user, size_t done, size_t total) {
          static_cast<const GenerateOptions*>(user)->on_prompt_progress(done, total);
        };
      }
    }
  };
  struct Started {
    GenerateOptions options;
    OnDone done;
  };

  static Generation FromC(const mote_generate_result& result) {
    Generation generation;
    generation.text.assign(result.text, result.text_size);
    generation.tokens.assign(result.tokens, result.tokens + result.token_count);
    generation.finish_reason = static_cast<mote_finish_reason>(result.finish_reason);
    generation.prompt_tokens = result.prompt_tokens;
    generation.cached_tokens = result.cached_tokens;
    generation.prefill_seconds = result.prefill_seconds;
    generation.decode_seconds = result.decode_seconds;
    return generation;
  }
  static void CallDone(void* user, mote_status status, const mote_generate_result* result, const char* message) {
    const OnDone done = std::move(static_cast<Started*>(user)->done);  // which may end the session, and what it holds
    if (!done) return;
    done(result != nullptr ? Result<Generation>(FromC(*result)) : Result<Generation>(Error{status, message}));
  }
  template <class Call>
  static Result<Generation> GenerateWith(const GenerateOptions& options, Call call) {
    if (const char* field = options.WithNul()) return internal::NulIn(field);
    const GenerateCall view(options);
    mote_generate_result result = {};
    result.struct_size = sizeof(result);
    mote_error error = {};
    const mote_status status = call(&view.params, &result, &error);
    if (status != MOTE_OK) return internal::Take(status, error);
    return FromC(result);
  }

  template <class Call>
  static Result<void> EvalWith(const OnLogits& on_logits, Call call) {
    mote_eval_params params = mote_eval_default_params();
    if (on_logits) {
      params.on_logits = [](void* user, size_t index, const float* logits) {
        return (*static_cast<const OnLogits*>(user))(index, logits) ? 0 : 1;
      };
      params.user = const_cast<OnLogits*>(&on_logits);
    }
    mote_error error = {};
    return internal::Done(call(&params, &error), error);
  }

  std::shared_ptr<Model::Log> log_;
  std::unique_ptr<Started> started_;  // outlives the generation, which the handle ends
  Handle handle_;
};

class Sampler {
 public:
  static Result<Sampler> Create(const Model& model, const SamplingOptions& options = {}) {
    const mote_sampling_params params = options.ToC();
    mote_sampler* handle = nullptr;
    mote_error error = {};
    const mote_status status = mote_sampler_create(model.handle(), &params, &handle, &error);
    if (status != MOTE_OK) return internal::Take(status, error);
    Sampler sampler;
    sampler.handle_ = Handle(handle);
    return sampler;
  }
  void Accept(Token token) { mote_sampler_accept(handle_.get(), token); }
  Result<Token> Sample(const float* logits) {
    Token token = 0;
    mote_error error = {};
    const mote_status status = mote_sampler_sample(handle_.get(), logits, &token, &error);
    if (status != MOTE_OK) return internal::Take(status, error);
    return token;
  }

 private:
  using Handle = std::unique_ptr<mote_sampler, internal::Deleter<mote_sampler_free>>;
  Handle handle_;
};

}  // namespace v0
}  // namespace mote

#endif  // MOTE_ENGINE_API_MOTE_HPP_
