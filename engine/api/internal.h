// What stands behind the handles of mote.h, and the small tools of its functions.
#ifndef MOTE_ENGINE_API_INTERNAL_H_
#define MOTE_ENGINE_API_INTERNAL_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/api/mote.h"
#include "engine/core/status.h"
#include "engine/run/chat.h"
#include "engine/run/generate.h"
#include "engine/run/model.h"
#include "engine/run/sampler.h"
#include "engine/run/session.h"
#include "engine/text/token_grammar.h"

namespace mote::api {

// A model, or with vocab_only the parts of one. Shared by its handle and its sessions.
struct Loaded {
  mote_log_fn log = nullptr;
  void* log_user = nullptr;

  std::unique_ptr<Transport> transport;  // of a split model; it outlives that

  std::unique_ptr<Model> model;  // null with vocab_only, and then:
  std::unique_ptr<GgufFile> vocab_file;
  std::unique_ptr<Tokenizer> vocab_tokenizer;
  std::unique_ptr<ChatTemplate> vocab_template;
  std::unique_ptr<Platform> vocab_platform;

  // What mote_model_info points to.
  std::string architecture;
  std::string name;
  std::string backend;
  std::string template_source;
  std::string template_error;
  std::string projector;
  std::string vision_name;

  // Made by the first grammar; see TrieOf.
  std::atomic<const TokenTrie*> trie{nullptr};
  ~Loaded() { delete trie.load(); }

  const Tokenizer& tokenizer() const { return model != nullptr ? model->tokenizer() : *vocab_tokenizer; }
  const ChatTemplate* chat_template() const { return model != nullptr ? model->chat_template() : vocab_template.get(); }
  const GgufFile& file() const { return model != nullptr ? model->file() : *vocab_file; }
  const Platform& platform() const { return model != nullptr ? model->platform() : *vocab_platform; }
  uint32_t vocab_size() const {
    return model != nullptr ? model->vocab_size() : static_cast<uint32_t>(vocab_tokenizer->vocab_size());
  }
};

// Hands a status to a C caller.
mote_status Report(const Status& status, mote_error* error);
// What mote_error::message promises, of any message: one line of whole UTF-8, cut to what fits there.
std::string OneLine(std::string_view message);
// "`what` is null" as an error.
Status NullArgument(const char* what);

// ABI: new fields go to the end of a struct, and never into what was padding: an older caller leaves that unset.
//
// The caller's parameters, in this library's layout: `defaults`, overwritten by as many bytes as the caller knows.
// No struct of this API comes near the upper bound: a larger size was never initialised.
template <class T>
Status ReadParams(const T* given, const char* type, T* params) {
  if (given == nullptr) return {};
  if (given->struct_size < sizeof(size_t) || given->struct_size > 65536) {
    return Error(Code::kInvalidArgument, "struct_size of %s is %zu; begin with its default values", type,
                 given->struct_size);
  }
  memcpy(static_cast<void*>(params), given, std::min(given->struct_size, sizeof(T)));
  params->struct_size = sizeof(T);
  return {};
}

// The other way, for results: fields that the caller does not know are left out.
template <class T>
Status CheckResultStruct(const T* result, const char* type) {
  if (result == nullptr) return NullArgument(type);
  if (result->struct_size < sizeof(size_t) || result->struct_size > 65536) {
    return Error(Code::kInvalidArgument, "struct_size of %s is %zu; set it to sizeof(%s)", type, result->struct_size,
                 type);
  }
  return {};
}
template <class T>
void WriteResult(const T& value, T* result) {
  const size_t known = std::min(result->struct_size, sizeof(T));
  memcpy(reinterpret_cast<char*>(result) + sizeof(size_t), reinterpret_cast<const char*>(&value) + sizeof(size_t),
         known - sizeof(size_t));
}

// "Buffers" in mote.h.
template <class T>
Status FillBuffer(const T* values, size_t count, T* buffer, size_t capacity, size_t* needed, const char* unit) {
  if (needed == nullptr && buffer == nullptr) return NullArgument("the place for the size");
  if (needed != nullptr) *needed = count;
  if (buffer == nullptr) return {};
  if (capacity < count) {
    return Error(Code::kInvalidArgument, "%zu %s do not fit a buffer of %zu", count, unit, capacity);
  }
  std::copy_n(values, count, buffer);
  return {};
}

// What a prompt's owner and a session have in common must be the model.
Result<PromptView> ViewOf(const mote_session* session, const mote_prompt* prompt);
Result<std::span<const int32_t>> TokenSpan(const int32_t* tokens, size_t count);
// Refuses a session that a generation or a call runs on.
Status CheckIdle(const mote_session* session);
// The caller's parameters in this library's layout; callbacks get *c_params, which must stay as long as the result is
// used.
Result<GenerateParams> ConvertGenerate(mote_session* session, const mote_generate_params* given,
                                       mote_generate_params* c_params);
// Leaves text and tokens with the session.
mote_generate_result KeepResult(mote_session* session, GenerateResult generated);
// Null without a grammar.
Result<std::shared_ptr<TokenFilter>> ConvertGrammar(const mote_session* session, const mote_generate_params& params);
Result<SamplerParams> ConvertSampling(const mote_sampling_params* given);
Result<ChatInput> ConvertChat(const Loaded& loaded, const mote_chat_message* messages, size_t count,
                              const mote_chat_params* given);
Result<EncodeOptions> ConvertTokenizeFlags(uint32_t flags);
Result<std::string_view> TextView(const char* text, size_t size);
// Files as the ways of loading give them. With `header_only` a file whose tensors are missing (a bare vocabulary,
// a download that has begun) is good enough.
Result<std::unique_ptr<GgufFile>> OpenPath(const char* path, bool header_only);
Result<std::unique_ptr<GgufFile>> OpenMemory(const void* bytes, uint64_t size, bool header_only);
Result<std::unique_ptr<GgufFile>> OpenInPlace(void* bytes, uint64_t size, bool header_only);
Result<std::unique_ptr<GgufFile>> OpenCallback(mote_read_fn read, void* user, uint64_t size, bool header_only);
// Defaults, overwritten by what the caller gave.
Result<mote_model_params> ReadModelParams(const mote_model_params* given);
// With `loaded` where log lines go; null: none are written.
Result<ModelParams> ConvertModelParams(const mote_model_params& given, Loaded* loaded);
mote_memory ConvertMemory(const MemoryReport& report);
// *free_bytes: the link's memory_free.
Result<std::unique_ptr<Transport>> ConvertLink(const mote_link* given, uint64_t* free_bytes);

}  // namespace mote::api

struct mote_model {
  std::shared_ptr<mote::api::Loaded> loaded;
};

struct mote_session {
  std::shared_ptr<mote::api::Loaded> loaded;
  std::unique_ptr<mote::Session> session;
  std::atomic<bool> cancel{false};
  // While a call computes that blocks. Its callbacks may come from the thread of another session, which leads the step.
  std::atomic<bool> running{false};
  // Of the last generation.
  std::string text;
  std::vector<int32_t> tokens;
  // While one runs that was started.
  struct Started {
    mote_generate_params params;  // for callbacks
    mote_done_fn done;
    void* user;
  };
  std::unique_ptr<Started> started;
};

namespace mote::api {

// Of a call that computes with the session and blocks: nothing may change it from a callback meanwhile. See CheckIdle.
class RunGuard {
 public:
  explicit RunGuard(mote_session* session) : session_(*session) { session_.running.store(true); }
  ~RunGuard() { session_.running.store(false); }
  RunGuard(const RunGuard&) = delete;
  RunGuard& operator=(const RunGuard&) = delete;

 private:
  mote_session& session_;
};

}  // namespace mote::api

struct mote_prompt {
  std::shared_ptr<mote::api::Loaded> loaded;
  mote::Prompt prompt;
  struct Image {
    uint32_t rows = 0;
    bool known = false;
  };
  std::vector<Image> images;
  mote::ReadStats stats;
};

struct mote_grammar {
  std::shared_ptr<mote::api::Loaded> loaded;
  std::shared_ptr<const mote::TokenGrammar> tokens;  // keeps the model's vocabulary alive by itself
};

struct mote_sampler {
  mote::Sampler sampler;
  uint32_t vocab_size;
};

#endif  // MOTE_ENGINE_API_INTERNAL_H_
