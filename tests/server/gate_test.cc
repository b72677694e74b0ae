// The gate: who comes in, who does not, and what each may use.
#include "edge/server/auth/gate.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tests/server/jwt_vectors.h"
#include "tests/support/effort.h"

namespace mote::server {
namespace {

constexpr char kPlain[] = "a plain key of some length";

Request Ask(Headers headers = {}, const std::string& address = "127.0.0.1") {
  Request request;
  request.id = "1";
  request.method = "POST";
  request.path = "/v1/chat/completions";
  request.headers = std::move(headers);
  request.peer.address = address;
  request.peer.local = address == "127.0.0.1" || address == "::1" || address == "unix";
  return request;
}

Request AskWithKey(const std::string& key, const std::string& address = "127.0.0.1") {
  return Ask({{"host", "localhost"}, {"authorization", "Bearer " + key}}, address);
}

class GateTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "/mote-gate-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override {
    for (const char* name : {"/keys", "/HS256", "/RS256", "/ES256", "/EdDSA"}) unlink((folder_ + name).c_str());
    rmdir(folder_.c_str());
  }

  std::string WriteFile(const std::string& name, std::string_view text) {
    const std::string path = folder_ + "/" + name;
    FILE* file = fopen(path.c_str(), "wb");
    EXPECT_NE(file, nullptr);
    fwrite(text.data(), 1, text.size(), file);
    fclose(file);
    return path;
  }

  // A key in the file of the settings; its secret is the name and " secret".
  void AddKey(const std::string& name, Scopes scopes, KeyLimits limits = {}, int64_t expires = 0) {
    settings_.key_file = folder_ + "/keys";
    const Result<void> added = ChangeKeys(settings_.key_file, [&](std::vector<Key>* keys) -> Result<void> {
      keys->push_back({name, DigestOf(name + " secret"), scopes, limits, 1, expires});
      return {};
    });
    ASSERT_TRUE(added.ok()) << added.error().message;
  }

  Gate& Open() {
    Result<std::unique_ptr<Gate>> gate = Gate::Open(settings_, [this] { return unix_; });
    EXPECT_TRUE(gate.ok()) << gate.error().message;
    gate_ = std::move(*gate);
    return *gate_;
  }

  // "" if admitted, the error's code otherwise.
  std::string Code(const Request& request, Scope needed = kScopeChat) {
    const std::variant<Identity, ApiError> answer = gate_->Admit(request, needed, now_);
    return std::holds_alternative<Identity>(answer) ? "" : std::get<ApiError>(answer).code;
  }
  Identity Admitted(const Request& request, Scope needed = kScopeChat) {
    std::variant<Identity, ApiError> answer = gate_->Admit(request, needed, now_);
    if (const ApiError* error = std::get_if<ApiError>(&answer)) {
      ADD_FAILURE() << error->code << ": " << error->message;
      return {};
    }
    return std::get<Identity>(std::move(answer));
  }
  ApiError Refused(const Request& request, Scope needed = kScopeChat) {
    const std::variant<Identity, ApiError> answer = gate_->Admit(request, needed, now_);
    if (const ApiError* error = std::get_if<ApiError>(&answer)) return *error;
    ADD_FAILURE() << "admitted";
    return {};
  }

  std::string folder_;
  Settings settings_;
  std::unique_ptr<Gate> gate_;
  double now_ = 100;
  int64_t unix_ = vectors::kNow;
};

TEST_F(GateTest, WithoutKeysEverybodyHereMayDoEverything) {
  Open();
  const Identity here = Admitted(Ask(), kScopeAdmin);
  EXPECT_EQ(here.tenant, "");
  EXPECT_EQ(here.scopes, kAllScopes);
  // Clients of OpenAI show a key whether it is asked for or not.
  EXPECT_EQ(Admitted(AskWithKey("sk-no-key-required")).tenant, "");
  // From elsewhere (--insecure): everything but what changes the server.
  EXPECT_EQ(Code(Ask({}, "192.0.2.1"), kScopeMetrics), "");
  EXPECT_EQ(Code(Ask({}, "192.0.2.1"), kScopeAdmin), "insufficient_scope");
}

TEST_F(GateTest, AKeyIsNeededOnceThereIsOne) {
  AddKey("cam", kScopeChat);
  Open();
  const ApiError none = Refused(Ask());
  EXPECT_EQ(none.status, 401);
  EXPECT_EQ(none.type, "authentication_error");
  EXPECT_EQ(Gate::RefusalHeaders(none), (Headers{{"WWW-Authenticate", "Bearer"}}));
  EXPECT_EQ(Admitted(AskWithKey("cam secret")).tenant, "cam");
  EXPECT_EQ(Admitted(Ask({{"x-api-key", "cam secret"}})).tenant, "cam");
  EXPECT_EQ(Admitted(Ask({{"authorization", "bEARER  cam secret "}})).tenant, "cam");
  EXPECT_EQ(Admitted(Ask({{"authorization", "Bearer cam secret"}, {"x-api-key", "cam secret"}})).tenant, "cam");
}

TEST_F(GateTest, WhatOpensNothing) {
  AddKey("cam", kScopeChat);
  settings_.api_key = kPlain;
  Open();
  const uint64_t before = gate_->failed_logins();
  const std::vector<Headers> kWrong = {
      {},
      {{"authorization", ""}},
      {{"authorization", "Bearer"}},
      {{"authorization", "Bearer "}},
      {{"authorization", "Bearer \t "}},
      {{"authorization", "cam secret"}},
      {{"authorization", "Basic Y2FtIHNlY3JldA=="}},
      {{"authorization", "Bearer cam"}},
      {{"authorization", "Bearer cam secret2"}},
      {{"authorization", "Bearer Bearer cam secret"}},
      {{"authorization", "Bearer,cam secret"}},
      {{"authorization", "Bearer cam secret"}, {"authorization", "Bearer cam secret"}},
      {{"authorization", "Bearer cam secret"}, {"x-api-key", "other"}},
      {{"authorization", "Bearer other"}, {"x-api-key", "cam secret"}},
      {{"authorization", "Bearer cam secret"}, {"x-api-key", ""}},
      {{"x-api-key", ""}},
      {{"x-api-key", "cam secret"}, {"x-api-key", "cam secret"}},
      {{"x-api-key", "Bearer cam secret"}},
      {{"x-api-key", std::string(20000, 'x')}},
      {{"cookie", "key=cam secret"}},
      {{"proxy-authorization", "Bearer cam secret"}},
  };
  for (const Headers& headers : kWrong) {
    const ApiError error = Refused(Ask(headers));
    EXPECT_EQ(error.status, 401);
    EXPECT_EQ(error.code, "invalid_api_key");
    EXPECT_EQ(error.message.find("secret"), std::string::npos) << error.message;
    EXPECT_LT(error.message.size(), 120u);
  }
  EXPECT_EQ(gate_->failed_logins() - before, kWrong.size());
  Request query = Ask();
  query.query = {{"api_key", "cam secret"}, {"key", "cam secret"}};
  EXPECT_EQ(Code(query), "invalid_api_key");
}

TEST_F(GateTest, ThePlainKeyMayNotAdminister) {
  settings_.api_key = kPlain;
  Open();
  EXPECT_EQ(Admitted(AskWithKey(kPlain), kScopeEmbed).tenant, kPlainKeyName);
  EXPECT_EQ(Code(AskWithKey(kPlain), kScopeAdmin), "insufficient_scope");
}

TEST_F(GateTest, ScopesAreHeld) {
  for (const Scope one : {kScopeChat, kScopeEmbed, kScopeMetrics, kScopeAdmin}) AddKey(ScopeName(one), one);
  Open();
  for (const Scope has : {kScopeChat, kScopeEmbed, kScopeMetrics, kScopeAdmin}) {
    for (const Scope needs : {kScopeChat, kScopeEmbed, kScopeMetrics, kScopeAdmin}) {
      const std::string code = Code(AskWithKey(std::string(ScopeName(has)) + " secret"), needs);
      EXPECT_EQ(code, has == needs ? "" : "insufficient_scope") << ScopeName(has) << " for " << ScopeName(needs);
    }
  }
  EXPECT_EQ(Refused(AskWithKey("chat secret"), kScopeAdmin).status, 403);
}

TEST_F(GateTest, KeysExpire) {
  AddKey("old", kScopeChat, {}, vectors::kNow + 10);
  Open();
  unix_ = vectors::kNow + 9;
  EXPECT_EQ(Code(AskWithKey("old secret")), "");
  unix_ = vectors::kNow + 10;
  const ApiError error = Refused(AskWithKey("old secret"));
  EXPECT_EQ(error.status, 401);
  EXPECT_NE(error.message.find("expired"), std::string::npos);
}

TEST_F(GateTest, ARevokedKeyIsRefusedWithinTwoSeconds) {
  AddKey("one", kScopeChat);
  AddKey("two", kScopeChat);
  Open();
  std::vector<std::string> told;
  gate_->SetReloadFailed([&](const std::string& message) { told.push_back(message); });
  EXPECT_EQ(Code(AskWithKey("one secret")), "");
  ASSERT_TRUE(ChangeKeys(settings_.key_file, [](std::vector<Key>* keys) {
                keys->erase(keys->begin());
                return Result<void>();
              }).ok());
  now_ += 2;
  EXPECT_EQ(Code(AskWithKey("one secret")), "invalid_api_key");
  EXPECT_EQ(Code(AskWithKey("two secret")), "");
  // A file that is wrong changes nothing, and is told once.
  WriteFile("keys", "nonsense\n");
  for (int i = 0; i < 3; ++i) {
    now_ += 2;
    EXPECT_EQ(Code(AskWithKey("two secret")), "");
  }
  EXPECT_EQ(told.size(), 1u);
  EXPECT_FALSE(gate_->Reload(/*force=*/true).ok());
}

TEST_F(GateTest, TokensOfAnIssuer) {
  for (const vectors::KeyText& key : vectors::kKeys) {
    const std::string name(key.algorithm);
    settings_.jwt_keys.push_back({name, std::string(key.id), WriteFile(name, key.bytes)});
  }
  settings_.jwt_issuer = vectors::kIssuer;
  settings_.jwt_audience = vectors::kAudience;
  Open();
  for (const vectors::Good& good : vectors::kGood) {
    EXPECT_EQ(Admitted(AskWithKey(std::string(good.token))).tenant, "jwt:camera-7") << good.name;
    EXPECT_EQ(Code(AskWithKey(std::string(good.token)), kScopeAdmin), "insufficient_scope");
  }
  for (const vectors::Bad& bad : vectors::kBad) {
    if (bad.name == "a line break at the end") continue;  // no header has one
    EXPECT_EQ(Code(AskWithKey(std::string(bad.token))), "invalid_api_key") << bad.name;
  }
  // The other key of the issuer is there after the files are read again.
  const std::string token(vectors::kGood[4].token);
  ASSERT_EQ(vectors::kGood[4].name, "ES256 of PyJWT");
  WriteFile("ES256", vectors::kKeys[1].bytes);
  EXPECT_FALSE(gate_->Reload(true).ok()) << "an RSA key is none for ES256";
  EXPECT_EQ(Code(AskWithKey(token)), "");
}

TEST_F(GateTest, CertificatesStandForKeys) {
  settings_.tls_client_ca = "ca.pem";
  Open();
  Request request = Ask({}, "192.0.2.1");
  EXPECT_EQ(Code(request), "invalid_api_key");
  request.peer.certificate = "CN=camera-7";
  EXPECT_EQ(Admitted(request).tenant, "cert:CN=camera-7");
  EXPECT_EQ(Code(request, kScopeAdmin), "insufficient_scope");
  // A key that is shown is what counts; with keys "on", it is needed beside the certificate.
  settings_.api_key = kPlain;
  Open();
  EXPECT_EQ(Admitted(request).tenant, "cert:CN=camera-7");
  request.headers = {{"authorization", "Bearer wrong"}};
  EXPECT_EQ(Code(request), "invalid_api_key");
  request.headers = {{"authorization", std::string("Bearer ") + kPlain}};
  EXPECT_EQ(Admitted(request).tenant, kPlainKeyName);
  settings_.api_key_required = KeyRequirement::kOn;
  Open();
  request.headers.clear();
  EXPECT_EQ(Code(request), "invalid_api_key");
}

TEST_F(GateTest, KeysMayBeVoluntary) {
  settings_.api_key = kPlain;
  settings_.api_key_required = KeyRequirement::kOff;
  Open();
  EXPECT_EQ(Admitted(Ask()).tenant, "");
  EXPECT_EQ(Admitted(AskWithKey(kPlain)).tenant, kPlainKeyName);
  EXPECT_EQ(Code(AskWithKey("wrong")), "invalid_api_key") << "who shows a key means it";
}

TEST_F(GateTest, RatesGoByKeyAndByAddressWithoutOne) {
  settings_.rate_limit = {3, 60};
  settings_.api_key = kPlain;
  settings_.api_key_required = KeyRequirement::kOff;
  AddKey("more", kScopeChat, {Rate{5, 60}, std::nullopt, std::nullopt});
  AddKey("any", kScopeChat, {Rate{0, 60}, std::nullopt, std::nullopt});
  Open();
  const auto count = [&](const Request& request) {
    int admitted = 0;
    for (int i = 0; i < 20; ++i) admitted += Code(request).empty() ? 1 : 0;
    return admitted;
  };
  EXPECT_EQ(count(AskWithKey(kPlain)), 3);
  EXPECT_EQ(count(AskWithKey("more secret")), 5);
  EXPECT_EQ(count(AskWithKey("any secret")), 20);
  EXPECT_EQ(count(Ask({}, "192.0.2.1")), 3);
  EXPECT_EQ(count(Ask({}, "192.0.2.2")), 3);
  EXPECT_EQ(count(Ask({}, "::ffff:192.0.2.2")), 0) << "the same address";
  EXPECT_EQ(count(Ask({}, "2001:db8::1")), 3);
  EXPECT_EQ(count(Ask({}, "2001:db8::ffff:2")), 0) << "the same /64";
  EXPECT_EQ(count(Ask({}, "2001:db8:0:1::1")), 3);
  const ApiError error = Refused(AskWithKey(kPlain));
  EXPECT_EQ(error.status, 429);
  EXPECT_EQ(error.code, "rate_limit");
  EXPECT_NEAR(error.retry_after, 60, 2);
  const Headers headers = Gate::RefusalHeaders(error);
  ASSERT_EQ(headers.size(), 1u);
  EXPECT_EQ(headers[0].first, "Retry-After");
  now_ += atof(headers[0].second.c_str());
  EXPECT_EQ(count(AskWithKey(kPlain)), 3);
}

TEST_F(GateTest, AnswersTellWhatIsLeft) {
  settings_.rate_limit = {60, 60};
  settings_.token_limit = {1000, 60};
  Open();
  const Request request = Ask();
  Identity identity = Admitted(request);
  gate_->Charge(request, identity, 400, now_);
  identity = Admitted(request);
  const auto header = [&](const std::string& name) {
    for (const auto& [key, value] : identity.headers) {
      if (key == name) return value;
    }
    return std::string("absent");
  };
  EXPECT_EQ(header("x-ratelimit-limit-requests"), "60");
  EXPECT_EQ(header("x-ratelimit-remaining-requests"), "58");
  EXPECT_EQ(header("x-ratelimit-limit-tokens"), "1000");
  EXPECT_EQ(header("x-ratelimit-remaining-tokens"), "600");
  EXPECT_NEAR(atof(header("x-ratelimit-reset-tokens").c_str()), 60, 2);
  EXPECT_EQ(header("x-ratelimit-reset-requests").back(), 's');
}

TEST_F(GateTest, TokensAreChargedAfterwards) {
  settings_.token_limit = {1000, 60};
  AddKey("a", kScopeChat);
  AddKey("b", kScopeChat);
  Open();
  const Request request = AskWithKey("a secret");
  const Identity identity = Admitted(request);
  gate_->Charge(request, identity, 3000, now_);
  const ApiError error = Refused(request);
  EXPECT_EQ(error.code, "token_limit");
  EXPECT_NEAR(error.retry_after, 120, 6);
  EXPECT_EQ(Code(AskWithKey("b secret")), "") << "another's tokens";
  now_ += error.retry_after + 1;
  EXPECT_EQ(Code(request), "");
}

TEST_F(GateTest, AnAddressHasALimitWhateverItsKeys) {
  settings_.address_rate_limit = {4, 60};
  AddKey("a", kScopeChat);
  AddKey("b", kScopeChat);
  Open();
  int admitted = 0;
  for (int i = 0; i < 10; ++i)
    admitted += Code(AskWithKey(i % 2 ? "a secret" : "b secret", "192.0.2.1")).empty() ? 1 : 0;
  EXPECT_EQ(admitted, 4);
  // Guesses count, too, and cost no comparison once the limit is reached.
  for (int i = 0; i < 10; ++i) Code(AskWithKey("wrong", "192.0.2.7"));
  EXPECT_EQ(Code(AskWithKey("a secret", "192.0.2.7")), "address_rate_limit");
  for (int i = 0; i < 10; ++i) EXPECT_EQ(Code(AskWithKey("a secret", "127.0.0.1")), "");
}

TEST_F(GateTest, RequestsAtOnceAreCountedPerKey) {
  settings_.concurrency_per_key = 2;
  AddKey("a", kScopeChat);
  AddKey("wide", kScopeChat, {std::nullopt, std::nullopt, 0});
  Open();
  std::vector<Identity> held;
  held.push_back(Admitted(AskWithKey("a secret")));
  held.push_back(Admitted(AskWithKey("a secret")));
  const ApiError error = Refused(AskWithKey("a secret"));
  EXPECT_EQ(error.code, "concurrency_limit");
  EXPECT_EQ(error.status, 429);
  const Identity copy = held[0];
  held.erase(held.begin());
  EXPECT_EQ(Code(AskWithKey("a secret")), "concurrency_limit") << "a copy still holds the place";
  held.clear();
  EXPECT_EQ(Code(AskWithKey("a secret")), "") << "and one place is free again";
  for (int i = 0; i < 100; ++i) held.push_back(Admitted(AskWithKey("wide secret")));
  // A place may outlive the gate.
  Identity last = Admitted(AskWithKey("a secret"));
  gate_.reset();
  last.place.reset();
}

TEST_F(GateTest, ARefusedRequestHoldsNoPlace) {
  settings_.concurrency_per_key = 1;
  settings_.rate_limit = {1, 60};
  AddKey("a", kScopeChat);
  Open();
  EXPECT_EQ(Code(AskWithKey("a secret")), "");
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Code(AskWithKey("a secret")), "rate_limit");
  now_ += 70;
  EXPECT_EQ(Code(AskWithKey("a secret")), "");
}

TEST_F(GateTest, MoreAddressesThanAreRemembered) {
  settings_.rate_limit = {10, 60};
  settings_.address_rate_limit = {10, 60};
  settings_.insecure = true;
  Open();
  const uint32_t most = Effort(150000u, 70000u);  // more than the 65536 addresses, at least
  for (uint32_t i = 0; i < most; ++i) {
    char address[40];
    snprintf(address, sizeof(address), "2001:db8:%x:%x::1", i >> 16, i & 0xFFFF);
    gate_->Admit(Ask({}, address), kScopeChat, now_);
  }
  EXPECT_LE(gate_->remembered_clients(), 65536u + std::min(most, 132768u));
}

TEST_F(GateTest, OnLoopbackOnlyNamesOfLoopback) {
  settings_.allowed_hosts = {"mote.internal", "[2001:db8::7]"};
  Open();
  const auto code = [&](const char* host) { return Code(Ask({{"host", host}})); };
  for (const char* right : {"localhost", "LOCALHOST:8080", "localhost.", "127.0.0.1", "127.0.0.1:8080", "127.8.8.8",
                            "[::1]", "[::1]:99", "mote.internal", "Mote.Internal:80", "[2001:db8::7]:80"}) {
    EXPECT_EQ(code(right), "") << right;
  }
  for (const char* wrong : {"",
                            "evil.example",
                            "localhost.evil.example",
                            "evil-localhost",
                            "127.0.0.1.evil.example",
                            "mote.internal.evil.example",
                            "a.mote.internal",
                            "192.168.1.1",
                            "[::2]",
                            "::1",
                            "[::1",
                            "0.0.0.0",
                            "localhost:x",
                            "localhost:80:80",
                            "localhost:",
                            "user@localhost",
                            "localhost/evil",
                            "localhost,evil",
                            "localhost evil",
                            "2130706433",
                            "0x7f.1",
                            "127.1"}) {
    EXPECT_EQ(code(wrong), "host_not_allowed") << wrong;
  }
  EXPECT_EQ(Code(Ask({{"host", "localhost"}, {"host", "localhost"}})), "bad_host");
  EXPECT_EQ(Code(Ask()), "") << "no browser leaves it out";
  EXPECT_TRUE(gate_->Screen(Ask({{"host", "evil.example"}}))) << "also for what needs no key";
}

TEST_F(GateTest, OnAPublicAddressNamesAsListed) {
  settings_.bind.host = "0.0.0.0";
  Open();
  EXPECT_EQ(Code(Ask({{"host", "any.example"}})), "");
  settings_.allowed_hosts = {"mote.example"};
  Open();
  EXPECT_EQ(Code(Ask({{"host", "any.example"}})), "host_not_allowed");
  EXPECT_EQ(Code(Ask({{"host", "mote.example:8080"}})), "");
  EXPECT_EQ(Code(Ask({{"host", "10.1.2.3:8080"}})), "") << "a check of health by address";
  settings_.allowed_hosts = {"*"};
  Open();
  EXPECT_EQ(Code(Ask({{"host", "any.example"}})), "");
}

TEST_F(GateTest, PagesOfOtherOriginsAreRefused) {
  Open();
  const auto code = [&](const char* origin) { return Code(Ask({{"host", "localhost:8080"}, {"origin", origin}})); };
  EXPECT_EQ(code("http://localhost:8080"), "") << "its own page";
  for (const char* wrong :
       {"https://evil.example", "null", "", "http://localhost", "http://localhost:8081",
        "http://localhost:8080.evil.example", "http://evil.example/localhost:8080", "localhost:8080", "file://"}) {
    EXPECT_EQ(code(wrong), "origin_not_allowed") << wrong;
  }
  EXPECT_TRUE(gate_->CorsHeaders(Ask({{"origin", "https://evil.example"}})).empty());
}

TEST_F(GateTest, ListedOriginsAreExact) {
  settings_.cors_enabled = true;
  settings_.cors_origins = {"https://app.example", "http://localhost:3000"};
  Open();
  const auto request = [](const char* origin) { return Ask({{"host", "localhost:8080"}, {"origin", origin}}); };
  for (const char* right : {"https://app.example", "http://localhost:3000"}) {
    EXPECT_EQ(Code(request(right)), "") << right;
    const Headers headers = gate_->CorsHeaders(request(right));
    ASSERT_EQ(headers.size(), 3u);
    EXPECT_EQ(headers[0], (std::pair<std::string, std::string>("Vary", "Origin")));
    EXPECT_EQ(headers[1], (std::pair<std::string, std::string>("Access-Control-Allow-Origin", right)));
  }
  for (const char* wrong :
       {"null", "http://app.example", "https://app.example:443", "https://app.example/", "https://APP.example",
        "https://app.example.evil", "https://evilapp.example", "https://a.app.example", "*",
        "https://app.example https://evil.example", "https://app.example,https://evil.example",
        "https://app.example%00.evil", "https://app.example@evil.example", "http://localhost:30000"}) {
    EXPECT_EQ(Code(request(wrong)), "origin_not_allowed") << wrong;
    for (const auto& [name, value] : gate_->CorsHeaders(request(wrong))) EXPECT_EQ(name, "Vary") << wrong;
  }
  for (const auto& [name, value] : gate_->CorsHeaders(request("https://app.example"))) {
    EXPECT_NE(name, "Access-Control-Allow-Credentials");
  }
}

TEST_F(GateTest, PreflightsAreAnsweredWithoutAKey) {
  settings_.cors_enabled = true;
  settings_.cors_origins = {"https://app.example"};
  settings_.api_key = kPlain;
  Open();
  Request request = Ask({{"host", "localhost"},
                         {"origin", "https://app.example"},
                         {"access-control-request-method", "POST"},
                         {"access-control-request-headers",
                          "Authorization, content-type, x-stainless-lang, x-evil, X-Session-Id, x-stainless-\r\n"}});
  EXPECT_FALSE(gate_->Preflight(request)) << "POST is none";
  request.method = "OPTIONS";
  const std::optional<Response> answer = gate_->Preflight(request);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 204);
  std::map<std::string, std::string> headers(answer->headers.begin(), answer->headers.end());
  EXPECT_EQ(headers["Access-Control-Allow-Origin"], "https://app.example");
  EXPECT_EQ(headers["Access-Control-Allow-Methods"], "GET, POST");
  EXPECT_EQ(headers["Access-Control-Allow-Headers"], "authorization, content-type, x-stainless-lang, x-session-id");
  const std::string exposed = headers["Access-Control-Expose-Headers"];
  for (const char* documented : {"X-Request-Id", "X-Mote-Cache", "X-Mote-Precision", "Retry-After"}) {
    EXPECT_NE(exposed.find(documented), std::string::npos) << documented;
  }
  EXPECT_EQ(headers.count("Access-Control-Allow-Credentials"), 0u);
  request.headers[1].second = "https://evil.example";
  const std::optional<Response> refused = gate_->Preflight(request);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->status, 403);
  EXPECT_TRUE(refused->headers.empty());
  EXPECT_EQ(nlohmann::json::parse(refused->body)["error"]["code"], "origin_not_allowed");
  request.headers.erase(request.headers.begin() + 2);
  EXPECT_FALSE(gate_->Preflight(request)) << "an OPTIONS that asks for nothing";
}

TEST_F(GateTest, ASocketFileHasNoName) {
  settings_.bind.socket_path = "/run/mote.sock";
  Open();
  EXPECT_EQ(Code(Ask({{"host", "whatever"}}, "unix"), kScopeAdmin), "");
  EXPECT_EQ(Code(Ask({{"host", "whatever"}, {"origin", "https://evil.example"}}, "unix")), "origin_not_allowed");
}

TEST(AddressGroup, SixtyFourBitsOfIPv6) {
  EXPECT_EQ(AddressGroup("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
  EXPECT_EQ(AddressGroup("::1"), "::/64");
  EXPECT_EQ(AddressGroup("192.0.2.1"), "192.0.2.1");
  EXPECT_EQ(AddressGroup("::ffff:192.0.2.1"), "192.0.2.1");
  EXPECT_EQ(AddressGroup("unix"), "unix");
}

}  // namespace
}  // namespace mote::server
