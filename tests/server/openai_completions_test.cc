// /v1/completions, /v1/embeddings, /v1/models, and llama-server's own.
#include <gtest/gtest.h>

#include "edge/server/openai/base64.h"
#include "tests/server/openai_fake.h"

namespace mote::server {
namespace {

TEST(OpenAiCompletions, OnePrompt) {
  OpenAiServer server;
  server.service.answer = Say({"a", "b"}, Finish::kLength);
  const OrderedJson json = server.Call("POST /v1/completions", R"({"prompt":"Once","max_tokens":2})")->Parsed();
  EXPECT_EQ(json["object"], "text_completion");
  EXPECT_EQ(json["id"].get<std::string>().rfind("cmpl-", 0), 0u);
  EXPECT_EQ(json["choices"].dump(), R"([{"index":0,"text":"ab","logprobs":null,"finish_reason":"length"}])");
  EXPECT_EQ(json["usage"]["total_tokens"], 13);
  const Task& task = server.service.tasks.at(0);
  EXPECT_FALSE(task.chat);
  EXPECT_EQ(task.text, "Once");
  EXPECT_EQ(task.max_tokens, 2);
}

TEST(OpenAiCompletions, SixteenTokensWhereNothingIsSaid) {
  OpenAiServer server;
  server.service.answer = Say({"a"});
  server.Call("POST /completions", R"({"prompt":"Once"})");
  EXPECT_EQ(server.service.tasks.at(0).max_tokens, 16);
}

TEST(OpenAiCompletions, PromptsOfEveryForm) {
  for (const auto& [prompt, texts, tokens] :
       std::vector<std::tuple<std::string, std::vector<std::string>, std::vector<std::vector<Token>>>>{
           {R"("a")", {"a"}, {{}}},
           {R"(["a","b"])", {"a", "b"}, {{}, {}}},
           {"[65,66]", {""}, {{65, 66}}},
           {"[[65],[66,67]]", {"", ""}, {{65}, {66, 67}}}}) {
    OpenAiServer server;
    server.service.answer = Say({"x"});
    const auto reply = server.Call("POST /v1/completions", "{\"prompt\":" + prompt + "}");
    ASSERT_EQ(server.service.tasks.size(), texts.size()) << prompt;
    for (size_t i = 0; i < texts.size(); ++i) {
      EXPECT_EQ(server.service.tasks[i].text, texts[i]);
      EXPECT_EQ(server.service.tasks[i].tokens, tokens[i]);
    }
    EXPECT_EQ(reply->Parsed()["choices"].size(), texts.size());
  }
}

TEST(OpenAiCompletions, ManyPromptsAndChoicesEndTogether) {
  OpenAiServer server;
  const auto reply = server.Call("POST /v1/completions", R"({"prompt":["a","b"],"n":2,"echo":true})");
  ASSERT_EQ(server.service.receivers.size(), 2u);
  Say({"y"})(server.service.tasks[1], *server.service.receivers[1]);
  EXPECT_EQ(reply->sent, 0);
  Say({"x"})(server.service.tasks[0], *server.service.receivers[0]);
  const OrderedJson json = reply->Parsed();
  ASSERT_EQ(json["choices"].size(), 4u);
  const char* texts[] = {"ax", "ax", "by", "by"};
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(json["choices"][i]["index"], i);
    EXPECT_EQ(json["choices"][i]["text"], texts[i]);
  }
  EXPECT_EQ(json["usage"]["prompt_tokens"], 20);
}

TEST(OpenAiCompletions, OneFailureEndsThemAll) {
  OpenAiServer server;
  const auto reply = server.Call("POST /v1/completions", R"({"prompt":["a","b"]})");
  server.service.receivers[0]->OnFailed({503, "overloaded_error", "queue_full", "", "full", 1});
  EXPECT_EQ(reply->head.status, 503);
  EXPECT_EQ(server.service.tickets[1]->cancelled, 1);
  server.service.receivers[1]->OnFailed({499, "server_error", "cancelled", "", "cancelled", 0});
  EXPECT_EQ(reply->sent, 1);
}

TEST(OpenAiCompletions, Streamed) {
  OpenAiServer server;
  server.service.answer = Say({"a", "b"});
  const auto events =
      server
          .Call("POST /v1/completions",
                R"({"prompt":"Once ","echo":true,"stream":true,"stream_options":{"include_usage":true}})")
          ->Events();
  ASSERT_EQ(events.size(), 5u);
  EXPECT_EQ(OrderedJson::parse(events[0])["choices"].dump(),
            R"([{"index":0,"text":"Once a","logprobs":null,"finish_reason":null}])");
  EXPECT_EQ(OrderedJson::parse(events[1])["choices"][0]["text"], "b");
  EXPECT_EQ(OrderedJson::parse(events[2])["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(OrderedJson::parse(events[3])["usage"]["total_tokens"], 13);
  EXPECT_EQ(events[4], "[DONE]");
}

TEST(OpenAiCompletions, Logprobs) {
  OpenAiServer server;
  server.service.answer = [](const Task& task, Receiver& receiver) {
    EXPECT_EQ(task.logprobs, 1);
    TokenDetail token;
    token.bytes = "\xC3\xA9";
    token.logprob = -0.25F;
    token.top = {token};
    receiver.OnText(0, token.bytes, {&token, 1});
    token.bytes = "b";
    token.top = {token};
    receiver.OnText(0, token.bytes, {&token, 1});
    receiver.OnFinished(0, Finish::kStop);
    receiver.OnDone({});
  };
  const OrderedJson json = server.Call("POST /v1/completions", R"({"prompt":"x","logprobs":1})")->Parsed();
  EXPECT_EQ(json["choices"][0]["logprobs"].dump(),
            "{\"tokens\":[\"\xC3\xA9\",\"b\"],\"token_logprobs\":[-0.25,-0.25],"
            "\"top_logprobs\":[{\"\xC3\xA9\":-0.25},{\"b\":-0.25}],\"text_offset\":[0,1]}");
}

TEST(OpenAiEmbeddings, FloatsAndBase64) {
  OpenAiServer server;
  const OrderedJson floats = server.Call("POST /v1/embeddings", R"({"input":["ab","c"],"model":"tiny"})")->Parsed();
  EXPECT_EQ(floats["object"], "list");
  EXPECT_EQ(
      floats["data"].dump(),
      R"([{"object":"embedding","index":0,"embedding":[0.5,-1.0,0.25]},{"object":"embedding","index":1,"embedding":[0.5,-1.0,0.25]}])");
  EXPECT_EQ(floats["model"], "tiny");
  EXPECT_EQ(floats["usage"].dump(), R"({"prompt_tokens":3,"total_tokens":3})");
  const OrderedJson base64 =
      server.Call("POST /embeddings", R"({"input":[1,2],"encoding_format":"base64","dimensions":3})")->Parsed();
  std::string bytes;
  ASSERT_TRUE(DecodeBase64(base64["data"][0]["embedding"].get<std::string>(), &bytes));
  EXPECT_EQ(bytes, std::string("\x00\x00\x00\x3F\x00\x00\x80\xBF\x00\x00\x80\x3E", 12));  // little-endian
  EXPECT_EQ(server.Call("POST /v1/embeddings", R"({"input":"fail"})")->head.status, 400);
}

TEST(OpenAiModels, ListAndOne) {
  OpenAiServer server;
  const OrderedJson list = server.Call("GET /v1/models", "")->Parsed();
  EXPECT_EQ(list["object"], "list");
  ASSERT_EQ(list["data"].size(), 1u);
  EXPECT_EQ(list["data"][0]["id"], "tiny");
  EXPECT_EQ(list["data"][0]["object"], "model");
  EXPECT_EQ(list["data"][0]["created"], 1700000000);
  EXPECT_EQ(list["data"][0]["owned_by"], "mote");
  EXPECT_EQ(list["data"][0]["architecture"]["input_modalities"].dump(), R"(["text","image"])");
  EXPECT_EQ(server.Call("GET /models/:name", "", {}, {"tiny"})->Parsed(), list["data"][0]);
  const auto missing = server.Call("GET /v1/models/:name", "", {}, {"none"});
  EXPECT_EQ(missing->head.status, 404);
  EXPECT_EQ(missing->Parsed()["error"]["code"], "model_not_found");
}

TEST(OpenAiTexts, ShapesOfLlamaServer) {
  OpenAiServer server;
  EXPECT_EQ(server.Call("POST /tokenize", R"({"content":"ab"})")->body, R"({"tokens":[97,98]})");
  EXPECT_EQ(server.Call("POST /tokenize", R"({"content":"a","add_special":true})")->body, R"({"tokens":[1,97]})");
  EXPECT_EQ(server.Call("POST /tokenize", "{\"content\":\"\xC3\xA9\",\"with_pieces\":true}")->body,
            R"({"tokens":[{"id":195,"piece":[195]},{"id":169,"piece":[169]}]})");
  EXPECT_EQ(server.Call("POST /detokenize", R"({"tokens":[72,105]})")->body, R"({"content":"Hi"})");
  EXPECT_EQ(server.Call("POST /detokenize", R"({"tokens":[1000]})")->head.status, 400);
  EXPECT_EQ(server.Call("POST /apply-template", R"({"messages":[{"role":"user","content":"Hi"}]})")->body,
            R"({"prompt":"<user>Hi"})");
  const OrderedJson props = server.Call("GET /props", "")->Parsed();
  EXPECT_EQ(props["total_slots"], 2);
  EXPECT_EQ(props["model_path"], "tiny.gguf");  // without its place on the disk
  EXPECT_EQ(props["modalities"]["vision"], true);
  const auto slots = server.Call("GET /slots", "");
  EXPECT_EQ(slots->Parsed()[0]["is_processing"], true);
  EXPECT_EQ(slots->body.find("alice"), std::string::npos);  // tenants learn nothing of each other
}

}  // namespace
}  // namespace mote::server
