// The server as a whole: front, keys, protocols, models, metrics, log and page, put together from the settings.
#ifndef MOTE_EDGE_SERVER_SERVER_H_
#define MOTE_EDGE_SERVER_SERVER_H_

#include <stdint.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "edge/server/config/settings.h"
#include "edge/server/guard.h"
#include "edge/server/http/front.h"
#include "engine/api/mote.hpp"

namespace mote::server {

struct LoadedModel {
  std::string name;       // as requests call it; several of one name are its precisions
  std::string path;       // "": the one in the program
  std::string precision;  // of its weights: "Q8_0"
  std::string isa;        // the instruction set that it runs on: "avx2"
  int64_t created = 0;    // Unix seconds
  Model model;
  std::shared_ptr<const void> backing;  // what the model's weights lie in, where that is memory
};

// Makes another precision of the model that is served as `name`: takes long, and ends early where `go_on` is false. Not
// enough memory is MOTE_OUT_OF_MEMORY. One call at a time, from a thread of the server.
using Repack = std::function<Result<LoadedModel>(const std::string& name, const std::string& precision,
                                                 const std::function<bool()>& go_on)>;

class Server {
 public:
  // Serves when it returns. The first model answers requests that name none. Errors say what could not be opened.
  // `repack` may be empty: then only what is loaded can answer.
  static Result<std::unique_ptr<Server>> Start(const Settings& settings, std::vector<LoadedModel> models,
                                               Repack repack = nullptr);
  ~Server();

  // "127.0.0.1:8080", with the port that was taken where the settings said 0.
  const std::string& address() const;
  // Reads keys and certificates again.
  void Reload();
  // The first call begins to drain; the second ends at once. Not from a signal handler.
  void Stop();
  // A drain has ended.
  bool stopped() const;

 private:
  struct Parts;
  static void Note(Parts& parts, const Served& served);
  static Result<void> AddOwnRoutes(Parts& parts, const Refused& refused);
  explicit Server(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_SERVER_H_
