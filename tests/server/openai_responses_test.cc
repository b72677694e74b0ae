// /v1/responses: items to messages, and typed events.
#include <gtest/gtest.h>

#include "tests/server/openai_fake.h"

namespace mote::server {
namespace {

TEST(OpenAiResponses, Whole) {
  OpenAiServer server;
  server.service.answer = Say({"Hel", "lo"});
  const auto reply = server.Call("POST /v1/responses", R"({"input":"Hi","instructions":"Be brief","metadata":{"a":"b"},
    "max_output_tokens":5,"temperature":0.5})");
  ASSERT_EQ(reply->head.status, 200) << reply->body;
  const Task& task = server.service.tasks.at(0);
  ASSERT_EQ(task.messages.size(), 2u);
  EXPECT_EQ(task.messages[0].role, "system");
  EXPECT_EQ(task.messages[1].content, "Hi");
  EXPECT_EQ(task.max_tokens, 5);
  const OrderedJson json = reply->Parsed();
  EXPECT_EQ(json["object"], "response");
  EXPECT_EQ(json["status"], "completed");
  EXPECT_EQ(json["model"], "tiny");
  EXPECT_TRUE(json["error"].is_null());
  EXPECT_EQ(json["metadata"]["a"], "b");
  EXPECT_EQ(json["temperature"], 0.5);
  ASSERT_EQ(json["output"].size(), 1u);
  EXPECT_EQ(json["output"][0]["type"], "message");
  EXPECT_EQ(json["output"][0]["role"], "assistant");
  EXPECT_EQ(json["output"][0]["content"][0].dump(),
            R"({"type":"output_text","text":"Hello","annotations":[],"logprobs":[]})");
  EXPECT_EQ(json["usage"]["input_tokens"], 10);
  EXPECT_EQ(json["usage"]["input_tokens_details"]["cached_tokens"], 4);
  EXPECT_EQ(json["usage"]["total_tokens"], 13);
}

TEST(OpenAiResponses, ItemsOfEveryKind) {
  OpenAiServer server;
  server.service.answer = Say({"x"}, Finish::kLength);
  const auto reply = server.Call("POST /responses", R"({"input":[
    {"role":"user","content":[{"type":"input_text","text":"See "},
      {"type":"input_image","image_url":"data:image/png;base64,AAEC"}]},
    {"type":"reasoning","summary":[]},
    {"type":"function_call","call_id":"c1","name":"f","arguments":"{\"a\":1}"},
    {"type":"function_call_output","call_id":"c1","output":"42"},
    {"type":"message","role":"assistant","content":[{"type":"output_text","text":"so"}]}],
    "text":{"format":{"type":"json_schema","name":"x","schema":{"type":"object"}}}})");
  ASSERT_EQ(reply->head.status, 200) << reply->body;
  const Task& task = server.service.tasks.at(0);
  ASSERT_EQ(task.messages.size(), 4u);
  EXPECT_EQ(task.messages[0].content, "See <__media__>");
  EXPECT_EQ(task.images.size(), 1u);
  EXPECT_EQ(task.messages[1].extra_json,
            R"({"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":{"a":1}}}]})");
  EXPECT_EQ(task.messages[2].role, "tool");
  EXPECT_EQ(task.messages[2].content, "42");
  EXPECT_EQ(task.messages[3].content, "so");
  EXPECT_EQ(task.constraint, Constraint::kSchema);
  EXPECT_EQ(task.constraint_text, R"({"type":"object"})");
  EXPECT_EQ(reply->Parsed()["status"], "incomplete");
  EXPECT_EQ(reply->Parsed()["incomplete_details"]["reason"], "max_output_tokens");
}

// The types of the events, each with "event:" and a number of its own.
std::vector<OrderedJson> EventsOf(const RecordingReply& reply) {
  std::vector<OrderedJson> events;
  for (const std::string& data : reply.Events()) {
    events.push_back(OrderedJson::parse(data));
    const std::string type = events.back()["type"];
    EXPECT_NE(reply.body.find("event: " + type + "\ndata: " + data), std::string::npos);
    EXPECT_EQ(events.back()["sequence_number"], events.size() - 1);
  }
  return events;
}

TEST(OpenAiResponses, Streamed) {
  OpenAiServer server;
  server.service.answer = Say({"Hel", "lo"});
  const auto reply = server.Call("POST /v1/responses", R"({"input":"Hi","stream":true})");
  const auto events = EventsOf(*reply);
  std::vector<std::string> types;
  for (const OrderedJson& event : events) types.push_back(event["type"]);
  EXPECT_EQ(types,
            (std::vector<std::string>{
                "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
                "response.output_text.delta", "response.output_text.delta", "response.output_text.done",
                "response.content_part.done", "response.output_item.done", "response.completed"}));
  EXPECT_EQ(events[0]["response"]["status"], "in_progress");
  EXPECT_EQ(events[4]["delta"], "Hel");
  EXPECT_EQ(events[4]["item_id"], events[2]["item"]["id"]);
  EXPECT_EQ(events[6]["text"], "Hello");
  EXPECT_EQ(events[9]["response"]["output"][0], events[8]["item"]);
  EXPECT_EQ(events[9]["response"]["id"], events[0]["response"]["id"]);
  EXPECT_EQ(reply->ended, 1);
}

TEST(OpenAiResponses, StreamedLogprobsAreWithTheirText) {
  OpenAiServer server;
  server.service.answer = [](const Task&, Receiver& receiver) {
    TokenDetail detail;
    for (const char* text : {"Hel", "lo"}) {
      detail.bytes = text;
      detail.logprob = -0.5F;
      receiver.OnText(0, text, {&detail, 1});
    }
    receiver.OnFinished(0, Finish::kStop);
    receiver.OnDone({});
  };
  const auto reply = server.Call("POST /v1/responses", R"({"input":"Hi","stream":true,"top_logprobs":0})");
  const auto events = EventsOf(*reply);
  ASSERT_EQ(events.size(), 10u);
  ASSERT_EQ(events[4]["logprobs"].size(), 1u);
  EXPECT_EQ(events[4]["logprobs"][0]["token"], "Hel");
  ASSERT_EQ(events[5]["logprobs"].size(), 1u);
  EXPECT_EQ(events[5]["logprobs"][0]["token"], "lo");
  EXPECT_EQ(events[6]["logprobs"].size(), 2u);
  EXPECT_EQ(events[9]["response"]["output"][0]["content"][0]["logprobs"], events[6]["logprobs"]);
}

TEST(OpenAiResponses, StreamedCalls) {
  OpenAiServer server;
  server.service.answer = Say({"Wait. <tool_call>{\"name\":\"f\",\"arguments\":{\"a\":1}}</tool_call>"});
  const auto reply = server.Call(
      "POST /v1/responses", R"({"input":"Hi","stream":true,"tools":[{"type":"function","name":"f","parameters":{}}]})");
  EXPECT_EQ(OrderedJson::parse(server.service.tasks.at(0).tools_json).dump(),
            R"([{"type":"function","function":{"name":"f","parameters":{}}}])");
  const auto events = EventsOf(*reply);
  const OrderedJson output = events.back()["response"]["output"];
  ASSERT_EQ(output.size(), 2u);
  EXPECT_EQ(output[0]["content"][0]["text"], "Wait.");
  EXPECT_EQ(output[1]["type"], "function_call");
  EXPECT_EQ(output[1]["name"], "f");
  EXPECT_EQ(output[1]["arguments"], R"({"a":1})");
  bool delta = false, done = false;
  for (const OrderedJson& event : events) {
    delta = delta || event["type"] == "response.function_call_arguments.delta";
    done = done || (event["type"] == "response.function_call_arguments.done" && event["arguments"] == R"({"a":1})");
  }
  EXPECT_TRUE(delta && done);
}

TEST(OpenAiResponses, NothingIsStored) {
  OpenAiServer server;
  const auto reply = server.Call("POST /v1/responses", R"({"input":"Hi","previous_response_id":"resp_1"})");
  EXPECT_EQ(reply->head.status, 400);
  EXPECT_EQ(reply->Parsed()["error"]["param"], "previous_response_id");
  EXPECT_EQ(reply->Parsed()["error"]["code"], "unsupported_parameter");
}

}  // namespace
}  // namespace mote::server
