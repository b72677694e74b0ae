#include "edge/server/openai/fields.h"

#include <stdio.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace mote::server {
namespace {

std::string Show(double value) {
  // Of seeds: the double behind the last value.
  if (value == 9223372036854775808.0) return "9223372036854775807";
  char text[32];
  snprintf(text, sizeof(text), "%.15g", value);
  return text;
}

// Doubles hold every bound that the tables have, and compare with integers of 64 bits well enough for them.
bool AsNumber(const Json& json, double* value) {
  if (!json.is_number()) return false;
  *value = json.get<double>();
  return std::isfinite(*value);
}

bool IsOneOf(std::string_view text, std::string_view values) {
  while (true) {
    const size_t bar = values.find('|');
    if (text == values.substr(0, bar)) return true;
    if (bar == std::string_view::npos) return false;
    values.remove_prefix(bar + 1);
  }
}

std::string Alternatives(std::string_view values) {
  std::string text = "\"";
  for (const char c : values) text += c == '|' ? std::string("\", \"") : std::string(1, c);
  return text + "\"";
}

// What the field should be, for messages.
std::string Wanted(const Field& field) {
  const std::string range = Show(field.min) + " to " + Show(field.max);
  switch (field.kind) {
    case Kind::kBool:
      return "true or false";
    case Kind::kInteger:
      return "a whole number from " + range;
    case Kind::kNumber:
      return "a number from " + range;
    case Kind::kString:
      return *field.values != 0 ? "one of " + Alternatives(field.values) : "a string of " + range + " bytes";
    case Kind::kArray:
      return "an array of " + range + " items";
    default:
      return "an object of " + range + " members";
  }
}

bool Within(const Field& field, double value) {
  return value >= field.min && value <= field.max;
}

bool Fits(const Json& json, const Field& field) {
  double value = 0;
  switch (field.kind) {
    case Kind::kBool:
      return json.is_boolean();
    case Kind::kInteger:
      return AsNumber(json, &value) && value == std::floor(value) && Within(field, value);
    case Kind::kNumber:
      return AsNumber(json, &value) && Within(field, value);
    case Kind::kString:
      if (!json.is_string()) return false;
      if (*field.values != 0) return IsOneOf(json.get_ref<const std::string&>(), field.values);
      return Within(field, static_cast<double>(json.get_ref<const std::string&>().size()));
    case Kind::kArray:
      return json.is_array() && Within(field, static_cast<double>(json.size()));
    case Kind::kObject:
      return json.is_object() && Within(field, static_cast<double>(json.size()));
    default:
      return true;
  }
}

// Asks for nothing: the answer is what it would be without the field. field.min: the number that does.
bool IsEmptyHanded(const Json& json, const Field& field) {
  return json.is_null() || json == false || json == "" || (json.is_number() && json.get<double>() == field.min) ||
         ((json.is_array() || json.is_object()) && json.empty());
}

}  // namespace

ApiError BadField(std::string param, std::string message) {
  ApiError error;
  error.status = 400;
  error.type = "invalid_request_error";
  error.code = "invalid_value";
  error.param = std::move(param);
  error.message = std::move(message);
  return error;
}

std::string Join(std::string_view path, std::string_view name) {
  std::string joined(path);
  if (!joined.empty()) joined += '.';
  return joined += name;
}

std::string Join(std::string_view path, size_t index) {
  return std::string(path) + '[' + std::to_string(index) + ']';
}

std::optional<ApiError> CheckFields(const Json& object, const Table& table, std::string_view path) {
  if (!object.is_object()) {
    const std::string name = path.empty() ? "the body" : std::string(path);
    return BadField(std::string(path), name + " must be a JSON object, not " + Describe(object));
  }
  for (const Field& field : table) {
    const Json* json = Find(object, field.name);
    if (json == nullptr || field.kind == Kind::kAny || field.kind == Kind::kIgnored) continue;
    const std::string param = Join(path, field.name);
    if (field.kind == Kind::kRefused) {
      if (IsEmptyHanded(*json, field)) continue;
      ApiError error = BadField(param, param + " is not supported: " + field.values);
      error.code = "unsupported_parameter";
      return error;
    }
    if (!Fits(*json, field)) return BadField(param, param + " must be " + Wanted(field) + ", not " + Describe(*json));
  }
  return std::nullopt;
}

const Json* Find(const Json& object, std::string_view name) {
  if (!object.is_object()) return nullptr;
  for (const auto& member : object.get_ref<const Json::object_t&>()) {
    if (member.first == name) return member.second.is_null() ? nullptr : &member.second;
  }
  return nullptr;
}

bool GetBool(const Json& object, std::string_view name, bool otherwise) {
  const Json* json = Find(object, name);
  return json != nullptr ? json->get<bool>() : otherwise;
}

int64_t GetInteger(const Json& object, std::string_view name, int64_t otherwise) {
  const Json* json = Find(object, name);
  if (json == nullptr) return otherwise;
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  if (json->is_number_unsigned()) return static_cast<int64_t>(std::min<uint64_t>(json->get<uint64_t>(), kMost));
  if (json->is_number_integer()) return json->get<int64_t>();
  const double value = json->get<double>();
  return value < static_cast<double>(kMost) ? static_cast<int64_t>(value) : kMost;
}

double GetNumber(const Json& object, std::string_view name, double otherwise) {
  const Json* json = Find(object, name);
  return json != nullptr ? json->get<double>() : otherwise;
}

std::string GetString(const Json& object, std::string_view name, std::string_view otherwise) {
  const Json* json = Find(object, name);
  return json != nullptr ? json->get_ref<const std::string&>() : std::string(otherwise);
}

std::string Describe(const Json& json) {
  if (json.is_string()) {
    const std::string& text = json.get_ref<const std::string&>();
    if (text.size() > 40) return "a string of " + std::to_string(text.size()) + " bytes";
  }
  if (json.is_array()) return "an array of " + std::to_string(json.size()) + " items";
  if (json.is_object()) return "an object of " + std::to_string(json.size()) + " members";
  return Dump(json);
}

}  // namespace mote::server
