#include "edge/server/guard.h"

#include <utility>

#include "edge/server/clock.h"

namespace mote::server {
namespace {

void Append(const Headers& more, Headers* headers) {
  headers->insert(headers->end(), more.begin(), more.end());
}

Response Refusal(const ApiError& error, const Headers& cors) {
  Response response;
  response.status = error.status;
  response.headers = Gate::RefusalHeaders(error);
  Append(cors, &response.headers);
  response.body = ErrorJson(error);
  return response;
}

class GuardedReply : public Reply {
 public:
  // `erred`: told the code of an answer that is an error.
  GuardedReply(std::shared_ptr<Reply> inner, Headers headers, std::shared_ptr<void> place, Refused erred)
      : inner_(std::move(inner)), headers_(std::move(headers)), place_(std::move(place)), erred_(std::move(erred)) {}
  void Send(Response response) override {
    if (!response.error.empty()) erred_(response.error);
    Append(headers_, &response.headers);
    inner_->Send(std::move(response));
  }
  void Start(Response head) override {
    Append(headers_, &head.headers);
    inner_->Start(std::move(head));
  }
  bool Write(std::string_view bytes) override { return inner_->Write(bytes); }
  void End() override { inner_->End(); }
  void OnGone(std::function<void()> gone) override { inner_->OnGone(std::move(gone)); }
  void OnDrain(std::function<void()> drain) override { inner_->OnDrain(std::move(drain)); }

 private:
  const std::shared_ptr<Reply> inner_;
  const Headers headers_;
  const std::shared_ptr<void> place_;
  const Refused erred_;
};

}  // namespace

Handler Guard(Gate* gate, Ledger* ledger, Scope scope, Handler handler, Refused refused) {
  return [=](Request& request, std::shared_ptr<Reply> reply) {
    Headers cors = gate->CorsHeaders(request);
    std::variant<Identity, ApiError> outcome = gate->Admit(request, scope, Now());
    if (const ApiError* error = std::get_if<ApiError>(&outcome)) {
      refused(error->code);
      reply->Send(Refusal(*error, cors));
      return;
    }
    auto identity = std::make_shared<Identity>(std::move(std::get<Identity>(outcome)));
    Append(identity->headers, &cors);
    // What the models' work ended in is counted there; this is what came to no work.
    Refused erred = [ledger, refused, id = request.id](const std::string& code) {
      if (ledger->NoteRefusal(id, code)) refused(code);
    };
    auto guarded = std::make_shared<GuardedReply>(std::move(reply), std::move(cors),
                                                  std::exchange(identity->place, nullptr), std::move(erred));
    request.tenant = identity->tenant;
    // Who sent it is what the gate needs of a request to find its account again.
    Request sender;
    sender.peer = request.peer;
    ledger->Open(request.id, request.tenant);
    request.ended = [gate, ledger, identity, id = request.id, sender = std::move(sender)](const Outcome& told) {
      ledger->Note(id, told);
      gate->Charge(sender, *identity, told.prompt_tokens + told.completion_tokens, Now());
    };
    handler(request, std::move(guarded));
  };
}

bool ScreenRequest(const Gate& gate, const Request& request, Reply& reply, const Refused& refused) {
  if (const std::optional<ApiError> error = gate.Screen(request)) {
    refused(error->code);
    reply.Send(Refusal(*error, {}));
    return false;
  }
  if (std::optional<Response> preflight = gate.Preflight(request)) {
    reply.Send(std::move(*preflight));
    return false;
  }
  return true;
}

}  // namespace mote::server
