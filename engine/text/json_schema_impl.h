// The parts of the translation of JSON schemas. Not for outside json_schema*.cc.
#ifndef MOTE_ENGINE_TEXT_JSON_SCHEMA_IMPL_H_
#define MOTE_ENGINE_TEXT_JSON_SCHEMA_IMPL_H_

#include <stddef.h>
#include <stdint.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/core/status.h"
#include "engine/text/grammar_ast.h"
#include "engine/text/jinja_value.h"
#include "engine/text/json_schema.h"
#include "engine/text/json_schema_number.h"

namespace mote::grammar {

// A value as JSON text without blanks, strings with the fewest escapes. The values of a reader, nested as deep as it
// allows.
std::string ToJson(const jinja::Value& value);
std::string ToJsonString(std::string_view text);

// `type` is a name or a list of names.
bool IsOfType(const jinja::Value& value, const jinja::Value& type);

bool IsAnnotation(std::string_view keyword);
// What a keyword can restrict: "object", "array", "string", "number", or "" for any kind or none.
std::string_view KindOf(std::string_view keyword);
bool IsKnownKeyword(std::string_view keyword);

inline const jinja::Value* Get(const jinja::Value& schema, std::string_view key) {
  return schema.kind == jinja::Kind::kDict ? schema.dict->Get(key) : nullptr;
}
inline bool IsFalse(const jinja::Value& value) {
  return value.kind == jinja::Kind::kBool && !value.boolean;
}

// "$.properties.a": where in the schema. Work is counted here too, so that references that double at each step end.
class SchemaContext {
 public:
  explicit SchemaContext(jinja::Heap* heap) : heap(*heap) {}

  bool Fail(std::string_view keyword, const std::string& what, Code code = Code::kUnsupported);
  // Failing because the schema itself is wrong.
  bool Malformed(std::string_view keyword, const std::string& what) { return Fail(keyword, what, Code::kMalformed); }
  // False once the schema has taken too long.
  bool Charge(size_t work);

  // What "#/..." points to; null, with the error, if nothing.
  const jinja::Value* Resolve(const jinja::Value& reference);

  // The schema with $ref and allOf worked into it; *out is a dict or true. Fails where that cannot be said.
  bool Flatten(const jinja::Value& schema, int depth, jinja::Value* out);
  // {"allOf": [a, b]}
  jinja::Value Both(const jinja::Value& a, const jinja::Value& b);
  jinja::Value Without(const jinja::Value& schema, std::string_view key);

  // Nothing valid for one is made for the other.
  bool Disjoint(const jinja::Value& a, const jinja::Value& b);

  jinja::Heap& heap;
  jinja::Value root;
  std::string path = "$";
  Status status;

 private:
  bool Merge(const jinja::Value& a, const jinja::Value& b, jinja::Value* out);
  bool MergeKeyword(std::string_view key, const jinja::Value& a, const jinja::Value& b, jinja::Value* out);
  bool MergeTypes(const jinja::Value& a, const jinja::Value& b, jinja::Value* out);
  bool MergeObjects(const jinja::Value& a, const jinja::Value& b, jinja::Value* out);

  size_t work_ = 0;
};

// Adds ".key" or "[index]" to the path while it lives.
class PathScope {
 public:
  PathScope(SchemaContext* context, std::string_view key) : path_(context->path), size_(path_.size()) {
    path_ += '.';
    path_ += key.substr(0, 64);
  }
  PathScope(SchemaContext* context, size_t index) : path_(context->path), size_(path_.size()) {
    path_ += '[' + std::to_string(index) + ']';
  }
  ~PathScope() { path_.resize(size_); }

 private:
  std::string& path_;
  size_t size_;
};

class SchemaBuilder {
 public:
  explicit SchemaBuilder(SchemaContext* context) : context_(*context) {}
  Result<Ast> Run();
  Ast AnyObject();

 private:
  using Value = jinja::Value;

  // Adds what the schema says to the tree.
  bool Build(const Value& schema, ExprId* out);
  bool BuildFlat(const Value& schema, ExprId* out);
  bool HasRoom();
  bool CheckKeywords(const Value& schema);
  bool BuildReference(const Value& reference, ExprId* out);
  bool BuildChoice(const Value& schema, std::string_view keyword, ExprId* out);
  bool BuildValues(const Value& schema, ExprId* out);
  bool BuildTypes(const Value& schema, ExprId* out);
  bool BuildType(const Value& schema, std::string_view type, ExprId* out);
  bool BuildObject(const Value& schema, ExprId* out);
  bool BuildArray(const Value& schema, ExprId* out);
  bool BuildString(const Value& schema, ExprId* out);
  bool BuildNumber(const Value& schema, bool integer, ExprId* out);

  struct Property {
    std::string name;
    Value schema;
    bool required = false;
  };
  bool ReadProperties(const Value& schema, std::vector<Property>* properties, std::optional<Value>* additional);
  bool CheckPropertyCounts(const Value& schema, const std::vector<Property>& properties, bool open);
  // The list of pairs from one on, where another pair stands before it.
  ExprId AfterPair(const std::vector<RuleId>& rests, size_t index);
  // Keys that are none of these names.
  bool BuildOtherKey(const std::vector<Property>& properties, ExprId* out);
  ExprId KeyUnlike(const std::vector<std::vector<uint32_t>>& names, size_t begin, size_t end, size_t depth);

  // A count, or the default if the keyword is absent.
  bool ReadCount(const Value& schema, std::string_view key, uint32_t absent, uint32_t* out);
  bool ReadBound(const Value& schema, std::string_view key, std::optional<Decimal>* out);

  ExprId Blanks();
  ExprId String();
  RuleId CharRule();
  ExprId AnyValue() { return AnyOf(0); }
  ExprId AnyOf(int level);
  ExprId ObjectOf(int level);
  ExprId PlainChars();
  ExprId List(ExprId item, uint32_t min, uint32_t max);
  ExprId Comma() { return ast_.Sequence({ast_.Literal(","), Blanks()}); }

  SchemaContext& context_;
  Ast ast_;
  std::map<const void*, RuleId> references_;  // by what they point to
  struct Open {
    RuleId rule;
    Value schema;
    std::string path;
  };
  std::vector<Open> queue_;
  int depth_ = 0;
  std::optional<RuleId> blanks_;
  std::optional<RuleId> char_;
  std::optional<RuleId> string_;
  std::optional<RuleId> plain_;
  std::vector<std::optional<RuleId>> any_;  // (levels)
};

}  // namespace mote::grammar

#endif  // MOTE_ENGINE_TEXT_JSON_SCHEMA_IMPL_H_
