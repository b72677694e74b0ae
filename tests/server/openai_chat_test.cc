// /v1/chat/completions, whole answers: the task that a body becomes, and the answer's shape.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/server/openai_fake.h"

namespace mote::server {
namespace {

TEST(OpenAiChat, WholeAnswer) {
  OpenAiServer server;
  server.service.answer = Say({"Hel", "lo"});
  const auto reply = server.Chat(Ask("Hi"));
  ASSERT_EQ(reply->sent, 1);
  EXPECT_EQ(reply->head.status, 200);
  EXPECT_EQ(reply->Header("X-Mote-Cache"), "miss");
  EXPECT_EQ(reply->Header("X-Mote-Precision"), "Q8_0");
  const OrderedJson json = reply->Parsed();
  EXPECT_EQ(json["object"], "chat.completion");
  EXPECT_EQ(json["model"], "tiny");
  EXPECT_EQ(json["id"].get<std::string>().rfind("chatcmpl-", 0), 0u);
  EXPECT_GT(json["created"].get<int64_t>(), 1700000000);
  ASSERT_EQ(json["choices"].size(), 1u);
  const OrderedJson expected = OrderedJson::parse(
      R"({"index":0,"message":{"role":"assistant","content":"Hello","refusal":null},"logprobs":null,"finish_reason":"stop"})");
  EXPECT_EQ(json["choices"][0], expected);
  EXPECT_EQ(json["usage"]["prompt_tokens"], 10);
  EXPECT_EQ(json["usage"]["completion_tokens"], 3);
  EXPECT_EQ(json["usage"]["total_tokens"], 13);
  EXPECT_EQ(json["usage"]["prompt_tokens_details"]["cached_tokens"], 4);
  EXPECT_EQ(json["timings"]["prompt_n"], 6);
  EXPECT_EQ(json["timings"]["prompt_ms"], 500);
  EXPECT_EQ(json["timings"]["predicted_per_second"], 12);
}

TEST(OpenAiChat, DefaultsAreThoseOfOpenAi) {
  OpenAiServer server;
  server.service.answer = Say({"x"});
  server.Chat(Ask("Hi"));
  const Task& task = server.service.tasks.at(0);
  EXPECT_EQ(task.sampling.temperature, 1);
  EXPECT_EQ(task.sampling.top_p, 1);
  EXPECT_EQ(task.max_tokens, -1);
  EXPECT_EQ(task.choices, 1);
  EXPECT_FALSE(task.seeded);
  EXPECT_EQ(task.logprobs, -1);
  EXPECT_EQ(task.constraint, Constraint::kNone);
  ASSERT_EQ(task.messages.size(), 1u);
  EXPECT_EQ(task.messages[0].role, "user");
  EXPECT_EQ(task.messages[0].content, "Hi");
}

TEST(OpenAiChat, EveryFieldReachesTheTask) {
  OpenAiOptions options;
  options.tenant = [](const Request& request) { return *request.Header("authorization"); };
  OpenAiServer server(options);
  server.service.answer = Say({"x"});
  OrderedJson body = Ask("Hi");
  body["model"] = "tiny";
  body["max_completion_tokens"] = 7;
  body["max_tokens"] = 9;
  body["temperature"] = 0.5;
  body["top_p"] = 0.25;
  body["top_k"] = 3;
  body["min_p"] = 0.125;
  body["n"] = 2;
  body["stop"] = {"a", "b"};
  body["seed"] = 42;
  body["logit_bias"] = {{"5", 1.5}, {"6", -100}};
  body["presence_penalty"] = 1;
  body["frequency_penalty"] = -1;
  body["repeat_penalty"] = 1.25;
  body["logprobs"] = true;
  body["top_logprobs"] = 2;
  body["timeout"] = 2.5;
  body["quality"] = "q8_0";
  body["chat_template_kwargs"] = {{"enable_thinking", false}};
  body["user"] = "someone";
  body["no_such_field"] = {1, 2};
  const auto reply = server.Chat(body, {{"authorization", "alice"}, {"x-session-id", "room 5"}});
  ASSERT_EQ(reply->head.status, 200) << reply->body;
  const Task& task = server.service.tasks.at(0);
  EXPECT_EQ(task.tenant, "alice");
  EXPECT_EQ(task.conversation, "room 5");
  EXPECT_EQ(task.model, "tiny");
  EXPECT_EQ(task.max_tokens, 7);
  EXPECT_EQ(task.sampling.temperature, 0.5F);
  EXPECT_EQ(task.sampling.top_p, 0.25F);
  EXPECT_EQ(task.sampling.top_k, 3);
  EXPECT_EQ(task.sampling.min_p, 0.125F);
  EXPECT_EQ(task.choices, 2);
  EXPECT_EQ(task.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(task.seeded);
  EXPECT_EQ(task.sampling.seed, 42u);
  ASSERT_EQ(task.sampling.logit_bias.size(), 2u);
  EXPECT_EQ(task.sampling.logit_bias[0].token, 5);
  EXPECT_EQ(task.sampling.logit_bias[0].bias, 1.5F);
  EXPECT_TRUE(std::isinf(task.sampling.logit_bias[1].bias));
  EXPECT_EQ(task.sampling.presence_penalty, 1);
  EXPECT_EQ(task.sampling.frequency_penalty, -1);
  EXPECT_EQ(task.sampling.repeat_penalty, 1.25F);
  EXPECT_EQ(task.logprobs, 2);
  EXPECT_EQ(task.deadline, 2.5);
  EXPECT_EQ(task.quality, "q8_0");
  EXPECT_EQ(task.template_json, R"({"enable_thinking":false})");
  EXPECT_EQ(reply->Parsed()["choices"].size(), 2u);
}

TEST(OpenAiChat, MessagesOfEveryRole) {
  OpenAiServer server;
  server.service.answer = Say({"x"});
  const auto reply = server.Call("POST /chat/completions", R"({"messages":[
    {"role":"developer","content":[{"type":"text","text":"Be "},{"type":"text","text":"brief"}]},
    {"role":"user","content":"Weather?","name":"bob"},
    {"role":"assistant","content":null,"tool_calls":[
      {"id":"call_1","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Bonn\"}"}}]},
    {"role":"tool","tool_call_id":"call_1","content":"rain"}]})");
  ASSERT_EQ(reply->head.status, 200) << reply->body;
  const auto& messages = server.service.tasks.at(0).messages;
  ASSERT_EQ(messages.size(), 4u);
  EXPECT_EQ(messages[0].role, "system");
  EXPECT_EQ(messages[0].content, "Be brief");
  EXPECT_EQ(messages[1].extra_json, R"({"name":"bob"})");
  EXPECT_EQ(messages[2].content, "");
  EXPECT_EQ(
      messages[2].extra_json,
      R"({"tool_calls":[{"id":"call_1","type":"function","function":{"name":"weather","arguments":{"city":"Bonn"}}}]})");
  EXPECT_EQ(messages[3].role, "tool");
  EXPECT_EQ(messages[3].extra_json, R"({"tool_call_id":"call_1"})");
}

TEST(OpenAiChat, ImagesStandWhereTheyStood) {
  OpenAiServer server;
  server.service.answer = Say({"x"});
  const auto reply = server.Call("POST /v1/chat/completions", R"({"messages":[{"role":"user","content":[
    {"type":"text","text":"Compare "},
    {"type":"image_url","image_url":{"url":"data:image/png;base64,AAEC","detail":"low"}},
    {"type":"text","text":" with "},
    {"type":"image_url","image_url":{"url":"DATA:image/jpeg;name=x;BASE64,/+8="}}]}]})");
  ASSERT_EQ(reply->head.status, 200) << reply->body;
  const Task& task = server.service.tasks.at(0);
  EXPECT_EQ(task.messages.at(0).content, "Compare <__media__> with <__media__>");
  ASSERT_EQ(task.images.size(), 2u);
  EXPECT_EQ(task.images[0], std::string("\x00\x01\x02", 3));
  EXPECT_EQ(task.images[1], "\xFF\xEF");
}

TEST(OpenAiChat, Logprobs) {
  OpenAiServer server;
  server.service.answer = [](const Task&, Receiver& receiver) {
    TokenDetail token;
    token.bytes = "\xC3";  // half of a character
    token.logprob = -0.5F;
    token.top.resize(1);
    token.top[0].bytes = "a";
    token.top[0].logprob = -INFINITY;
    receiver.OnText(0, "\xC3", {&token, 1});
    token.bytes = "\xA9";
    token.top.clear();
    receiver.OnText(0, "\xA9", {&token, 1});
    receiver.OnFinished(0, Finish::kLength);
    receiver.OnDone({});
  };
  OrderedJson body = Ask("Hi");
  body["logprobs"] = true;
  body["top_logprobs"] = 1;
  const OrderedJson choice = server.Chat(body)->Parsed()["choices"][0];
  EXPECT_EQ(choice["message"]["content"], "\u00e9");
  EXPECT_EQ(choice["finish_reason"], "length");
  ASSERT_EQ(choice["logprobs"]["content"].size(), 2u);
  EXPECT_EQ(choice["logprobs"]["content"][0]["bytes"], OrderedJson::array({0xC3}));
  EXPECT_EQ(choice["logprobs"]["content"][0]["logprob"], -0.5);
  EXPECT_EQ(choice["logprobs"]["content"][0]["top_logprobs"][0]["token"], "a");
  EXPECT_EQ(choice["logprobs"]["content"][0]["top_logprobs"][0]["logprob"], -9999);
}

TEST(OpenAiChat, ErrorsOfTheServiceKeepTheirStatus) {
  OpenAiServer server;
  server.service.answer = [](const Task&, Receiver& receiver) {
    receiver.OnFailed({429, "rate_limit_error", "queue_full", "", "the queue is full", 1.2});
  };
  const auto reply = server.Chat(Ask("Hi"));
  EXPECT_EQ(reply->head.status, 429);
  EXPECT_EQ(reply->Header("Retry-After"), "2");
  EXPECT_EQ(reply->Parsed()["error"]["code"], "queue_full");
}

TEST(OpenAiChat, ACallerThatLeavesCancels) {
  OpenAiServer server;
  const auto reply = server.Chat(Ask("Hi"));
  ASSERT_TRUE(reply->gone);
  EXPECT_EQ(server.service.tickets.at(0)->cancelled, 0);
  reply->gone();
  EXPECT_EQ(server.service.tickets.at(0)->cancelled, 1);
}

TEST(OpenAiChat, NothingIsKeptOfACompleteAnswer) {
  OpenAiServer server;
  server.service.answer = Say({"x"});
  std::weak_ptr<RecordingReply> reply = server.Chat(Ask("Hi"));
  std::weak_ptr<FakeTicket> ticket = server.service.tickets.at(0);
  server.service.receivers.clear();
  server.service.tickets.clear();
  EXPECT_TRUE(reply.expired());
  EXPECT_TRUE(ticket.expired());
}

}  // namespace
}  // namespace mote::server
