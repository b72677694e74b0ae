// /openapi.json against the routes and the tables of fields: neither knows what the other does not.
#include <gtest/gtest.h>

#include <set>

#include "edge/server/openai/endpoint.h"
#include "tests/server/openai_fake.h"

namespace mote::server {
namespace {

OrderedJson Description() {
  OpenAiServer server;
  return server.Call("GET /openapi.json", "")->Parsed();
}

// What "#/components/..." means, wherever it stands.
OrderedJson Resolve(const OrderedJson& root, const OrderedJson& json) {
  if (!json.contains("$ref")) return json;
  return root.at(OrderedJson::json_pointer(json["$ref"].get<std::string>().substr(1)));
}

// "POST /v1/models/:name"
std::set<std::string> Described(const OrderedJson& root) {
  std::set<std::string> routes;
  for (const auto& [path, item] : root["paths"].items()) {
    std::string pattern = path;
    for (size_t at = 0; (at = pattern.find('{')) != std::string::npos;) {
      pattern.replace(at, 1, ":");
      pattern.erase(pattern.find('}'), 1);
    }
    const OrderedJson methods = Resolve(root, item);
    for (const auto& [method, operation] : methods.items()) {
      std::string upper = method;
      for (char& c : upper) c = static_cast<char>(toupper(c));
      routes.insert(upper + " " + pattern);
      EXPECT_FALSE(operation["summary"].get<std::string>().empty());
    }
  }
  return routes;
}

TEST(OpenAiDescription, HasEveryRouteAndNoOther) {
  OpenAiServer server;
  std::set<std::string> routes;
  for (const auto& [route, handler] : server.routes) routes.insert(route);
  EXPECT_EQ(Described(Description()), routes);
}

TEST(OpenAiDescription, ReferencesLeadSomewhere) {
  const OrderedJson root = Description();
  EXPECT_EQ(root["openapi"], "3.1.0");
  int seen = 0;
  const std::function<void(const OrderedJson&)> walk = [&](const OrderedJson& json) {
    if (json.is_object() && json.contains("$ref") && json["$ref"].is_string()) {
      ++seen;
      EXPECT_NO_THROW(Resolve(root, json)) << json.dump();
    }
    for (const OrderedJson& item : json) {
      if (item.is_structured()) walk(item);
    }
  };
  walk(root);
  EXPECT_GT(seen, 30);
}

TEST(OpenAiDescription, FieldsAreThoseOfTheTables) {
  const OrderedJson root = Description();
  const OpenAiLimits limits;
  for (const auto& [name, table] :
       std::vector<std::pair<std::string, Table>>{{"ChatRequest", ChatFields(limits)},
                                                  {"CompletionRequest", CompletionFields(limits)},
                                                  {"EmbeddingRequest", EmbeddingFields(limits)},
                                                  {"ResponseRequest", ResponseFields(limits)}}) {
    const OrderedJson& properties = root["components"]["schemas"][name]["properties"];
    std::set<std::string> refused, known;
    for (const Field& field : table) {
      if (field.kind == Kind::kRefused) refused.insert(field.name);
    }
    for (const Field& field : table) {
      if (field.kind == Kind::kIgnored || refused.count(field.name) != 0) continue;
      known.insert(field.name);
      ASSERT_TRUE(properties.contains(field.name)) << name << "." << field.name;
      const OrderedJson& schema = properties[field.name];
      if (field.kind != Kind::kInteger && field.kind != Kind::kNumber) continue;
      EXPECT_EQ(schema["minimum"].get<double>(), field.min) << name << "." << field.name;
      EXPECT_EQ(schema["maximum"].get<double>(), field.max) << name << "." << field.name;
    }
    for (const auto& [property, schema] : properties.items()) {
      EXPECT_TRUE(known.count(property) != 0) << name << "." << property << " is described, and is in no table";
    }
  }
}

TEST(OpenAiDescription, RoutesThatTakeImagesTakeLargeBodies) {
  OpenAiServer server;
  EXPECT_EQ(server.large_bodies, (std::set<std::string>{"/apply-template", "/chat/completions", "/responses",
                                                        "/v1/chat/completions", "/v1/responses"}));
}

}  // namespace
}  // namespace mote::server
