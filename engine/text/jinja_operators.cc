// Operators on values, with Python's types and rounding. Integers are 64 bits: what would be larger is an error.
#include <math.h>

#include <algorithm>

#include "engine/text/jinja_builtins.h"
#include "engine/text/jinja_interp.h"
#include "engine/text/jinja_utf8.h"

namespace mote::jinja {
namespace {

const char* Sign(Binary op) {
  static constexpr const char* kSigns[] = {"+", "-", "*", "/", "//", "%", "**"};
  return kSigns[static_cast<int>(op)];
}

bool Overflow(Interp& in, Binary op) {
  return in.FailAs(Code::kInvalidArgument, "the result of '%s' does not fit in a 64-bit integer", Sign(op));
}

bool DivisionByZero(Interp& in) {
  return in.Fail("division by zero");
}

// Division that rounds down, and its remainder, which has the divisor's sign.
bool FloorDivide(Interp& in, Binary op, int64_t x, int64_t y, Value* out) {
  if (y == 0) return DivisionByZero(in);
  if (y == -1) {  // INT64_MIN / -1 traps
    int64_t quotient = 0;
    if (op == Binary::kModulo) {
      *out = Value::Int(0);
      return true;
    }
    if (__builtin_sub_overflow(int64_t{0}, x, &quotient)) return Overflow(in, op);
    *out = Value::Int(quotient);
    return true;
  }
  int64_t quotient = x / y;
  int64_t rest = x % y;
  if (rest != 0 && (rest < 0) != (y < 0)) {
    --quotient;
    rest += y;
  }
  *out = Value::Int(op == Binary::kModulo ? rest : quotient);
  return true;
}

bool IntPower(Interp& in, int64_t base, int64_t exponent, Value* out) {
  if (exponent < 0) {
    if (base == 0) return in.Fail("0 cannot be raised to a negative power");
    *out = Value::Float(pow(static_cast<double>(base), static_cast<double>(exponent)));
    return true;
  }
  int64_t result = 1;
  int64_t square = base;
  bool square_ok = true;
  while (exponent > 0) {
    if (exponent & 1) {
      if (!square_ok || __builtin_mul_overflow(result, square, &result)) return Overflow(in, Binary::kPower);
    }
    exponent >>= 1;
    square_ok = square_ok && !__builtin_mul_overflow(square, square, &square);
  }
  *out = Value::Int(result);
  return true;
}

bool IntMath(Interp& in, Binary op, int64_t x, int64_t y, Value* out) {
  int64_t result = 0;
  bool overflow = false;
  switch (op) {
    case Binary::kAdd:
      overflow = __builtin_add_overflow(x, y, &result);
      break;
    case Binary::kSubtract:
      overflow = __builtin_sub_overflow(x, y, &result);
      break;
    case Binary::kMultiply:
      overflow = __builtin_mul_overflow(x, y, &result);
      break;
    case Binary::kDivide:
      if (y == 0) return DivisionByZero(in);
      *out = Value::Float(static_cast<double>(x) / static_cast<double>(y));
      return true;
    case Binary::kFloorDivide:
    case Binary::kModulo:
      return FloorDivide(in, op, x, y, out);
    case Binary::kPower:
      return IntPower(in, x, y, out);
  }
  if (overflow) return Overflow(in, op);
  *out = Value::Int(result);
  return true;
}

bool FloatMath(Interp& in, Binary op, double x, double y, Value* out) {
  double result = 0;
  switch (op) {
    case Binary::kAdd:
      result = x + y;
      break;
    case Binary::kSubtract:
      result = x - y;
      break;
    case Binary::kMultiply:
      result = x * y;
      break;
    case Binary::kDivide:
      if (y == 0) return DivisionByZero(in);
      result = x / y;
      break;
    case Binary::kFloorDivide:
    case Binary::kModulo: {
      if (y == 0) return DivisionByZero(in);
      double rest = fmod(x, y);
      double quotient = (x - rest) / y;
      if (rest != 0 && (rest < 0) != (y < 0)) {
        rest += y;
        quotient -= 1;
      }
      if (rest == 0) rest = copysign(0.0, y);
      // (x - rest) / y is whole but for rounding.
      const double floored = floor(quotient);
      result = op == Binary::kModulo ? rest : quotient - floored > 0.5 ? floored + 1 : floored;
      if (op == Binary::kFloorDivide && result == 0) result = copysign(0.0, x / y);
      break;
    }
    case Binary::kPower:
      if (x == 0 && y < 0) return in.Fail("0.0 cannot be raised to a negative power");
      if (x < 0 && y != floor(y) && isfinite(x) && isfinite(y)) {
        return in.FailAs(Code::kUnsupported, "a complex number: a negative base with a fractional power");
      }
      result = pow(x, y);
      if (isinf(result) && isfinite(x) && isfinite(y)) return in.Fail("the result of '**' is too large");
      break;
  }
  *out = Value::Float(result);
  return true;
}

bool Repeat(Interp& in, const Value& sequence, int64_t count, Value* out) {
  const uint64_t times = count > 0 ? static_cast<uint64_t>(count) : 0;
  const bool text = sequence.IsString();
  const uint64_t size = text ? sequence.str->size : sequence.list->items.size();
  uint64_t total = 0;
  if (__builtin_mul_overflow(size, times, &total)) total = UINT64_MAX;
  if (text) {
    if (!in.ChargeString(total)) return false;
    char* bytes = in.heap().Bytes(static_cast<size_t>(total));
    for (uint64_t i = 0; size > 0 && i < times; ++i) {
      std::copy_n(sequence.str->data, static_cast<size_t>(size), bytes + i * size);
    }
    *out = Value::String(in.heap().View({bytes, static_cast<size_t>(total)}, sequence.str->markup));
    return true;
  }
  if (!in.Charge(2) || !in.Charge(total)) return false;
  Value result = in.heap().NewList(sequence.kind);
  result.list->items.reserve(static_cast<size_t>(total));
  for (uint64_t i = 0; size > 0 && i < times; ++i) {
    for (size_t k = 0; k < size; ++k) result.list->items.push_back(sequence.list->items[k]);
  }
  *out = result;
  return true;
}

bool AddSequences(Interp& in, const Value& left, const Value& right, Value* out) {
  const std::vector<Value>& a = left.list->items;
  const std::vector<Value>& b = right.list->items;
  if (!in.Charge(2 + a.size() + b.size())) return false;
  Value result = in.heap().NewList(left.kind);
  result.list->items.reserve(a.size() + b.size());
  result.list->items.insert(result.list->items.end(), a.begin(), a.end());
  result.list->items.insert(result.list->items.end(), b.begin(), b.end());
  *out = result;
  return true;
}

bool AddStrings(Interp& in, const Value& left, const Value& right, Value* out) {
  // Marked text escapes what is joined to it.
  Value sides[2] = {left, right};
  const bool markup = left.str->markup || right.str->markup;
  for (Value& side : sides) {
    if (!markup || side.str->markup) continue;
    std::string escaped;
    if (!EscapeHtml(in, side.str->view(), &escaped) || !in.MakeString(escaped, true, &side)) return false;
  }
  const uint64_t total = uint64_t{sides[0].str->size} + sides[1].str->size;
  if (!in.ChargeString(total)) return false;
  char* bytes = in.heap().Bytes(static_cast<size_t>(total));
  std::copy_n(sides[0].str->data, sides[0].str->size, bytes);
  std::copy_n(sides[1].str->data, sides[1].str->size, bytes + sides[0].str->size);
  *out = Value::String(in.heap().View({bytes, static_cast<size_t>(total)}, markup));
  return true;
}

}  // namespace

bool Interp::Math(Binary op, const Value& left, const Value& right, Value* out) {
  if (op == Binary::kModulo && left.IsString()) return FormatPercent(*this, left.str->view(), right, out);
  if (left.IsUndefined()) return FailUndefined(left);
  if (right.IsUndefined()) return FailUndefined(right);
  if (left.IsIntegral() && right.IsIntegral()) return IntMath(*this, op, left.AsInt(), right.AsInt(), out);
  if (left.IsNumber() && right.IsNumber()) return FloatMath(*this, op, left.AsFloat(), right.AsFloat(), out);
  if (op == Binary::kAdd && left.IsString() && right.IsString()) return AddStrings(*this, left, right, out);
  if (op == Binary::kAdd && left.IsSequence() && left.kind == right.kind) return AddSequences(*this, left, right, out);
  if (op == Binary::kMultiply) {
    if ((left.IsString() || left.IsSequence()) && right.IsIntegral()) return Repeat(*this, left, right.AsInt(), out);
    if ((right.IsString() || right.IsSequence()) && left.IsIntegral()) return Repeat(*this, right, left.AsInt(), out);
  }
  return Fail("'%s' does not work between '%s' and '%s'", Sign(op), TypeName(left), TypeName(right));
}

bool Interp::Negate(const Value& value, Value* out) {
  if (value.IsUndefined()) return FailUndefined(value);
  if (value.kind == Kind::kFloat) {
    *out = Value::Float(-value.real);
    return true;
  }
  if (!value.IsIntegral()) return Fail("bad operand type for unary -: '%s'", TypeName(value));
  return IntMath(*this, Binary::kSubtract, 0, value.AsInt(), out);
}

bool Interp::Compares(mote::jinja::Compare op, const Value& left, const Value& right, bool* out) {
  using Op = mote::jinja::Compare;
  switch (op) {
    case Op::kEqual:
      return Equal(left, right, out);
    case Op::kNotEqual:
      if (!Equal(left, right, out)) return false;
      *out = !*out;
      return true;
    case Op::kIn:
      return Contains(right, left, out);
    case Op::kNotIn:
      if (!Contains(right, left, out)) return false;
      *out = !*out;
      return true;
    default:
      break;
  }
  // NaN is neither less nor greater nor equal.
  const bool nan = (left.kind == Kind::kFloat && isnan(left.real)) || (right.kind == Kind::kFloat && isnan(right.real));
  int order = 0;
  if (!Order(left, right, &order)) return false;
  *out = !nan && (op == Op::kLess        ? order < 0
                  : op == Op::kLessEqual ? order <= 0
                  : op == Op::kGreater   ? order > 0
                                         : order >= 0);
  return true;
}

bool Interp::Equal(const Value& left, const Value& right, bool* out) {
  if (!Charge(1)) return false;
  *out = false;
  if (left.IsNumber() && right.IsNumber()) {
    const bool nan =
        (left.kind == Kind::kFloat && isnan(left.real)) || (right.kind == Kind::kFloat && isnan(right.real));
    *out = !nan && CompareNumbers(left, right) == 0;
    return true;
  }
  if (left.kind != right.kind) return true;
  switch (left.kind) {
    case Kind::kMissing:
    case Kind::kUndefined:
    case Kind::kNone:
      *out = true;
      return true;
    case Kind::kString:
      *out = left.str->view() == right.str->view();
      return ChargeBytes(left.str->size);
    case Kind::kList:
    case Kind::kTuple: {
      DepthScope depth(*this);
      if (!depth.ok()) return false;
      const std::vector<Value>& a = left.list->items;
      const std::vector<Value>& b = right.list->items;
      bool same = a.size() == b.size();
      for (size_t i = 0; same && i < a.size(); ++i) {
        if (!Equal(a[i], b[i], &same)) return false;
      }
      *out = same;
      return true;
    }
    case Kind::kDict: {
      DepthScope depth(*this);
      if (!depth.ok()) return false;
      bool same = left.dict->entries.size() == right.dict->entries.size();
      for (size_t i = 0; same && i < left.dict->entries.size(); ++i) {
        const Dict::Entry& entry = left.dict->entries[i];
        size_t other = 0;
        if (!Lookup(*right.dict, entry.key, &other)) return false;
        if (other == SIZE_MAX) return true;
        if (!Equal(entry.value, right.dict->entries[other].value, &same)) return false;
      }
      *out = same;
      return true;
    }
    case Kind::kRange: {
      const Range& a = *left.range;
      const Range& b = *right.range;
      *out = a.length == b.length && (a.length == 0 || (a.start == b.start && (a.length == 1 || a.step == b.step)));
      return true;
    }
    default:
      *out = left.list == right.list;  // the same object
      return true;
  }
}

bool Interp::Order(const Value& left, const Value& right, int* out) {
  if (!Charge(1)) return false;
  if (left.IsUndefined()) return FailUndefined(left);
  if (right.IsUndefined()) return FailUndefined(right);
  if (left.IsNumber() && right.IsNumber()) {
    *out = CompareNumbers(left, right);
    return true;
  }
  if (left.IsString() && right.IsString()) {
    // UTF-8 sorts by code point, as Python's str does.
    const int order = left.str->view().compare(right.str->view());
    *out = order < 0 ? -1 : order > 0;
    return ChargeBytes(std::min(left.str->size, right.str->size));
  }
  if (left.IsSequence() && left.kind == right.kind) {
    DepthScope depth(*this);
    if (!depth.ok()) return false;
    const std::vector<Value>& a = left.list->items;
    const std::vector<Value>& b = right.list->items;
    for (size_t i = 0; i < a.size() && i < b.size(); ++i) {
      bool same = false;
      if (!Equal(a[i], b[i], &same)) return false;
      if (!same) return Order(a[i], b[i], out);
    }
    *out = a.size() < b.size() ? -1 : a.size() > b.size();
    return true;
  }
  return Fail("'%s' and '%s' have no order", TypeName(left), TypeName(right));
}

bool Interp::Contains(const Value& container, const Value& item, bool* out) {
  *out = false;
  if (container.IsString()) {
    if (!item.IsString()) return Fail("'in' a string wants a string, not '%s'", TypeName(item));
    *out = FindText(container.str->view(), item.str->view()) != std::string_view::npos;
    return ChargeBytes(uint64_t{container.str->size} + item.str->size);
  }
  if (container.kind == Kind::kDict ||
      (container.kind == Kind::kDictView && container.view->what == DictView::What::kKeys)) {
    if (!Dict::IsKey(item) && !item.IsUndefined() && item.kind != Kind::kTuple) {
      return Fail("'%s' cannot be a dict's key", TypeName(item));
    }
    const Dict* dict = container.kind == Kind::kDict ? container.dict : container.view->dict;
    size_t at = 0;
    if (!Lookup(*dict, item, &at)) return false;
    *out = at != SIZE_MAX;
    return true;
  }
  if (container.kind == Kind::kRange && item.IsIntegral()) {
    const Range& range = *container.range;
    if (range.length == 0) return true;
    // Both differences fit: the range's ends are known to.
    const int64_t last = range.At(range.length - 1);
    const int64_t value = item.AsInt();
    const bool inside = range.step > 0 ? value >= range.start && value <= last : value <= range.start && value >= last;
    *out = inside && (static_cast<uint64_t>(value) - static_cast<uint64_t>(range.start)) %
                             static_cast<uint64_t>(range.step > 0 ? range.step : 1) ==
                         0;
    if (inside && range.step < 0) {
      *out = (static_cast<uint64_t>(range.start) - static_cast<uint64_t>(value)) %
                 (0 - static_cast<uint64_t>(range.step)) ==
             0;
    }
    return true;
  }
  Iteration iteration;
  if (!iteration.Start(*this, container)) return false;
  Value other;
  while (!*out && iteration.Next(&other)) {
    if (!Equal(item, other, out)) return false;
  }
  return true;
}

}  // namespace mote::jinja
