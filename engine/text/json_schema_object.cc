// Objects and arrays of JSON schemas.
#include <algorithm>

#include "engine/text/json_schema_impl.h"
#include "engine/text/utf8.h"

namespace mote::grammar {
namespace {

using jinja::Kind;
using jinja::Value;

// Names beside which other keys are told apart character by character.
constexpr size_t kMaxNameChars = 128;

bool IsPlainChar(uint32_t code) {
  return code >= 0x20 && code != '"' && code != '\\';
}

}  // namespace

// `item`, from min to max of them, with commas between them and blanks at the end; nothing where min is 0.
ExprId SchemaBuilder::List(ExprId item, uint32_t min, uint32_t max) {
  if (max == 0) return ast_.Empty();
  const Expr e = ast_.expr(item);  // a reference: it can be made again
  const ExprId more = ast_.Named("more", ast_.Sequence({Comma(), ast_.Reference(e.first)}));
  const ExprId rest = ast_.Repeat(more, min > 0 ? min - 1 : 0, max == kUnlimited ? kUnlimited : max - 1);
  const ExprId list = ast_.Sequence({item, rest, Blanks()});
  return min > 0 ? list : ast_.Optional(list);
}

bool SchemaBuilder::ReadProperties(const Value& schema, std::vector<Property>* properties,
                                   std::optional<Value>* additional) {
  const Value* named = Get(schema, "properties");
  const Value* others = Get(schema, "additionalProperties");
  const Value* required = Get(schema, "required");
  if (named != nullptr && named->kind != Kind::kDict) return context_.Malformed("properties", "must be an object");
  if (required != nullptr && required->kind != Kind::kList) {
    return context_.Malformed("required", "must be an array of strings");
  }
  std::map<std::string, size_t, std::less<>> index;
  if (named != nullptr) {
    for (const jinja::Dict::Entry& entry : named->dict->entries) {
      index.emplace(entry.key.str->view(), properties->size());
      properties->push_back({std::string(entry.key.str->view()), entry.value});
    }
  }
  const bool closed = others != nullptr && IsFalse(*others);
  for (size_t i = 0; required != nullptr && i < required->list->items.size(); ++i) {
    const Value& name = required->list->items[i];
    if (name.kind != Kind::kString) return context_.Malformed("required", "must be an array of strings");
    const auto [place, fresh] = index.emplace(name.str->view(), properties->size());
    if (fresh) {
      if (closed) {
        return context_.Fail("required",
                             ToJson(name).substr(0, 80) + " is neither in properties nor allowed beside them");
      }
      properties->push_back({std::string(name.str->view()), others != nullptr ? *others : Value::Bool(true)});
    }
    (*properties)[place->second].required = true;
  }
  std::erase_if(*properties, [](const Property& p) { return !p.required && IsFalse(p.schema); });
  // Who names properties and says nothing of others means these.
  if (others != nullptr && !closed) *additional = *others;
  if (others == nullptr && named == nullptr && properties->empty()) *additional = Value::Bool(true);
  return CheckPropertyCounts(schema, *properties, additional->has_value());
}

bool SchemaBuilder::CheckPropertyCounts(const Value& schema, const std::vector<Property>& properties, bool open) {
  uint32_t min = 0;
  uint32_t max = 0;
  if (!ReadCount(schema, "minProperties", 0, &min) || !ReadCount(schema, "maxProperties", kUnlimited, &max))
    return false;
  const auto is_required = [](const Property& p) { return p.required; };
  if (min > static_cast<size_t>(std::count_if(properties.begin(), properties.end(), is_required))) {
    return context_.Fail("minProperties", "more than there are required properties is not supported");
  }
  if (max != kUnlimited && (open || max < properties.size())) {
    return context_.Fail("maxProperties", "fewer than there may be is not supported");
  }
  const Value* unevaluated = Get(schema, "unevaluatedProperties");
  if (unevaluated != nullptr && !(unevaluated->kind == Kind::kBool && (unevaluated->boolean || !open))) {
    return context_.Fail("unevaluatedProperties", "is not supported; additionalProperties is");
  }
  return true;
}

ExprId SchemaBuilder::AfterPair(const std::vector<RuleId>& rests, size_t index) {
  return index < rests.size() ? ast_.Reference(rests[index]) : ast_.Empty();
}

bool SchemaBuilder::BuildObject(const Value& schema, ExprId* out) {
  std::vector<Property> properties;
  std::optional<Value> additional;
  if (!ReadProperties(schema, &properties, &additional)) return false;
  std::vector<RuleId> pairs;
  std::vector<RuleId> rests;  // what follows a pair, with the properties from this one on
  for (const Property& property : properties) {
    PathScope scope(&context_, "properties");
    PathScope name(&context_, property.name);
    ExprId value = 0;
    if (!Build(property.schema, &value)) return false;
    const ExprId key = ast_.Literal(ToJsonString(property.name) + ":");
    pairs.push_back(ast_.AddRule("pair"));
    rests.push_back(ast_.AddRule("rest"));
    if (!HasRoom()) return false;
    ast_.Define(pairs.back(), ast_.Sequence({key, Blanks(), value}));
  }
  std::optional<RuleId> other;
  if (additional) {
    PathScope scope(&context_, "additionalProperties");
    ExprId key = 0;
    ExprId value = 0;
    if (!BuildOtherKey(properties, &key) || !Build(*additional, &value)) return false;
    other = ast_.AddRule("pair");
    rests.push_back(ast_.AddRule("rest"));
    if (!HasRoom()) return false;
    ast_.Define(*other, ast_.Sequence({key, ast_.Literal(":"), Blanks(), value}));
    const ExprId more = ast_.Named("more", ast_.Sequence({Comma(), ast_.Reference(*other)}));
    ast_.Define(rests.back(), ast_.Repeat(more, 0, kUnlimited));
  }
  std::vector<ExprId> firsts;
  bool may_be_empty = true;
  for (size_t i = 0; i < properties.size(); ++i) {
    const ExprId next = ast_.Sequence({Comma(), ast_.Reference(pairs[i])});
    ast_.Define(rests[i],
                ast_.Sequence({properties[i].required ? next : ast_.Optional(next), AfterPair(rests, i + 1)}));
    // Nothing stands before it only where all before it may be left out.
    if (may_be_empty) firsts.push_back(ast_.Sequence({ast_.Reference(pairs[i]), AfterPair(rests, i + 1)}));
    may_be_empty = may_be_empty && !properties[i].required;
  }
  if (may_be_empty && other)
    firsts.push_back(ast_.Sequence({ast_.Reference(*other), AfterPair(rests, properties.size())}));
  ExprId inside = ast_.Empty();
  if (!firsts.empty()) {
    inside = ast_.Sequence({ast_.Alternate(firsts), Blanks()});
    if (may_be_empty) inside = ast_.Optional(inside);
  }
  *out = ast_.Named("object", ast_.Sequence({ast_.Literal("{"), Blanks(), inside, ast_.Literal("}")}));
  return true;
}

ExprId SchemaBuilder::PlainChars() {
  if (!plain_) {
    plain_ = ast_.AddRule("plain");
    ast_.Define(*plain_, ast_.Repeat(ast_.Class(Negate({{0, 0x1F}, {'"', '"'}, {'\\', '\\'}})), 0, kUnlimited));
  }
  return ast_.Reference(*plain_);
}

// Without escapes, by which a name could be written in another way.
bool SchemaBuilder::BuildOtherKey(const std::vector<Property>& properties, ExprId* out) {
  std::vector<std::vector<uint32_t>> names;
  for (const Property& property : properties) {
    std::vector<uint32_t> name;
    bool plain = true;
    for (size_t at = 0; at < property.name.size();) {
      const Utf8Char c = DecodeUtf8(property.name, at);
      plain = plain && c.valid && IsPlainChar(c.code_point);
      name.push_back(c.code_point);
      at += c.bytes;
    }
    if (!plain) continue;
    if (name.size() > kMaxNameChars) {
      return context_.Fail("", "is not supported beside properties whose names are over 128 characters long");
    }
    names.push_back(std::move(name));
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  const ExprId rest = names.empty() ? PlainChars() : KeyUnlike(names, 0, names.size(), 0);
  *out = ast_.Named("key", ast_.Sequence({ast_.Literal("\""), rest, ast_.Literal("\"")}));
  return true;
}

// What may follow the first `depth` characters of the names from `begin` to `end`, which have them in common, so that
// none of them comes out. Recursion is bounded by kMaxNameChars.
ExprId SchemaBuilder::KeyUnlike(const std::vector<std::vector<uint32_t>>& names, size_t begin, size_t end,
                                size_t depth) {
  std::vector<ExprId> choices;
  const bool is_name = names[begin].size() == depth;  // shorter ones are sorted first
  if (!is_name) choices.push_back(ast_.Empty());
  std::vector<CodeRange> taken = {{0, 0x1F}, {'"', '"'}, {'\\', '\\'}};
  for (size_t i = begin + (is_name ? 1 : 0); i < end;) {
    const uint32_t code = names[i][depth];
    size_t next = i;
    while (next < end && names[next][depth] == code) ++next;
    std::string text;
    AppendUtf8(code, &text);
    choices.push_back(ast_.Sequence({ast_.Literal(text), KeyUnlike(names, i, next, depth + 1)}));
    taken.push_back({code, code});
    i = next;
  }
  choices.push_back(ast_.Sequence({ast_.Class(Negate(Normalize(std::move(taken)))), PlainChars()}));
  return ast_.Alternate(choices);
}

bool SchemaBuilder::BuildArray(const Value& schema, ExprId* out) {
  uint32_t min = 0;
  uint32_t max = 0;
  if (!ReadCount(schema, "minItems", 0, &min) || !ReadCount(schema, "maxItems", kUnlimited, &max)) return false;
  if (min > max) return context_.Fail("minItems", "is above maxItems: nothing satisfies both");
  const Value* unique = Get(schema, "uniqueItems");
  if (unique != nullptr && !IsFalse(*unique) && max > 1) return context_.Fail("uniqueItems", "is not supported");
  const Value* items = Get(schema, "items");
  const Value* prefix = Get(schema, "prefixItems");
  std::string_view prefix_key = "prefixItems";
  std::string_view items_key = "items";
  if (prefix == nullptr && items != nullptr && items->kind == Kind::kList) {  // as it was before 2020
    prefix = items;
    prefix_key = "items";
    items = Get(schema, "additionalItems");
    items_key = "additionalItems";
  }
  if (prefix != nullptr && prefix->kind != Kind::kList) return context_.Malformed(prefix_key, "must be an array");
  std::vector<ExprId> parts = {ast_.Literal("["), Blanks()};
  uint32_t count = 0;
  for (size_t i = 0; prefix != nullptr && i < prefix->list->items.size() && count < max; ++i, ++count) {
    PathScope scope(&context_, prefix_key);
    PathScope index(&context_, i);
    ExprId value = 0;
    if (IsFalse(prefix->list->items[i]) && count >= min) break;
    if (!Build(prefix->list->items[i], &value)) return false;
    if (i > 0) parts.push_back(Comma());
    parts.push_back(value);
  }
  const bool closed = items != nullptr && IsFalse(*items);
  // As with properties: who lists the first items and says nothing of others means these, unless more must be.
  const bool more = !closed && count < max && (items != nullptr || prefix == nullptr || min > count);
  if (!more && min > count) return context_.Fail("minItems", "more items than there may be");
  if (more) {
    PathScope scope(&context_, items_key);
    ExprId value = 0;
    if (!Build(items != nullptr ? *items : Value::Bool(true), &value)) return false;
    const uint32_t most = max == kUnlimited ? kUnlimited : max - count;
    if (count == 0) {
      parts.push_back(List(ast_.Named("item", value), min, most));
    } else {
      const ExprId next = ast_.Named("more", ast_.Sequence({Comma(), value}));
      parts.push_back(ast_.Repeat(next, min > count ? min - count : 0, most));
    }
  }
  if (count > 0) parts.push_back(Blanks());
  parts.push_back(ast_.Literal("]"));
  *out = ast_.Named("array", ast_.Sequence(parts));
  return true;
}

}  // namespace mote::grammar
