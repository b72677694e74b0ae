// Tests: what stands after `is`, and what select and its kin take.
#include "engine/text/jinja_builtins.h"
#include "engine/text/jinja_interp.h"
#include "engine/text/jinja_utf8.h"

namespace mote::jinja {
namespace {

template <bool (*kHolds)(const Value&)>
bool Is(Interp& in, const Value& self, const Args& args, Value* out) {
  *out = Value::Bool(kHolds(self));
  return in.Bind("this test", args, {}, nullptr);
}

bool IsDefined(const Value& v) {
  return !v.IsUndefined();
}
bool IsUndefined(const Value& v) {
  return v.IsUndefined();
}
bool IsNone(const Value& v) {
  return v.IsNone();
}
bool IsBoolean(const Value& v) {
  return v.kind == Kind::kBool;
}
bool IsTrue(const Value& v) {
  return v.kind == Kind::kBool && v.boolean;
}
bool IsFalse(const Value& v) {
  return v.kind == Kind::kBool && !v.boolean;
}
bool IsInteger(const Value& v) {
  return v.kind == Kind::kInt;
}
bool IsFloat(const Value& v) {
  return v.kind == Kind::kFloat;
}
bool IsNumber(const Value& v) {
  return v.IsNumber();
}
bool IsString(const Value& v) {
  return v.IsString();
}
bool IsMapping(const Value& v) {
  return v.kind == Kind::kDict;
}
bool IsSequence(const Value& v) {
  return v.IsString() || v.IsSequence() || v.kind == Kind::kDict || v.kind == Kind::kRange || v.IsUndefined();
}
bool IsIterable(const Value& v) {
  return IsSequence(v) || v.kind == Kind::kDictView || v.kind == Kind::kIterator || v.kind == Kind::kLoop;
}
bool IsCallable(const Value& v) {
  // Undefined has a __call__, which raises.
  return v.kind == Kind::kMacro || v.kind == Kind::kFunction || v.kind == Kind::kMethod || v.kind == Kind::kJoiner ||
         v.IsUndefined();
}
bool IsEscaped(const Value& v) {
  return v.IsString() && v.str->markup;
}

template <Compare kOp>
bool Compares(Interp& in, const Value& self, const Args& args, Value* out) {
  Value other;
  bool holds = false;
  if (!in.Bind("this test", args, {"other"}, &other)) return false;
  if (other.IsMissing()) return in.Fail("this test takes one argument");
  if (!in.Compares(kOp, self, other, &holds)) return false;
  *out = Value::Bool(holds);
  return true;
}

bool SameAs(Interp& in, const Value& self, const Args& args, Value* out) {
  Value other;
  if (!in.Bind("sameas", args, {"other"}, &other)) return false;
  bool same = self.kind == other.kind;
  if (same && (self.IsNumber() || self.IsString())) {
    if (!in.Equal(self, other, &same)) return false;
  } else if (same && !self.IsNone() && !self.IsUndefined()) {
    same = self.list == other.list;
  }
  *out = Value::Bool(same);
  return true;
}

bool Remainder(Interp& in, const Value& self, const Value& divisor, int64_t wanted, Value* out) {
  Value rest;
  if (!in.Math(Binary::kModulo, self, divisor, &rest)) return false;
  bool same = false;
  if (!in.Equal(rest, Value::Int(wanted), &same)) return false;
  *out = Value::Bool(same);
  return true;
}

template <int kRest>
bool OddEven(Interp& in, const Value& self, const Args& args, Value* out) {
  return in.Bind("this test", args, {}, nullptr) && Remainder(in, self, Value::Int(2), kRest, out);
}

bool DivisibleBy(Interp& in, const Value& self, const Args& args, Value* out) {
  Value divisor;
  if (!in.Bind("divisibleby", args, {"num"}, &divisor)) return false;
  if (divisor.IsMissing()) return in.Fail("divisibleby takes one argument");
  return Remainder(in, self, divisor, 0, out);
}

template <bool kUpper>
bool HasCase(Interp& in, const Value& self, const Args& args, Value* out) {
  Value text;
  Value method;
  return in.Text(self, &text) &&
         in.Attribute(text, kUpper ? Str{"isupper", 7, 7, false} : Str{"islower", 7, 7, false}, &method) &&
         in.Call(method, args, out);
}

template <uint32_t (*kFind)(std::string_view)>
bool Exists(Interp& in, const Value& self, const Args& args, Value* out) {
  if (!in.Bind("this test", args, {}, nullptr)) return false;
  *out = Value::Bool(self.IsString() && kFind(self.str->view()) != kNone);
  return true;
}

constexpr Function kTests[] = {
    {"defined", Is<IsDefined>},
    {"undefined", Is<IsUndefined>},
    {"none", Is<IsNone>},
    {"boolean", Is<IsBoolean>},
    {"true", Is<IsTrue>},
    {"false", Is<IsFalse>},
    {"integer", Is<IsInteger>},
    {"float", Is<IsFloat>},
    {"number", Is<IsNumber>},
    {"string", Is<IsString>},
    {"mapping", Is<IsMapping>},
    {"sequence", Is<IsSequence>},
    {"iterable", Is<IsIterable>},
    {"callable", Is<IsCallable>},
    {"escaped", Is<IsEscaped>},
    {"eq", Compares<Compare::kEqual>},
    {"equalto", Compares<Compare::kEqual>},
    {"==", Compares<Compare::kEqual>},
    {"ne", Compares<Compare::kNotEqual>},
    {"!=", Compares<Compare::kNotEqual>},
    {"lt", Compares<Compare::kLess>},
    {"lessthan", Compares<Compare::kLess>},
    {"<", Compares<Compare::kLess>},
    {"le", Compares<Compare::kLessEqual>},
    {"<=", Compares<Compare::kLessEqual>},
    {"gt", Compares<Compare::kGreater>},
    {"greaterthan", Compares<Compare::kGreater>},
    {">", Compares<Compare::kGreater>},
    {"ge", Compares<Compare::kGreaterEqual>},
    {">=", Compares<Compare::kGreaterEqual>},
    {"in", Compares<Compare::kIn>},
    {"sameas", SameAs},
    {"odd", OddEven<1>},
    {"even", OddEven<0>},
    {"divisibleby", DivisibleBy},
    {"upper", HasCase<true>},
    {"lower", HasCase<false>},
    {"filter", Exists<FindFilter>},
    {"test", Exists<FindTest>},
};

}  // namespace

std::span<const Function> Tests() {
  return kTests;
}

}  // namespace mote::jinja
