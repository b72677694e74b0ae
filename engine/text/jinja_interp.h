// Runs a parsed template. One Interp per rendering; everything that can fail returns false and leaves the reason.
//
// Work is paid for in fuel: one unit per evaluated node, per produced item and per 64 bytes of produced or searched
// text. Because nothing on the heap is freed before the end, fuel bounds memory as well.
#ifndef MOTE_ENGINE_TEXT_JINJA_INTERP_H_
#define MOTE_ENGINE_TEXT_JINJA_INTERP_H_

#include <stdint.h>

#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/core/status.h"
#include "engine/text/chat_template.h"
#include "engine/text/jinja_ast.h"
#include "engine/text/jinja_value.h"

namespace mote::jinja {

struct Args {
  std::vector<Value> positional;
  std::vector<std::pair<std::string_view, Value>> named;
};

// The variables of a loop body, a macro's body and the like. The outermost scope of a template is Interp::globals_.
struct Scope {
  Scope* parent = nullptr;
  std::vector<std::pair<uint32_t, Value>> variables;  // by index into Ast::names
  bool kept = false;                                  // a macro may look into it later
};

struct Macro {
  const Node* node = nullptr;
  Scope* scope = nullptr;  // where it was defined
};

class Interp;
using Builtin = bool (*)(Interp& in, const Value& self, const Args& args, Value* out);

struct Function {
  const char* name;
  Builtin call;
};

struct Method {
  Value self;
  const Function* function = nullptr;
};

// A position in something iterable. Lists are read live, as Python reads them; what needs copying is copied.
class Iteration {
 public:
  // False: not iterable (in.Fail was called).
  bool Start(Interp& in, const Value& iterable);
  bool Next(Value* out);  // false: no more
  // Items that are left.
  int64_t left() const;

 private:
  enum class Source { kItems, kList, kRange, kIterator } source_ = Source::kItems;
  std::vector<Value> items_;
  const List* list_ = nullptr;
  const Range* range_ = nullptr;
  Iterator* iterator_ = nullptr;
  int64_t next_ = 0;
};

class Interp {
 public:
  Interp(const Ast& ast, const TemplateLimits& limits, int64_t now);

  // Variables of the template's outermost scope.
  void SetGlobal(std::string_view name, const Value& value);
  Result<std::string> Run();

  Heap& heap() { return heap_; }
  int64_t now() const { return now_; }
  const TemplateLimits& limits() const { return limits_; }
  const Status& status() const { return status_; }

  // Always false. The message gets the line of the node that is being evaluated.
  [[gnu::format(printf, 2, 3)]] bool Fail(const char* format, ...);  // kMalformed
  [[gnu::format(printf, 3, 4)]] bool FailAs(Code code, const char* format, ...);
  // "'x' is undefined" for an undefined value.
  bool FailUndefined(const Value& value);

  bool Charge(uint64_t units);
  bool ChargeBytes(uint64_t bytes) { return Charge(1 + bytes / 64); }
  // Checks the limit on strings and pays for `bytes`.
  bool ChargeString(uint64_t bytes);
  bool MakeString(std::string_view bytes, Value* out);
  bool MakeString(std::string_view bytes, bool markup, Value* out);
  // A string of bytes that outlive the rendering.
  bool View(std::string_view bytes, bool markup, Value* out);
  // Dict lookups compare keys, which may be long: they are paid for as well. `*at` as from Dict::Find.
  bool Lookup(const Dict& dict, const Value& key, size_t* at);
  bool Insert(Dict* dict, const Value& key, const Value& value);
  bool InsertNamed(Dict* dict, std::string_view name, const Value& value);

  // jinja_operators.cc
  bool Math(Binary op, const Value& left, const Value& right, Value* out);
  bool Negate(const Value& value, Value* out);
  bool Compares(Compare op, const Value& left, const Value& right, bool* out);
  bool Equal(const Value& left, const Value& right, bool* out);
  bool Contains(const Value& container, const Value& item, bool* out);
  // Three-way; fails for values without an order.
  bool Order(const Value& left, const Value& right, int* out);

  // jinja_attributes.cc
  bool Attribute(const Value& object, const Str& name, Value* out);        // object.name
  bool Item(const Value& object, const Value& index, Value* out);          // object[index]
  bool Slice(const Value& object, const Value (&parts)[3], Value* out);    // object[a:b:c]
  bool AttributePath(const Value& object, const Value& path, Value* out);  // "a.b.0", as filters take it
  bool Length(const Value& value, int64_t* out);

  // jinja_text.cc: str(), repr(), truth
  bool Append(std::string* out, std::string_view bytes);  // within the limit on strings, paid for
  bool AppendText(const Value& value, std::string* out);  // str()
  bool AppendRepr(const Value& value, std::string* out);
  bool Text(const Value& value, Value* out);  // str(); a string as it is
  static bool Truth(const Value& value);
  static const char* TypeName(const Value& value);

  // jinja_call.cc
  bool Call(const Value& callee, const Args& args, Value* out);
  bool CallFilter(std::string_view name, uint32_t index, const Value& input, const Args& args, Value* out);
  bool CallTest(std::string_view name, uint32_t index, const Value& input, const Args& args, bool* out);
  // Sorts arguments into `out` (parameters.size() values, kMissing where not given).
  bool Bind(const char* function, const Args& args, std::initializer_list<const char*> parameters, Value* out);
  bool Items(const Value& iterable, std::vector<Value>* out);

  // Recursion over values and calls; returns false at the limit. Every Enter that returned true needs a Leave.
  bool Enter();
  void Leave() { --depth_; }

 private:
  enum class Flow : uint8_t { kNext, kBreak, kContinue, kFail };

  const Node& At(uint32_t index) const { return ast_.nodes[index]; }
  uint32_t Child(const Node& node, uint32_t i) const { return ast_.pool[node.a + i]; }

  // jinja_eval.cc
  bool Eval(uint32_t index, Value* out);
  bool EvalNested(const Node& node, Value* out);
  bool EvalName(const Node& node, Value* out);
  bool EvalItems(const Node& node, Value* out);
  bool EvalDict(const Node& node, Value* out);
  bool EvalUnary(const Node& node, Value* out);
  bool EvalMath(const Node& node, Value* out);
  bool EvalConcat(const Node& node, Value* out);
  bool EvalCompare(const Node& node, Value* out);
  bool EvalAndOr(const Node& node, Value* out);
  bool EvalCond(const Node& node, Value* out);
  bool EvalPostfix(const Node& node, Value value, Value* out);
  bool EvalPart(const Node& part, const Value& value, Value* out);
  bool EvalSlice(const Node& part, const Value& value, Value* out);
  bool EvalCall(const Node& part, const Value& callee, Value* out);
  bool EvalFilter(const Node& part, const Value& input, Value* out);
  bool EvalTest(const Node& part, const Value& input, Value* out);
  bool EvalArguments(uint32_t index, Args* args);

  // jinja_exec.cc
  Flow ExecBlock(uint32_t index);
  Flow Exec(const Node& node);
  Flow ExecOutput(const Node& node);
  Flow ExecIf(const Node& node);
  Flow ExecFor(const Node& node);
  Flow ExecLoop(const Node& node, Iteration* iteration, Loop* loop, bool* any);
  Flow ExecSet(const Node& node);
  Flow ExecSetBlock(const Node& node);
  Flow ExecMacro(const Node& node);
  Flow ExecCallBlock(const Node& node);
  Flow ExecFilterBlock(const Node& node);
  Flow ExecWith(const Node& node);
  bool Filtered(const Node& node, Iteration* from, std::vector<Value>* items);
  bool Assign(uint32_t target, const Value& value);
  bool Capture(uint32_t body, Value* out);
  bool CallMacro(const Macro& macro, const Args& args, Value* out);
  bool BindMacro(const Macro& macro, const Args& args, Scope* scope);
  bool BindRest(const Node& node, const Args& args, const std::vector<bool>& used, Scope* scope);
  Scope* NewScope(Scope* parent);
  bool Define(uint32_t name, const Value& value);
  Value NewMacro(const Node& node);

  const Ast& ast_;
  const TemplateLimits limits_;
  const int64_t now_;
  Heap heap_;
  std::vector<Value> globals_;  // by index into Ast::names
  std::deque<Scope> scopes_;
  std::deque<Macro> macros_;
  std::deque<Method> methods_;
  Scope* scope_ = nullptr;  // null: outermost
  // Names with a meaning of their own, kNone where the template does not use them.
  uint32_t loop_name_ = kNone;
  uint32_t caller_name_ = kNone;
  uint32_t varargs_name_ = kNone;
  uint32_t kwargs_name_ = kNone;
  Value pending_caller_ = Value::Missing();
  std::string* output_ = nullptr;
  uint64_t fuel_ = 0;
  uint32_t depth_ = 0;
  int64_t loop_depth_ = 0;
  uint32_t position_ = 0;  // of the node being evaluated, for messages
  Status status_;
};

// Enters on construction, leaves at the end if it could.
class DepthScope {
 public:
  explicit DepthScope(Interp& in) : in_(in), ok_(in.Enter()) {}
  ~DepthScope() {
    if (ok_) in_.Leave();
  }
  DepthScope(const DepthScope&) = delete;
  DepthScope& operator=(const DepthScope&) = delete;
  bool ok() const { return ok_; }

 private:
  Interp& in_;
  bool ok_;
};

}  // namespace mote::jinja

#endif  // MOTE_ENGINE_TEXT_JINJA_INTERP_H_
