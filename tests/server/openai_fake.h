// A Service that answers what the test says, and a Reply that remembers what it was told.
#ifndef MOTE_TESTS_SERVER_OPENAI_FAKE_H_
#define MOTE_TESTS_SERVER_OPENAI_FAKE_H_

#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "edge/server/http/message.h"
#include "edge/server/openai/routes.h"
#include "edge/server/serving/task.h"

namespace mote::server {

using OrderedJson = nlohmann::ordered_json;

class FakeTicket : public Ticket {
 public:
  void Cancel() override { ++cancelled; }
  int cancelled = 0;
};

class FakeService : public Service {
 public:
  std::shared_ptr<Ticket> Submit(Task task, std::shared_ptr<Receiver> receiver) override {
    tasks.push_back(std::move(task));
    receivers.push_back(receiver);
    tickets.push_back(std::make_shared<FakeTicket>());
    if (answer) answer(tasks.back(), *receiver);
    return tickets.back();
  }
  std::vector<ServedModel> Models() const override { return models; }
  Result<std::vector<Token>> Tokenize(const std::string&, std::string_view text, bool special, bool) override {
    std::vector<Token> tokens;
    if (special) tokens.push_back(1);
    for (const char c : text) tokens.push_back(static_cast<unsigned char>(c));
    return tokens;
  }
  Result<std::string> Detokenize(const std::string&, const std::vector<Token>& tokens) override {
    std::string text;
    for (const Token token : tokens) {
      if (token > 255)
        return Error{MOTE_INVALID_ARGUMENT, "token " + std::to_string(token) + " is not in the vocabulary"};
      text += static_cast<char>(token);
    }
    return text;
  }
  Result<std::string> ApplyTemplate(const std::string&, const Task& task) override {
    std::string text;
    for (const ChatMessage& message : task.messages) text += "<" + message.role + ">" + message.content;
    return text;
  }
  Result<Embedding> Embed(const std::string&, const std::string& text, const std::vector<Token>& tokens) override {
    if (text == "fail") return Error{MOTE_UNSUPPORTED, "the model makes no embeddings"};
    return Embedding{{0.5F, -1.0F, 0.25F}, static_cast<uint32_t>(text.empty() ? tokens.size() : text.size())};
  }
  std::vector<SlotState> Slots() const override { return {{0, true, "alice", 12, 256}, {1, false, "", 0, 256}}; }

  // Its template knows tools.
  std::vector<ServedModel> models = {
      {"tiny", "/models/tiny.gguf", 1700000000, {0, "llama", "", "", "{{ tools }}"}, true, {"Q8_0"}}};
  std::function<void(const Task& task, Receiver& receiver)> answer;  // null: the test answers
  std::vector<Task> tasks;
  std::vector<std::shared_ptr<Receiver>> receivers;
  std::vector<std::shared_ptr<FakeTicket>> tickets;
};

class RecordingReply : public Reply {
 public:
  void Send(Response response) override {
    ++sent;
    head = std::move(response);
    body = head.body;
  }
  void Start(Response response) override {
    ++started;
    head = std::move(response);
  }
  bool Write(std::string_view bytes) override {
    if (!alive) return false;
    body += bytes;
    writes.emplace_back(bytes);
    return true;
  }
  void End() override { ++ended; }
  void OnGone(std::function<void()> call) override { gone = std::move(call); }
  void OnDrain(std::function<void()> call) override { drain = std::move(call); }

  OrderedJson Parsed() const { return OrderedJson::parse(body); }
  std::string Header(const std::string& name) const {
    for (const auto& [key, value] : head.headers) {
      if (key == name) return value;
    }
    return "";
  }
  // The payloads of server-sent events, "[DONE]" too.
  std::vector<std::string> Events() const {
    std::vector<std::string> events;
    for (size_t at = 0; (at = body.find("data: ", at)) != std::string::npos;) {
      const size_t end = body.find("\n\n", at);
      events.push_back(body.substr(at + 6, end - at - 6));
      at = end;
    }
    return events;
  }
  std::vector<OrderedJson> Lines() const {
    std::vector<OrderedJson> lines;
    for (size_t at = 0; at < body.size();) {
      const size_t end = body.find('\n', at);
      if (end > at) lines.push_back(OrderedJson::parse(body.substr(at, end - at)));
      at = end + 1;
    }
    return lines;
  }

  int sent = 0, started = 0, ended = 0;
  bool alive = true;
  Response head;
  std::string body;
  std::vector<std::string> writes;
  std::function<void()> gone, drain;
};

// The routes of a server over a FakeService.
class OpenAiServer {
 public:
  explicit OpenAiServer(OpenAiOptions options = {}) {
    const auto add = [this](const std::string& method, const std::string& pattern, Handler handler, bool long_work) {
      routes[method + " " + pattern] = std::move(handler);
      if (long_work) long_works.insert(pattern);
    };
    AddOpenAiRoutes(add, service, std::move(options));
  }

  using Headers = std::vector<std::pair<std::string, std::string>>;
  std::shared_ptr<RecordingReply> Call(const std::string& route, const std::string& body, Headers headers = {},
                                       std::vector<std::string> parts = {}) {
    auto reply = std::make_shared<RecordingReply>();
    Request request;
    request.method = route.substr(0, route.find(' '));
    request.path = route.substr(route.find(' ') + 1);
    request.headers = std::move(headers);
    request.parts = std::move(parts);
    request.body = body;
    routes.at(route)(request, reply);
    return reply;
  }
  std::shared_ptr<RecordingReply> Chat(const OrderedJson& body, Headers headers = {}) {
    return Call("POST /v1/chat/completions", body.dump(), std::move(headers));
  }

  FakeService service;
  std::map<std::string, Handler> routes;
  std::set<std::string> long_works;
};

inline OrderedJson Ask(const std::string& text) {
  OrderedJson body;
  body["messages"] = OrderedJson::array({OrderedJson::object({{"role", "user"}, {"content", text}})});
  return body;
}

// Answers each choice with the pieces, then ends.
inline std::function<void(const Task&, Receiver&)> Say(std::vector<std::string> pieces, Finish reason = Finish::kStop) {
  return [pieces = std::move(pieces), reason](const Task& task, Receiver& receiver) {
    receiver.OnPrecision("Q8_0");
    receiver.OnAccepted("tiny", "miss");
    receiver.OnStage(Stage::kQueued, 0);
    receiver.OnStage(Stage::kPrefill, 1);
    receiver.OnStage(Stage::kFirstToken, 0);
    for (int choice = 0; choice < task.choices; ++choice) {
      for (const std::string& piece : pieces) receiver.OnText(choice, piece, {});
      receiver.OnFinished(choice, reason);
    }
    Summary summary;
    summary.usage = {10, 4, 0, 3};
    summary.timings.prefill = 0.5;
    summary.timings.decode = 0.25;
    summary.model = "tiny";
    summary.precision = "Q8_0";
    summary.cache = "miss";
    receiver.OnDone(summary);
  };
}

}  // namespace mote::server

#endif  // MOTE_TESTS_SERVER_OPENAI_FAKE_H_
