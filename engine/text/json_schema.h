// JSON schemas as grammars.
#ifndef MOTE_ENGINE_TEXT_JSON_SCHEMA_H_
#define MOTE_ENGINE_TEXT_JSON_SCHEMA_H_

#include <string_view>

#include "engine/core/status.h"
#include "engine/text/grammar_ast.h"

namespace mote::grammar {

// Objects and arrays of any kind nest at most so deep.
inline constexpr int kMaxJsonLevels = 32;
inline constexpr uint32_t kMaxSchemaCount = 65536;  // of minLength, maxItems and their like

// All texts of the grammar are valid for the schema; not all that are valid are texts of it (docs/grammars.md has the
// list). A keyword that restricts and cannot be held to is refused: kUnsupported, with its path, "$.properties.a.not:
// ...". So is a schema that nothing satisfies. Annotations (title, description, default, ...) are ignored.
Result<Ast> ParseJsonSchema(std::string_view schema);

// Any JSON object.
Ast AnyJsonObjectAst();

// A pattern of a JSON schema: the part of ECMAScript's regular expressions that is regular, without look-around. What
// comes out matches whole JSON strings, between their quotes, in which the pattern is found.
struct PatternExpr {
  ExprId expr = 0;
  uint32_t min_chars = 0;
  uint32_t max_chars = 0;  // kUnlimited: no end
};
// `any_char`: a rule for one character of a JSON string. kUnsupported and kMalformed say where in the pattern.
Result<PatternExpr> ParsePattern(std::string_view pattern, RuleId any_char, Ast* ast);

}  // namespace mote::grammar

#endif  // MOTE_ENGINE_TEXT_JSON_SCHEMA_H_
