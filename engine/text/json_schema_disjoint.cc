// Whether two schemas can be satisfied at once, as far as types, constants and required properties tell.
#include <algorithm>
#include <iterator>

#include "engine/text/json_schema_impl.h"

namespace mote::grammar {
namespace {

using jinja::Kind;
using jinja::Value;

std::string_view TypeOf(const Value& value) {
  switch (value.kind) {
    case Kind::kBool:
      return "boolean";
    case Kind::kInt:
    case Kind::kFloat:
      return "number";
    case Kind::kString:
      return "string";
    case Kind::kList:
      return "array";
    case Kind::kDict:
      return "object";
    default:
      return "null";
  }
}

// The values that a schema lists, or nothing if it lists none.
std::optional<std::vector<Value>> ValuesOf(const Value& schema) {
  if (const Value* one = Get(schema, "const"); one != nullptr) return std::vector<Value>{*one};
  const Value* all = Get(schema, "enum");
  if (all == nullptr || all->kind != Kind::kList) return std::nullopt;
  return all->list->items;
}

// The types that texts made for it can have. Empty: any.
std::vector<std::string_view> TypesOf(const Value& schema) {
  std::vector<std::string_view> types;
  const auto add = [&](std::string_view type) { types.push_back(type == "integer" ? "number" : type); };
  if (const auto values = ValuesOf(schema)) {
    for (const Value& value : *values) add(TypeOf(value));
    return types;
  }
  const Value* type = Get(schema, "type");
  if (type != nullptr && type->kind == Kind::kString) add(type->str->view());
  if (type != nullptr && type->kind == Kind::kList) {
    for (const Value& value : type->list->items) add(value.kind == Kind::kString ? value.str->view() : "");
  }
  return types;
}

bool Requires(const Value& schema, std::string_view name) {
  const Value* required = Get(schema, "required");
  return required != nullptr && required->kind == Kind::kList &&
         std::any_of(required->list->items.begin(), required->list->items.end(),
                     [&](const Value& v) { return v.kind == Kind::kString && v.str->view() == name; });
}

bool Lists(const Value& schema, std::string_view name) {
  const Value* properties = Get(schema, "properties");
  return properties != nullptr && Get(*properties, name) != nullptr;
}

// Objects made for `made` are not valid for `other`: one requires a name that the other cannot have.
bool LackOrExceed(const Value& made, const Value& other) {
  const Value* additional = Get(made, "additionalProperties");
  const bool only_listed = Get(made, "properties") != nullptr && (additional == nullptr || IsFalse(*additional));
  const Value* required = Get(other, "required");
  for (size_t i = 0;
       only_listed && required != nullptr && required->kind == Kind::kList && i < required->list->items.size(); ++i) {
    const Value& name = required->list->items[i];
    if (name.kind == Kind::kString && !Lists(made, name.str->view()) && !Requires(made, name.str->view())) return true;
  }
  const Value* closed = Get(other, "additionalProperties");
  required = Get(made, "required");
  if (closed == nullptr || !IsFalse(*closed) || required == nullptr || required->kind != Kind::kList) return false;
  return std::any_of(required->list->items.begin(), required->list->items.end(),
                     [&](const Value& name) { return name.kind == Kind::kString && !Lists(other, name.str->view()); });
}

bool ShareNoValue(const std::vector<Value>& a, const std::vector<Value>& b) {
  return std::none_of(a.begin(), a.end(), [&](const Value& left) {
    // 1 and 1.0 are one value, written in two ways: numbers are told apart by their value.
    return std::any_of(b.begin(), b.end(), [&](const Value& right) {
      const bool numbers = left.IsNumber() && right.IsNumber() && left.kind != Kind::kBool && right.kind != Kind::kBool;
      return numbers ? CompareNumbers(left, right) == 0 : ToJson(left) == ToJson(right);
    });
  });
}

}  // namespace

bool SchemaContext::Disjoint(const Value& a, const Value& b) {
  if (IsFalse(a) || IsFalse(b)) return true;
  Value left;
  Value right;
  if (!Flatten(a, 0, &left) || !Flatten(b, 0, &right)) return false;
  if (left.kind != Kind::kDict || right.kind != Kind::kDict) return false;
  const std::vector<std::string_view> left_types = TypesOf(left);
  const std::vector<std::string_view> right_types = TypesOf(right);
  std::vector<std::string_view> common;
  for (const std::string_view type : left_types) {
    if (std::find(right_types.begin(), right_types.end(), type) != right_types.end()) common.push_back(type);
  }
  if (left_types.empty() || right_types.empty()) return false;
  if (common.empty()) return true;
  const auto left_values = ValuesOf(left);
  const auto right_values = ValuesOf(right);
  if (left_values && right_values) {
    return Charge(left_values->size() * right_values->size()) && ShareNoValue(*left_values, *right_values);
  }
  if (std::any_of(common.begin(), common.end(), [](std::string_view type) { return type != "object"; })) return false;
  if (LackOrExceed(left, right) && LackOrExceed(right, left)) return true;
  const Value* properties = Get(left, "properties");
  if (properties == nullptr || properties->kind != Kind::kDict) return false;
  for (const jinja::Dict::Entry& entry : properties->dict->entries) {
    const std::string_view name = entry.key.str->view();
    const Value* others = Get(right, "properties");
    const Value* other = others == nullptr ? nullptr : Get(*others, name);
    if (other == nullptr || !Requires(left, name) || !Requires(right, name)) continue;
    const auto mine = ValuesOf(entry.value);
    const auto theirs = ValuesOf(*other);
    if (mine && theirs && Charge(mine->size() * theirs->size()) && ShareNoValue(*mine, *theirs)) return true;
  }
  return false;
}

}  // namespace mote::grammar
