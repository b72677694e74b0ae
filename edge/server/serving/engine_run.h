// One choice of a request, in a session.
#ifndef MOTE_EDGE_SERVER_SERVING_ENGINE_RUN_H_
#define MOTE_EDGE_SERVER_SERVING_ENGINE_RUN_H_

#include <memory>
#include <vector>

#include "edge/server/serving/engine.h"

namespace mote::server {

struct Engine::Run {
  Run(Engine* e, std::shared_ptr<Work> w, int c) : engine(e), work(std::move(w)), choice(c) {}

  Engine* const engine;
  const std::shared_ptr<Work> work;
  const int choice;
  Slot* slot = nullptr;
  std::vector<TokenDetail> details;  // of tokens whose text has not come yet
  bool prefilled = false;
  bool over = false;
  double last_token = 0;
};

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_SERVING_ENGINE_RUN_H_
