// Chat templates: the subset of Jinja2 that models' templates use, with limits on work, depth and output.
#ifndef MOTE_ENGINE_TEXT_CHAT_TEMPLATE_H_
#define MOTE_ENGINE_TEXT_CHAT_TEMPLATE_H_

#include <stdint.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/status.h"

namespace mote {

struct ChatMessage {
  std::string role;  // "system", "user", "assistant", "tool"
  std::string content;
  // A JSON object merged into the message before rendering (tool_calls, name, reasoning_content, a content list of
  // parts, ...); empty for none.
  std::string extra_json;
};

struct ChatInput {
  std::vector<ChatMessage> messages;
  bool add_generation_prompt = true;
  std::string tools_json;  // a JSON array; empty: the template sees none
  std::string bos_token;   // written forms, as the template prints them
  std::string eos_token;
  std::string extra_json;  // a JSON object of further variables (enable_thinking, ...); empty for none
  int64_t now = 0;         // Unix seconds, UTC, for strftime_now
};

struct TemplateLimits {
  uint64_t fuel = 1000000;          // evaluation steps
  uint32_t depth = 100;             // nesting of expressions, blocks and macro calls
  uint64_t output_bytes = 4 << 20;  // also the longest string that may be made on the way
};

// A compiled template. Immutable; safe from any thread.
class ChatTemplate {
 public:
  // kMalformed gives line and column. Source up to 1 MiB. A template that shows a message's content only as a list of
  // parts (those of some models with eyes) is found out, and given [{"type": "text", "text": content}].
  static Result<std::unique_ptr<ChatTemplate>> Parse(std::string_view source);
  ~ChatTemplate();
  // kMalformed: raise_exception's text or a type error with its line. kUnsupported: a filter or function that is
  // unknown. kInvalidArgument: a limit was reached, or some JSON in the input does not parse.
  Result<std::string> Render(const ChatInput& input, const TemplateLimits& limits = {}) const;
  // The same, but where it fails with an empty message, and not with a list of parts in its place, that counts: an
  // empty message is none of the caller's mistakes.
  Result<std::string> RenderChat(const ChatInput& input, const TemplateLimits& limits = {}) const;

 private:
  ChatTemplate();
  Result<std::string> RenderAs(bool parts, const ChatInput& input, const TemplateLimits& limits) const;
  bool Shows(bool parts) const;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// What to use where a model carries no template: ChatML.
std::string_view DefaultChatTemplate();

}  // namespace mote

#endif  // MOTE_ENGINE_TEXT_CHAT_TEMPLATE_H_
