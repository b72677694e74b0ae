// Where in a schema we are, what it points to, and schemas made one.
#include <algorithm>

#include "engine/text/jinja_number.h"
#include "engine/text/json_schema_impl.h"
#include "engine/text/utf8.h"

namespace mote::grammar {
namespace {

using jinja::Kind;
using jinja::Value;

// Steps of a translation: a schema of 256 KiB takes some ten thousand.
constexpr size_t kMaxWork = size_t{1} << 18;
constexpr int kMaxMerges = 32;  // of references within references

bool Contains(const std::vector<Value>& values, const std::string& json) {
  return std::any_of(values.begin(), values.end(), [&](const Value& value) { return ToJson(value) == json; });
}

bool IsOneOf(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

}  // namespace

std::string ToJsonString(std::string_view text) {
  static constexpr std::string_view kFrom = "\"\\\b\f\n\r\t";
  static constexpr std::string_view kTo = "\"\\bfnrt";
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    const size_t simple = kFrom.find(c);
    if (simple != std::string_view::npos) {
      out += '\\';
      out += kTo[simple];
    } else if (static_cast<uint8_t>(c) < 0x20) {
      out += "\\u00";
      out += kHex[static_cast<uint8_t>(c) >> 4];
      out += kHex[c & 15];
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string ToJson(const Value& value) {
  std::string out;
  switch (value.kind) {
    case Kind::kBool:
      return value.boolean ? "true" : "false";
    case Kind::kInt:
      return std::to_string(value.integer);
    case Kind::kFloat:
      // Past the range of doubles: the reader takes any exponent.
      if (value.real - value.real != 0) return value.real > 0 ? "1e999" : "-1e999";
      return jinja::FormatDouble(value.real);
    case Kind::kString:
      return ToJsonString(value.str->view());
    case Kind::kList:
      for (const Value& item : value.list->items) out += (out.empty() ? "" : ",") + ToJson(item);
      return "[" + out + "]";
    case Kind::kDict:
      for (const jinja::Dict::Entry& entry : value.dict->entries) {
        out += (out.empty() ? "" : ",") + ToJsonString(entry.key.str->view()) + ":" + ToJson(entry.value);
      }
      return "{" + out + "}";
    default:
      return "null";
  }
}

bool IsOfType(const Value& value, const Value& type) {
  if (type.kind == Kind::kList) {
    return std::any_of(type.list->items.begin(), type.list->items.end(),
                       [&](const Value& one) { return one.kind == Kind::kString && IsOfType(value, one); });
  }
  const std::string_view name = type.kind == Kind::kString ? type.str->view() : std::string_view();
  switch (value.kind) {
    case Kind::kBool:
      return name == "boolean";
    case Kind::kInt:
      return name == "integer" || name == "number";
    case Kind::kFloat:
      return name == "number";
    case Kind::kString:
      return name == "string";
    case Kind::kList:
      return name == "array";
    case Kind::kDict:
      return name == "object";
    default:
      return name == "null";
  }
}

bool IsAnnotation(std::string_view keyword) {
  return keyword.starts_with("x-") || IsOneOf(keyword, {"title",
                                                        "description",
                                                        "default",
                                                        "examples",
                                                        "example",
                                                        "deprecated",
                                                        "readOnly",
                                                        "writeOnly",
                                                        "$schema",
                                                        "$id",
                                                        "id",
                                                        "$comment",
                                                        "$anchor",
                                                        "$defs",
                                                        "definitions",
                                                        "discriminator",
                                                        "nullable",
                                                        "contentEncoding",
                                                        "contentMediaType",
                                                        "contentSchema",
                                                        "externalDocs",
                                                        "xml"});
}

std::string_view KindOf(std::string_view keyword) {
  if (IsOneOf(keyword, {"properties", "required", "additionalProperties", "unevaluatedProperties", "minProperties",
                        "maxProperties"})) {
    return "object";
  }
  if (IsOneOf(keyword, {"items", "prefixItems", "additionalItems", "minItems", "maxItems", "uniqueItems"})) {
    return "array";
  }
  if (IsOneOf(keyword, {"minLength", "maxLength", "pattern", "format"})) return "string";
  if (IsOneOf(keyword, {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})) return "number";
  return "";
}

bool IsKnownKeyword(std::string_view keyword) {
  return !KindOf(keyword).empty() || IsAnnotation(keyword) ||
         IsOneOf(keyword, {"type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref"});
}

bool SchemaContext::Fail(std::string_view keyword, const std::string& what, Code code) {
  if (!status.ok()) return false;
  std::string where = path;
  if (!keyword.empty()) where += "." + std::string(keyword.substr(0, 64));
  if (where.size() > 400) where = where.substr(0, 200) + "..." + where.substr(where.size() - 200);
  status = Status(code, "JSON schema, " + where + ": " + what);
  return false;
}

bool SchemaContext::Charge(size_t work) {
  work_ += work;
  return work_ <= kMaxWork ||
         Fail("", "the schema takes too long to translate: its references multiply", Code::kInvalidArgument);
}

const Value* SchemaContext::Resolve(const Value& reference) {
  if (reference.kind != Kind::kString) {
    Malformed("$ref", "must be a string");
    return nullptr;
  }
  const std::string_view text = reference.str->view();
  if (text.empty() || text[0] != '#') {
    Fail("$ref", "only references within the schema (\"#/$defs/...\") are followed");
    return nullptr;
  }
  const Value* now = &root;
  for (size_t at = 1; at < text.size();) {
    if (text[at] != '/') {
      Fail("$ref", "expected '#' or '#/...'");
      return nullptr;
    }
    const size_t end = std::min(text.find('/', at + 1), text.size());
    std::string key;
    for (size_t i = at + 1; i < end; ++i) {
      if (text[i] == '~' && i + 1 < end && (text[i + 1] == '0' || text[i + 1] == '1')) {
        key += text[++i] == '0' ? '~' : '/';
      } else if (text[i] == '%' && i + 2 < end && jinja::HexDigit(text[i + 1]) >= 0 &&
                 jinja::HexDigit(text[i + 2]) >= 0) {
        key += static_cast<char>(jinja::HexDigit(text[i + 1]) * 16 + jinja::HexDigit(text[i + 2]));
        i += 2;
      } else {
        key += text[i];
      }
    }
    at = end;
    const Value* next = nullptr;
    if (now->kind == Kind::kDict) {
      next = now->dict->Get(key);
    } else if (now->kind == Kind::kList && !key.empty() && key.size() < 6 &&
               std::all_of(key.begin(), key.end(), [](char c) { return c >= '0' && c <= '9'; })) {
      size_t index = 0;
      for (const char c : key) index = index * 10 + static_cast<size_t>(c - '0');
      if (index < now->list->items.size()) next = &now->list->items[index];
    }
    if (next == nullptr) {
      Malformed("$ref", "\"" + std::string(text.substr(0, 100)) + "\" points to nothing");
      return nullptr;
    }
    now = next;
  }
  return now;
}

Value SchemaContext::Both(const Value& a, const Value& b) {
  Value list = heap.NewList();
  list.list->items = {a, b};
  Value both = heap.NewDict();
  both.dict->Set(heap.NewString("allOf"), list);
  return both;
}

Value SchemaContext::Without(const Value& schema, std::string_view key) {
  Value copy = heap.NewDict();
  for (const jinja::Dict::Entry& entry : schema.dict->entries) {
    if (entry.key.str->view() != key) copy.dict->Set(entry.key, entry.value);
  }
  return copy;
}

bool SchemaContext::Flatten(const Value& schema, int depth, Value* out) {
  *out = schema;
  if (schema.kind == Kind::kBool) return schema.boolean || Fail("", "nothing satisfies the schema false");
  if (schema.kind != Kind::kDict) return Malformed("", "a schema must be an object, true or false");
  const Value* reference = Get(schema, "$ref");
  const Value* all = Get(schema, "allOf");
  if (!Charge(1 + schema.dict->entries.size())) return false;
  if (reference == nullptr && all == nullptr) return true;
  if (depth == kMaxMerges)
    return Fail(reference != nullptr ? "$ref" : "allOf", "references and allOf nested over 32 deep");
  if (all != nullptr && (all->kind != Kind::kList || all->list->items.empty())) {
    return Malformed("allOf", "must be an array of schemas");
  }
  Value result = Without(Without(schema, "$ref"), "allOf");
  const auto add = [&](const Value& part) {
    Value flat;
    return Flatten(part, depth + 1, &flat) && (flat.kind == Kind::kBool || Merge(result, flat, &result));
  };
  if (reference != nullptr) {
    const Value* target = Resolve(*reference);
    if (target == nullptr || !add(*target)) return false;
  }
  if (all != nullptr) {
    PathScope scope(this, "allOf");
    for (size_t i = 0; i < all->list->items.size(); ++i) {
      PathScope item(this, i);
      if (!add(all->list->items[i])) return false;
    }
  }
  *out = result;
  return true;
}

bool SchemaContext::Merge(const Value& a, const Value& b, Value* out) {
  if (!Charge(1 + a.dict->entries.size() + b.dict->entries.size())) return false;
  Value merged = Without(a, "");
  for (const jinja::Dict::Entry& entry : b.dict->entries) {
    const std::string_view key = entry.key.str->view();
    if (IsAnnotation(key) || key == "properties" || key == "additionalProperties") continue;
    Value value = entry.value;
    const Value* known = Get(a, key);
    if (known != nullptr && !MergeKeyword(key, *known, entry.value, &value)) return false;
    merged.dict->Set(entry.key, value);
  }
  if (!MergeObjects(a, b, &merged)) return false;
  *out = merged;
  return true;
}

// Of properties that only one schema names, the other's additionalProperties tells.
bool SchemaContext::MergeObjects(const Value& a, const Value& b, Value* out) {
  const Value* properties[] = {Get(a, "properties"), Get(b, "properties")};
  const Value* additional[] = {Get(a, "additionalProperties"), Get(b, "additionalProperties")};
  const auto is_free = [](const Value* schema) {
    return schema == nullptr || (schema->kind == Kind::kBool && schema->boolean);
  };
  if (properties[0] != nullptr || properties[1] != nullptr) {
    Value all = heap.NewDict();
    for (int side = 0; side < 2; ++side) {
      if (properties[side] == nullptr) continue;
      if (properties[side]->kind != Kind::kDict) return Malformed("properties", "must be an object");
      const Value* others = properties[1 - side];
      if (!Charge(properties[side]->dict->entries.size())) return false;
      for (const jinja::Dict::Entry& entry : properties[side]->dict->entries) {
        const std::string_view name = entry.key.str->view();
        const Value* other = others == nullptr ? nullptr : Get(*others, name);
        if (other == nullptr && !is_free(additional[1 - side])) other = additional[1 - side];
        if (side == 1 && all.dict->Get(name) != nullptr) continue;
        const Value both = other == nullptr ? entry.value : IsFalse(*other) ? *other : Both(entry.value, *other);
        all.dict->Set(entry.key, both);
      }
    }
    out->dict->Set(heap.NewString("properties"), all);
  }
  const Value key = heap.NewString("additionalProperties");
  if (additional[1] == nullptr) return true;
  if (is_free(additional[0]) || IsFalse(*additional[1])) {
    out->dict->Set(key, *additional[1]);
  } else if (!is_free(additional[1]) && !IsFalse(*additional[0])) {
    out->dict->Set(key, Both(*additional[0], *additional[1]));
  }
  return true;
}

bool SchemaContext::MergeTypes(const Value& a, const Value& b, Value* out) {
  Value types = heap.NewList();
  const auto listed = [&](const Value& value) {
    return value.kind == Kind::kList ? value.list->items : std::vector<Value>{value};
  };
  for (const Value& left : listed(a)) {
    for (const Value& right : listed(b)) {
      const std::string l = ToJson(left);
      const std::string r = ToJson(right);
      if (l == r || (l == "\"integer\"" && r == "\"number\"")) types.list->items.push_back(left);
      if (l == "\"number\"" && r == "\"integer\"") types.list->items.push_back(right);
    }
  }
  if (types.list->items.empty()) return Fail("type", "the types that must hold at once exclude each other");
  *out = types;
  return true;
}

bool SchemaContext::MergeKeyword(std::string_view key, const Value& a, const Value& b, Value* out) {
  if (key == "type") return MergeTypes(a, b, out);
  const bool numbers = a.IsNumber() && b.IsNumber();
  if (numbers && IsOneOf(key, {"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"})) {
    *out = CompareNumbers(a, b) < 0 ? b : a;
    return true;
  }
  if (numbers && IsOneOf(key, {"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"})) {
    *out = CompareNumbers(a, b) < 0 ? a : b;
    return true;
  }
  const bool lists = a.kind == Kind::kList && b.kind == Kind::kList;
  if (key == "required" && lists) {
    *out = heap.NewList();
    out->list->items = a.list->items;
    out->list->items.insert(out->list->items.end(), b.list->items.begin(), b.list->items.end());
    return Charge(out->list->items.size());
  }
  if (key == "enum" && lists) {
    if (!Charge(a.list->items.size() * b.list->items.size())) return false;
    *out = heap.NewList();
    for (const Value& value : a.list->items) {
      if (Contains(b.list->items, ToJson(value))) out->list->items.push_back(value);
    }
    return !out->list->items.empty() || Fail("enum", "the values that must hold at once exclude each other");
  }
  if (key == "items" && !lists) {
    *out = Both(a, b);
    return true;
  }
  if (ToJson(a) == ToJson(b)) {
    *out = a;
    return true;
  }
  return Fail(key, "two of it that must hold at once cannot be made one");
}

}  // namespace mote::grammar
