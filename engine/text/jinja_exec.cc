// Statements and macros.
#include <inttypes.h>

#include <utility>

#include "engine/text/jinja_interp.h"

namespace mote::jinja {

Interp::Flow Interp::ExecBlock(uint32_t index) {
  const Node& block = At(index);
  DepthScope depth(*this);
  if (!depth.ok()) return Flow::kFail;
  for (uint32_t i = 0; i < block.b; ++i) {
    const Node& node = At(Child(block, i));
    if (!Charge(1)) return Flow::kFail;
    position_ = node.position;
    const Flow flow = Exec(node);
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Interp::Flow Interp::Exec(const Node& node) {
  switch (node.op) {
    case Op::kData:
      return Append(output_, ast_.constants[node.a].str->view()) ? Flow::kNext : Flow::kFail;
    case Op::kOutput:
      return ExecOutput(node);
    case Op::kIf:
      return ExecIf(node);
    case Op::kFor:
      return ExecFor(node);
    case Op::kSet:
      return ExecSet(node);
    case Op::kSetBlock:
      return ExecSetBlock(node);
    case Op::kMacro:
      return Charge(4) && Define(node.a, NewMacro(node)) ? Flow::kNext : Flow::kFail;
    case Op::kCallBlock:
      return ExecCallBlock(node);
    case Op::kFilterBlock:
      return ExecFilterBlock(node);
    case Op::kWith:
      return ExecWith(node);
    case Op::kBreak:
      return Flow::kBreak;
    case Op::kContinue:
      return Flow::kContinue;
    default:
      FailAs(Code::kInternal, "the parser made a node that is no statement");
      return Flow::kFail;
  }
}

Interp::Flow Interp::ExecOutput(const Node& node) {
  Value value;
  return Eval(node.a, &value) && AppendText(value, output_) ? Flow::kNext : Flow::kFail;
}

Interp::Flow Interp::ExecIf(const Node& node) {
  for (uint32_t i = 0; i + 1 < node.b; i += 2) {
    Value test;
    if (!Eval(Child(node, i), &test)) return Flow::kFail;
    if (Truth(test)) return ExecBlock(Child(node, i + 1));
  }
  return node.c == kNone ? Flow::kNext : ExecBlock(node.c);
}

Interp::Flow Interp::ExecFor(const Node& node) {
  Value iterable;
  if (!Eval(Child(node, 1), &iterable)) return Flow::kFail;
  position_ = node.position;
  Iteration iteration;
  if (!iteration.Start(*this, iterable)) return Flow::kFail;
  if (Child(node, 2) != kNone) {
    // loop.length counts what passes the condition, so the items are chosen before the first turn.
    Value chosen = heap_.NewList();
    if (!Filtered(node, &iteration, &chosen.list->items)) return Flow::kFail;
    if (!iteration.Start(*this, chosen)) return Flow::kFail;
  }
  bool any = false;
  if (!Charge(4)) return Flow::kFail;
  Loop* loop = heap_.NewLoop().loop;
  loop->depth0 = loop_depth_++;
  const Flow flow = ExecLoop(node, &iteration, loop, &any);
  --loop_depth_;
  if (flow != Flow::kNext || any || Child(node, 4) == kNone) return flow;
  Scope* const outer = scope_;
  scope_ = NewScope(outer);
  const Flow otherwise = ExecBlock(Child(node, 4));
  scope_ = outer;
  return otherwise;
}

bool Interp::Filtered(const Node& node, Iteration* from, std::vector<Value>* items) {
  Scope* const outer = scope_;
  Value item;
  bool ok = true;
  while (ok && from->Next(&item)) {
    scope_ = NewScope(outer);
    Value keep;
    ok = Charge(1) && Assign(Child(node, 0), item) && Eval(Child(node, 2), &keep);
    if (ok && Truth(keep)) items->push_back(item);
  }
  scope_ = outer;
  return ok;
}

Interp::Flow Interp::ExecLoop(const Node& node, Iteration* iteration, Loop* loop, bool* any) {
  Value loop_value = Value::OfKind(Kind::kLoop);
  loop_value.loop = loop;
  Scope* const outer = scope_;
  Scope* inner = NewScope(outer);
  Flow flow = Flow::kNext;
  Value item;
  bool more = iteration->Next(&item);
  while (more) {
    if (!Charge(1)) return Flow::kFail;
    Value next = Value::Missing();
    more = iteration->Next(&next);
    loop->next = more ? next : Value::Missing();
    const int64_t left = iteration->left();
    loop->length = loop->index0 + 1 + (more ? 1 + left : 0);
    // Each turn starts with fresh variables. The scope is used again unless a macro may still look into it.
    if (inner->kept) inner = NewScope(outer);
    inner->variables.clear();
    scope_ = inner;
    if (loop_name_ != kNone) inner->variables.emplace_back(loop_name_, loop_value);
    flow = Assign(Child(node, 0), item) ? ExecBlock(Child(node, 3)) : Flow::kFail;
    scope_ = outer;
    if (flow == Flow::kBreak || flow == Flow::kFail) break;
    // As in jinja2: a turn that ends in break or continue does not count against the else block.
    *any = *any || flow == Flow::kNext;
    ++loop->index0;
    loop->previous = item;
    // The body may have made the list longer.
    if (!more) more = iteration->Next(&next);
    item = next;
  }
  return flow == Flow::kFail ? flow : Flow::kNext;
}

bool Interp::Assign(uint32_t target, const Value& value) {
  const Node& node = At(target);
  if (node.op == Op::kTargetName) {
    return Define(node.a, value);
  }
  if (node.op == Op::kTargetAttribute) {
    Value object;
    if (!EvalName(node, &object)) return false;
    if (object.kind != Kind::kNamespace)
      return Fail("cannot assign an attribute of '%s': it is no namespace", TypeName(object));
    return Insert(object.dict, ast_.constants[node.b], value);
  }
  DepthScope depth(*this);
  std::vector<Value> items;
  if (!depth.ok() || !Items(value, &items)) return false;
  if (items.size() != node.b) {
    return Fail("cannot unpack %zu values into %" PRIu32 " names", items.size(), node.b);
  }
  for (uint32_t i = 0; i < node.b; ++i) {
    if (!Assign(Child(node, i), items[i])) return false;
  }
  return true;
}

Interp::Flow Interp::ExecSet(const Node& node) {
  Value value;
  return Eval(node.b, &value) && Assign(node.a, value) ? Flow::kNext : Flow::kFail;
}

Interp::Flow Interp::ExecSetBlock(const Node& node) {
  Value value;
  if (!Capture(node.b, &value)) return Flow::kFail;
  if (node.c != kNone) {
    Value filtered;
    if (!EvalPostfix(At(node.c), value, &filtered)) return Flow::kFail;
    value = filtered;
  }
  return Assign(node.a, value) ? Flow::kNext : Flow::kFail;
}

// The text that a body writes, in a scope of its own.
bool Interp::Capture(uint32_t body, Value* out) {
  std::string text;
  std::string* const output = std::exchange(output_, &text);
  Scope* const outer = scope_;
  scope_ = NewScope(outer);
  const Flow flow = ExecBlock(body);
  scope_ = outer;
  output_ = output;
  return flow != Flow::kFail && MakeString(text, out);
}

Interp::Flow Interp::ExecCallBlock(const Node& node) {
  const Value caller = NewMacro(At(node.b));
  const Node& call = At(node.a);
  Value callee;
  if (!Charge(4) || !Eval(call.c, &callee)) return Flow::kFail;
  for (uint32_t i = 0; i < call.b; ++i) {
    // The last part is the call that gets the body.
    if (i + 1 == call.b) pending_caller_ = caller;
    Value result;
    if (!Charge(1) || !EvalPart(At(Child(call, i)), callee, &result)) return Flow::kFail;
    callee = result;
  }
  return AppendText(callee, output_) ? Flow::kNext : Flow::kFail;
}

Interp::Flow Interp::ExecFilterBlock(const Node& node) {
  Value text;
  Value filtered;
  if (!Capture(node.b, &text) || !EvalPostfix(At(node.a), text, &filtered)) return Flow::kFail;
  return AppendText(filtered, output_) ? Flow::kNext : Flow::kFail;
}

Interp::Flow Interp::ExecWith(const Node& node) {
  Scope* const outer = scope_;
  Scope* const inner = NewScope(outer);
  bool ok = true;
  for (uint32_t i = 0; ok && i + 1 < node.b; i += 2) {
    // Values see the variables outside of the statement only.
    Value value;
    ok = Eval(Child(node, i + 1), &value);
    scope_ = inner;
    ok = ok && Assign(Child(node, i), value);
    scope_ = outer;
  }
  if (!ok) return Flow::kFail;
  scope_ = inner;
  const Flow flow = ExecBlock(node.c);
  scope_ = outer;
  return flow;
}

Scope* Interp::NewScope(Scope* parent) {
  Scope& scope = scopes_.emplace_back();
  scope.parent = parent;
  return &scope;
}

bool Interp::Define(uint32_t name, const Value& value) {
  if (scope_ == nullptr) {
    globals_[name] = value;
    return true;
  }
  if (!Charge(1 + scope_->variables.size() / 8)) return false;
  for (auto& variable : scope_->variables) {
    if (variable.first == name) {
      variable.second = value;
      return true;
    }
  }
  scope_->variables.emplace_back(name, value);
  return true;
}

Value Interp::NewMacro(const Node& node) {
  Macro& macro = macros_.emplace_back();
  macro.node = &node;
  macro.scope = scope_;
  for (Scope* scope = scope_; scope != nullptr && !scope->kept; scope = scope->parent) scope->kept = true;
  Value value = Value::OfKind(Kind::kMacro);
  value.macro = &macro;
  return value;
}

bool Interp::CallMacro(const Macro& macro, const Args& args, Value* out) {
  DepthScope depth(*this);
  if (!depth.ok() || !Charge(4)) return false;
  Scope* const caller = scope_;
  std::string text;
  std::string* const output = std::exchange(output_, &text);
  scope_ = NewScope(macro.scope);
  const bool bound = BindMacro(macro, args, scope_);
  const Flow flow = bound ? ExecBlock(ast_.pool[macro.node->b]) : Flow::kFail;
  scope_ = caller;
  output_ = output;
  return flow != Flow::kFail && MakeString(text, out);
}

bool Interp::BindMacro(const Macro& macro, const Args& args, Scope* scope) {
  const Node& node = *macro.node;
  const std::string name(ast_.names[node.a]);
  std::vector<bool> used(args.named.size());
  for (uint32_t i = 0; i < node.c; ++i) {
    const uint32_t parameter = ast_.pool[node.b + 1 + 2 * i];
    const uint32_t fallback = ast_.pool[node.b + 2 + 2 * i];
    if (!Charge(1 + args.named.size() / 4)) return false;
    Value value = Value::Undefined(heap_.View(ast_.names[parameter]), false);
    bool given = i < args.positional.size();
    if (given) value = args.positional[i];
    for (size_t k = 0; k < args.named.size(); ++k) {
      if (args.named[k].first != ast_.names[parameter]) continue;
      if (given)
        return Fail("macro '%s' got two values for '%s'", name.c_str(), std::string(ast_.names[parameter]).c_str());
      value = args.named[k].second;
      given = used[k] = true;
    }
    // A default may use the parameters before it.
    if (!given && fallback != kNone && !Eval(fallback, &value)) return false;
    scope->variables.emplace_back(parameter, value);
  }
  if (args.positional.size() > node.c && !(node.flag & kUsesVarargs)) {
    return Fail("macro '%s' takes at most %" PRIu32 " arguments, not %zu", name.c_str(), node.c,
                args.positional.size());
  }
  return BindRest(node, args, used, scope);
}

// What no parameter took: caller, varargs and kwargs, where the macro's body mentions them.
bool Interp::BindRest(const Node& node, const Args& args, const std::vector<bool>& used, Scope* scope) {
  Value caller = Value::Undefined(nullptr, false);
  Value kwargs;
  if (node.flag & kUsesKwargs) kwargs = heap_.NewDict();
  for (size_t k = 0; k < args.named.size(); ++k) {
    if (used[k]) continue;
    if ((node.flag & kUsesCaller) && args.named[k].first == "caller") {
      caller = args.named[k].second;
    } else if (node.flag & kUsesKwargs) {
      if (!InsertNamed(kwargs.dict, args.named[k].first, args.named[k].second)) return false;
    } else {
      return Fail("macro '%s' takes no argument '%s'", std::string(ast_.names[node.a]).c_str(),
                  std::string(args.named[k].first).c_str());
    }
  }
  if (node.flag & kUsesCaller) scope->variables.emplace_back(caller_name_, caller);
  if (node.flag & kUsesKwargs) scope->variables.emplace_back(kwargs_name_, kwargs);
  if (node.flag & kUsesVarargs) {
    Value varargs = heap_.NewList(Kind::kTuple);
    for (size_t i = node.c; i < args.positional.size(); ++i) varargs.list->items.push_back(args.positional[i]);
    scope->variables.emplace_back(varargs_name_, varargs);
  }
  return true;
}

}  // namespace mote::jinja
