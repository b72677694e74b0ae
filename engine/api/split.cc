// mote_split.h
#include <utility>

#include "engine/api/internal.h"
#include "engine/run/chain_setup.h"

namespace mote::api {
namespace {

class LinkTransport : public Transport {
 public:
  explicit LinkTransport(const mote_link& link) : link_(link) {}
  int rank() const override { return link_.rank; }
  int ranks() const override { return link_.ranks; }
  Status Send(int to, std::span<const uint8_t> bytes) override {
    mote_error error = {};
    const mote_status status = link_.send(link_.user, to, bytes.data(), bytes.size(), &error);
    return Convert(status, error);
  }
  Result<std::span<const uint8_t>> Receive(int from) override {
    mote_error error = {};
    const void* bytes = nullptr;
    uint64_t size = 0;
    const mote_status status = link_.receive(link_.user, from, &bytes, &size, &error);
    if (status != MOTE_OK) return Convert(status, error);
    if (size > SIZE_MAX || reinterpret_cast<uintptr_t>(bytes) % 8 != 0) {
      return Error(Code::kInvalidArgument, "link.receive gave a message that is not aligned to 8 bytes");
    }
    return std::span<const uint8_t>(static_cast<const uint8_t*>(bytes), static_cast<size_t>(size));
  }

 private:
  static Status Convert(mote_status status, const mote_error& error) {
    if (status == MOTE_OK) return Status();
    const bool known = status > MOTE_OK && status <= MOTE_INTERNAL;
    return Status(known ? static_cast<Code>(status) : Code::kIo, error.message);
  }
  const mote_link link_;
};

}  // namespace

Result<std::unique_ptr<Transport>> ConvertLink(const mote_link* given, uint64_t* free_bytes) {
  mote_link link = {};
  link.struct_size = sizeof(link);
  MOTE_RETURN_IF_ERROR(ReadParams(given, "mote_link", &link));
  if (link.ranks < 2 || link.rank < 0 || link.rank >= link.ranks || link.send == nullptr || link.receive == nullptr) {
    return Error(Code::kInvalidArgument,
                 "a link for rank %d of %d; it needs send, receive, two ranks or more, and a rank below them",
                 static_cast<int>(link.rank), static_cast<int>(link.ranks));
  }
  *free_bytes = link.memory_free;
  return std::unique_ptr<Transport>(std::make_unique<LinkTransport>(link));
}

}  // namespace mote::api

using namespace mote;       // NOLINT: the function below must stand outside
using namespace mote::api;  // NOLINT

extern "C" {

mote_status mote_split_serve(const char* path, const mote_model_params* given, mote_error* error) {
  const Result<mote_model_params> params = ReadModelParams(given);
  if (!params.ok()) return Report(params.status(), error);
  if (params->link == nullptr) return Report(NullArgument("params.link"), error);
  Loaded loaded;  // where log lines go
  const Result<ModelParams> converted = ConvertModelParams(*params, &loaded);
  if (!converted.ok()) return Report(converted.status(), error);
  Result<std::unique_ptr<GgufFile>> file = OpenPath(path, /*header_only=*/false);
  if (!file.ok()) {  // the lead waits to hear from this rank
    (void)converted->chain.transport->Send(0, WriteFailure(0, file.status()).bytes());
    return Report(file.status(), error);
  }
  return Report(ServeChain(std::move(file).value(), *converted), error);
}

}  // extern "C"
