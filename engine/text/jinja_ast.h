// The parsed form of a template: nodes in one flat array, children by index, so that nothing is recursive in memory.
//
// Chains that people write long (a + b + c, x and y, a.b[c](d)|e, elif) are one node with a list of parts: the depth of
// the tree is the nesting that one sees in the source, and walking it needs a stack only that deep.
#ifndef MOTE_ENGINE_TEXT_JINJA_AST_H_
#define MOTE_ENGINE_TEXT_JINJA_AST_H_

#include <stdint.h>

#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/text/jinja_value.h"

namespace mote::jinja {

inline constexpr uint32_t kNone = UINT32_MAX;  // no such child

// In brackets: what a, b, c hold. list = pool[a .. a + b).
enum class Op : uint8_t {
  // Expressions
  kConst,    // a: constants
  kName,     // a: names
  kList,     // list of items
  kTuple,    // list of items
  kDict,     // list of key, value, key, value, ...
  kMath,     // list of operand, Binary, operand, Binary, operand, ...: left to right
  kConcat,   // list of operands of ~
  kCompare,  // list of operand, Compare, operand, ...
  kAnd,      // list of operands
  kOr,       // list of operands
  kNot,      // a: operand
  kNegate,   // a: operand
  kPlus,     // a: operand
  kCond,     // a: test, b: value if true, c: value if false or kNone
  kPostfix,  // list of the parts below, applied in turn to c (kNone: to the text of a block, for filter blocks)
  // Parts of kPostfix
  kAttribute,  // a: constants, the attribute's name
  kItem,       // a: expression
  kSlice,      // a, b, c: start, stop, step or kNone
  kCall,       // a: kArguments
  kFilter,     // a: constants (name), b: kArguments or kNone, c: index of the filter or kNone
  kTest,       // a: constants (name), b: kArguments or kNone, c: index of the test or kNone; flag: negated
  // list of positional expressions, then c pairs of (constants, expression), then *args and **kwargs by flag
  kArguments,
  // Statements
  kData,         // a: constants
  kOutput,       // a: expression
  kBlock,        // list of statements
  kIf,           // list of condition, block, condition, block, ...; c: else block or kNone
  kFor,          // pool[a ..]: target, iterable, condition or kNone, body, else block or kNone
  kSet,          // a: target, b: expression
  kSetBlock,     // a: target, b: body, c: kPostfix of filters or kNone
  kMacro,        // a: names, list at pool[b ..]: body, then c pairs of (names, default or kNone); flag: MacroUses
  kCallBlock,    // a: kPostfix that ends in kCall, b: kMacro, the caller
  kFilterBlock,  // a: kPostfix of filters, b: body
  kWith,         // list of target, expression, ...; c: body
  kBreak,
  kContinue,
  // Targets of assignments
  kTargetName,       // a: names
  kTargetAttribute,  // a: names, b: constants
  kTargetTuple,      // list of targets
};

enum class Binary : uint32_t { kAdd, kSubtract, kMultiply, kDivide, kFloorDivide, kModulo, kPower };
enum class Compare : uint32_t { kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual, kIn, kNotIn };

enum ArgumentFlags : uint8_t { kStarArgs = 1, kStarKwargs = 2 };
enum MacroUses : uint8_t { kUsesCaller = 1, kUsesVarargs = 2, kUsesKwargs = 4 };

struct Node {
  Op op = Op::kConst;
  uint8_t flag = 0;
  uint32_t position = 0;  // byte in the source, for messages
  uint32_t a = 0;
  uint32_t b = 0;
  uint32_t c = 0;
};

struct Ast {
  std::string source;  // with newlines normalised; constants and names view into it
  std::vector<Node> nodes;
  std::vector<uint32_t> pool;
  std::vector<Value> constants;
  std::vector<std::string_view> names;
  std::deque<Str> strings;                        // what the constants point to
  std::deque<std::string> own;                    // bytes of strings that the source does not hold as they are
  std::map<std::string_view, uint32_t> name_ids;  // into names
  uint32_t root = 0;

  // kNone where the template never uses `name`.
  uint32_t FindName(std::string_view name) const {
    const auto found = name_ids.find(name);
    return found == name_ids.end() ? kNone : found->second;
  }
};

// One-based, column in bytes.
struct LineColumn {
  uint32_t line = 1;
  uint32_t column = 1;
};
LineColumn Locate(std::string_view source, uint32_t position);

}  // namespace mote::jinja

#endif  // MOTE_ENGINE_TEXT_JINJA_AST_H_
