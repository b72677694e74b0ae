#include "edge/server/openai/format.h"

#include <utility>

#include "edge/server/openai/messages.h"

namespace mote::server {
namespace {

std::optional<ApiError> SetConstraint(Constraint constraint, std::string text, const OpenAiLimits& limits,
                                      const std::string& path, Task* task) {
  if (task->constraint != Constraint::kNone) {
    return BadField(path,
                    path + ": only one of response_format, grammar and json_schema may say what the text must be");
  }
  if (text.size() > limits.constraint_bytes) {
    return BadField(path, path + " must have at most " + std::to_string(limits.constraint_bytes) + " bytes, not " +
                              std::to_string(text.size()));
  }
  task->constraint = constraint;
  task->constraint_text = std::move(text);
  task->constraint_field = path;
  return std::nullopt;
}

std::optional<ApiError> SetSchema(const Json* schema, const OpenAiLimits& limits, const std::string& path, Task* task) {
  if (schema == nullptr || !(schema->is_object() || schema->is_boolean())) {
    return BadField(path, path + " must be a JSON schema: an object" +
                              (schema == nullptr ? ", and is missing" : ", not " + Describe(*schema)));
  }
  return SetConstraint(Constraint::kSchema, Dump(*schema), limits, path, task);
}

}  // namespace

void AddFormatFields(const OpenAiLimits& limits, Table* table) {
  table->push_back({"response_format", Kind::kObject, 1, 16});
  table->push_back({"grammar", Kind::kString, 0, static_cast<double>(limits.constraint_bytes)});
  table->push_back({"json_schema", Kind::kObject, 0, 256});
}

std::optional<ApiError> ReadFormatObject(const Json& format, const OpenAiLimits& limits, const std::string& path,
                                         Task* task) {
  static const Table* table = new Table{{"type", Kind::kString, 0, 0, "text|json_object|json_schema|grammar"},
                                        {"json_schema", Kind::kObject, 1, 16},
                                        {"name", Kind::kString, 1, 64},
                                        {"strict", Kind::kBool},
                                        {"grammar", Kind::kString, 1, static_cast<double>(1 << 20)}};
  if (auto error = CheckFields(format, *table, path)) return error;
  const std::string type = GetString(format, "type");
  if (type.empty()) {
    return BadField(Join(path, "type"),
                    Join(path, "type") + " must be \"text\", \"json_object\", \"json_schema\" or \"grammar\"");
  }
  if (type == "json_object") {
    // llama.cpp's: a schema beside the type.
    const Json* schema = Find(format, "schema");
    if (schema != nullptr) return SetSchema(schema, limits, Join(path, "schema"), task);
    return SetConstraint(Constraint::kJson, "", limits, path, task);
  }
  if (type == "json_schema") {
    const Json* inner = Find(format, "json_schema");
    if (inner != nullptr) return SetSchema(Find(*inner, "schema"), limits, Join(path, "json_schema.schema"), task);
    const bool flat = Find(format, "schema") != nullptr;
    return SetSchema(Find(format, "schema"), limits, Join(path, flat ? "schema" : "json_schema.schema"), task);
  }
  if (type == "grammar") {
    if (Find(format, "grammar") == nullptr) {
      return BadField(Join(path, "grammar"), Join(path, "grammar") + " must be a grammar in GBNF, and is missing");
    }
    return SetConstraint(Constraint::kGrammar, GetString(format, "grammar"), limits, Join(path, "grammar"), task);
  }
  return std::nullopt;
}

std::optional<ApiError> ReadFormat(const Json& body, const OpenAiLimits& limits, Task* task) {
  if (const Json* format = Find(body, "response_format")) {
    if (auto error = ReadFormatObject(*format, limits, "response_format", task)) return error;
  }
  if (std::string grammar = GetString(body, "grammar"); !grammar.empty()) {
    if (auto error = SetConstraint(Constraint::kGrammar, std::move(grammar), limits, "grammar", task)) return error;
  }
  if (const Json* schema = Find(body, "json_schema")) return SetSchema(schema, limits, "json_schema", task);
  return std::nullopt;
}

}  // namespace mote::server
