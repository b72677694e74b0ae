// Tools: the calls that models write in their forms, found whatever the pieces; what a request may say of tools.
#include <gtest/gtest.h>

#include "edge/server/openai/tool_parser.h"
#include "tests/server/openai_fake.h"

namespace mote::server {
namespace {

struct Found {
  std::string text;
  std::vector<std::pair<std::string, std::string>> calls;  // name, arguments
  bool operator==(const Found&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Found& found) {
  out << '"' << found.text << '"';
  for (const auto& [name, arguments] : found.calls) out << " " << name << arguments;
  return out;
}

Found Parse(const std::string& text, size_t piece, bool forced = false) {
  ToolUse use;
  use.names = {"weather", "time"};
  use.forced = forced;
  ToolParser parser(use);
  std::vector<AnswerPiece> pieces;
  for (size_t at = 0; at < text.size(); at += piece) parser.Feed(text.substr(at, piece), &pieces);
  parser.Finish(&pieces);
  Found found;
  for (const AnswerPiece& part : pieces) {
    if (part.kind == AnswerPiece::Kind::kText) {
      found.text += part.text;
    } else if (part.kind == AnswerPiece::Kind::kCall) {
      EXPECT_EQ(part.call, static_cast<int>(found.calls.size()));
      found.calls.emplace_back(part.text, "");
    } else {
      found.calls.at(part.call).second += part.text;
    }
  }
  EXPECT_EQ(parser.calls(), static_cast<int>(found.calls.size()));
  return found;
}

const std::string kArguments = R"({"city":"Bonn \"}\"","days":[1,{"x":2}]})";
const std::string kCall = R"({"name": "weather", "arguments": {"city": "Bonn \"}\"", "days": [1, {"x": 2}]}})";
const std::string kTime = R"({"name": "time", "parameters": {}})";

TEST(OpenAiTools, EveryFormInPiecesOfEverySize) {
  const Found one = {"", {{"weather", kArguments}}};
  const Found two = {"", {{"weather", kArguments}, {"time", "{}"}}};
  const std::vector<std::pair<std::string, Found>> cases = {
      {"<tool_call>\n" + kCall + "\n</tool_call>", one},
      {"<tool_call>" + kCall + "</tool_call>\n<tool_call>" + kTime + "</tool_call>\n", two},
      {"Let me see.\n\n<tool_call>" + kCall + "</tool_call>", {"Let me see.", one.calls}},
      {"\n" + kCall, one},
      {kCall + "; " + kTime, two},
      {"<|python_tag|>" + kCall + "\n" + kTime, two},
      {"[TOOL_CALLS][" + kCall + ", " + kTime + "]", two},
      {"[TOOL_CALLS] [" + kCall + "]", one},
      {"[TOOL_CALLS]weather" + kArguments, one},
      {"[TOOL_CALLS]weather[ARGS]" + kArguments + "[TOOL_CALLS]time[ARGS]{}", two},
      {"[" + kCall + "]", one},
      {R"({"type":"function","function":{"name":"time","arguments":"{}"}})", {"", {{"time", "{}"}}}},
      {"<tool_call>" + kCall, one},
      {"<tool_call>" + kTime + "</tool_call> done", {"done", {{"time", "{}"}}}},
  };
  for (const auto& [text, expected] : cases) {
    for (const size_t piece : {size_t{1}, size_t{2}, size_t{3}, size_t{7}, text.size()}) {
      EXPECT_EQ(Parse(text, piece), expected) << text << " in pieces of " << piece;
    }
  }
}

TEST(OpenAiTools, EverythingElseStaysText) {
  for (const std::string text : {
           "plain text, with {braces} and <tags> and [lists]",
           "{\"answer\": 4}",
           "{\"name\": \"unknown\", \"arguments\": {}}",
           "{\"name\": \"weather\", \"arguments\": [1]}",
           "{\"name\": \"weather\", \"arguments\": {",
           "<tool_call>not JSON</tool_call>",
           "<tool_call>{\"name\": \"weather\", \"arguments\": {,}}</tool_call>",
           "<tool_cal",
           "a < b, [TOOL or <|pyth",
           "[TOOL_CALLS]nothing",
           "[TOOL_CALLS]unknown{\"a\":1}",
           "[1, 2, 3]",
           "  leading and trailing spaces \n ",
           "Use {\"name\": \"weather\", \"arguments\": {}} to call it",
           "\n\n",
       }) {
    for (const size_t piece : {size_t{1}, size_t{4}, text.size()}) {
      EXPECT_EQ(Parse(text, piece), (Found{text, {}})) << "in pieces of " << piece;
    }
  }
}

TEST(OpenAiTools, TextIsNotHeldBackForLong) {
  ToolUse use;
  use.names = {"weather"};
  ToolParser parser(use);
  std::vector<AnswerPiece> pieces;
  parser.Feed("It is <b", &pieces);
  ASSERT_EQ(pieces.size(), 1u);
  EXPECT_EQ(pieces[0].text, "It is <b");
  parser.Feed("ut <tool", &pieces);
  ASSERT_EQ(pieces.size(), 2u);
  EXPECT_EQ(pieces[1].text, "ut");
}

TEST(OpenAiTools, ForcedCallsAreToldAsTheyCome) {
  for (const size_t piece : {size_t{1}, size_t{5}, size_t{100}}) {
    EXPECT_EQ(Parse(kCall, piece, true),
              (Found{"", {{"weather", R"({"city": "Bonn \"}\"", "days": [1, {"x": 2}]})"}}}));
  }
  ToolUse use;
  use.names = {"weather"};
  use.forced = true;
  ToolParser parser(use);
  std::vector<AnswerPiece> pieces;
  parser.Feed(R"({"name":"weather","arguments":{"ci)", &pieces);
  ASSERT_EQ(pieces.size(), 2u);
  EXPECT_EQ(pieces[1].text, R"({"ci)");
}

TEST(OpenAiTools, AForcedCallThatIsCutOffIsNoText) {
  ToolUse use;
  use.names = {"weather"};
  use.forced = true;
  for (const std::string_view cut : {"{", R"({"na)", R"({"name":"weat)"}) {
    ToolParser parser(use);
    std::vector<AnswerPiece> pieces;
    parser.Feed(cut, &pieces);
    parser.Finish(&pieces);
    EXPECT_TRUE(pieces.empty()) << cut;
  }
}

OrderedJson WithTools(const std::string& choice = "") {
  OrderedJson body = Ask("Weather?");
  body["tools"] = OrderedJson::parse(R"([
    {"type":"function","function":{"name":"weather","description":"d","parameters":
      {"type":"object","properties":{"city":{"$ref":"#/$defs/city"}},"$defs":{"city":{"type":"string"}}}}},
    {"type":"function","function":{"name":"time"}}])");
  if (!choice.empty()) body["tool_choice"] = OrderedJson::parse(choice);
  return body;
}

TEST(OpenAiTools, AutoGivesTheModelItsTools) {
  OpenAiServer server;
  server.service.answer = Say({"<tool_call>" + kCall, "</tool_call>"});
  const auto reply = server.Chat(WithTools());
  const Task& task = server.service.tasks.at(0);
  EXPECT_EQ(OrderedJson::parse(task.tools_json), WithTools()["tools"]);
  EXPECT_EQ(task.constraint, Constraint::kNone);
  const OrderedJson choice = reply->Parsed()["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "tool_calls");
  EXPECT_TRUE(choice["message"]["content"].is_null());
  ASSERT_EQ(choice["message"]["tool_calls"].size(), 1u);
  const OrderedJson call = choice["message"]["tool_calls"][0];
  EXPECT_EQ(call["type"], "function");
  EXPECT_EQ(call["id"].get<std::string>().rfind("call_", 0), 0u);
  EXPECT_EQ(call["function"]["name"], "weather");
  EXPECT_EQ(call["function"]["arguments"], kArguments);
}

TEST(OpenAiTools, NoneTakesThemAway) {
  OpenAiServer server;
  server.service.answer = Say({kCall});
  const OrderedJson choice = server.Chat(WithTools("\"none\""))->Parsed()["choices"][0];
  EXPECT_EQ(server.service.tasks.at(0).tools_json, "");
  EXPECT_EQ(choice["message"]["content"], kCall);
  EXPECT_EQ(choice["finish_reason"], "stop");
}

TEST(OpenAiTools, RequiredForcesOneOfThem) {
  OpenAiServer server;
  server.service.answer = Say({"{\"name\":\"time\",\"arguments\":{}}"});
  const auto reply = server.Chat(WithTools("\"required\""));
  const Task& task = server.service.tasks.at(0);
  ASSERT_EQ(task.constraint, Constraint::kSchema);
  const OrderedJson schema = OrderedJson::parse(task.constraint_text);
  ASSERT_EQ(schema["anyOf"].size(), 2u);
  EXPECT_EQ(schema["anyOf"][0]["properties"]["name"]["const"], "weather");
  EXPECT_EQ(schema["anyOf"][0]["properties"]["arguments"]["$ref"], "#/$defs/tool_0");
  EXPECT_EQ(schema["$defs"]["tool_0"]["properties"]["city"]["$ref"], "#/$defs/tool_0/$defs/city");
  EXPECT_EQ(schema["$defs"]["tool_0"]["$defs"]["city"]["type"], "string");
  EXPECT_EQ(schema["anyOf"][1]["properties"]["arguments"]["type"], "object");
  EXPECT_EQ(reply->Parsed()["choices"][0]["message"]["tool_calls"][0]["function"]["name"], "time");
}

TEST(OpenAiTools, NamedForcesThatOne) {
  OpenAiServer server;
  server.service.answer = Say({"x"});
  server.Chat(WithTools(R"({"type":"function","function":{"name":"time"}})"));
  const OrderedJson schema = OrderedJson::parse(server.service.tasks.at(0).constraint_text);
  EXPECT_EQ(schema["properties"]["name"]["const"], "time");
  const auto reply = server.Chat(WithTools(R"({"type":"function","function":{"name":"nobody"}})"));
  EXPECT_EQ(reply->head.status, 400);
  EXPECT_EQ(reply->Parsed()["error"]["param"], "tool_choice");
}

TEST(OpenAiTools, StreamedCalls) {
  OpenAiServer server;
  server.service.answer =
      Say({"On it.", "\n<tool", "_call>", kCall, "</tool_call>\n", "<tool_call>", kTime, "</tool_call>"});
  OrderedJson body = WithTools();
  body["stream"] = true;
  std::string content, finish;
  std::map<int, std::vector<OrderedJson>> calls;
  for (const std::string& event : server.Chat(body)->Events()) {
    if (event == "[DONE]") continue;
    const OrderedJson choice = OrderedJson::parse(event)["choices"][0];
    content += choice["delta"].value("content", "");
    if (!choice["finish_reason"].is_null()) finish = choice["finish_reason"];
    if (!choice["delta"].contains("tool_calls")) continue;
    for (const OrderedJson& call : choice["delta"]["tool_calls"]) calls[call["index"]].push_back(call);
  }
  EXPECT_EQ(content, "On it.");
  EXPECT_EQ(finish, "tool_calls");
  ASSERT_EQ(calls.size(), 2u);
  // The name once, with the id; then arguments.
  EXPECT_EQ(calls[0][0]["function"], OrderedJson::parse(R"({"name":"weather","arguments":""})"));
  EXPECT_EQ(calls[0][0]["type"], "function");
  ASSERT_EQ(calls[0].size(), 2u);
  EXPECT_EQ(calls[0][1]["function"], OrderedJson::object({{"arguments", kArguments}}));
  EXPECT_FALSE(calls[0][1].contains("id"));
  EXPECT_EQ(calls[1][0]["function"]["name"], "time");
}

TEST(OpenAiTools, TemplatesThatKnowNoneAreToldInText) {
  OpenAiServer server;
  server.service.models[0].info.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}";
  server.service.answer = Say({"<tool_call>" + kTime + "</tool_call>"});
  OrderedJson body = WithTools();
  body["messages"].push_back(OrderedJson::parse(
      R"({"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"time","arguments":"{}"}}]})"));
  body["messages"].push_back(OrderedJson::parse(R"({"role":"tool","tool_call_id":"c","content":"noon"})"));
  const auto reply = server.Chat(body);
  const Task& task = server.service.tasks.at(0);
  EXPECT_EQ(task.tools_json, "");
  ASSERT_EQ(task.messages.size(), 4u);
  EXPECT_EQ(task.messages[0].role, "system");
  EXPECT_NE(task.messages[0].content.find("\"weather\""), std::string::npos);
  EXPECT_EQ(task.messages[2].content, "<tool_call>\n{\"name\":\"time\",\"arguments\":{}}\n</tool_call>");
  EXPECT_EQ(task.messages[2].extra_json, "");
  EXPECT_EQ(task.messages[3].role, "user");
  EXPECT_EQ(task.messages[3].content, "<tool_response>\nnoon\n</tool_response>");
  EXPECT_EQ(reply->Parsed()["choices"][0]["finish_reason"], "tool_calls");
}

TEST(OpenAiTools, AConstraintLeavesNoRoomForCalls) {
  OpenAiServer server;
  OrderedJson body = WithTools();
  body["response_format"]["type"] = "json_object";
  EXPECT_EQ(server.Chat(body)->head.status, 400);
  body["tool_choice"] = "none";
  server.service.answer = Say({"{}"});
  EXPECT_EQ(server.Chat(body)->head.status, 200);
  EXPECT_EQ(server.service.tasks.back().constraint, Constraint::kJson);
}

// What a request makes of its tools, where the model itself decides to call one.
Task Held(OrderedJson body, const char* chat_template, std::string* refused = nullptr) {
  OpenAiServer server;
  server.service.models[0].info.chat_template = chat_template;
  server.service.answer = Say({"x"});
  const auto reply = server.Chat(body);
  if (refused != nullptr) *refused = reply->head.status == 200 ? "" : reply->Parsed()["error"]["code"];
  return server.service.tasks.empty() ? Task() : server.service.tasks[0];
}

constexpr char kHermesTemplate[] = "{{ tools }}<tool_call>";
constexpr char kMarklessTemplate[] = "{{ tools }}";

TEST(OpenAiTools, StrictFunctionsAreHeldToTheirSchemaFromTheMarkOn) {
  OrderedJson body = WithTools();
  EXPECT_EQ(Held(body, kHermesTemplate).constraint, Constraint::kNone);
  body["tools"][0]["function"]["strict"] = true;
  for (const char* chat_template : {kHermesTemplate, "{{ messages }}"}) {
    const Task task = Held(body, chat_template);
    EXPECT_EQ(task.constraint, Constraint::kGrammar);
    EXPECT_EQ(task.constraint_trigger, "<tool_call>");
    EXPECT_EQ(task.constraint_text.rfind("root ::= blanks call blanks \"</tool_call>\" (", 0), 0u);
    ASSERT_EQ(task.constraint_parts.size(), 2u);
    EXPECT_EQ(task.constraint_parts[0].field, "tools[0].function.parameters");
    EXPECT_EQ(task.constraint_parts[0].schema, body["tools"][0]["function"]["parameters"].dump());
    EXPECT_EQ(task.constraint_parts[1].schema, R"({"type":"object"})") << "has not asked for it";
  }
  std::string refused;
  Held(body, kMarklessTemplate, &refused);
  EXPECT_EQ(refused, "unsupported_value");
  body["tool_choice"] = "required";
  EXPECT_EQ(Held(body, kMarklessTemplate).constraint, Constraint::kSchema);
}

TEST(OpenAiTools, OneCallWhereParallelOnesAreRefused) {
  OrderedJson body = WithTools();
  body["parallel_tool_calls"] = false;
  const Task task = Held(body, kHermesTemplate);
  EXPECT_EQ(task.constraint_trigger, "<tool_call>");
  EXPECT_EQ(task.constraint_text.find(")*"), std::string::npos) << task.constraint_text;
  // Without a mark, what comes behind the first call is left out.
  EXPECT_EQ(Held(body, kMarklessTemplate).constraint, Constraint::kNone);
  for (const std::string& text : {kCall + "; " + kTime, "[" + kCall + "," + kTime + "]"}) {
    OpenAiServer server;
    server.service.answer = Say({text});
    const OrderedJson message = server.Chat(body)->Parsed()["choices"][0]["message"];
    ASSERT_EQ(message["tool_calls"].size(), 1u) << text;
    EXPECT_EQ(message["tool_calls"][0]["function"]["name"], "weather");
  }
}

}  // namespace
}  // namespace mote::server
