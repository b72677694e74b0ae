// Calls: functions, methods, macros, filters and tests, and how their arguments are sorted.
#include <initializer_list>

#include "engine/text/jinja_builtins.h"
#include "engine/text/jinja_interp.h"

namespace mote::jinja {

const Function* FindFunction(std::span<const Function> table, std::string_view name) {
  for (const Function& function : table) {
    if (name == function.name) return &function;
  }
  return nullptr;
}

namespace {

constexpr std::span<const Function> (*kFilterTables[])() = {StringFilters, SequenceFilters, SelectFilters};

}  // namespace

uint32_t FindFilter(std::string_view name) {
  uint32_t base = 0;
  for (const auto table : kFilterTables) {
    const Function* function = FindFunction(table(), name);
    if (function != nullptr) return base + static_cast<uint32_t>(function - table().data());
    base += static_cast<uint32_t>(table().size());
  }
  return kNone;
}

const Function* FilterAt(uint32_t index) {
  for (const auto table : kFilterTables) {
    if (index < table().size()) return &table()[index];
    index -= static_cast<uint32_t>(table().size());
  }
  return nullptr;
}

uint32_t FindTest(std::string_view name) {
  const Function* function = FindFunction(Tests(), name);
  return function == nullptr ? kNone : static_cast<uint32_t>(function - Tests().data());
}

const Function* TestAt(uint32_t index) {
  return index < Tests().size() ? &Tests()[index] : nullptr;
}

bool Interp::Call(const Value& callee, const Args& args, Value* out) {
  if (!Charge(1)) return false;
  switch (callee.kind) {
    case Kind::kUndefined:
      return FailUndefined(callee);
    case Kind::kMacro:
      return CallMacro(*callee.macro, args, out);
    case Kind::kFunction:
      return callee.function->call(*this, callee, args, out);
    case Kind::kMethod:
      return callee.method->function->call(*this, callee.method->self, args, out);
    case Kind::kJoiner:
      // The first call gives nothing, the others the separator that follows the flag.
      if (!Bind("joiner", args, {}, nullptr)) return false;
      *out = callee.joiner->used ? callee.joiner->separator : Value::String(heap_.View({}));
      callee.joiner->used = true;
      return true;
    default:
      return Fail("'%s' cannot be called", TypeName(callee));
  }
}

bool Interp::CallFilter(std::string_view name, uint32_t index, const Value& input, const Args& args, Value* out) {
  const Function* filter = FilterAt(index);
  if (filter == nullptr) {
    return FailAs(Code::kUnsupported, "there is no filter named '%s'", std::string(name.substr(0, 80)).c_str());
  }
  DepthScope depth(*this);
  return depth.ok() && filter->call(*this, input, args, out);
}

bool Interp::CallTest(std::string_view name, uint32_t index, const Value& input, const Args& args, bool* out) {
  const Function* test = TestAt(index);
  if (test == nullptr) {
    return FailAs(Code::kUnsupported, "there is no test named '%s'", std::string(name.substr(0, 80)).c_str());
  }
  DepthScope depth(*this);
  Value result;
  if (!depth.ok() || !test->call(*this, input, args, &result)) return false;
  *out = Truth(result);
  return true;
}

bool Interp::Bind(const char* function, const Args& args, std::initializer_list<const char*> parameters, Value* out) {
  if (args.positional.size() > parameters.size()) {
    return Fail("%s takes at most %zu arguments, not %zu", function, parameters.size(), args.positional.size());
  }
  for (size_t i = 0; i < parameters.size(); ++i) {
    out[i] = i < args.positional.size() ? args.positional[i] : Value::Missing();
  }
  for (const auto& [name, value] : args.named) {
    size_t at = 0;
    for (const char* parameter : parameters) {
      if (name == parameter) break;
      ++at;
    }
    const std::string text(name.substr(0, 80));
    if (at == parameters.size()) return Fail("%s takes no argument '%s'", function, text.c_str());
    if (!out[at].IsMissing()) return Fail("%s got two values for '%s'", function, text.c_str());
    out[at] = value;
  }
  return true;
}

bool Interp::Items(const Value& iterable, std::vector<Value>* out) {
  Iteration iteration;
  if (!iteration.Start(*this, iterable)) return false;
  // A range of 10^9 is refused before any of it is made.
  if (!Charge(static_cast<uint64_t>(iteration.left()))) return false;
  Value item;
  while (iteration.Next(&item)) out->push_back(item);
  return true;
}

}  // namespace mote::jinja
