// Expressions.
#include <inttypes.h>

#include "engine/text/jinja_builtins.h"
#include "engine/text/jinja_interp.h"

namespace mote::jinja {

bool Interp::Eval(uint32_t index, Value* out) {
  const Node& node = At(index);
  if (!Charge(1)) return false;
  position_ = node.position;
  // Leaves cost no depth.
  if (node.op == Op::kConst) {
    *out = ast_.constants[node.a];
    return true;
  }
  if (node.op == Op::kName) return EvalName(node, out);
  if (!Enter()) return false;
  const bool ok = EvalNested(node, out);
  Leave();
  return ok;
}

bool Interp::EvalNested(const Node& node, Value* out) {
  switch (node.op) {
    case Op::kList:
    case Op::kTuple:
      return EvalItems(node, out);
    case Op::kDict:
      return EvalDict(node, out);
    case Op::kMath:
      return EvalMath(node, out);
    case Op::kConcat:
      return EvalConcat(node, out);
    case Op::kCompare:
      return EvalCompare(node, out);
    case Op::kAnd:
    case Op::kOr:
      return EvalAndOr(node, out);
    case Op::kCond:
      return EvalCond(node, out);
    case Op::kNot:
    case Op::kNegate:
    case Op::kPlus:
      return EvalUnary(node, out);
    case Op::kPostfix: {
      Value value;
      return Eval(node.c, &value) && EvalPostfix(node, value, out);
    }
    default:
      return FailAs(Code::kInternal, "the parser made a node that is no expression");
  }
}

bool Interp::EvalUnary(const Node& node, Value* out) {
  Value value;
  if (!Eval(node.a, &value)) return false;
  position_ = node.position;
  if (node.op == Op::kNot) {
    *out = Value::Bool(!Truth(value));
    return true;
  }
  if (node.op == Op::kNegate) return Negate(value, out);
  if (value.IsUndefined()) return FailUndefined(value);
  if (!value.IsNumber()) return Fail("bad operand type for unary +: '%s'", TypeName(value));
  *out = value.IsIntegral() ? Value::Int(value.AsInt()) : value;
  return true;
}

bool Interp::EvalName(const Node& node, Value* out) {
  for (const Scope* scope = scope_; scope != nullptr; scope = scope->parent) {
    if (!Charge(scope->variables.size() / 8)) return false;
    for (const auto& [name, value] : scope->variables) {
      if (name == node.a) {
        *out = value;
        return true;
      }
    }
  }
  *out = globals_[node.a];
  if (out->IsMissing()) *out = Value::Undefined(heap_.View(ast_.names[node.a]), false);
  return true;
}

bool Interp::EvalItems(const Node& node, Value* out) {
  if (!Charge(1)) return false;
  Value list = heap_.NewList(node.op == Op::kList ? Kind::kList : Kind::kTuple);
  list.list->items.reserve(node.b);
  for (uint32_t i = 0; i < node.b; ++i) {
    Value item;
    if (!Eval(Child(node, i), &item)) return false;
    list.list->items.push_back(item);
  }
  *out = list;
  return true;
}

bool Interp::EvalDict(const Node& node, Value* out) {
  if (!Charge(4)) return false;
  const Value dict = heap_.NewDict();
  for (uint32_t i = 0; i + 1 < node.b; i += 2) {
    Value key;
    Value value;
    if (!Eval(Child(node, i), &key) || !Eval(Child(node, i + 1), &value)) return false;
    if (!Insert(dict.dict, key, value)) return false;
  }
  *out = dict;
  return true;
}

bool Interp::EvalMath(const Node& node, Value* out) {
  Value left;
  if (!Eval(Child(node, 0), &left)) return false;
  for (uint32_t i = 1; i + 1 < node.b; i += 2) {
    Value right;
    if (!Eval(Child(node, i + 1), &right)) return false;
    position_ = node.position;
    Value result;
    if (!Math(static_cast<Binary>(Child(node, i)), left, right, &result)) return false;
    left = result;
  }
  *out = left;
  return true;
}

bool Interp::EvalConcat(const Node& node, Value* out) {
  std::string text;
  for (uint32_t i = 0; i < node.b; ++i) {
    Value value;
    if (!Eval(Child(node, i), &value) || !AppendText(value, &text)) return false;
  }
  return MakeString(text, out);
}

bool Interp::EvalCompare(const Node& node, Value* out) {
  Value left;
  if (!Eval(Child(node, 0), &left)) return false;
  for (uint32_t i = 1; i + 1 < node.b; i += 2) {
    Value right;
    if (!Eval(Child(node, i + 1), &right)) return false;
    position_ = node.position;
    bool holds = false;
    if (!Compares(static_cast<Compare>(Child(node, i)), left, right, &holds)) return false;
    if (!holds) {
      *out = Value::Bool(false);
      return true;
    }
    left = right;
  }
  *out = Value::Bool(true);
  return true;
}

bool Interp::EvalAndOr(const Node& node, Value* out) {
  const bool stop_at = node.op == Op::kOr;
  for (uint32_t i = 0; i < node.b; ++i) {
    if (!Eval(Child(node, i), out)) return false;
    if (Truth(*out) == stop_at) return true;
  }
  return true;
}

bool Interp::EvalCond(const Node& node, Value* out) {
  const Node* cond = &node;
  while (true) {
    Value test;
    if (!Eval(cond->a, &test)) return false;
    if (Truth(test)) return Eval(cond->b, out);
    if (cond->c == kNone) {
      *out = Value::Undefined(nullptr, false);
      return true;
    }
    // "a if x else b if y else c" is one run, however long.
    if (At(cond->c).op != Op::kCond) return Eval(cond->c, out);
    cond = &At(cond->c);
    if (!Charge(1)) return false;
  }
}

bool Interp::EvalPostfix(const Node& node, Value value, Value* out) {
  for (uint32_t i = 0; i < node.b; ++i) {
    const Node& part = At(Child(node, i));
    if (!Charge(1)) return false;
    Value result;
    if (!EvalPart(part, value, &result)) return false;
    value = result;
  }
  *out = value;
  return true;
}

bool Interp::EvalPart(const Node& part, const Value& value, Value* out) {
  position_ = part.position;
  switch (part.op) {
    case Op::kAttribute:
      return Attribute(value, *ast_.constants[part.a].str, out);
    case Op::kItem: {
      Value index;
      if (!Eval(part.a, &index)) return false;
      position_ = part.position;
      return Item(value, index, out);
    }
    case Op::kSlice:
      return EvalSlice(part, value, out);
    case Op::kCall:
      return EvalCall(part, value, out);
    case Op::kFilter:
      return EvalFilter(part, value, out);
    case Op::kTest:
      return EvalTest(part, value, out);
    default:
      return FailAs(Code::kInternal, "the parser made a node that follows no value");
  }
}

bool Interp::EvalSlice(const Node& part, const Value& value, Value* out) {
  Value parts[3] = {Value::None(), Value::None(), Value::None()};
  const uint32_t nodes[3] = {part.a, part.b, part.c};
  for (int i = 0; i < 3; ++i) {
    if (nodes[i] != kNone && !Eval(nodes[i], &parts[i])) return false;
  }
  position_ = part.position;
  return Slice(value, parts, out);
}

bool Interp::EvalCall(const Node& part, const Value& callee, Value* out) {
  // A call block's caller goes to the last call of its line alone, not to the calls among its arguments.
  const Value caller = std::exchange(pending_caller_, Value::Missing());
  Args args;
  if (!EvalArguments(part.a, &args)) return false;
  if (!caller.IsMissing()) args.named.emplace_back("caller", caller);
  position_ = part.position;
  return Call(callee, args, out);
}

bool Interp::EvalFilter(const Node& part, const Value& input, Value* out) {
  Args args;
  if (part.b != kNone && !EvalArguments(part.b, &args)) return false;
  position_ = part.position;
  return CallFilter(ast_.constants[part.a].str->view(), part.c, input, args, out);
}

bool Interp::EvalTest(const Node& part, const Value& input, Value* out) {
  Args args;
  if (part.b != kNone && !EvalArguments(part.b, &args)) return false;
  position_ = part.position;
  bool holds = false;
  if (!CallTest(ast_.constants[part.a].str->view(), part.c, input, args, &holds)) return false;
  *out = Value::Bool(holds != (part.flag != 0));
  return true;
}

bool Interp::EvalArguments(uint32_t index, Args* args) {
  const Node& node = At(index);
  for (uint32_t i = 0; i < node.b; ++i) {
    Value value;
    if (!Eval(Child(node, i), &value)) return false;
    args->positional.push_back(value);
  }
  for (uint32_t i = 0; i < node.c; ++i) {
    Value value;
    if (!Eval(Child(node, node.b + 2 * i + 1), &value)) return false;
    args->named.emplace_back(ast_.constants[Child(node, node.b + 2 * i)].str->view(), value);
  }
  uint32_t next = node.b + 2 * node.c;
  if (node.flag & kStarArgs) {
    Value list;
    if (!Eval(Child(node, next++), &list) || !Items(list, &args->positional)) return false;
  }
  if (node.flag & kStarKwargs) {
    Value dict;
    if (!Eval(Child(node, next), &dict)) return false;
    if (dict.kind != Kind::kDict) return Fail("the argument after ** must be a dict, not '%s'", TypeName(dict));
    for (const Dict::Entry& entry : dict.dict->entries) {
      if (!Charge(1)) return false;
      if (!entry.key.IsString()) return Fail("names of arguments must be strings, not '%s'", TypeName(entry.key));
      args->named.emplace_back(entry.key.str->view(), entry.value);
    }
  }
  return true;
}

}  // namespace mote::jinja
