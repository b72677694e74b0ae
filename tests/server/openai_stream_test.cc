// Streams: server-sent events as OpenAI's clients read them, lines of JSON with progress, silence, loss of the client.
#include <gtest/gtest.h>

#include "tests/server/openai_fake.h"

namespace mote::server {
namespace {

OrderedJson Streamed(const std::string& text) {
  OrderedJson body = Ask(text);
  body["stream"] = true;
  return body;
}

TEST(OpenAiStream, ChunksOfAChat) {
  OpenAiServer server;
  server.service.answer = Say({"Hel", "lo \"you\"\n"});
  OrderedJson body = Streamed("Hi");
  body["stream_options"]["include_usage"] = true;
  const auto reply = server.Chat(body);
  EXPECT_EQ(reply->started, 1);
  EXPECT_EQ(reply->sent, 0);
  EXPECT_EQ(reply->ended, 1);
  EXPECT_EQ(reply->head.content_type, "text/event-stream");
  EXPECT_EQ(reply->Header("Cache-Control"), "no-cache");
  EXPECT_EQ(reply->Header("X-Accel-Buffering"), "") << "the front's to say, once";
  EXPECT_EQ(reply->Header("X-Mote-Precision"), "Q8_0");
  EXPECT_EQ(reply->Header("X-Mote-Cache"), "miss");
  const auto events = reply->Events();
  ASSERT_EQ(events.size(), 6u);
  EXPECT_EQ(events[5], "[DONE]");
  const std::vector<std::string> choices = {
      R"([{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}])",
      R"([{"index":0,"delta":{"content":"Hel"},"logprobs":null,"finish_reason":null}])",
      R"([{"index":0,"delta":{"content":"lo \"you\"\n"},"logprobs":null,"finish_reason":null}])",
      R"([{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}])", "[]"};
  const OrderedJson first = OrderedJson::parse(events[0]);
  for (size_t i = 0; i < choices.size(); ++i) {
    const OrderedJson chunk = OrderedJson::parse(events[i]);
    EXPECT_EQ(chunk["choices"].dump(), choices[i]);
    EXPECT_EQ(chunk["object"], "chat.completion.chunk");
    EXPECT_EQ(chunk["id"], first["id"]);
    EXPECT_EQ(chunk["created"], first["created"]);
    EXPECT_EQ(chunk["model"], "tiny");
    if (i < 4) {
      EXPECT_TRUE(chunk.at("usage").is_null());
    } else {
      EXPECT_EQ(chunk["usage"]["total_tokens"], 13);
    }
  }
}

TEST(OpenAiStream, UsageOnlyWhereItIsAskedFor) {
  OpenAiServer server;
  server.service.answer = Say({"x"});
  const auto events = server.Chat(Streamed("Hi"))->Events();
  ASSERT_EQ(events.size(), 4u);
  for (size_t i = 0; i < 3; ++i) EXPECT_FALSE(OrderedJson::parse(events[i]).contains("usage"));
}

TEST(OpenAiStream, EachEventIsWrittenAtOnce) {
  OpenAiServer server;
  const auto reply = server.Chat(Streamed("Hi"));
  Receiver& receiver = *server.service.receivers.at(0);
  EXPECT_EQ(reply->started, 0);
  receiver.OnText(0, "a", {});
  EXPECT_EQ(reply->Events().size(), 2u);
  receiver.OnText(0, "\xE2\x82", {});  // of a character that is not complete
  EXPECT_EQ(reply->Events().size(), 2u);
  receiver.OnText(0, "\xAC!", {});
  ASSERT_EQ(reply->Events().size(), 3u);
  EXPECT_EQ(OrderedJson::parse(reply->Events()[2])["choices"][0]["delta"]["content"], "\u20ac!");
}

TEST(OpenAiStream, ChoicesInterleave) {
  OpenAiServer server;
  OrderedJson body = Streamed("Hi");
  body["n"] = 2;
  const auto reply = server.Chat(body);
  Receiver& receiver = *server.service.receivers.at(0);
  receiver.OnText(1, "b", {});
  receiver.OnText(0, "a", {});
  receiver.OnFinished(1, Finish::kLength);
  receiver.OnFinished(0, Finish::kStop);
  receiver.OnDone({});
  std::string text[2], finish[2];
  for (const std::string& event : reply->Events()) {
    if (event == "[DONE]") continue;
    const OrderedJson choice = OrderedJson::parse(event)["choices"][0];
    const int index = choice["index"];
    text[index] += choice["delta"].value("content", "");
    if (!choice["finish_reason"].is_null()) finish[index] = choice["finish_reason"];
  }
  EXPECT_EQ(text[0], "a");
  EXPECT_EQ(text[1], "b");
  EXPECT_EQ(finish[0], "stop");
  EXPECT_EQ(finish[1], "length");
}

TEST(OpenAiStream, RefusalsBeforeTheFirstEventHaveTheirStatus) {
  OpenAiServer server;
  server.service.answer = [](const Task&, Receiver& receiver) {
    receiver.OnStage(Stage::kQueued, 0);
    receiver.OnFailed({400, "invalid_request_error", "context_length_exceeded", "messages", "too long", 0});
  };
  for (const char* accept : {"*/*", "application/x-ndjson"}) {
    const auto reply = server.Chat(Streamed("Hi"), {{"accept", accept}});
    EXPECT_EQ(reply->sent, 1) << accept;
    EXPECT_EQ(reply->started, 0);
    EXPECT_EQ(reply->head.status, 400);
    EXPECT_EQ(reply->Parsed()["error"]["code"], "context_length_exceeded");
  }
}

TEST(OpenAiStream, ErrorsInTheMiddleAreEvents) {
  OpenAiServer server;
  const auto reply = server.Chat(Streamed("Hi"));
  server.service.receivers.at(0)->OnText(0, "a", {});
  server.service.receivers.at(0)->OnFailed({500, "server_error", "internal_error", "", "it broke", 0});
  EXPECT_EQ(reply->sent, 0);
  EXPECT_EQ(reply->ended, 1);
  const auto events = reply->Events();
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(OrderedJson::parse(events[2])["error"]["message"], "it broke");
}

TEST(OpenAiStream, LinesWithProgress) {
  OpenAiServer server;
  server.service.answer = [](const Task& task, Receiver& receiver) {
    receiver.OnAccepted("tiny", "off");
    receiver.OnStage(Stage::kQueued, 0);
    receiver.OnStage(Stage::kImageDecoded, 0);
    receiver.OnStage(Stage::kImageEncoded, 0);
    receiver.OnStage(Stage::kPrefill, 0.5);
    Say({"a", "b"})(task, receiver);
  };
  const auto reply = server.Chat(Ask("Hi"), {{"accept", "application/x-ndjson"}});
  EXPECT_EQ(reply->head.content_type, "application/x-ndjson");
  const auto lines = reply->Lines();
  std::vector<std::string> names;
  for (const OrderedJson& line : lines) names.push_back(line["event"]);
  EXPECT_EQ(names, (std::vector<std::string>{"queued", "image_decoded", "image_encoded", "prefill", "queued", "prefill",
                                             "first_token", "delta", "delta", "done"}));
  EXPECT_EQ(lines[3]["percent"], 50);
  EXPECT_EQ(lines[7].dump(), R"({"event":"delta","index":0,"delta":{"content":"a"}})");
  const OrderedJson& done = lines.back();
  EXPECT_EQ(done["choices"].dump(), R"([{"index":0,"finish_reason":"stop"}])");
  EXPECT_EQ(done["usage"]["completion_tokens"], 3);
  EXPECT_EQ(done["timings"]["precision"], "Q8_0");
  EXPECT_EQ(reply->ended, 1);
}

TEST(OpenAiStream, ClientsThatAreGoneCancel) {
  OpenAiServer server;
  const auto reply = server.Chat(Streamed("Hi"));
  reply->alive = false;
  server.service.receivers.at(0)->OnText(0, "a", {});
  EXPECT_EQ(server.service.tickets.at(0)->cancelled, 1);
  server.service.receivers.at(0)->OnFailed({499, "server_error", "cancelled", "", "cancelled", 0});
  EXPECT_EQ(reply->ended, 0);
}

TEST(OpenAiStream, SilenceIsFilled) {
  OpenAiOptions options;
  std::function<void()> tick;
  auto handle = std::make_shared<int>();
  options.every = [&](double seconds, std::function<void()> call) -> std::shared_ptr<void> {
    EXPECT_EQ(seconds, 1);
    tick = std::move(call);
    return std::exchange(handle, nullptr);
  };
  const std::weak_ptr<int> timer = handle;
  OpenAiServer server(options);
  const auto reply = server.Chat(Streamed("Hi"));
  EXPECT_EQ(reply->started, 0);
  tick();
  EXPECT_EQ(reply->started, 1);  // after a second, whatever happens
  EXPECT_EQ(reply->body, "");
  for (int second = 0; second < 15; ++second) tick();
  EXPECT_EQ(reply->body, ": \n\n");
  server.service.receivers.at(0)->OnText(0, "a", {});
  for (int second = 0; second < 14; ++second) tick();
  EXPECT_EQ(reply->writes.size(), 3u);
  tick();
  EXPECT_EQ(reply->writes.size(), 4u);
  server.service.receivers.at(0)->OnFinished(0, Finish::kStop);
  server.service.receivers.at(0)->OnDone({});
  EXPECT_TRUE(timer.expired());
  const size_t writes = reply->writes.size();
  for (int second = 0; second < 40; ++second) tick();
  EXPECT_EQ(reply->writes.size(), writes);
}

TEST(OpenAiStream, ShutdownIsTold) {
  OpenAiServer server;
  const auto stream = server.Chat(Streamed("Hi"));
  server.service.receivers.at(0)->OnText(0, "a", {});
  stream->drain();
  EXPECT_EQ(OrderedJson::parse(stream->Events().back())["error"]["code"], "shutting_down");
  EXPECT_EQ(stream->ended, 1);
  const auto whole = server.Chat(Ask("Hi"));
  whole->drain();
  EXPECT_EQ(whole->head.status, 503);
  server.service.receivers.at(1)->OnDone({});
  EXPECT_EQ(whole->sent, 1);
  for (const auto& ticket : server.service.tickets) EXPECT_GE(ticket->cancelled, 1);
}

}  // namespace
}  // namespace mote::server
