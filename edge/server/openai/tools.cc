#include "edge/server/openai/tools.h"

#include <algorithm>
#include <utility>

namespace mote::server {
namespace {

struct Function {
  std::string name;
  std::string path;  // of the parameters
  Json parameters;
  bool strict = false;
};

bool IsName(const std::string& name) {
  return name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") ==
         std::string::npos;
}

const Table& FunctionFields() {
  static const Table* table = new Table{
      {"name", Kind::kString, 1, 64},
      {"description", Kind::kString, 0, 1 << 16},
      {"parameters", Kind::kObject, 0, 256},
      {"strict", Kind::kBool},
  };
  return *table;
}

std::optional<ApiError> ReadTool(const Json& tool, const std::string& path, std::vector<Function>* functions) {
  static const Table* table = new Table{{"type", Kind::kString, 0, 0, "function"}, {"function", Kind::kObject, 1, 16}};
  if (auto error = CheckFields(tool, *table, path)) return error;
  // Of /v1/responses, the members of the function stand beside the type.
  const bool flat = Find(tool, "function") == nullptr && Find(tool, "name") != nullptr;
  const Json* json = flat ? &tool : Find(tool, "function");
  const std::string inner = flat ? path : Join(path, "function");
  if (json == nullptr) return BadField(inner, inner + " must be an object with a name and parameters, and is missing");
  if (auto error = CheckFields(*json, FunctionFields(), inner)) return error;
  Function function;
  function.name = GetString(*json, "name");
  if (function.name.empty() || !IsName(function.name)) {
    return BadField(inner + ".name", inner + ".name must be 1 to 64 letters, digits, '_', '-' or '.'");
  }
  for (const Function& other : *functions) {
    if (other.name == function.name) return BadField(inner + ".name", inner + ".name is the name of another tool");
  }
  const Json* parameters = Find(*json, "parameters");
  function.path = inner + ".parameters";
  function.parameters = parameters != nullptr ? *parameters : Json::object({{"type", "object"}});
  function.strict = GetBool(*json, "strict", false);
  functions->push_back(std::move(function));
  return std::nullopt;
}

// As templates know tools.
Json Nested(const Json& tools) {
  Json list = Json::array();
  for (const Json& tool : tools) {
    if (Find(tool, "function") != nullptr) {
      list.push_back(tool);
      continue;
    }
    Json function = Json::object();
    for (const char* name : {"name", "description", "parameters", "strict"}) {
      if (const Json* value = Find(tool, name)) function[name] = *value;
    }
    list.push_back(Json::object({{"type", "function"}, {"function", std::move(function)}}));
  }
  return list;
}

// References inside a schema start at its root, which moves to `root`. True where there were any. Recursion is bounded
// by the depth of the body.
bool MoveReferences(Json* schema, const std::string& root) {
  bool moved = false;
  if (schema->is_array()) {
    for (Json& item : *schema) moved |= MoveReferences(&item, root);
  } else if (schema->is_object()) {
    for (auto& member : schema->get_ref<Json::object_t&>()) {
      if (member.first == "$ref" && member.second.is_string()) {
        const std::string& target = member.second.get_ref<const std::string&>();
        if (target.rfind('#', 0) != 0) continue;
        member.second = root + target.substr(1);
        moved = true;
      } else {
        moved |= MoveReferences(&member.second, root);
      }
    }
  }
  return moved;
}

// {"name": ..., "arguments": {...}} of one of the functions.
Json CallSchema(const std::vector<Function>& functions) {
  Json calls = Json::array();
  Json definitions = Json::object();
  for (size_t i = 0; i < functions.size(); ++i) {
    const std::string name = "tool_" + std::to_string(i);
    Json arguments = functions[i].parameters;
    if (MoveReferences(&arguments, "#/$defs/" + name)) {
      definitions[name] = std::move(arguments);
      arguments = Json::object({{"$ref", "#/$defs/" + name}});
    } else if (Find(arguments, "type") == nullptr && Find(arguments, "anyOf") == nullptr) {
      arguments["type"] = "object";
    }
    Json call;
    call["type"] = "object";
    call["properties"]["name"]["const"] = functions[i].name;
    call["properties"]["arguments"] = std::move(arguments);
    call["required"] = Json::array({"name", "arguments"});
    call["additionalProperties"] = false;
    calls.push_back(std::move(call));
  }
  Json schema;
  if (calls.size() == 1) {
    schema = std::move(calls[0]);
  } else {
    schema["anyOf"] = std::move(calls);
  }
  if (!definitions.empty()) schema["$defs"] = std::move(definitions);
  return schema;
}

// "none", "auto", "required", or the name of a function behind a colon: ":weather".
std::optional<ApiError> ReadChoice(const Json& body, std::string* choice) {
  constexpr const char* kWanted =
      "tool_choice must be \"none\", \"auto\", \"required\" or {\"type\":\"function\","
      "\"function\":{\"name\":\"...\"}}";
  const Json* json = Find(body, "tool_choice");
  if (json == nullptr) {
    *choice = "auto";
    return std::nullopt;
  }
  if (json->is_string()) {
    *choice = json->get<std::string>();
    if (*choice == "none" || *choice == "auto" || *choice == "required") return std::nullopt;
    return BadField("tool_choice", std::string(kWanted) + ", not " + Describe(*json));
  }
  const Json* function = Find(*json, "function");
  // Of /v1/responses, the name stands beside the type.
  const Json* name = Find(function != nullptr ? *function : *json, "name");
  if (name == nullptr || !name->is_string()) return BadField("tool_choice", kWanted);
  *choice = ":" + name->get<std::string>();
  return std::nullopt;
}

}  // namespace

void AddToolFields(const OpenAiLimits& limits, Table* table) {
  table->push_back({"tools", Kind::kArray, 0, static_cast<double>(limits.tools)});
  table->push_back({"tool_choice", Kind::kAny});
  table->push_back({"parallel_tool_calls", Kind::kBool});
  table->push_back({"functions", Kind::kRefused, 0, 0, "use tools"});
  table->push_back({"function_call", Kind::kRefused, 0, 0, "use tool_choice"});
}

std::optional<ApiError> ReadTools(const Json& body, const OpenAiLimits& limits, Task* task, ToolUse* use) {
  std::string choice;
  if (auto error = ReadChoice(body, &choice)) return error;
  const Json* tools = Find(body, "tools");
  std::vector<Function> functions;
  for (size_t i = 0; tools != nullptr && i < tools->size(); ++i) {
    if (auto error = ReadTool((*tools)[i], Join("tools", i), &functions)) return error;
  }
  if (functions.empty()) {
    if (choice == "none" || choice == "auto") return std::nullopt;
    return BadField("tool_choice", "tool_choice asks for a call, and tools has no function");
  }
  if (choice == "none") return std::nullopt;
  std::string json = Dump(Nested(*tools));
  if (json.size() > limits.constraint_bytes) {
    return BadField("tools", "tools must have at most " + std::to_string(limits.constraint_bytes) + " bytes, not " +
                                 std::to_string(json.size()));
  }
  if (choice[0] == ':') {
    const auto named = [&](const Function& function) { return function.name == choice.substr(1); };
    const auto found = std::find_if(functions.begin(), functions.end(), named);
    if (found == functions.end()) {
      return BadField("tool_choice", "tool_choice names \"" + choice.substr(1, 64) + "\", which is not in tools");
    }
    functions = {std::move(*found)};
  }
  use->forced = choice != "auto";
  use->single = !GetBool(body, "parallel_tool_calls", true);
  if (task->constraint != Constraint::kNone) {
    return BadField("tools",
                    "a constraint (response_format, grammar, json_schema) leaves no room for calls: leave out "
                    "tools, or the constraint, or set tool_choice to \"none\"");
  }
  use->strict = std::any_of(functions.begin(), functions.end(), [](const Function& f) { return f.strict; });
  const bool held = use->forced || use->single || use->strict;
  for (Function& function : functions) {
    if (!held) break;
    // Who has not asked for it is not held to it, where the model itself decides to call.
    if (!use->forced && !function.strict) function.parameters = Json::object({{"type", "object"}});
    task->constraint_parts.push_back({function.path, Dump(function.parameters)});
  }
  if (use->forced) {
    task->constraint = Constraint::kSchema;
    task->constraint_text = Dump(CallSchema(functions));
    task->constraint_field = "tools";
  } else if (held) {
    use->call_schema = Dump(CallSchema(functions));
  }
  task->tools_json = std::move(json);
  for (Function& function : functions) use->names.push_back(std::move(function.name));
  return std::nullopt;
}

}  // namespace mote::server
