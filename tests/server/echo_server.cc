// A small server on the front alone, for tests that drive it from outside: echo_server [NAME=VALUE]...
//
// Prints the addresses that it listens at, one a line, and an empty line. SIGTERM drains it, a second one stops it.
// Answers say how each request was understood, so that two readings can be compared.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "edge/server/http/front.h"

namespace {

using mote::server::Front;
using mote::server::FrontOptions;
using mote::server::Reply;
using mote::server::Request;
using mote::server::Response;

nlohmann::ordered_json Describe(const Request& request) {
  nlohmann::ordered_json json;
  json["method"] = request.method;
  json["path"] = request.path;
  json["query"] = request.query;
  json["headers"] = request.headers;
  json["parts"] = request.parts;
  json["body"] = request.body;
  json["peer"] = {{"address", request.peer.address},
                  {"local", request.peer.local},
                  {"tls", request.peer.tls},
                  {"certificate", request.peer.certificate}};
  return json;
}

std::string Dump(const nlohmann::ordered_json& json) {
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

// One server's numbers, which /counts tells, and the paths that /seen tells.
struct Counts {
  std::atomic<int> gone = 0, drained = 0, requests = 0, statuses[600] = {};
  std::mutex mutex;
  std::vector<std::string> seen;
};

void Echo(Counts* counts, const Request& request, const std::shared_ptr<Reply>& reply) {
  {
    const std::lock_guard<std::mutex> lock(counts->mutex);
    // A test has some thousands; a benchmark, millions.
    if (counts->seen.size() < 10000) counts->seen.push_back(request.path);
  }
  Response response;
  response.body = Dump(Describe(request));
  reply->Send(std::move(response));
}

// A stream of `n` lines of `size` bytes every `ms` milliseconds, by one timer each.
class Stream {
 public:
  Stream(std::shared_ptr<Reply> reply, int left, std::string piece)
      : reply_(std::move(reply)), left_(left), piece_(std::move(piece)) {}

  void SetTimer(std::shared_ptr<void> timer) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (reply_ != nullptr) timer_.swap(timer);
  }
  void Step() {
    std::shared_ptr<Reply> reply;
    bool more = false;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      reply = reply_;
      more = left_-- > 0;
    }
    if (reply == nullptr || (more && reply->Write(piece_))) return;
    reply->End();
    Drop();
  }
  // Gives up reply and timer, which hold this in a circle.
  std::shared_ptr<Reply> Drop() {
    std::shared_ptr<void> timer;
    const std::lock_guard<std::mutex> lock(mutex_);
    timer.swap(timer_);
    return std::exchange(reply_, nullptr);
  }

 private:
  std::mutex mutex_;
  std::shared_ptr<Reply> reply_;
  std::shared_ptr<void> timer_;
  int left_;
  const std::string piece_;
};

int QueryNumber(const Request& request, const std::string& name, int otherwise) {
  for (const auto& [key, value] : request.query) {
    if (key == name) return atoi(value.c_str());
  }
  return otherwise;
}

void StartStream(Front* front, Counts* counts, const Request& request, const std::shared_ptr<Reply>& reply) {
  auto stream = std::make_shared<Stream>(
      reply, QueryNumber(request, "n", 10),
      "data: " + std::string(static_cast<size_t>(QueryNumber(request, "size", 8)), 'x') + "\n\n");
  reply->OnGone([stream, counts] {
    ++counts->gone;
    stream->Drop();
  });
  reply->OnDrain([stream, counts] {
    ++counts->drained;
    const std::shared_ptr<Reply> last = stream->Drop();
    if (last == nullptr) return;
    last->Write("event: error\ndata: shutting down\n\n");
    last->End();
  });
  Response head;
  head.content_type = "text/event-stream";
  reply->Start(std::move(head));
  stream->SetTimer(front->Every(QueryNumber(request, "ms", 50) * 1e-3, [stream] { stream->Step(); }));
}

void SetOption(FrontOptions* options, const std::string& name, const std::string& value) {
  const std::map<std::string, uint32_t*> counts = {{"connections", &options->connections},
                                                   {"connections_per_peer", &options->connections_per_peer},
                                                   {"workers", &options->workers},
                                                   {"most_workers", &options->most_workers}};
  const std::map<std::string, double*> seconds = {
      {"head_seconds", &options->head_seconds},        {"body_window_seconds", &options->body_window_seconds},
      {"idle_seconds", &options->idle_seconds},        {"stall_seconds", &options->stall_seconds},
      {"drain_seconds", &options->drain_seconds},      {"lame_duck_seconds", &options->lame_duck_seconds},
      {"farewell_seconds", &options->farewell_seconds}};
  const std::map<std::string, std::string*> texts = {
      {"certificate", &options->tls.certificate}, {"key", &options->tls.key}, {"client_ca", &options->tls.client_ca}};
  if (name == "listen") {
    options->listen.push_back(value);
  } else if (name == "proxy") {
    options->proxies.push_back(value);
  } else if (counts.count(name) != 0) {
    *counts.at(name) = static_cast<uint32_t>(atoi(value.c_str()));
  } else if (seconds.count(name) != 0) {
    *seconds.at(name) = atof(value.c_str());
  } else if (texts.count(name) != 0) {
    *texts.at(name) = value;
  } else {
    fprintf(stderr, "echo_server: no option %s\n", name.c_str());
    exit(2);
  }
}

void AddRoutes(Front* front, Counts* counts) {
  const auto must = [](const mote::Result<void>& result) {
    if (result.ok()) return;
    fprintf(stderr, "echo_server: %s\n", result.error().message.c_str());
    exit(1);
  };
  for (const char* method : {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}) {
    const auto echo = [counts](const Request& request, const std::shared_ptr<Reply>& reply) {
      Echo(counts, request, reply);
    };
    must(front->Route(method, "/echo", echo, {.large_body = true}));
    must(front->Route(method, "/echo/:name", echo));
  }
  must(front->Route("GET", "/seen", [counts](const Request&, const std::shared_ptr<Reply>& reply) {
    const std::lock_guard<std::mutex> lock(counts->mutex);
    reply->Send({200, "application/json", {}, Dump(counts->seen)});
  }));
  must(front->Route("GET", "/livez",
                    [](const Request&, const std::shared_ptr<Reply>& reply) {
                      reply->Send({200, "text/plain", {}, "ok\n"});
                    },
                    {.direct = true}));
  must(front->Route("GET", "/hello", [](const Request&, const std::shared_ptr<Reply>& reply) {
    reply->Send({200, "application/json", {}, "{\"hello\":\"world\"}\n"});
  }));
  must(front->Route("GET", "/stream",
                    [front, counts](const Request& request, const std::shared_ptr<Reply>& reply) {
                      StartStream(front, counts, request, reply);
                    },
                    {.long_work = true}));
  must(front->Route("GET", "/counts", [front, counts](const Request&, const std::shared_ptr<Reply>& reply) {
    nlohmann::ordered_json json = {{"gone", counts->gone.load()},
                                   {"drained", counts->drained.load()},
                                   {"requests", counts->requests.load()},
                                   {"connections", front->connections()},
                                   {"streams", front->streams()}};
    for (int status = 0; status < 600; ++status) {
      if (const int count = counts->statuses[status]) json["statuses"][std::to_string(status)] = count;
    }
    reply->Send({200, "application/json", {}, Dump(json)});
  }));
}

}  // namespace

int main(int argc, char** argv) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  FrontOptions options;
  options.listen.clear();
  for (int i = 1; i < argc; ++i) {
    const char* const equals = strchr(argv[i], '=');
    if (equals == nullptr) {
      fprintf(stderr, "echo_server: %s is not NAME=VALUE\n", argv[i]);
      return 2;
    }
    SetOption(&options, std::string(argv[i], static_cast<size_t>(equals - argv[i])), equals + 1);
  }
  if (options.listen.empty()) options.listen.push_back("127.0.0.1:0");
  Counts counts;
  Front front(options);
  AddRoutes(&front, &counts);
  front.SetObserver([&counts](const mote::server::Served& served) {
    ++counts.requests;
    ++counts.statuses[served.status];
  });
  if (const auto started = front.Start(); !started.ok()) {
    fprintf(stderr, "echo_server: %s\n", started.error().message.c_str());
    return 1;
  }
  for (const std::string& address : front.addresses()) printf("%s\n", address.c_str());
  printf("\n");
  fflush(stdout);
  int signal = 0;
  sigwait(&signals, &signal);
  front.BeginDrain();
  // The second signal, or the end of the drain, whichever comes first.
  std::thread second([&] {
    int again = 0;
    sigwait(&signals, &again);
    front.DrainNow();
  });
  front.Wait();
  second.detach();
  return 0;
}
