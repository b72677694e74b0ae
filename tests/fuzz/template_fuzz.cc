// Any bytes as a chat template and, behind the first zero byte, as JSON for it: tools or further variables.
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <memory>
#include <string>
#include <string_view>

#include "engine/text/chat_template.h"
#include "tests/fuzz/heap_growth-inl.h"

namespace mote {
namespace {

// A finding: both libFuzzer and the replay program take an abort for one.
void Require(bool condition, const char* what) {
  if (condition) return;
  fprintf(stderr, "template_fuzz: %s\n", what);
  abort();
}

ChatInput MakeInput(std::string_view json) {
  ChatInput input;
  input.messages = {
      {"system", " Be brief.\n", ""},
      {"user", "Zürich <b> \"q\"", ""},
      {"assistant", "", R"({"tool_calls": [{"id": "1", "function": {"name": "f", "arguments": {"x": [1, 2.5]}}}]})"},
      {"tool", "ok", R"({"tool_call_id": "1"})"},
      {"user", "", R"({"content": [{"type": "image"}, {"type": "text", "text": "日本"}]})"}};
  input.bos_token = "<s>";
  input.eos_token = "</s>";
  input.now = 1753142400;
  if (!json.empty()) (json[0] == '[' ? input.tools_json : input.extra_json) = json;
  return input;
}

void Run(std::string_view source, std::string_view json) {
  TemplateLimits limits;
  limits.fuel = 20000;
  limits.output_bytes = 64 << 10;
  const ChatInput input = MakeInput(json);
  const int64_t before = StartHeapGrowth();
  const Result<std::unique_ptr<ChatTemplate>> parsed = ChatTemplate::Parse(source);
  if (!parsed.ok()) {
    Require(!parsed.status().message().empty(), "an error without a message");
    return;
  }
  const Result<std::string> text = (*parsed)->Render(input, limits);
  const uint64_t growth = static_cast<uint64_t>(PeakHeap() - before);
  // Fuel buys memory, and so do the bytes of source and JSON.
  Require(growth <= 64 * (source.size() + json.size()) + (uint64_t{16} << 20),
          "a rendering takes over its bound of memory");
  Require(!text.ok() || text->size() <= limits.output_bytes, "more output than allowed");
  Require(text.ok() || !text.status().message().empty(), "an error without a message");
  const Result<std::string> again = (*parsed)->Render(input, limits);
  Require(again.ok() == text.ok() && (!text.ok() || *again == *text), "two renderings differ");
}

}  // namespace
}  // namespace mote

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const size_t zero = bytes.find('\0');
  const bool json = zero != std::string_view::npos;
  mote::Run(bytes.substr(0, zero), json ? bytes.substr(zero + 1) : std::string_view());
  return 0;
}
