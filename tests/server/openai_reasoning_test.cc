// Thoughts: <think>...</think> taken out of answers, whatever the pieces.
#include <gtest/gtest.h>

#include "edge/server/openai/reasoning.h"
#include "tests/server/openai_fake.h"

namespace mote::server {
namespace {

struct Split {
  std::string thoughts, text;
  bool operator==(const Split&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Split& split) {
  return out << '"' << split.thoughts << "\" | \"" << split.text << '"';
}

Split Read(const std::string& answer, Thinking thinking, size_t piece) {
  AnswerForm form;
  form.thinking = thinking;
  ThoughtReader reader(form);
  std::vector<AnswerPiece> pieces;
  Split split;
  for (size_t at = 0; at < answer.size(); at += piece) reader.Feed(answer.substr(at, piece), &pieces, &split.text);
  reader.Finish(&pieces, &split.text);
  for (const AnswerPiece& part : pieces) {
    EXPECT_EQ(part.kind, AnswerPiece::Kind::kThought);
    split.thoughts += part.text;
  }
  return split;
}

TEST(OpenAiReasoning, InPiecesOfEverySize) {
  const struct {
    Thinking thinking;
    std::string answer;
    Split split;
  } cases[] = {
      {Thinking::kPossible, "<think>\nIs it < 4?\nNo.\n</think>\n\nFive.\n", {"Is it < 4?\nNo.", "Five.\n"}},
      {Thinking::kPossible, "\n<think>a</think>b", {"a", "b"}},
      {Thinking::kPossible, "<think>\n\n</think>\n\nb", {"", "b"}},
      {Thinking::kPossible, "  no thoughts <think>a</think>", {"", "  no thoughts <think>a</think>"}},
      {Thinking::kPossible, "<thinking>", {"", "<thinking>"}},
      {Thinking::kPossible, "<thin", {"", "<thin"}},
      {Thinking::kPossible, "<think>cut off </thi", {"cut off </thi", ""}},
      {Thinking::kPossible, "<think>a</think>b</think>", {"a", "b</think>"}},
      {Thinking::kPossible, "", {"", ""}},
      {Thinking::kBegun, "a, b\n</think>\nc", {"a, b", "c"}},
      {Thinking::kBegun, "<think>\na</think>c", {"a", "c"}},
      {Thinking::kBegun, "a and no end \n", {"a and no end", ""}},
      {Thinking::kNone, "<think>a</think>b", {"", "<think>a</think>b"}},
  };
  for (const auto& c : cases) {
    for (const size_t piece : {size_t{1}, size_t{2}, size_t{5}, size_t{100}}) {
      EXPECT_EQ(Read(c.answer, c.thinking, piece), c.split) << c.answer << " in pieces of " << piece;
    }
  }
}

TEST(OpenAiReasoning, BesideTheText) {
  OpenAiServer server;
  server.service.models[0].info.chat_template = "{{ messages }}<think>";
  server.service.answer = Say({"<thi", "nk>Hm", "m.\n</think>\n", "Yes."});
  OrderedJson message = server.Chat(Ask("?"))->Parsed()["choices"][0]["message"];
  EXPECT_EQ(message["reasoning_content"], "Hmm.");
  EXPECT_EQ(message["content"], "Yes.");

  OrderedJson body = Ask("?");
  body["include_reasoning"] = false;
  message = server.Chat(body)->Parsed()["choices"][0]["message"];
  EXPECT_FALSE(message.contains("reasoning_content"));
  EXPECT_EQ(message["content"], "Yes.");

  body = Ask("?");
  body["reasoning_format"] = "none";
  EXPECT_EQ(server.Chat(body)->Parsed()["choices"][0]["message"]["content"], "<think>Hmm.\n</think>\nYes.");
  body["reasoning_format"] = "poem";
  EXPECT_EQ(server.Chat(body)->Parsed()["error"]["param"], "reasoning_format");

  body = Ask("?");
  body["stream"] = true;
  std::string thoughts, content;
  for (const std::string& event : server.Chat(body)->Events()) {
    if (event == "[DONE]") continue;
    const OrderedJson delta = OrderedJson::parse(event)["choices"][0]["delta"];
    thoughts += delta.value("reasoning_content", "");
    content += delta.value("content", "");
  }
  EXPECT_EQ(thoughts, "Hmm.");
  EXPECT_EQ(content, "Yes.");

  server.service.models[0].info.chat_template = "{{ messages }}";
  message = server.Chat(Ask("?"))->Parsed()["choices"][0]["message"];
  EXPECT_EQ(message["content"], "<think>Hmm.\n</think>\nYes.") << "this template knows of no thoughts";
}

TEST(OpenAiReasoning, AConstraintHoldsBehindThoughtsThatThePromptBegins) {
  OpenAiServer server;
  server.service.models[0].info.chat_template = "{{ messages }}<think>";
  server.service.answer = Say({"Hm.</think>{}"});
  OrderedJson body = Ask("Hi");
  body["response_format"]["type"] = "json_object";
  server.Chat(body);
  EXPECT_EQ(server.service.tasks.back().constraint_trigger, "");
  // The fake's template writes the messages as they are, so that this prompt ends with the mark.
  body["messages"].push_back(OrderedJson::object({{"role", "assistant"}, {"content", "<think>\n"}}));
  const OrderedJson message = server.Chat(body)->Parsed()["choices"][0]["message"];
  EXPECT_EQ(server.service.tasks.back().constraint_trigger, "</think>");
  EXPECT_EQ(message["reasoning_content"], "Hm.");
  EXPECT_EQ(message["content"], "{}");
}

TEST(OpenAiReasoning, AnItemOfItsOwnInResponses) {
  OpenAiServer server;
  server.service.models[0].info.chat_template = "{{ messages }}<think>";
  server.service.answer = Say({"<think>Hmm.</think>", "Yes."});
  const OrderedJson output = server.Call("POST /v1/responses", R"({"input":"?"})")->Parsed()["output"];
  ASSERT_EQ(output.size(), 2u);
  EXPECT_EQ(output[0]["type"], "reasoning");
  EXPECT_EQ(output[0]["content"][0], OrderedJson::parse(R"({"type":"reasoning_text","text":"Hmm."})"));
  EXPECT_EQ(output[1]["content"][0]["text"], "Yes.");
  const std::string stream = server.Call("POST /v1/responses", R"({"input":"?","stream":true})")->body;
  EXPECT_NE(stream.find("event: response.reasoning_text.delta"), std::string::npos);
  EXPECT_NE(stream.find("event: response.reasoning_text.done"), std::string::npos);
}

}  // namespace
}  // namespace mote::server
