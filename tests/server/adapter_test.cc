#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "edge/server/http/httplib_adapter.h"

namespace mote::server {
namespace {

struct SilentReply : Reply {
  void Send(Response) override {}
  void Start(Response) override {}
  bool Write(std::string_view) override { return true; }
  void End() override {}
  void OnGone(std::function<void()>) override {}
};

// A router whose handlers write down who was called with what.
struct Routes {
  Routes() {
    for (const auto& [method, pattern] :
         std::vector<std::pair<std::string, std::string>>{{"GET", "/"},
                                                          {"GET", "/v1/models"},
                                                          {"GET", "/v1/models/:name"},
                                                          {"DELETE", "/v1/models/:name"},
                                                          {"POST", "/v1/chat/completions"},
                                                          {"GET", "/a/:b/c/:d"},
                                                          {"GET", "/openapi.json"},
                                                          {"PUT", "/throw"}}) {
      const std::string name = method + " " + pattern;
      const auto added =
          router.Add(method, pattern, [this, name](const Request& request, const std::shared_ptr<Reply>&) {
            if (name == "PUT /throw") throw std::runtime_error("no");
            called = name;
            parts = request.parts;
            body = request.body;
          });
      EXPECT_TRUE(added.ok()) << added.error().message;
    }
    router.Seal();
  }
  Router::Outcome Dispatch(const std::string& method, const std::string& target, const std::string& given = "") {
    called = body = "";
    parts.clear();
    Request request;
    request.method = method;
    request.body = given;
    return router.Dispatch(&request, target, std::make_shared<SilentReply>(),
                           [this](const std::string& route) { named = route; });
  }

  Router router;
  std::string called, body, named;
  std::vector<std::string> parts;
};

TEST(Router, MatchesPathsWholly) {
  Routes routes;
  EXPECT_EQ(routes.Dispatch("GET", "/").status, 0);
  EXPECT_EQ(routes.called, "GET /");
  EXPECT_EQ(routes.Dispatch("GET", "/v1/models").status, 0);
  EXPECT_EQ(routes.called, "GET /v1/models");
  EXPECT_EQ(routes.Dispatch("HEAD", "/v1/models").status, 0);
  EXPECT_EQ(routes.called, "GET /v1/models");
  EXPECT_EQ(routes.Dispatch("POST", "/v1/chat/completions", "text").status, 0);
  EXPECT_EQ(routes.body, "text") << "httplib has not seen it";
  for (const std::string target : {"/v1/models/", "//v1/models", "/v1/Models", "/v1", "/xv1/models", "/v1/modelsx",
                                   "/openapiXjson", "/v1/models/a/b", "/a/b/c/", "/a//c/d", "*", "", "/v1%2Fmodels"}) {
    EXPECT_EQ(routes.Dispatch("GET", target).status, 404) << target;
    EXPECT_EQ(routes.called, "");
  }
}

TEST(Router, GivesPartsDecoded) {
  Routes routes;
  EXPECT_EQ(routes.Dispatch("GET", "/v1/models/org%2Fname%20x").route, "/v1/models/:name");
  EXPECT_EQ(routes.parts, std::vector<std::string>({"org/name x"}));
  EXPECT_EQ(routes.named, "/v1/models/:name");
  routes.Dispatch("GET", "/a/%25/c/%252F");
  EXPECT_EQ(routes.parts, std::vector<std::string>({"%", "%2F"})) << "decoded once";
  routes.Dispatch("DELETE", "/v1/models/..");
  EXPECT_EQ(routes.called, "DELETE /v1/models/:name");
  EXPECT_EQ(routes.parts, std::vector<std::string>({".."}));
  // No part of a path is anything but text to httplib.
  routes.Dispatch("GET", "/v1/models/%3Fa%3Db%26%23%0A");
  EXPECT_EQ(routes.parts, std::vector<std::string>({"?a=b&#\n"}));
}

TEST(Router, KnowsWhichMethodsAPathHas) {
  Routes routes;
  const auto post = routes.Dispatch("POST", "/v1/models/x");
  EXPECT_EQ(post.status, 405);
  EXPECT_EQ(post.allow, "DELETE, GET, HEAD");
  EXPECT_EQ(post.route, "/v1/models/:name");
  for (const std::string method : {"GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"}) {
    EXPECT_EQ(routes.Dispatch(method, "/v1/chat/completions").status, 405) << method;
  }
  EXPECT_EQ(routes.Dispatch("TRACE", "/").status, 400);
  const auto all = routes.Dispatch("OPTIONS", "*");
  EXPECT_EQ(all.status, 204);
  EXPECT_EQ(all.allow, "DELETE, GET, HEAD, OPTIONS, POST, PUT");
  EXPECT_EQ(routes.called, "");
}

TEST(Router, AThrowingHandlerIsAnOutcome) {
  Routes routes;
  EXPECT_EQ(routes.Dispatch("PUT", "/throw").status, 500);
  EXPECT_EQ(routes.Dispatch("GET", "/").status, 0);
}

TEST(Router, LongTargetsMatchNothing) {
  Routes routes;
  const std::string longest(Router::kLongestTarget - 11, 'a');
  EXPECT_EQ(routes.Dispatch("GET", "/v1/models/" + longest).status, 0);
  EXPECT_EQ(routes.parts, std::vector<std::string>({longest}));
  EXPECT_EQ(routes.Dispatch("GET", "/v1/models/" + longest + "a").status, 404);
  EXPECT_EQ(routes.Dispatch("GET", "/" + std::string(100000, 'a')).status, 404);
  // Escapes are what the regular expressions see most of.
  std::string escapes = "/v1/models/";
  while (escapes.size() + 3 <= Router::kLongestTarget) escapes += "%2F";
  EXPECT_EQ(routes.Dispatch("GET", escapes).status, 0);
}

TEST(Router, ThreadsDoNotMixTheirCalls) {
  Router router;
  const auto added = router.Add("GET", "/:n", [](const Request& request, const std::shared_ptr<Reply>&) {
    EXPECT_EQ(request.parts.at(0), request.body);
  });
  ASSERT_TRUE(added.ok());
  router.Seal();
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&router, thread] {
      for (int i = 0; i < 500; ++i) {
        Request request;
        request.method = "GET";
        request.body = std::to_string(thread * 1000 + i);
        const auto outcome =
            router.Dispatch(&request, "/" + request.body, std::make_shared<SilentReply>(), [](const std::string&) {});
        EXPECT_EQ(outcome.status, 0);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Router, SaysWhatIsWrongWithARoute) {
  Router router;
  const Handler nothing = [](const Request&, const std::shared_ptr<Reply>&) {};
  for (const std::string pattern : {"", "a", "/a(b", "/a b", "/.*", "/a?b", "/a%20"}) {
    const auto added = router.Add("GET", pattern, nothing);
    ASSERT_FALSE(added.ok()) << pattern;
    EXPECT_NE(added.error().message.find("\"" + pattern + "\""), std::string::npos);
  }
  EXPECT_FALSE(router.Add("HEAD", "/a", nothing).ok());
  EXPECT_FALSE(router.Add("get", "/a", nothing).ok());
}

}  // namespace
}  // namespace mote::server
