// mote.h: text, tokens and chat templates.
#include <span>
#include <string_view>
#include <utility>

#include "engine/api/internal.h"

namespace mote::api {
namespace {

Result<std::vector<int32_t>> Tokenize(const mote_model* model, const char* text, size_t size, uint32_t flags) {
  if (model == nullptr) return NullArgument("model");
  MOTE_ASSIGN_OR_RETURN(const EncodeOptions options, ConvertTokenizeFlags(flags));
  MOTE_ASSIGN_OR_RETURN(const std::string_view view, TextView(text, size));
  return model->loaded->tokenizer().Encode(view, options);
}

Status CheckToken(const Loaded& loaded, int32_t token) {
  if (token >= 0 && static_cast<uint32_t>(token) < loaded.vocab_size()) return {};
  return Error(Code::kInvalidArgument, "token %d is outside the vocabulary of %u", token, loaded.vocab_size());
}

Status CheckShowFlags(uint32_t flags) {
  if ((flags & ~static_cast<uint32_t>(MOTE_SHOW_SPECIAL)) == 0) return {};
  return Error(Code::kInvalidArgument, "flags are 0x%x; MOTE_SHOW_SPECIAL is known", flags);
}

Result<std::string> Detokenize(const mote_model* model, const int32_t* tokens, size_t count, uint32_t flags) {
  if (model == nullptr) return NullArgument("model");
  if (tokens == nullptr && count > 0) return NullArgument("tokens");
  MOTE_RETURN_IF_ERROR(CheckShowFlags(flags));
  for (size_t i = 0; i < count; ++i) MOTE_RETURN_IF_ERROR(CheckToken(*model->loaded, tokens[i]));
  return model->loaded->tokenizer().Decode(std::vector<int32_t>(tokens, tokens + count),
                                           (flags & MOTE_SHOW_SPECIAL) != 0);
}

Result<std::string> RenderChat(const mote_model* model, const mote_chat_message* messages, size_t count,
                               const mote_chat_params* params) {
  if (model == nullptr) return NullArgument("model");
  const Loaded& loaded = *model->loaded;
  MOTE_ASSIGN_OR_RETURN(const ChatInput input, ConvertChat(loaded, messages, count, params));
  if (loaded.chat_template() != nullptr) return loaded.chat_template()->RenderChat(input);
  MOTE_ASSIGN_OR_RETURN(const std::unique_ptr<ChatTemplate> chatml, ChatTemplate::Parse(DefaultChatTemplate()));
  return chatml->Render(input);
}

Result<std::vector<int32_t>> TokenizeChat(const mote_model* model, const mote_chat_message* messages, size_t count,
                                          const mote_chat_params* params) {
  if (model == nullptr) return NullArgument("model");
  const Loaded& loaded = *model->loaded;
  MOTE_ASSIGN_OR_RETURN(const ChatInput input, ConvertChat(loaded, messages, count, params));
  return EncodeChat(loaded.file(), loaded.tokenizer(), loaded.chat_template(), input);
}

mote_status GiveTokens(const Result<std::vector<int32_t>>& result, int32_t* tokens, size_t capacity, size_t* count,
                       mote_error* error) {
  if (!result.ok()) return Report(result.status(), error);
  return Report(FillBuffer(result->data(), result->size(), tokens, capacity, count, "tokens"), error);
}

mote_status GiveText(const Result<std::string>& result, char* text, size_t capacity, size_t* size, mote_error* error) {
  if (!result.ok()) return Report(result.status(), error);
  return Report(FillBuffer(result->data(), result->size(), text, capacity, size, "bytes"), error);
}

}  // namespace

// A pointer that may be null only if it stands for nothing.
Result<std::string_view> TextView(const char* text, size_t size) {
  if (text == nullptr && size > 0) return NullArgument("text");
  return size == 0 ? std::string_view() : std::string_view(text, size);
}

Result<EncodeOptions> ConvertTokenizeFlags(uint32_t flags) {
  if ((flags & ~static_cast<uint32_t>(MOTE_ADD_SPECIAL | MOTE_PARSE_SPECIAL)) != 0) {
    return Error(Code::kInvalidArgument, "flags are 0x%x; MOTE_ADD_SPECIAL and MOTE_PARSE_SPECIAL are known", flags);
  }
  EncodeOptions options;
  options.add_special = (flags & MOTE_ADD_SPECIAL) != 0;
  options.parse_special = (flags & MOTE_PARSE_SPECIAL) != 0;
  return options;
}

Result<ChatInput> ConvertChat(const Loaded& loaded, const mote_chat_message* messages, size_t count,
                              const mote_chat_params* given) {
  mote_chat_params params = {};
  MOTE_RETURN_IF_ERROR(ReadParams(given, "mote_chat_params", &params));
  if (messages == nullptr && count > 0) return NullArgument("messages");
  ChatInput input;
  for (size_t i = 0; i < count; ++i) {
    const mote_chat_message& message = messages[i];
    if (message.role == nullptr) return Error(Code::kInvalidArgument, "message %zu has no role", i);
    input.messages.push_back({message.role, message.content == nullptr ? "" : message.content,
                              message.extra_json == nullptr ? "" : message.extra_json});
  }
  input.add_generation_prompt = params.no_generation_prompt == 0;
  if (params.tools_json != nullptr) input.tools_json = params.tools_json;
  if (params.extra_json != nullptr) input.extra_json = params.extra_json;
  input.now = params.now != 0 ? params.now : loaded.platform().clock().UnixSeconds();
  const Tokenizer& tokenizer = loaded.tokenizer();
  input.bos_token = tokenizer.Piece(tokenizer.bos(), /*with_special=*/true);
  input.eos_token = tokenizer.Piece(tokenizer.eos(), /*with_special=*/true);
  return input;
}

}  // namespace mote::api

using namespace mote;       // NOLINT: the functions below must stand outside
using namespace mote::api;  // NOLINT

extern "C" {

mote_status mote_tokenize(const mote_model* model, const char* text, size_t size, uint32_t flags, int32_t* tokens,
                          size_t capacity, size_t* count, mote_error* error) {
  return GiveTokens(Tokenize(model, text, size, flags), tokens, capacity, count, error);
}

mote_status mote_detokenize(const mote_model* model, const int32_t* tokens, size_t count, uint32_t flags, char* text,
                            size_t capacity, size_t* size, mote_error* error) {
  return GiveText(Detokenize(model, tokens, count, flags), text, capacity, size, error);
}

mote_status mote_token_text(const mote_model* model, int32_t token, uint32_t flags, char* text, size_t capacity,
                            size_t* size, mote_error* error) {
  if (model == nullptr) return Report(NullArgument("model"), error);
  if (const Status status = CheckShowFlags(flags); !status.ok()) return Report(status, error);
  if (const Status status = CheckToken(*model->loaded, token); !status.ok()) return Report(status, error);
  return GiveText(model->loaded->tokenizer().Piece(token, (flags & MOTE_SHOW_SPECIAL) != 0), text, capacity, size,
                  error);
}

int mote_token_is_end(const mote_model* model, int32_t token) {
  return model != nullptr && model->loaded->tokenizer().IsEndOfGeneration(token) ? 1 : 0;
}

int mote_token_is_control(const mote_model* model, int32_t token) {
  return model != nullptr && model->loaded->tokenizer().IsControl(token) ? 1 : 0;
}

int32_t mote_token_find(const mote_model* model, const char* text, size_t size) {
  if (model == nullptr || text == nullptr) return kNoToken;
  return model->loaded->tokenizer().Find(std::string_view(text, size));
}

void mote_chat_params_init(mote_chat_params* params, size_t struct_size) {
  if (params == nullptr || struct_size < sizeof(size_t)) return;
  params->struct_size = struct_size;
  WriteResult(mote_chat_params{}, params);
}

mote_status mote_chat_render(const mote_model* model, const mote_chat_message* messages, size_t message_count,
                             const mote_chat_params* params, char* text, size_t capacity, size_t* size,
                             mote_error* error) {
  return GiveText(RenderChat(model, messages, message_count, params), text, capacity, size, error);
}

mote_status mote_chat_tokenize(const mote_model* model, const mote_chat_message* messages, size_t message_count,
                               const mote_chat_params* params, int32_t* tokens, size_t capacity, size_t* count,
                               mote_error* error) {
  return GiveTokens(TokenizeChat(model, messages, message_count, params), tokens, capacity, count, error);
}

}  // extern "C"
