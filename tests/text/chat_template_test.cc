// ChatTemplate's own input: messages, tools, variables and the template that stands in for a missing one.
#include "engine/text/chat_template.h"

#include <gtest/gtest.h>

#include <string>

namespace mote {
namespace {

Result<std::string> Render(const std::string& source, const ChatInput& input) {
  const Result<std::unique_ptr<ChatTemplate>> parsed = ChatTemplate::Parse(source);
  if (!parsed.ok()) return parsed.status();
  return (*parsed)->Render(input);
}

TEST(ChatTemplate, Variables) {
  ChatInput input;
  input.messages = {{"user", "hi", ""}, {"assistant", "", R"({"tool_calls": [{"n": 1}], "content": null})"}};
  input.tools_json = R"([{"name": "t"}])";
  input.extra_json = R"({"enable_thinking": false, "date": "x"})";
  input.bos_token = "<s>";
  input.eos_token = "</s>";
  EXPECT_EQ(*Render("{{ bos_token }}{{ messages }}{{ tools }}{{ enable_thinking }}{{ date }}{{ add_generation_prompt }}"
                    "{{ documents }}{{ eos_token }}",
                    input),
            "<s>[{'role': 'user', 'content': 'hi'}, {'role': 'assistant', 'content': None, 'tool_calls': [{'n': 1}]}]"
            "[{'name': 't'}]FalsexTrueNone</s>");
  input.tools_json.clear();
  input.add_generation_prompt = false;
  EXPECT_EQ(*Render("{{ tools }}{{ tools is none }}{{ add_generation_prompt }}", input), "NoneTrueFalse");
}

TEST(ChatTemplate, DefaultIsChatMl) {
  ChatInput input;
  input.messages = {{"system", "s", ""}, {"user", "u", ""}};
  EXPECT_EQ(*Render(std::string(DefaultChatTemplate()), input),
            "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nu<|im_end|>\n<|im_start|>assistant\n");
  input.add_generation_prompt = false;
  input.messages.pop_back();
  EXPECT_EQ(*Render(std::string(DefaultChatTemplate()), input), "<|im_start|>system\ns<|im_end|>\n");
}

TEST(ChatTemplate, AnEmptyMessageIsAMessage) {
  // SmolVLM's way to find images.
  const auto parsed = ChatTemplate::Parse(
      "{% for m in messages %}{{ m['role'] }}{% if m['content'][0]['type'] == 'image' %}:{% else %}: {% endif %}"
      "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for p in m['content'] %}{{ p['text'] }}{% endfor "
      "%}"
      "{% endif %};{% endfor %}");
  ASSERT_TRUE(parsed.ok());
  ChatInput input;
  input.messages = {{"user", "Hi", ""}, {"assistant", "", ""}, {"user", "Hello", ""}};
  const auto text = (*parsed)->RenderChat(input);
  ASSERT_TRUE(text.ok()) << text.status().message();
  EXPECT_EQ(*text, "user: Hi;assistant: ;user: Hello;");
  // Other errors stay.
  const auto broken = ChatTemplate::Parse("{{ messages[7]['content']['x']['y'] }}");
  ASSERT_TRUE(broken.ok());
  EXPECT_FALSE((*broken)->RenderChat(input).ok());
}

TEST(ChatTemplate, BadJsonIsTheCallersFault) {
  const auto expect = [](const ChatInput& input, const std::string& part) {
    const Result<std::string> text = Render("{{ messages }}", input);
    ASSERT_FALSE(text.ok());
    EXPECT_EQ(text.status().code(), Code::kInvalidArgument);
    EXPECT_NE(text.status().message().find(part), std::string::npos) << text.status().message();
  };
  ChatInput input;
  input.tools_json = "{}";
  expect(input, "tools_json: expected a JSON array");
  input.tools_json = "[1,]";
  expect(input, "tools_json: JSON, byte 3");
  input.tools_json.clear();
  input.extra_json = "[]";
  expect(input, "extra_json: expected a JSON object");
  // A request's variables do not replace the conversation.
  input.extra_json = R"({"messages": []})";
  expect(input, "\"messages\" has a field of its own");
  input.extra_json.clear();
  input.messages = {{"user", "x", ""}, {"user", "y", "nonsense"}};
  expect(input, "messages[1].extra_json");
}

// One parsed template serves several renderings; none leaves a trace.
TEST(ChatTemplate, RenderingsAreIndependent) {
  const auto parsed = ChatTemplate::Parse(
      "{% set _ = messages.append('x') %}{{ messages|length }}{% set messages = 3 %}{{ messages }}");
  ASSERT_TRUE(parsed.ok());
  ChatInput input;
  input.messages = {{"user", "u", ""}};
  for (int i = 0; i < 3; ++i) EXPECT_EQ(*(*parsed)->Render(input), "23");
}

TEST(ChatTemplate, StrftimeNow) {
  ChatInput input;
  const auto at = [&](int64_t now, const std::string& format) {
    input.now = now;
    const Result<std::string> text = Render("{{ strftime_now('" + format + "') }}", input);
    return text.ok() ? *text : text.status().message();
  };
  EXPECT_EQ(at(0, "%Y-%m-%d %H:%M:%S %A %j"), "1970-01-01 00:00:00 Thursday 001");
  EXPECT_EQ(at(951782400, "%F %a %j"), "2000-02-29 Tue 060");
  EXPECT_EQ(at(4107542400, "%F %A"), "2100-03-01 Monday");
  EXPECT_EQ(at(-1, "%F %T"), "1969-12-31 23:59:59");
  EXPECT_EQ(at(253402300799, "%F %T"), "9999-12-31 23:59:59");
  EXPECT_EQ(at(1735603200, "%G-W%V-%u"), "2025-W01-2");  // 2024-12-31
  EXPECT_EQ(at(1609459200, "%G-W%V-%u"), "2020-W53-5");  // 2021-01-01
  EXPECT_NE(at(INT64_MAX, "%F").find("outside of the years"), std::string::npos);
  EXPECT_NE(at(0, "%Q").find("unknown directive"), std::string::npos);
}

}  // namespace
}  // namespace mote
