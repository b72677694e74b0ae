// Every field of every endpoint at the ends of its range, beyond them and of the wrong type, generated from the tables;
// and hostile JSON, base64 and image URLs.
#include <gtest/gtest.h>

#include <set>

#include "edge/server/openai/base64.h"
#include "edge/server/openai/endpoint.h"
#include "tests/server/openai_fake.h"

namespace mote::server {
namespace {

struct Case {
  const char* route;
  Table table;
  OrderedJson body;  // that is accepted
};

std::vector<Case> Cases() {
  const OpenAiLimits limits;
  OrderedJson prompt, input, embedding;
  prompt["prompt"] = "Hi";
  input["input"] = "Hi";
  return {{"POST /v1/chat/completions", ChatFields(limits), Ask("Hi")},
          {"POST /v1/completions", CompletionFields(limits), prompt},
          {"POST /v1/embeddings", EmbeddingFields(limits), input},
          {"POST /v1/responses", ResponseFields(limits), input}};
}

// What another field needs beside it.
OrderedJson With(const Case& one, const std::string& name) {
  OrderedJson body = one.body;
  if (name == "top_logprobs" && body.contains("messages")) body["logprobs"] = true;
  return body;
}

class Fields {
 public:
  // The body as text, with `value` as text for the field: it may be what no JSON library would write.
  std::shared_ptr<RecordingReply> Send(const Case& one, const std::string& name, const std::string& value) {
    OrderedJson body = With(one, name);
    body.erase(name);
    std::string text = body.dump();
    text.back() = ',';
    text += "\"" + name + "\":" + value + "}";
    if (text[1] == ',') text.erase(1, 1);
    server.service.answer = Say({"x"});
    return server.Call(one.route, text);
  }
  void Accepts(const Case& one, const std::string& name, const std::string& value) {
    EXPECT_EQ(Send(one, name, value)->head.status, 200) << one.route << " " << name << " " << value;
  }
  void Refuses(const Case& one, const std::string& name, const std::string& value) {
    const auto reply = Send(one, name, value);
    EXPECT_EQ(reply->head.status, 400) << one.route << " " << name << " " << value;
    if (reply->head.status != 400) return;
    const OrderedJson error = reply->Parsed()["error"];
    EXPECT_EQ(error["type"], "invalid_request_error");
    EXPECT_EQ(error["param"], name) << one.route << " " << value << " " << reply->body;
    EXPECT_NE(error["message"].get<std::string>().find(name), std::string::npos);
  }

  OpenAiServer server;
};

std::string Text(double value) {
  char text[40];
  snprintf(text, sizeof(text), "%.17g", value);
  return text;
}

TEST(OpenAiFields, NumbersAtTheEndsOfTheirRange) {
  Fields fields;
  int seen = 0;
  for (const Case& one : Cases()) {
    for (const Field& field : one.table) {
      if (field.kind != Kind::kInteger && field.kind != Kind::kNumber) continue;
      ++seen;
      const std::string name = field.name;
      const bool zero_is_out = name == "max_tokens" || name == "max_completion_tokens" || name == "max_output_tokens";
      // The width of the fake model.
      const bool exact = name == "dimensions";
      if (!exact) {
        fields.Accepts(one, name, Text(field.min));
        fields.Accepts(one, name, Text(field.max));
      }
      const double below = field.min - std::max(1e-3, std::abs(field.min) * 1e-3);
      const double above = field.max + std::max(1e-3, std::abs(field.max) * 1e-3);
      fields.Refuses(one, name, Text(field.kind == Kind::kInteger ? std::floor(below) : below));
      fields.Refuses(one, name, Text(field.kind == Kind::kInteger ? std::ceil(above) : above));
      if (zero_is_out) fields.Refuses(one, name, "0");
      if (field.kind == Kind::kInteger) fields.Refuses(one, name, "1.5");
      for (const char* wrong : {"\"1\"", "[1]", "{\"a\":1}", "true", "1e308", "-1e308"})
        fields.Refuses(one, name, wrong);
      fields.Accepts(one, name, "null");
    }
  }
  EXPECT_GT(seen, 40);
}

TEST(OpenAiFields, RefusedFieldsMayAskForNothing) {
  const auto status = [](const std::string& field) {
    OpenAiServer server;
    server.service.answer = Say({"x"});
    return server.Call("POST /v1/completions", R"({"prompt":"x",)" + field + "}")->head.status;
  };
  for (const char* nothing : {R"("best_of":1)", R"("mirostat":0)", R"("dry_multiplier":0.0)", R"("xtc_probability":0)",
                              R"("suffix":"")", R"("suffix":null)"}) {
    EXPECT_EQ(status(nothing), 200) << nothing;
  }
  for (const char* something :
       {R"("best_of":2)", R"("best_of":0)", R"("mirostat":2)", R"("dry_multiplier":0.8)", R"("suffix":"x")"}) {
    EXPECT_EQ(status(something), 400) << something;
  }
}

TEST(OpenAiFields, NoAnswerIsLongerThanTheServerLetsIt) {
  OpenAiOptions options;
  options.limits.max_tokens = options.limits.answer_tokens = 5;
  OpenAiServer server(options);
  server.service.answer = Say({"x"});
  const std::string chat = R"("messages":[{"role":"user","content":"x"}])";
  const std::pair<std::string, std::string> bodies[] = {
      {"POST /v1/chat/completions", "{" + chat + "}"},
      {"POST /v1/chat/completions", "{" + chat + R"(,"max_tokens":-1})"},
      {"POST /v1/chat/completions", "{" + chat + R"(,"max_completion_tokens":-1})"},
      {"POST /v1/completions", R"({"prompt":"x"})"},
      {"POST /v1/responses", R"({"input":"x"})"},
  };
  for (const auto& [route, body] : bodies) {
    ASSERT_EQ(server.Call(route, body)->head.status, 200) << body;
    EXPECT_EQ(server.service.tasks.back().max_tokens, 5) << route << body;
  }
  ASSERT_EQ(server.Call("POST /v1/completions", R"({"prompt":"x","max_tokens":3})")->head.status, 200);
  EXPECT_EQ(server.service.tasks.back().max_tokens, 3);
}

TEST(OpenAiFields, WithoutASeedChanceIsAnotherEachTime) {
  OpenAiServer server;
  server.service.answer = Say({"x"});
  std::set<uint64_t> seeds;
  for (const char* body : {R"({"prompt":["x","x","x"]})", R"({"prompt":"x"})", R"({"prompt":"x","seed":-1})"}) {
    ASSERT_EQ(server.Call("POST /v1/completions", body)->head.status, 200);
  }
  ASSERT_EQ(server.service.tasks.size(), 5u);
  for (const Task& task : server.service.tasks) {
    EXPECT_FALSE(task.seeded);
    seeds.insert(task.sampling.seed);
  }
  EXPECT_EQ(seeds.size(), 5u);
  // Greedy answers are kept, and found again by all that they depend on.
  ASSERT_EQ(server.Call("POST /v1/completions", R"({"prompt":["x","x"],"temperature":0})")->head.status, 200);
  EXPECT_EQ(server.service.tasks[5].sampling.seed, server.service.tasks[6].sampling.seed);
  ASSERT_EQ(server.Call("POST /v1/completions", R"({"prompt":["x","x"],"seed":9223372036854775807})")->head.status,
            200);
  EXPECT_EQ(server.service.tasks[7].sampling.seed, 9223372036854775807u);
  EXPECT_EQ(server.service.tasks[8].sampling.seed, 9223372036854775807u);
}

TEST(OpenAiFields, OtherKinds) {
  Fields fields;
  for (const Case& one : Cases()) {
    for (const Field& field : one.table) {
      const std::string name = field.name;
      const bool taken_by_other_test = name == "messages";
      if (taken_by_other_test) continue;
      switch (field.kind) {
        case Kind::kBool:
          fields.Accepts(one, name, "false");
          for (const char* wrong : {"0", "\"true\"", "[]", "{}", "1e308"}) fields.Refuses(one, name, wrong);
          break;
        case Kind::kString:
          for (const char* wrong : {"0", "true", "[\"a\"]", "{}", "-1e308"}) fields.Refuses(one, name, wrong);
          if (*field.values != 0) {
            fields.Refuses(one, name, "\"no such value\"");
          } else if (field.max < 1 << 20) {
            fields.Refuses(one, name, "\"" + std::string(static_cast<size_t>(field.max) + 1, 'a') + "\"");
          }
          break;
        case Kind::kArray:
          for (const char* wrong : {"0", "true", "\"a\"", "{}"}) fields.Refuses(one, name, wrong);
          break;
        case Kind::kObject:
          for (const char* wrong : {"0", "true", "\"a\"", "[1]"}) fields.Refuses(one, name, wrong);
          break;
        case Kind::kIgnored:
          for (const char* any : {"0", "true", "\"a\"", "{\"a\":[1]}", "[1]"}) fields.Accepts(one, name, any);
          break;
        case Kind::kRefused:
          for (const char* some : {"2", "true", "\"a\"", "{\"a\":1}"}) fields.Refuses(one, name, some);
          if (name != "conversation") fields.Accepts(one, name, "null");
          break;
        case Kind::kInteger:
        case Kind::kNumber:
        case Kind::kAny:
          break;
      }
    }
  }
}

// The param of the answer to a body, or its status where that is not 400.
std::string ParamOf(const std::string& body, const char* route = "POST /v1/chat/completions") {
  OpenAiServer server;
  server.service.answer = Say({"x"});
  const auto reply = server.Call(route, body);
  if (reply->head.status != 400) return std::to_string(reply->head.status);
  const OrderedJson param = reply->Parsed()["error"]["param"];
  return param.is_null() ? "null" : param.get<std::string>();
}

std::string User(const std::string& content) {
  return R"({"messages":[{"role":"user","content":)" + content + "}]}";
}

TEST(OpenAiFields, ErrorsNameTheFieldAtFault) {
  EXPECT_EQ(ParamOf("{}"), "messages");
  EXPECT_EQ(ParamOf(R"({"messages":[]})"), "messages");
  EXPECT_EQ(ParamOf(R"({"messages":["x"]})"), "messages[0]");
  EXPECT_EQ(ParamOf(R"({"messages":[{"content":"x"}]})"), "messages[0].role");
  EXPECT_EQ(ParamOf(R"({"messages":[{"role":"king","content":"x"}]})"), "messages[0].role");
  EXPECT_EQ(ParamOf(R"({"messages":[{"role":"user"}]})"), "messages[0].content");
  EXPECT_EQ(ParamOf(R"({"messages":[{"role":"assistant","content":null}]})"), "messages[0].content");
  EXPECT_EQ(ParamOf(User("7")), "messages[0].content");
  EXPECT_EQ(ParamOf(User("\"a\\u0000b\"")), "messages[0].content");
  EXPECT_EQ(ParamOf(User("[7]")), "messages[0].content[0]");
  EXPECT_EQ(ParamOf(User(R"([{"type":"text"}])")), "messages[0].content[0].text");
  EXPECT_EQ(ParamOf(User(R"([{"type":"video"}])")), "messages[0].content[0].type");
  EXPECT_EQ(ParamOf(User(R"([{"type":"input_audio","input_audio":{}}])")), "messages[0].content[0].type");
  EXPECT_EQ(ParamOf(User(R"([{"type":"text","text":"a"},{"type":"image_url"}])")),
            "messages[0].content[1].image_url.url");
  EXPECT_EQ(
      ParamOf(
          R"({"messages":[{"role":"system","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAEC"}}]}]})"),
      "messages[0].content[0]");
  EXPECT_EQ(ParamOf(R"({"messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{"}}]}]})"),
            "messages[0].tool_calls[0].function.arguments");
  EXPECT_EQ(ParamOf(R"({"messages":[{"role":"user","content":"x"}],"stop":["a",""]})"), "stop[1]");
  EXPECT_EQ(ParamOf(R"({"messages":[{"role":"user","content":"x"}],"logit_bias":{"x":1}})"), "logit_bias.x");
  EXPECT_EQ(ParamOf(R"({"messages":[{"role":"user","content":"x"}],"logit_bias":{"5":101}})"), "logit_bias.5");
  EXPECT_EQ(ParamOf(R"({"messages":[{"role":"user","content":"x"}],"top_logprobs":2})"), "top_logprobs");
  EXPECT_EQ(ParamOf(R"({"messages":[{"role":"user","content":"x"}],"response_format":{"type":"xml"}})"),
            "response_format.type");
  EXPECT_EQ(ParamOf(R"({"messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_schema"}})"),
            "response_format.json_schema.schema");
  EXPECT_EQ(
      ParamOf(
          R"({"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"a b"}}]})"),
      "tools[0].function.name");
  EXPECT_EQ(ParamOf(R"({"messages":[{"role":"user","content":"x"}],"chat_template_kwargs":{"messages":"x"}})"),
            "chat_template_kwargs.messages");
  EXPECT_EQ(ParamOf(R"({"messages":[{"role":"user","content":"x"}],"chat_template_kwargs":{"a":[1]}})"),
            "chat_template_kwargs.a");
  EXPECT_EQ(ParamOf(R"({"prompt":["a",7]})", "POST /v1/completions"), "prompt[1]");
  EXPECT_EQ(ParamOf(R"({"prompt":[1,-7]})", "POST /v1/completions"), "prompt[1]");
  EXPECT_EQ(ParamOf(R"({"prompt":[[1],[]]})", "POST /v1/completions"), "prompt[1]");
  EXPECT_EQ(ParamOf(R"({"prompt":""})", "POST /v1/completions"), "prompt");
  EXPECT_EQ(ParamOf(R"({"input":[{"role":"user","content":[{"type":"input_image","image_url":"x"}]}]})",
                    "POST /v1/responses"),
            "input[0].content[0].image_url");
  EXPECT_EQ(ParamOf(R"({"input":"x","dimensions":2})", "POST /v1/embeddings"), "dimensions");
}

TEST(OpenAiFields, HostileJson) {
  const auto deep = [](size_t depth) {
    return R"({"messages":[{"role":"user","content":"x"}],"x":)" + std::string(depth, '[') + std::string(depth, ']') +
           "}";
  };
  EXPECT_EQ(ParamOf(deep(63)), "200");
  EXPECT_EQ(ParamOf(deep(64)), "null");
  EXPECT_EQ(ParamOf(deep(1000000)), "null");
  EXPECT_EQ(ParamOf(std::string(1000000, '[')), "null");
  EXPECT_EQ(ParamOf(R"({"messages":[{"role":"user","content":"x"}],"n":1,"n":1})"), "null");
  std::string many = R"({"messages":[{"role":"user","content":"x"}],"x":{)";
  for (int i = 0; i < 1000; ++i) many += "\"k" + std::to_string(i) + "\":0,";
  EXPECT_EQ(ParamOf(many + "\"z\":0}}"), "200");
  EXPECT_EQ(ParamOf(many + "\"k777\":0}}"), "null");
  std::string values = R"({"messages":[{"role":"user","content":"x"}],"x":[0)";
  for (int i = 0; i < 300000; ++i) values += ",0";
  EXPECT_EQ(ParamOf(values + "]}"), "null");
  for (const char* broken : {"", " ", "nul", "{", "{\"a\":1,}", "{'a':1}", "[1] 2", "{\"a\":01}", "{\"a\":NaN}",
                             "{\"a\":1e999}", "{\"a\":Infinity}", "\xEF\xBB\xBFx", "{\"a\":\"\xFF\"}",
                             "{\"a\":\"\xED\xA0\x80\"}", "{\"a\":\"\\ud800\"}", "{\"a\":\"\n\"}", "/**/{}"}) {
    EXPECT_EQ(ParamOf(broken), "null") << broken;
  }
  for (const char* other : {"[]", "7", "\"x\"", "null"}) {
    OpenAiServer server;
    const auto reply = server.Call("POST /v1/chat/completions", other);
    EXPECT_EQ(reply->head.status, 400) << other;
  }
}

TEST(OpenAiFields, ImagesAreDataUrlsOfImages) {
  OpenAiServer server;
  server.service.answer = Say({"x"});
  const auto send = [&](const std::string& url) {
    OrderedJson image;
    image["type"] = "image_url";
    image["image_url"]["url"] = url;
    OrderedJson body = Ask("");
    body["messages"][0]["content"] = OrderedJson::array({image});
    return server.Chat(body);
  };
  EXPECT_EQ(send("data:image/png;base64,AAEC")->head.status, 200);
  for (const std::string url :
       {"", "x", "data:", "data:image/png", "data:image/png,abc", "data:text/plain;base64,AAEC",
        "data:image/png;base64,", "data:image/png;base64,AAE", "data:image/png;base64,AAEC=",
        "data:image/png;base64,AA=C", "data:image/png;base64,AAB=", "data:image/png;base64,AA\nEC",
        "data:image/png;base64, AAEC", "data:image/png;base64,AA-_", "data:image/png;base64;x,AAEC",
        // Nothing is fetched, whatever it is called.
        "http://example.com/a.png", "https://example.com/a.png", "HTTPS://example.com", "//example.com/a.png",
        "file:///etc/passwd", "FILE:///etc/passwd", "ftp://a/b", "gopher://127.0.0.1:6379/_x", "http://127.0.0.1/",
        "http://[::1]/", "http://0/", "http://2130706433/", "http://0x7f.1/", "http://017700000001/",
        "http://[::ffff:127.0.0.1]/", "http://169.254.169.254/latest/meta-data", "http://a@127.0.0.1/",
        "http:\\\\127.0.0.1\\", "http://example.com%00.local/", "http://example.com/\r\nHost: x", "javascript:alert(1)",
        "blob:null/1", "jar:file:///a", "/etc/passwd", "../../a.png", "\\\\server\\share"}) {
    const auto reply = send(url);
    EXPECT_EQ(reply->head.status, 400) << url;
    const OrderedJson error = reply->Parsed()["error"];
    EXPECT_EQ(error["param"], "messages[0].content[0].image_url.url") << url;
    EXPECT_EQ(error["message"].get<std::string>().find('\r'), std::string::npos);
  }
}

TEST(OpenAiFields, ImagesHaveLimits) {
  OpenAiOptions options;
  options.limits.images = 2;
  options.limits.image_bytes = 300;
  options.limits.images_bytes = 400;
  OpenAiServer server(options);
  server.service.answer = Say({"x"});
  const auto send = [&](std::vector<size_t> sizes, const std::string& text = "") {
    OrderedJson body = Ask("");
    OrderedJson& content = body["messages"][0]["content"] = OrderedJson::array();
    for (const size_t size : sizes) {
      OrderedJson image;
      image["type"] = "image_url";
      image["image_url"]["url"] = "data:image/png;base64," + EncodeBase64(std::string(size, 'x'));
      content.push_back(image);
    }
    content.push_back(OrderedJson::object({{"type", "text"}, {"text", text}}));
    return server.Chat(body)->head.status;
  };
  EXPECT_EQ(send({300}), 200);
  EXPECT_EQ(send({303}), 400);
  EXPECT_EQ(send({300, 99}), 200);
  EXPECT_EQ(send({300, 102}), 400);
  EXPECT_EQ(send({3, 3}), 200);
  EXPECT_EQ(send({3, 3, 3}), 400);
  EXPECT_EQ(send({3}, "look: <__media__>"), 400);
  EXPECT_EQ(send({}, "look: <__media__>"), 200);
}

TEST(OpenAiFields, Base64IsTheOneFormOfItsBytes) {
  std::string bytes;
  for (int i = 0; i < 300; ++i) {
    std::string decoded;
    ASSERT_TRUE(DecodeBase64(EncodeBase64(bytes), &decoded));
    EXPECT_EQ(decoded, bytes);
    bytes += static_cast<char>(i * 37);
  }
  EXPECT_EQ(EncodeBase64("f"), "Zg==");  // RFC 4648, section 10
  EXPECT_EQ(EncodeBase64("fo"), "Zm8=");
  EXPECT_EQ(EncodeBase64("foobar"), "Zm9vYmFy");
  for (const char* wrong : {"Z", "Zg", "Zg=", "Zg===", "=Zg=", "Zh==", "Zm9=", "Zg==Zg==", "Zm 8", "====", "Zm8\xFF"}) {
    std::string decoded;
    EXPECT_FALSE(DecodeBase64(wrong, &decoded)) << wrong;
  }
}

TEST(OpenAiFields, QuotedTextIsJson) {
  for (const std::string& text :
       {std::string("plain"), std::string("\"\\\b\f\n\r\t\x01\x1F\x7F"), std::string("a\0b", 3),
        std::string("\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"), std::string("</script>")}) {
    std::string quoted;
    AppendQuoted(&quoted, text);
    EXPECT_EQ(OrderedJson::parse(quoted).get<std::string>(), text);
  }
  for (const char* wrong : {"\xFF", "a\xC3", "\xC0\x80", "\xED\xA0\x80", "\xF5\x80\x80\x80", "\xE2\x82", "\x80"}) {
    std::string quoted;
    AppendQuoted(&quoted, wrong);
    ASSERT_TRUE(OrderedJson::accept(quoted)) << wrong;
    EXPECT_NE(OrderedJson::parse(quoted).get<std::string>().find("\xEF\xBF\xBD"), std::string::npos);
  }
}

}  // namespace
}  // namespace mote::server
