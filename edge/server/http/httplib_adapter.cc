#include "edge/server/http/httplib_adapter.h"

// As the library was built: the layout of its classes depends on it.
#define CPPHTTPLIB_OPENSSL_SUPPORT
#include <httplib.h>
#include <string.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

namespace mote::server {
namespace {

// One call of Dispatch. httplib's handlers get no word from their caller but its own Request, so the thread carries it.
struct Call {
  Request* request = nullptr;
  const std::shared_ptr<Reply>* reply = nullptr;
  const std::function<void(const std::string&)>* named = nullptr;
  Router::Outcome outcome;
  bool matched = false;
};
thread_local Call* current = nullptr;

struct CurrentCall {
  explicit CurrentCall(Call* call) : outer(std::exchange(current, call)) {}
  ~CurrentCall() { current = outer; }
  CurrentCall(const CurrentCall&) = delete;
  CurrentCall& operator=(const CurrentCall&) = delete;
  Call* const outer;
};

// A request from memory; of the answer, only its status is kept ("HTTP/1.1 404 ...").
class MemoryStream : public httplib::Stream {
 public:
  explicit MemoryStream(std::string_view input) : input_(input) {}
  bool is_readable() const override { return !input_.empty(); }
  bool is_writable() const override { return true; }
  ssize_t read(char* out, size_t size) override {
    const size_t taken = std::min(size, input_.size());
    memcpy(out, input_.data(), taken);
    input_.remove_prefix(taken);
    return static_cast<ssize_t>(taken);
  }
  ssize_t write(const char* bytes, size_t size) override {
    answer_.append(bytes, std::min(size, size_t{12} - answer_.size()));
    return static_cast<ssize_t>(size);
  }
  void get_remote_ip_and_port(std::string& ip, int& port) const override {
    ip.clear();
    port = 0;
  }
  void get_local_ip_and_port(std::string& ip, int& port) const override {
    ip.clear();
    port = 0;
  }
  socket_t socket() const override { return INVALID_SOCKET; }
  int status() const { return answer_.size() == 12 ? atoi(answer_.c_str() + 9) : 500; }

 private:
  std::string_view input_;
  std::string answer_;
};

bool IsUnreserved(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c != 0 && strchr("-._~", c));
}

// Of a target, whose escapes are all well-formed.
std::string Unescape(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%' || i + 2 >= text.size()) {
      out += text[i];
      continue;
    }
    out += static_cast<char>(std::stoi(text.substr(i + 1, 2), nullptr, 16));
    i += 2;
  }
  return out;
}

// httplib decodes the path before it matches. Escaped once more, it matches the target itself, in which a segment's
// "%2F" is no separator.
std::string EscapePercents(const std::string& target) {
  std::string out;
  out.reserve(target.size() + 16);
  for (const char c : target) out.append(c == '%' ? "%25" : std::string(1, c));
  return out;
}

// "/v1/models/:name" as a regular expression, or "" where it is no pattern.
std::string ExpressionOf(const std::string& pattern) {
  if (pattern.empty() || pattern.front() != '/') return "";
  std::string out;
  size_t begin = 0;
  while (begin < pattern.size()) {
    const size_t end = std::min(pattern.find('/', begin + 1), pattern.size());
    const std::string segment = pattern.substr(begin + 1, end - begin - 1);
    out += '/';
    if (segment.size() > 1 && segment.front() == ':') {
      out += "([^/]+)";
    } else {
      for (const char c : segment) {
        if (!IsUnreserved(c)) return "";
        if (c == '.' || c == '-') out += '\\';
        out += c;
      }
    }
    begin = end;
  }
  return out;
}

}  // namespace

class Router::Server : public httplib::Server {
 public:
  bool Register(const std::string& method, const std::string& expression, httplib::Server::Handler handler) {
    if (method == "GET") {
      Get(expression, std::move(handler));
    } else if (method == "POST") {
      Post(expression, std::move(handler));
    } else if (method == "PUT") {
      Put(expression, std::move(handler));
    } else if (method == "PATCH") {
      Patch(expression, std::move(handler));
    } else if (method == "DELETE") {
      Delete(expression, std::move(handler));
    } else if (method == "OPTIONS") {
      Options(expression, std::move(handler));
    } else {
      return false;
    }
    return true;
  }

  void Process(MemoryStream* stream) {
    bool closed = false;
    process_request(*stream, true, closed, nullptr);
  }

  std::map<std::string, std::set<std::string>> methods;  // of each pattern
  std::vector<std::string> patterns;                     // in order
  std::string allow;                                     // of all of them together
};

Router::Router() : server_(std::make_unique<Server>()) {}

Router::~Router() = default;

Result<void> Router::Add(const std::string& method, const std::string& pattern, mote::server::Handler handler) {
  const std::string expression = ExpressionOf(pattern);
  if (expression.empty()) {
    return mote::Error{MOTE_INVALID_ARGUMENT,
                       "route \"" + pattern + "\": not \"/\" and segments of unreserved characters or :NAME"};
  }
  const auto run = [pattern, handler = std::move(handler)](const httplib::Request& matched, httplib::Response&) {
    Call& call = *current;
    call.matched = true;
    call.outcome.route = pattern;
    try {
      for (size_t i = 1; i < matched.matches.size(); ++i)
        call.request->parts.push_back(Unescape(matched.matches[i].str()));
      if (*call.named) (*call.named)(pattern);
      handler(*call.request, *call.reply);
    } catch (...) {
      call.outcome.status = 500;
    }
  };
  if (!server_->Register(method, expression, run)) {
    return mote::Error{MOTE_INVALID_ARGUMENT,
                       "route \"" + pattern + "\": \"" + method +
                           "\" is none of GET (which serves HEAD, too), POST, PUT, PATCH, DELETE, OPTIONS"};
  }
  if (server_->methods[pattern].insert(method).second && server_->methods[pattern].size() == 1) {
    server_->patterns.push_back(pattern);
  }
  return {};
}

void Router::Seal() {
  std::set<std::string> all = {"OPTIONS"};
  for (const std::string& pattern : server_->patterns) {
    const std::set<std::string>& known = server_->methods[pattern];
    std::string allow;
    for (const std::string& method : known) {
      allow.append(allow.empty() ? "" : ", ").append(method == "GET" ? "GET, HEAD" : method);
      all.insert(method);
    }
    for (const char* method : {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}) {
      if (known.count(method) != 0) continue;
      server_->Register(method, ExpressionOf(pattern), [pattern, allow](const httplib::Request&, httplib::Response&) {
        current->matched = true;
        current->outcome = Outcome{pattern, 405, allow};
      });
    }
  }
  for (const std::string& method : all) {
    server_->allow.append(server_->allow.empty() ? "" : ", ").append(method == "GET" ? "GET, HEAD" : method);
  }
}

Router::Outcome Router::Dispatch(Request* request, const std::string& target, const std::shared_ptr<Reply>& reply,
                                 const std::function<void(const std::string& route)>& named) const {
  if (target == "*" && request->method == "OPTIONS") return Outcome{"", 204, server_->allow};
  if (target.size() > kLongestTarget || target.empty() || target.front() != '/') return Outcome{"", 404, ""};
  std::string bytes;
  bytes.reserve(target.size() + 64);
  bytes.append(request->method).append(" ").append(EscapePercents(target));
  // The body stays where it is; httplib need not copy it.
  bytes.append(" HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
  MemoryStream stream(bytes);
  Call call;
  call.request = request;
  call.reply = &reply;
  call.named = &named;
  {
    const CurrentCall guard(&call);
    server_->Process(&stream);
  }
  if (!call.matched) call.outcome.status = std::max(stream.status(), 400);
  return call.outcome;
}

}  // namespace mote::server
