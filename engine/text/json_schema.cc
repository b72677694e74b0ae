// JSON schemas to grammars: kinds, choices, values and references. Objects and arrays: json_schema_object.cc.
#include "engine/text/json_schema.h"

#include <algorithm>
#include <limits>

#include "engine/text/grammar.h"
#include "engine/text/jinja_number.h"
#include "engine/text/json_reader.h"
#include "engine/text/json_schema_impl.h"

namespace mote::grammar {
namespace {

using jinja::Kind;
using jinja::Value;

constexpr std::string_view kTypes[] = {"object", "array", "string", "number", "integer", "boolean", "null"};

constexpr int kMaxBuildDepth = 160;

struct Format {
  const char* name;
  const char* pattern;
};
// Texts of a format, not all of them: docs/grammars.md. Days follow the calendar, leap years too.
#define MOTE_DATE                                                                                        \
  "(?:(?:0[1-9]|[1-9]\\d)\\d\\d-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|" \
  "[12]\\d|30)|02-(?:0[1-9]|1\\d|2[0-8]))|(?:(?:0[1-9]|[1-9]\\d)(?:0[48]|[2468][048]|[13579][26])|"      \
  "(?:0[48]|[2468][048]|[13579][26])00)-02-29)"
#define MOTE_TIME "(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,6})?(?:Z|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)"
#define MOTE_HOST "[a-z](?:[a-z0-9-]{0,30}[a-z0-9])?(?:\\.[a-z](?:[a-z0-9-]{0,30}[a-z0-9])?){0,5}"
constexpr Format kFormats[] = {
    {"date", "^" MOTE_DATE "$"},
    {"time", "^" MOTE_TIME "$"},
    {"date-time", "^" MOTE_DATE "T" MOTE_TIME "$"},
    {"uuid", "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"},
    {"ipv4", "^(?:(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)\\.){3}(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)$"},
    {"hostname", "^" MOTE_HOST "$"},
    {"email", "^[A-Za-z0-9_+-]{1,30}(?:\\.[A-Za-z0-9_+-]{1,30})?@" MOTE_HOST "\\.[a-z]{2,12}$"},
    {"uri",
     "^https?://" MOTE_HOST "(?::[1-9]\\d{0,3})?(?:/[A-Za-z0-9._~-]{0,60}){0,12}(?:\\?[A-Za-z0-9._~=&-]{0,200})?$"},
};
#undef MOTE_DATE
#undef MOTE_TIME
#undef MOTE_HOST

}  // namespace

ExprId SchemaBuilder::Blanks() {
  if (!blanks_) {
    blanks_ = ast_.AddRule("blanks");
    // None, a space, or a line's end and what it is indented by: a model that falls into blanks comes out again.
    const ExprId indent = ast_.Repeat(ast_.Class({{' ', ' '}, {'\t', '\t'}}), 0, 32);
    ast_.Define(*blanks_,
                ast_.Alternate({ast_.Empty(), ast_.Literal(" "), ast_.Sequence({ast_.Literal("\n"), indent})}));
  }
  return ast_.Reference(*blanks_);
}

RuleId SchemaBuilder::CharRule() {
  if (!char_) {
    char_ = ast_.AddRule("char");
    const CodeRange hex[] = {{'0', '9'}, {'a', 'f'}, {'A', 'F'}};
    const auto digits = [&](uint32_t count) { return ast_.Repeat(ast_.Class({hex[0], hex[1], hex[2]}), count, count); };
    // No surrogates: a half of one is no character, and characters past U+FFFF can stand as they are.
    const ExprId code = ast_.Alternate(
        {ast_.Sequence({ast_.Class({{'0', '9'}, {'a', 'c'}, {'A', 'C'}, {'e', 'f'}, {'E', 'F'}}), digits(3)}),
         ast_.Sequence({ast_.Class({{'d', 'd'}, {'D', 'D'}}), ast_.Class({{'0', '7'}}), digits(2)})});
    const ExprId simple =
        ast_.Class({{'"', '"'}, {'\\', '\\'}, {'/', '/'}, {'b', 'b'}, {'f', 'f'}, {'n', 'n'}, {'r', 'r'}, {'t', 't'}});
    const ExprId escape =
        ast_.Sequence({ast_.Literal("\\"), ast_.Alternate({simple, ast_.Sequence({ast_.Literal("u"), code})})});
    ast_.Define(*char_, ast_.Alternate({ast_.Class(Negate({{0, 0x1F}, {'"', '"'}, {'\\', '\\'}})), escape}));
  }
  return *char_;
}

ExprId SchemaBuilder::String() {
  if (!string_) {
    string_ = ast_.AddRule("string");
    const ExprId chars = ast_.Repeat(ast_.Reference(CharRule()), 0, kUnlimited);
    ast_.Define(*string_, ast_.Sequence({ast_.Literal("\""), chars, ast_.Literal("\"")}));
  }
  return ast_.Reference(*string_);
}

ExprId SchemaBuilder::ObjectOf(int level) {
  const ExprId pair = ast_.Sequence({String(), ast_.Literal(":"), Blanks(), AnyOf(level + 1)});
  const ExprId pairs = List(ast_.Named("pair", pair), 0, kUnlimited);
  return ast_.Sequence({ast_.Literal("{"), Blanks(), pairs, ast_.Literal("}")});
}

// Any value, in objects and arrays of so many levels.
ExprId SchemaBuilder::AnyOf(int level) {
  any_.resize(std::max<size_t>(any_.size(), kMaxJsonLevels + 1));
  std::optional<RuleId>& rule = any_[static_cast<size_t>(level)];
  if (!rule) {
    const RuleId made = ast_.AddRule("value");
    rule = made;  // the reference is void once the levels below are made
    std::vector<ExprId> choices = {String(), *NumbersBetween({}, {}, &ast_), ast_.Literal("true"),
                                   ast_.Literal("false"), ast_.Literal("null")};
    if (level < kMaxJsonLevels) {
      choices.push_back(ObjectOf(level));
      choices.push_back(
          ast_.Sequence({ast_.Literal("["), Blanks(), List(AnyOf(level + 1), 0, kUnlimited), ast_.Literal("]")}));
    }
    ast_.Define(made, ast_.Alternate(choices));
    return ast_.Reference(made);
  }
  return ast_.Reference(*rule);
}

Ast SchemaBuilder::AnyObject() {
  ast_.root = ast_.AddRule("root");
  ast_.Define(ast_.root, ast_.Sequence({Blanks(), ObjectOf(0)}));
  return std::move(ast_);
}

Result<Ast> SchemaBuilder::Run() {
  ast_.root = ast_.AddRule("root");
  ExprId body = 0;
  if (!Build(context_.root, &body)) return context_.status;
  ast_.Define(ast_.root, ast_.Sequence({Blanks(), body}));
  while (!queue_.empty()) {
    const Open open = queue_.back();
    queue_.pop_back();
    context_.path = open.path;
    if (!Build(open.schema, &body)) return context_.status;
    ast_.Define(open.rule, body);
    MOTE_RETURN_IF_ERROR(ast_.Check());
  }
  MOTE_RETURN_IF_ERROR(ast_.Check());
  return std::move(ast_);
}

bool SchemaBuilder::CheckKeywords(const Value& schema) {
  for (const jinja::Dict::Entry& entry : schema.dict->entries) {
    const std::string_view key = entry.key.str->view();
    if (!IsKnownKeyword(key)) return context_.Fail(key, "this keyword is not supported");
  }
  return true;
}

bool SchemaBuilder::BuildReference(const Value& reference, ExprId* out) {
  const Value* target = context_.Resolve(reference);
  if (target == nullptr) return false;
  const auto [place, fresh] = references_.emplace(target, 0);
  if (fresh) {
    const std::string name(reference.str->view().substr(0, 200));
    place->second = ast_.AddRule(name);
    queue_.push_back({place->second, *target, name});
  }
  *out = ast_.Reference(place->second);
  return true;
}

bool SchemaBuilder::HasRoom() {
  const Status status = ast_.Check();
  return status.ok() || context_.Fail("", status.message(), Code::kInvalidArgument);
}

bool SchemaBuilder::Build(const Value& schema, ExprId* out) {
  if (!context_.Charge(1) || !HasRoom()) return false;
  // Deeper than any text can be nested: alternatives that lead to each other.
  if (depth_ == kMaxBuildDepth) return context_.Fail("", "alternatives and references are nested too deep");
  ++depth_;
  const bool built = BuildFlat(schema, out);
  --depth_;
  return built;
}

bool SchemaBuilder::BuildFlat(const Value& schema, ExprId* out) {
  if (schema.kind == Kind::kBool && schema.boolean) {
    *out = AnyValue();
    return true;
  }
  if (schema.kind == Kind::kBool) return context_.Fail("", "nothing satisfies the schema false");
  if (schema.kind != Kind::kDict) return context_.Malformed("", "a schema must be an object, true or false");
  if (!CheckKeywords(schema)) return false;
  const Value* reference = Get(schema, "$ref");
  if (reference != nullptr || Get(schema, "allOf") != nullptr) {
    const auto& entries = schema.dict->entries;
    const bool alone = std::all_of(entries.begin(), entries.end(), [](const jinja::Dict::Entry& entry) {
      return IsAnnotation(entry.key.str->view()) || entry.key.str->view() == "$ref";
    });
    if (alone) return BuildReference(*reference, out);
    Value flat;
    return context_.Flatten(schema, 0, &flat) && Build(flat, out);
  }
  if (Get(schema, "anyOf") != nullptr) return BuildChoice(schema, "anyOf", out);
  if (Get(schema, "oneOf") != nullptr) return BuildChoice(schema, "oneOf", out);
  if (Get(schema, "enum") != nullptr || Get(schema, "const") != nullptr) return BuildValues(schema, out);
  return BuildTypes(schema, out);
}

bool SchemaBuilder::BuildChoice(const Value& schema, std::string_view keyword, ExprId* out) {
  const Value& list = *Get(schema, keyword);
  if (list.kind != Kind::kList || list.list->items.empty()) {
    return context_.Malformed(keyword, "must be an array of schemas");
  }
  const Value rest = context_.Without(schema, keyword);
  const bool plain = std::all_of(rest.dict->entries.begin(), rest.dict->entries.end(),
                                 [](const auto& entry) { return IsAnnotation(entry.key.str->view()); });
  PathScope scope(&context_, keyword);
  const std::vector<Value>& items = list.list->items;
  if (keyword == "oneOf") {
    if (!context_.Charge(items.size() * items.size())) return false;
    for (size_t i = 0; i < items.size(); ++i) {
      for (size_t k = 0; k < i; ++k) {
        if (context_.Disjoint(items[k], items[i])) continue;
        return context_.Fail("", "alternatives " + std::to_string(k) + " and " + std::to_string(i) +
                                     " may hold at once; tell them apart by type or a constant property, or use anyOf");
      }
    }
  }
  std::vector<ExprId> choices;
  for (size_t i = 0; i < items.size(); ++i) {
    if (IsFalse(items[i])) continue;
    PathScope item(&context_, i);
    ExprId choice = 0;
    if (!Build(plain ? items[i] : context_.Both(rest, items[i]), &choice)) return false;
    choices.push_back(choice);
  }
  if (choices.empty()) return context_.Fail("", "nothing satisfies it");
  *out = ast_.Alternate(choices);
  return true;
}

bool SchemaBuilder::BuildValues(const Value& schema, ExprId* out) {
  std::vector<Value> values;
  const Value* all = Get(schema, "enum");
  const Value* one = Get(schema, "const");
  if (all != nullptr && (all->kind != Kind::kList || all->list->items.empty())) {
    return context_.Malformed("enum", "must be an array of values");
  }
  if (one != nullptr) values.push_back(*one);
  if (one == nullptr) values = all->list->items;
  for (const jinja::Dict::Entry& entry : schema.dict->entries) {
    const std::string_view key = entry.key.str->view();
    if (!KindOf(key).empty()) return context_.Fail(key, "is not supported beside enum or const");
  }
  const Value* type = Get(schema, "type");
  std::vector<ExprId> choices;
  for (const Value& value : values) {
    if (type != nullptr && !IsOfType(value, *type)) continue;
    const std::string json = ToJson(value);
    if (one != nullptr && all != nullptr) {
      const std::vector<Value>& allowed = all->list->items;
      if (std::none_of(allowed.begin(), allowed.end(), [&](const Value& v) { return ToJson(v) == json; })) continue;
    }
    choices.push_back(ast_.Literal(json));
  }
  if (choices.empty()) return context_.Fail(one != nullptr ? "const" : "enum", "no value is of the type that is asked");
  *out = ast_.Alternate(choices);
  return true;
}

bool SchemaBuilder::BuildTypes(const Value& schema, ExprId* out) {
  std::vector<std::string_view> types;
  if (const Value* type = Get(schema, "type"); type != nullptr) {
    const std::vector<Value> listed = type->kind == Kind::kList ? type->list->items : std::vector<Value>{*type};
    for (const Value& value : listed) {
      const std::string_view name = value.kind == Kind::kString ? value.str->view() : std::string_view();
      if (std::find(std::begin(kTypes), std::end(kTypes), name) == std::end(kTypes)) {
        return context_.Malformed("type",
                                  "must be object, array, string, number, integer, boolean, null or a list of these");
      }
      types.push_back(name);
    }
    if (types.empty()) return context_.Malformed("type", "the list is empty");
  } else {
    // Keywords restrict one kind and allow all others; who writes them means that kind.
    for (const jinja::Dict::Entry& entry : schema.dict->entries) {
      const std::string_view kind = KindOf(entry.key.str->view());
      if (!kind.empty() && std::find(types.begin(), types.end(), kind) == types.end()) types.push_back(kind);
    }
  }
  if (types.empty()) {
    *out = AnyValue();
    return true;
  }
  std::vector<ExprId> choices(types.size());
  for (size_t i = 0; i < types.size(); ++i) {
    if (!BuildType(schema, types[i], &choices[i])) return false;
  }
  *out = ast_.Alternate(choices);
  return true;
}

bool SchemaBuilder::BuildType(const Value& schema, std::string_view type, ExprId* out) {
  if (type == "object") return BuildObject(schema, out);
  if (type == "array") return BuildArray(schema, out);
  if (type == "string") return BuildString(schema, out);
  if (type == "number") return BuildNumber(schema, /*integer=*/false, out);
  if (type == "integer") return BuildNumber(schema, /*integer=*/true, out);
  *out = type == "null" ? ast_.Literal("null") : ast_.Alternate({ast_.Literal("true"), ast_.Literal("false")});
  return true;
}

bool SchemaBuilder::ReadCount(const Value& schema, std::string_view key, uint32_t absent, uint32_t* out) {
  *out = absent;
  const Value* value = Get(schema, key);
  if (value == nullptr) return true;
  const double number = value->IsNumber() && value->kind != Kind::kBool ? value->AsFloat() : -1;
  if (!(number >= 0) || number != static_cast<double>(static_cast<int64_t>(std::min(number, 1e15)))) {
    return context_.Malformed(key, "must be an integer of at least 0");
  }
  if (number > kMaxSchemaCount) {
    // An upper end so far away binds nobody who must not reach it.
    return context_.Fail(key, "counts up to " + std::to_string(kMaxSchemaCount) + " are supported");
  }
  *out = static_cast<uint32_t>(number);
  return true;
}

bool SchemaBuilder::BuildString(const Value& schema, ExprId* out) {
  uint32_t min = 0;
  uint32_t max = 0;
  if (!ReadCount(schema, "minLength", 0, &min) || !ReadCount(schema, "maxLength", kUnlimited, &max)) return false;
  if (min > max) return context_.Fail("minLength", "is above maxLength: nothing satisfies both");
  const Value* pattern = Get(schema, "pattern");
  const Value* format = Get(schema, "format");
  std::string_view source;
  std::string_view key = "pattern";
  if (pattern != nullptr) {
    if (pattern->kind != Kind::kString) return context_.Malformed(key, "must be a string");
    if (format != nullptr) return context_.Fail("format", "is not supported beside pattern");
    source = pattern->str->view();
  } else if (format != nullptr) {
    key = "format";
    if (format->kind != Kind::kString) return context_.Malformed(key, "must be a string");
    std::string known;
    for (const Format& f : kFormats) {
      if (format->str->view() == f.name) source = f.pattern;
      known += (known.empty() ? "" : ", ") + std::string(f.name);
    }
    if (source.empty()) {
      return context_.Fail(key, ToJson(*format).substr(0, 60) + " is not supported; " + known + " are");
    }
  }
  const ExprId quote = ast_.Literal("\"");
  if (pattern == nullptr && format == nullptr) {
    if (min == 0 && max == kUnlimited) {
      *out = String();
    } else {
      const ExprId chars = ast_.Repeat(ast_.Reference(CharRule()), min, max);
      *out = ast_.Named("string", ast_.Sequence({quote, chars, ast_.Literal("\"")}));
    }
    return true;
  }
  const Result<PatternExpr> parsed = ParsePattern(source, CharRule(), &ast_);
  if (!parsed.ok()) return context_.Fail(key, parsed.status().message(), parsed.status().code());
  if (parsed->min_chars < min || parsed->max_chars > max) {
    return context_.Fail(parsed->min_chars < min ? "minLength" : "maxLength",
                         "the " + std::string(key) + " also matches other lengths; the two cannot be joined");
  }
  *out = ast_.Named("string", ast_.Sequence({quote, parsed->expr, ast_.Literal("\"")}));
  return true;
}

bool SchemaBuilder::ReadBound(const Value& schema, std::string_view key, std::optional<Decimal>* out) {
  const Value* value = Get(schema, key);
  if (value == nullptr) return true;
  if (!value->IsNumber() || value->kind == Kind::kBool) return context_.Malformed(key, "must be a number");
  *out = ParseDecimal(ToJson(*value));
  if (!*out) return context_.Fail(key, "bounds with an exponent are not supported");
  return true;
}

bool SchemaBuilder::BuildNumber(const Value& schema, bool integer, ExprId* out) {
  if (const Value* step = Get(schema, "multipleOf"); step != nullptr && !(integer && ToJson(*step) == "1")) {
    return context_.Fail("multipleOf", "is not supported");
  }
  std::optional<Bound> low;
  std::optional<Bound> high;
  for (const bool exclusive : {false, true}) {
    std::optional<Decimal> least;
    std::optional<Decimal> most;
    if (!ReadBound(schema, exclusive ? "exclusiveMinimum" : "minimum", &least)) return false;
    if (!ReadBound(schema, exclusive ? "exclusiveMaximum" : "maximum", &most)) return false;
    if (least && (!low || Compare(*least, low->value) >= 0)) low = Bound{*least, exclusive};
    if (most && (!high || Compare(*most, high->value) <= 0)) high = Bound{*most, exclusive};
  }
  std::optional<ExprId> numbers;
  const auto too_long = [&](const std::optional<Bound>& bound) {
    return bound && (bound->value.whole.size() > (integer ? 18 : kMaxBoundDigits) ||
                     (!integer && bound->value.whole.size() + bound->value.fraction.size() > 15));
  };
  if (too_long(low) || too_long(high))
    return context_.Fail(too_long(low) ? "minimum" : "maximum", "has too many digits");
  if (integer) {
    // The nearest integer within.
    const auto inner = [](const Bound& bound, int inward) {
      int64_t value = 0;
      for (const char c : bound.value.whole) value = value * 10 + (c - '0');
      if (bound.value.negative) value = -value;
      if (!bound.value.fraction.empty()) {
        // Cut towards 0 above: that is already within where the bound is on the other side of it.
        const bool outward = bound.value.negative ? inward < 0 : inward > 0;
        return outward ? value + inward : value;
      }
      return bound.exclusive ? value + inward : value;
    };
    numbers = IntegersBetween(low ? std::optional<int64_t>(inner(*low, 1)) : std::nullopt,
                              high ? std::optional<int64_t>(inner(*high, -1)) : std::nullopt, &ast_);
  } else {
    numbers = NumbersBetween(low, high, &ast_);
  }
  if (!numbers) return context_.Fail(low ? "minimum" : "maximum", "no number is within the bounds");
  *out = ast_.Named(integer ? "integer" : "number", *numbers);
  return true;
}

Result<Ast> ParseJsonSchema(std::string_view schema) {
  if (schema.size() > kMaxSourceBytes) {
    return Error(Code::kInvalidArgument, "the JSON schema has %zu bytes; up to %zu are accepted", schema.size(),
                 kMaxSourceBytes);
  }
  jinja::Heap heap;
  SchemaContext context(&heap);
  const Result<Value> root = jinja::ReadJson(schema, &heap);
  if (!root.ok()) return Status(Code::kMalformed, root.status().message()).Within("JSON schema");
  context.root = *root;
  return SchemaBuilder(&context).Run();
}

Ast AnyJsonObjectAst() {
  jinja::Heap heap;
  SchemaContext context(&heap);
  return SchemaBuilder(&context).AnyObject();
}

}  // namespace mote::grammar

namespace mote {

Result<std::shared_ptr<const Grammar>> Grammar::FromJsonSchema(std::string_view schema) {
  MOTE_ASSIGN_OR_RETURN(const grammar::Ast ast, grammar::ParseJsonSchema(schema));
  return Compile(ast);
}

Result<std::shared_ptr<const Grammar>> Grammar::AnyJsonObject() {
  return Compile(grammar::AnyJsonObjectAst());
}

}  // namespace mote
