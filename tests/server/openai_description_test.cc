// /openapi.json against the routes and the tables of fields: neither knows what the other does not.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>

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

TEST(OpenAiDescription, WhatModelsWorkForIsLongWork) {
  OpenAiServer server;
  EXPECT_EQ(server.long_works,
            (std::set<std::string>{"/chat/completions", "/completions", "/embeddings", "/responses",
                                   "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"}));
}

std::string ReadText(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// The codes of errors that the server's source has, by the forms in which it writes them.
std::set<std::string> CodesOfTheSource() {
  const std::regex forms[] = {
      // ApiError: {400, "invalid_request_error", "code" and what stands in between, `a ? "code" : "code"` too.
      std::regex(R"re("[a-z_]+_error",\s*(?:\w+ \? )?"([a-z_]+)"(?: : "([a-z_]+)")?)re"),
      // Refuse(400, "code", Refusal{400, "code", ErrorResponse(400, "code"; the status may be a variable.
      std::regex(R"re((?:Refuse\(|Refusal\{|ErrorResponse\()[\w.]+,\s*"([a-z_]+)")re"),
      std::regex(R"re(\bcode = "([a-z_]+)")re"),
  };
  std::set<std::string> codes;
  for (const auto& entry : std::filesystem::recursive_directory_iterator("edge/server")) {
    const std::string extension = entry.path().extension();
    if (extension != ".cc" && extension != ".h") continue;
    const std::string text = ReadText(entry.path());
    for (const std::regex& form : forms) {
      for (std::sregex_iterator it(text.begin(), text.end(), form), end; it != end; ++it) {
        for (size_t i = 1; i < it->size(); ++i) {
          if ((*it)[i].matched) codes.insert((*it)[i]);
        }
      }
    }
  }
  codes.erase("cancelled");  // nobody is there to read it
  // Types, where a comment lists them.
  std::erase_if(codes, [](const std::string& code) { return code.ends_with("_error") && code != "internal_error"; });
  return codes;
}

TEST(OpenAiDescription, ThePageHasEveryCodeOfAnError) {
  const std::string page = ReadText("docs/server.md");
  const size_t begin = page.find("| status | `type` | `code` |");
  ASSERT_NE(begin, std::string::npos);
  const std::string table = page.substr(begin, page.find("\n\n", begin) - begin);
  std::set<std::string> told;
  const std::regex row(R"re(\n\| [^|]* \| [^|]* \| ([^|]*) \|)re"), code("`([a-z_]+)`");
  for (std::sregex_iterator rows(table.begin(), table.end(), row), end; rows != end; ++rows) {
    const std::string cell = (*rows)[1];
    for (std::sregex_iterator it(cell.begin(), cell.end(), code); it != end; ++it) told.insert((*it)[1]);
  }
  const std::set<std::string> codes = CodesOfTheSource();
  EXPECT_GE(codes.size(), 40u);
  EXPECT_EQ(told, codes);
}

}  // namespace
}  // namespace mote::server
