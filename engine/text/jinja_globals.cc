// Global functions, and the methods of the objects that they make.
#include "engine/text/jinja_builtins.h"
#include "engine/text/jinja_interp.h"

namespace mote::jinja {
namespace {

bool MakeRange(Interp& in, const Value&, const Args& args, Value* out) {
  const size_t count = args.positional.size();
  if (!args.named.empty() || count < 1 || count > 3) return in.Fail("range takes one to three integers");
  int64_t numbers[3] = {0, 0, 1};
  for (size_t i = 0; i < count; ++i) {
    const Value& value = args.positional[i];
    if (value.IsUndefined()) return in.FailUndefined(value);
    if (!value.IsIntegral()) return in.Fail("range takes integers, not '%s'", Interp::TypeName(value));
    numbers[count == 1 ? 1 : i] = value.AsInt();
  }
  const auto [start, stop, step] = numbers;
  if (step == 0) return in.Fail("range's step cannot be zero");
  // Within these bounds no position in the range overflows.
  constexpr int64_t kFar = int64_t{1} << 61;
  for (const int64_t number : numbers) {
    if (number > kFar || number < -kFar) return in.FailAs(Code::kInvalidArgument, "range's numbers are too large");
  }
  const int64_t distance = step > 0 ? stop - start : start - stop;
  const int64_t stride = step > 0 ? step : -step;
  const int64_t length = distance <= 0 ? 0 : (distance - 1) / stride + 1;
  *out = in.heap().NewRange({start, stop, step, length});
  return in.Charge(1);
}

// dict(mapping or pairs, name=value, ...), for dict() and namespace().
bool Fill(Interp& in, const char* name, const Args& args, Dict* dict) {
  if (args.positional.size() > 1) return in.Fail("%s takes one argument without a name at most", name);
  if (!in.Charge(4)) return false;
  if (!args.positional.empty()) {
    const Value& from = args.positional[0];
    if (from.kind == Kind::kDict) {
      for (const Dict::Entry& entry : from.dict->entries) {
        if (!in.Insert(dict, entry.key, entry.value)) return false;
      }
    } else {
      std::vector<Value> pairs;
      if (!in.Items(from, &pairs)) return false;
      for (const Value& pair : pairs) {
        std::vector<Value> two;
        if (!in.Items(pair, &two)) return false;
        if (two.size() != 2) return in.Fail("%s wants pairs, not %zu values", name, two.size());
        if (!in.Insert(dict, two[0], two[1])) return false;
      }
    }
  }
  for (const auto& [key, value] : args.named) {
    if (!in.InsertNamed(dict, key, value)) return false;
  }
  return true;
}

bool MakeDict(Interp& in, const Value&, const Args& args, Value* out) {
  *out = in.heap().NewDict();
  return Fill(in, "dict", args, out->dict);
}

bool MakeNamespace(Interp& in, const Value&, const Args& args, Value* out) {
  *out = in.heap().NewDict(Kind::kNamespace);
  return Fill(in, "namespace", args, out->dict);
}

bool RaiseException(Interp& in, const Value&, const Args& args, Value*) {
  Value message;
  Value text;
  if (!in.Bind("raise_exception", args, {"message"}, &message)) return false;
  if (message.IsMissing()) message = Value::None();
  if (!in.Text(message, &text)) return false;
  return in.Fail("%s", std::string(text.str->view()).c_str());
}

bool StrftimeNow(Interp& in, const Value&, const Args& args, Value* out) {
  Value format;
  if (!in.Bind("strftime_now", args, {"format"}, &format)) return false;
  if (!format.IsString()) return in.Fail("strftime_now takes a format, a string");
  std::string text;
  return FormatTime(in, format.str->view(), in.now(), &text) && in.MakeString(text, out);
}

bool MakeCycler(Interp& in, const Value&, const Args& args, Value* out) {
  if (args.positional.empty() || !args.named.empty()) return in.Fail("cycler takes the values to cycle through");
  if (!in.Charge(args.positional.size())) return false;
  *out = in.heap().NewCycler();
  out->cycler->items = args.positional;
  return true;
}

bool MakeJoiner(Interp& in, const Value&, const Args& args, Value* out) {
  Value separator;
  if (!in.Bind("joiner", args, {"sep"}, &separator)) return false;
  *out = in.heap().NewJoiner();
  out->joiner->separator = separator.IsMissing() ? Value::String(in.heap().View(", ")) : separator;
  return in.Charge(1);
}

bool CyclerNext(Interp& in, const Value& self, const Args& args, Value* out) {
  if (!in.Bind("next", args, {}, nullptr)) return false;
  Cycler& cycler = *self.cycler;
  *out = cycler.items[cycler.position];
  cycler.position = (cycler.position + 1) % cycler.items.size();
  return true;
}

bool CyclerReset(Interp& in, const Value& self, const Args& args, Value* out) {
  self.cycler->position = 0;
  *out = Value::None();
  return in.Bind("reset", args, {}, nullptr);
}

bool LoopCycle(Interp& in, const Value& self, const Args& args, Value* out) {
  if (args.positional.empty() || !args.named.empty()) return in.Fail("loop.cycle takes the values to cycle through");
  *out = args.positional[static_cast<size_t>(self.loop->index0) % args.positional.size()];
  return true;
}

bool LoopChanged(Interp& in, const Value& self, const Args& args, Value* out) {
  Loop& loop = *self.loop;
  bool same = loop.has_changed && loop.changed.size() == args.positional.size();
  for (size_t i = 0; same && i < args.positional.size(); ++i) {
    if (!in.Equal(loop.changed[i], args.positional[i], &same)) return false;
  }
  loop.has_changed = true;
  loop.changed = args.positional;
  *out = Value::Bool(!same);
  return true;
}

constexpr Function kGlobals[] = {
    {"range", MakeRange},          {"dict", MakeDict},
    {"namespace", MakeNamespace},  {"raise_exception", RaiseException},
    {"strftime_now", StrftimeNow}, {"cycler", MakeCycler},
    {"joiner", MakeJoiner},
};
constexpr Function kCyclerMethods[] = {{"next", CyclerNext}, {"reset", CyclerReset}};
constexpr Function kLoopMethods[] = {{"cycle", LoopCycle}, {"changed", LoopChanged}};

}  // namespace

std::span<const Function> Globals() {
  return kGlobals;
}
std::span<const Function> CyclerMethods() {
  return kCyclerMethods;
}
std::span<const Function> LoopMethods() {
  return kLoopMethods;
}

}  // namespace mote::jinja
