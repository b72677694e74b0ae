// A bounded load client: one thread, no more connections than it is told. See --help.
//
//   requests  an open loop: so many a second, whatever the server does; a request's time counts from when it was due,
//             so that a server that stalls cannot hide it
//   streams   so many streams open at once, each followed to its end and begun again
//   aborts    requests of which most are left at a random moment; the others' text must be that of a quiet run
//   idle      connections that say nothing
//   drip      connections that send a header, a byte a second
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <deque>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include "tests/server/load_http.h"

namespace mote::load {
namespace {

struct Options {
  std::string mode, host = "127.0.0.1", socket_path, path = "/v1/chat/completions", key, body, accept, method = "POST";
  int port = 8080, connections = 64, limit = 0;
  double rate = 1000, seconds = 10, abort_within = 0.2;
  uint64_t count = 0, seed = 1;
  int survivors = 10;  // of a hundred
};

double Now() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

// Seconds, all of them kept: 16 bytes a request are cheaper than an argument about buckets.
class Times {
 public:
  void Add(double seconds) { all_.push_back(seconds); }
  size_t size() const { return all_.size(); }
  double At(double share) {
    if (all_.empty()) return 0;
    const size_t index = std::min(all_.size() - 1, static_cast<size_t>(share * static_cast<double>(all_.size())));
    std::nth_element(all_.begin(), all_.begin() + static_cast<ptrdiff_t>(index), all_.end());
    return all_[index];
  }
  void Print(const char* name) {
    if (all_.empty()) return;
    printf(",\"%s_ms\":{\"count\":%zu,\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f,\"p999\":%.3f,\"max\":%.3f}", name, size(),
           At(0.5) * 1e3, At(0.9) * 1e3, At(0.99) * 1e3, At(0.999) * 1e3, At(1) * 1e3);
  }

 private:
  std::vector<double> all_;
};

struct Connection {
  enum class State { kClosed, kIdle, kBusy };
  int fd = -1;
  State state = State::kClosed;
  std::string out;
  size_t sent = 0;
  ResponseReader reader;
  TextCollector text;
  double due = 0, begun = 0, abort_at = 0, last_piece = 0, next_drip = 0;
  bool used = false;  // kept from an earlier request
};

class Client {
 public:
  explicit Client(Options options) : options_(std::move(options)), random_(options_.seed) {
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    connections_.resize(static_cast<size_t>(options_.connections));
  }
  ~Client() {
    for (Connection& connection : connections_) Close(&connection);
    close(epoll_);
  }
  int Run();

 private:
  bool Open(Connection* connection);
  void Close(Connection* connection);
  void Begin(Connection* connection, double due);
  void Write(Connection* connection);
  void Read(Connection* connection);
  void Take(Connection* connection, std::string_view bytes);
  void End(Connection* connection);
  void Fail(Connection* connection, const std::string& why);
  void Tick(double now);
  void TickRequests(double now);
  void TickAll(double now);
  void Drip(Connection* connection, double now);
  bool Finished(double now) const;
  void Report(double seconds);
  std::string Request(uint64_t number) const;
  Connection* Free();

  const Options options_;
  std::mt19937_64 random_;
  int epoll_ = -1;
  std::vector<Connection> connections_;
  double start_ = 0;
  uint64_t begun_ = 0, good_ = 0, failed_ = 0, aborted_ = 0, differing_ = 0, pieces_ = 0, cut_ = 0;
  size_t busy_ = 0, most_busy_ = 0;
  double due_next_ = 0;
  std::deque<double> late_;  // due, but no connection is free
  Times total_, first_, gap_;
  std::map<std::string, uint64_t> errors_;
  std::string expected_;
  bool quiet_done_ = false;
};

std::string Client::Request(uint64_t number) const {
  std::string body = options_.body;
  const std::string mark = "{n}";
  for (size_t at; (at = body.find(mark)) != std::string::npos;) body.replace(at, mark.size(), std::to_string(number));
  std::string text = options_.method + " " + options_.path + " HTTP/1.1\r\nHost: localhost\r\n";
  if (!options_.key.empty()) text += "Authorization: Bearer " + options_.key + "\r\n";
  if (!options_.accept.empty()) text += "Accept: " + options_.accept + "\r\n";
  if (options_.method == "POST") {
    text += "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  }
  return text + "\r\n" + (options_.method == "POST" ? body : "");
}

bool Client::Open(Connection* connection) {
  *connection = Connection();
  const bool local = !options_.socket_path.empty();
  const int fd = socket(local ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return false;
  int result = 0;
  if (local) {
    sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, options_.socket_path.c_str(), sizeof(address.sun_path) - 1);
    result = connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address));
  } else {
    const int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(options_.port));
    inet_pton(AF_INET, options_.host.c_str(), &address.sin_addr);
    result = connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address));
  }
  if (result != 0 && errno != EINPROGRESS) {
    ++errors_[std::string("connect: ") + strerror(errno)];
    close(fd);
    return false;
  }
  connection->fd = fd;
  connection->state = Connection::State::kIdle;
  epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data = {.ptr = connection}};
  epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
  return true;
}

void Client::Close(Connection* connection) {
  if (connection->state == Connection::State::kBusy) --busy_;
  if (connection->fd >= 0) close(connection->fd);
  *connection = Connection();
}

Connection* Client::Free() {
  Connection* closed = nullptr;
  for (Connection& connection : connections_) {
    if (connection.state == Connection::State::kIdle) return &connection;
    if (connection.state == Connection::State::kClosed) closed = &connection;
  }
  return closed;
}

void Client::Begin(Connection* connection, double due) {
  if (connection->state == Connection::State::kClosed && !Open(connection)) {
    ++begun_;
    ++failed_;
    return;
  }
  connection->reader = ResponseReader();
  connection->text = TextCollector();
  connection->out = Request(begun_++);
  connection->sent = 0;
  connection->due = due;
  connection->begun = connection->last_piece = Now();
  connection->abort_at = 0;
  connection->state = Connection::State::kBusy;
  most_busy_ = std::max(most_busy_, ++busy_);
  if (options_.mode == "aborts" && quiet_done_ && static_cast<int>(random_() % 100) >= options_.survivors) {
    connection->abort_at =
        connection->begun + options_.abort_within * std::uniform_real_distribution<double>(0, 1)(random_);
  }
  Write(connection);
}

void Client::Write(Connection* connection) {
  while (connection->sent < connection->out.size()) {
    const ssize_t wrote = send(connection->fd, connection->out.data() + connection->sent,
                               connection->out.size() - connection->sent, MSG_NOSIGNAL);
    if (wrote < 0) {
      if (errno == EAGAIN || errno == ENOTCONN || errno == EINPROGRESS) return;
      return Fail(connection, std::string("send: ") + strerror(errno));
    }
    connection->sent += static_cast<size_t>(wrote);
  }
}

void Client::Read(Connection* connection) {
  char bytes[65536];
  for (;;) {
    const ssize_t got = recv(connection->fd, bytes, sizeof(bytes), 0);
    if (got > 0) {
      if (connection->state != Connection::State::kBusy) continue;
      Take(connection, std::string_view(bytes, static_cast<size_t>(got)));
      if (connection->fd < 0) return;
      continue;
    }
    if (got < 0 && errno == EAGAIN) return;
    if (connection->state != Connection::State::kBusy) {  // closed while idle, as servers do
      if (options_.mode == "idle" || options_.mode == "drip") ++cut_;
      return Close(connection);
    }
    if (got == 0) connection->reader.FeedEnd();
    if (got == 0 && connection->reader.done()) return End(connection);
    // A kept connection that closes as a request goes out has not seen it: once more, on a new one.
    if (connection->used && !connection->reader.began()) {
      const double due = connection->due;
      Close(connection);
      --begun_;
      return Begin(connection, due);
    }
    return Fail(connection, got == 0 ? "closed before the end" : std::string("recv: ") + strerror(errno));
  }
}

void Client::Take(Connection* connection, std::string_view bytes) {
  connection->reader.Feed(bytes, [&](std::string_view body) {
    const size_t pieces = connection->text.Feed(body);
    if (pieces == 0) return;
    const double now = Now();
    if (connection->text.text().size() > 0 && connection->last_piece == connection->begun) {
      first_.Add(now - connection->due);
    } else {
      gap_.Add(now - connection->last_piece);
    }
    connection->last_piece = now;
    pieces_ += pieces;
  });
  if (connection->reader.broken()) return Fail(connection, "not HTTP");
  if (connection->reader.done()) End(connection);
}

void Client::End(Connection* connection) {
  connection->text.Finish();
  const int status = connection->reader.status();
  const bool failed = status >= 400 || connection->text.failed();
  if (failed) {
    ++failed_;
    ++errors_[status >= 400 ? "status " + std::to_string(status) : "an error inside the stream"];
  } else {
    ++good_;
    total_.Add(Now() - connection->due);
    const std::string& text = connection->text.text();
    if (options_.mode == "aborts" && !quiet_done_) {
      expected_ = text;
      quiet_done_ = true;
    } else if (options_.mode == "aborts" && text != expected_) {
      ++differing_;
    }
  }
  const bool keeps = connection->reader.keeps();
  if (!keeps) return Close(connection);
  --busy_;
  connection->state = Connection::State::kIdle;
  connection->used = true;
}

void Client::Fail(Connection* connection, const std::string& why) {
  ++failed_;
  ++errors_[why];
  Close(connection);
}

void Client::TickRequests(double now) {
  const double step = 1 / options_.rate;
  for (; due_next_ <= now && due_next_ - start_ < options_.seconds; due_next_ += step) late_.push_back(due_next_);
  while (!late_.empty()) {
    Connection* connection = Free();
    if (connection == nullptr) return;
    Begin(connection, late_.front());
    late_.pop_front();
  }
}

void Client::Drip(Connection* connection, double now) {
  static const std::string kHead =
      "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + std::string(4096, 'a');
  if (now < connection->next_drip) return;
  connection->next_drip = now + 1;
  if (connection->sent < kHead.size() && send(connection->fd, kHead.data() + connection->sent, 1, MSG_NOSIGNAL) == 1) {
    ++connection->sent;
  }
}

// The modes in which each connection has a life of its own.
void Client::TickAll(double now) {
  const bool opens = now - start_ < options_.seconds;
  const bool speaks = options_.mode == "streams" || options_.mode == "aborts";
  for (size_t i = 0; i < connections_.size(); ++i) {
    Connection& connection = connections_[i];
    if (connection.state == Connection::State::kBusy) {
      if (connection.abort_at > 0 && now >= connection.abort_at) {
        // Half of them with a reset: what a killed client leaves.
        const linger hard = {.l_onoff = 1, .l_linger = 0};
        if (random_() % 2 == 0) setsockopt(connection.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
        ++aborted_;
        Close(&connection);
      }
      continue;
    }
    if (!speaks) {
      // Opened one after another within a second, so that they do not speak in step: strangers do not.
      const bool due = now - start_ >= static_cast<double>(i) / static_cast<double>(connections_.size());
      if (connection.state == Connection::State::kClosed && opens && due && begun_ < connections_.size()) {
        begun_ += Open(&connection);
      }
      if (options_.mode == "drip" && connection.state == Connection::State::kIdle) Drip(&connection, now);
      continue;
    }
    if (options_.mode == "aborts" && !quiet_done_ && busy_ > 0) return;
    if (options_.count > 0 ? begun_ < options_.count : opens) Begin(&connection, now);
    if (options_.mode == "aborts" && !quiet_done_) return;
  }
}

void Client::Tick(double now) {
  if (options_.mode == "requests") return TickRequests(now);
  TickAll(now);
}

bool Client::Finished(double now) const {
  const double grace = 30;  // seconds for what is under way
  const bool over = options_.count > 0 ? begun_ >= options_.count : now - start_ >= options_.seconds;
  if (options_.mode == "idle" || options_.mode == "drip") return now - start_ >= options_.seconds;
  return over && ((busy_ == 0 && late_.empty()) || (now - start_ >= options_.seconds + grace));
}

int Client::Run() {
  start_ = due_next_ = Now();
  std::vector<epoll_event> events(256);
  for (double now = start_; !Finished(now); now = Now()) {
    Tick(now);
    const int got = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 1);
    for (int i = 0; i < got; ++i) {
      Connection* connection = static_cast<Connection*>(events[static_cast<size_t>(i)].data.ptr);
      const uint32_t what = events[static_cast<size_t>(i)].events;
      if (connection->fd < 0) continue;
      if ((what & EPOLLOUT) != 0 && connection->state == Connection::State::kBusy) Write(connection);
      if (connection->fd >= 0 && (what & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) Read(connection);
    }
  }
  Report(Now() - start_);
  return failed_ > 0 || differing_ > 0 ? 1 : 0;
}

void Client::Report(double seconds) {
  size_t open = 0;
  for (const Connection& connection : connections_) open += connection.fd >= 0;
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const double cpu = static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                     static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
  printf(
      "{\"mode\":\"%s\",\"seconds\":%.3f,\"begun\":%llu,\"good\":%llu,\"failed\":%llu,\"unfinished\":%zu,"
      "\"aborted\":%llu,\"differing\":%llu,\"open\":%zu,\"cut\":%llu,\"most_at_once\":%zu,\"good_per_second\":%.1f,"
      "\"pieces\":%llu,\"pieces_per_second\":%.1f,\"client_cpu\":%.3f",
      options_.mode.c_str(), seconds, static_cast<unsigned long long>(begun_), static_cast<unsigned long long>(good_),
      static_cast<unsigned long long>(failed_), busy_ + late_.size(), static_cast<unsigned long long>(aborted_),
      static_cast<unsigned long long>(differing_), open, static_cast<unsigned long long>(cut_), most_busy_,
      static_cast<double>(good_) / seconds, static_cast<unsigned long long>(pieces_),
      static_cast<double>(pieces_) / seconds, cpu / seconds);
  total_.Print("total");
  first_.Print("first");
  gap_.Print("gap");
  printf(",\"errors\":{");
  const char* comma = "";
  for (const auto& [why, count] : errors_) {
    printf("%s\"%s\":%llu", comma, why.c_str(), static_cast<unsigned long long>(count));
    comma = ",";
  }
  printf("}}\n");
}

const char kHelp[] =
    "load_client MODE [OPTIONS]      one line of JSON; exit code 1 if anything failed\n"
    "  MODE             requests, streams, aborts, idle, drip\n"
    "  --host, --port   127.0.0.1, 8080 (numeric IPv4)\n"
    "  --unix PATH      a socket file instead\n"
    "  --path, --method /v1/chat/completions, POST\n"
    "  --body TEXT      '{n}' becomes the request's number; '@FILE' reads it\n"
    "  --accept TYPE    e.g. application/x-ndjson\n"
    "  --key KEY        Bearer key\n"
    "  --connections N  at most so many at once (64)\n"
    "  --rate R         requests a second, of mode requests (1000)\n"
    "  --seconds S      for so long (10); what is under way then gets 30 more\n"
    "  --count N        instead: so many requests (streams, aborts)\n"
    "  --abort-within S aborts come at a random moment of so many seconds (0.2)\n"
    "  --survivors P    so many of a hundred are not aborted (10)\n"
    "  --seed N         of the random moments (1)\n";

bool ReadFile(const std::string& path, std::string* text) {
  FILE* file = fopen(path.c_str(), "rb");
  if (file == nullptr) return false;
  text->clear();  // the default
  char chunk[65536];
  while (const size_t got = fread(chunk, 1, sizeof(chunk), file)) text->append(chunk, got);
  fclose(file);
  return true;
}

bool SetOption(const std::string& name, const std::string& value, Options* options) {
  const std::map<std::string, std::string*> texts = {{"--host", &options->host},     {"--unix", &options->socket_path},
                                                     {"--path", &options->path},     {"--method", &options->method},
                                                     {"--accept", &options->accept}, {"--key", &options->key}};
  const std::map<std::string, double*> numbers = {
      {"--rate", &options->rate}, {"--seconds", &options->seconds}, {"--abort-within", &options->abort_within}};
  if (const auto found = texts.find(name); found != texts.end()) {
    *found->second = value;
  } else if (const auto number = numbers.find(name); number != numbers.end()) {
    *number->second = atof(value.c_str());
  } else if (name == "--body") {
    if (!value.starts_with("@")) options->body = value;
    return !value.starts_with("@") || ReadFile(value.substr(1), &options->body);
  } else if (name == "--port") {
    options->port = atoi(value.c_str());
  } else if (name == "--connections") {
    options->connections = atoi(value.c_str());
  } else if (name == "--survivors") {
    options->survivors = atoi(value.c_str());
  } else if (name == "--count") {
    options->count = strtoull(value.c_str(), nullptr, 10);
  } else if (name == "--seed") {
    options->seed = strtoull(value.c_str(), nullptr, 10);
  } else {
    return false;
  }
  return true;
}

int Main(int argc, char** argv) {
  Options options;
  options.body =
      R"({"messages":[{"role":"user","content":"Hello {n}"}],"max_tokens":16,"temperature":0,"stream":true})";
  bool good = argc >= 2 && argc % 2 == 0;
  if (good) options.mode = argv[1];
  good = good && std::string("|requests|streams|aborts|idle|drip|").find("|" + options.mode + "|") != std::string::npos;
  for (int i = 2; good && i + 1 < argc; i += 2) good = SetOption(argv[i], argv[i + 1], &options);
  if (!good || options.connections < 1 || options.rate <= 0) {
    fputs(kHelp, stderr);
    return 2;
  }
  rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  return Client(std::move(options)).Run();
}

}  // namespace
}  // namespace mote::load

int main(int argc, char** argv) {
  return mote::load::Main(argc, argv);
}
