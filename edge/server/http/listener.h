// A socket that listens.
#ifndef MOTE_EDGE_SERVER_HTTP_LISTENER_H_
#define MOTE_EDGE_SERVER_HTTP_LISTENER_H_

#include <sys/types.h>

#include <memory>
#include <string>

#include "edge/server/http/address.h"
#include "edge/server/http/connection.h"
#include "edge/server/http/wheel.h"

namespace mote::server {

class Listener : public Pollable, public Timer {
 public:
  // Binds and listens. A socket file is replaced only where nobody listens at it. Errors name the address.
  static Result<std::unique_ptr<Listener>> Open(Core* core, const std::string& text, uint32_t backlog, uint32_t mode,
                                                bool tls);
  ~Listener() override;

  // False where the system cannot watch it.
  bool Begin();
  const std::string& address() const { return address_; }
  void OnEvents(uint32_t events) override;
  void OnFailure() override { Pause(); }
  void Fire(double now) override;

 private:
  Listener(Core* core, int fd, bool tls);
  // Out of descriptors: takes one connection by giving up the spare, and closes it, so that it does not wait forever.
  void DropOne();
  void Pause();

  Core* const core_;
  const int fd_;
  int spare_ = -1;
  bool tls_ = false;
  bool paused_ = false;
  std::string address_;
  std::string file_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_HTTP_LISTENER_H_
