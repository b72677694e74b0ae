// Filters that apply another filter or a test to each item: map, select and their kin, and attr.
#include "engine/text/jinja_builtins.h"
#include "engine/text/jinja_interp.h"

namespace mote::jinja {
namespace {

bool Attr(Interp& in, const Value& self, const Args& args, Value* out) {
  Value name;
  if (!in.Bind("attr", args, {"name"}, &name)) return false;
  if (!name.IsString()) return in.Fail("attr takes the name of an attribute");
  // Unlike self.name, a dict's entries are no attributes here.
  if (self.kind == Kind::kDict && FindFunction(DictMethods(), name.str->view()) == nullptr) {
    *out = Value::Undefined(name.str, true);
    return true;
  }
  return in.Attribute(self, *name.str, out);
}

// The arguments after the first `skip` positional ones.
Args Rest(const Args& args, size_t skip) {
  Args rest;
  for (size_t i = skip; i < args.positional.size(); ++i) rest.positional.push_back(args.positional[i]);
  rest.named = args.named;
  return rest;
}

bool MapAttribute(Interp& in, const std::vector<Value>& items, const Args& args, std::vector<Value>* out) {
  Value parts[2];
  if (!in.Bind("map", args, {"attribute", "default"}, parts)) return false;
  for (const Value& item : items) {
    Value value;
    if (!in.AttributePath(item, parts[0], &value)) return false;
    const bool fallback = value.IsUndefined() && !parts[1].IsMissing() && !parts[1].IsNone();
    out->push_back(fallback ? parts[1] : value);
  }
  return true;
}

bool Map(Interp& in, const Value& self, const Args& args, Value* out) {
  std::vector<Value> items;
  const Value result = in.heap().NewIterator();
  *out = result;
  // None and other false values have no items, whatever their type.
  if (!in.Charge(2)) return false;
  if (!Interp::Truth(self)) return true;
  if (!in.Items(self, &items)) return false;
  if (args.positional.empty()) {
    for (const auto& [name, value] : args.named) {
      if (name == "attribute") return MapAttribute(in, items, args, &result.iterator->items);
    }
    return in.Fail("map takes the name of a filter, or attribute=");
  }
  if (!args.positional[0].IsString()) return in.Fail("map takes the name of a filter");
  const std::string_view name = args.positional[0].str->view();
  const uint32_t filter = FindFilter(name);
  const Args rest = Rest(args, 1);
  for (const Value& item : items) {
    Value value;
    if (!in.Charge(1) || !in.CallFilter(name, filter, item, rest, &value)) return false;
    result.iterator->items.push_back(value);
  }
  return true;
}

// kAttribute: the first argument names an attribute to look at. kKeep: what the test must say of an item that stays.
template <bool kKeep, bool kAttribute>
bool Select(Interp& in, const Value& self, const Args& args, Value* out) {
  const Value result = in.heap().NewIterator();
  *out = result;
  if (!in.Charge(2)) return false;
  if (!Interp::Truth(self)) return true;
  std::vector<Value> items;
  if (!in.Items(self, &items)) return false;
  constexpr size_t kTestAt = kAttribute ? 1 : 0;
  if (args.positional.size() < kTestAt) return in.Fail("selectattr and rejectattr take the name of an attribute");
  const bool has_test = args.positional.size() > kTestAt;
  if (has_test && !args.positional[kTestAt].IsString()) return in.Fail("select takes the name of a test");
  const std::string_view name = has_test ? args.positional[kTestAt].str->view() : std::string_view();
  const uint32_t test = FindTest(name);
  const Args rest = Rest(args, kTestAt + 1);
  for (const Value& item : items) {
    Value value = item;
    if (!in.Charge(1) || (kAttribute && !in.AttributePath(item, args.positional[0], &value))) return false;
    bool holds = Interp::Truth(value);
    if (has_test && !in.CallTest(name, test, value, rest, &holds)) return false;
    if (holds == kKeep) result.iterator->items.push_back(item);
  }
  return true;
}

constexpr Function kSelectFilters[] = {
    {"attr", Attr},
    {"map", Map},
    {"select", Select<true, false>},
    {"reject", Select<false, false>},
    {"selectattr", Select<true, true>},
    {"rejectattr", Select<false, true>},
};

}  // namespace

std::span<const Function> SelectFilters() {
  return kSelectFilters;
}

}  // namespace mote::jinja
