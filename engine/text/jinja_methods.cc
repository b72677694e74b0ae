// Methods of lists, tuples and dicts. Those that change their object work, though Hugging Face's sandbox refuses them:
// templates written for other engines use them.
#include <algorithm>

#include "engine/text/jinja_builtins.h"
#include "engine/text/jinja_interp.h"

namespace mote::jinja {
namespace {

bool NoArguments(Interp& in, const char* name, const Args& args) {
  return in.Bind(name, args, {}, nullptr);
}

bool ListAppend(Interp& in, const Value& self, const Args& args, Value* out) {
  Value item;
  if (!in.Bind("append", args, {"object"}, &item)) return false;
  if (item.IsMissing()) return in.Fail("append takes one argument");
  self.list->items.push_back(item);
  *out = Value::None();
  return in.Charge(1);
}

bool ListExtend(Interp& in, const Value& self, const Args& args, Value* out) {
  Value more;
  if (!in.Bind("extend", args, {"iterable"}, &more)) return false;
  if (more.IsMissing()) return in.Fail("extend takes one argument");
  std::vector<Value> items;  // the list may extend itself
  if (!in.Items(more, &items)) return false;
  self.list->items.insert(self.list->items.end(), items.begin(), items.end());
  *out = Value::None();
  return true;
}

bool ListInsert(Interp& in, const Value& self, const Args& args, Value* out) {
  Value two[2];
  if (!in.Bind("insert", args, {"index", "object"}, two)) return false;
  if (!two[0].IsIntegral() || two[1].IsMissing()) return in.Fail("insert takes an index and a value");
  std::vector<Value>& items = self.list->items;
  const int64_t size = static_cast<int64_t>(items.size());
  int64_t at = two[0].AsInt();
  if (at < 0) at = at < -size ? 0 : at + size;
  if (!in.Charge(1 + items.size() / 16)) return false;
  items.insert(items.begin() + static_cast<ptrdiff_t>(std::min(at, size)), two[1]);
  *out = Value::None();
  return true;
}

bool ListPop(Interp& in, const Value& self, const Args& args, Value* out) {
  Value index;
  if (!in.Bind("pop", args, {"index"}, &index)) return false;
  std::vector<Value>& items = self.list->items;
  const int64_t size = static_cast<int64_t>(items.size());
  if (!index.IsMissing() && !index.IsIntegral()) return in.Fail("pop takes an integer");
  int64_t at = index.IsMissing() ? -1 : index.AsInt();
  if (at < 0) at += size;
  if (at < 0 || at >= size) return in.Fail("pop: no such index in a list of %zu", items.size());
  if (!in.Charge(1 + items.size() / 16)) return false;
  *out = items[static_cast<size_t>(at)];
  items.erase(items.begin() + static_cast<ptrdiff_t>(at));
  return true;
}

// The first position of the argument, or the size of the list.
bool IndexOf(Interp& in, const char* name, const Value& self, const Args& args, size_t* at) {
  Value item;
  if (!in.Bind(name, args, {"value"}, &item)) return false;
  if (item.IsMissing()) return in.Fail("%s takes one argument", name);
  const std::vector<Value>& items = self.list->items;
  bool same = false;
  for (*at = 0; *at < items.size(); ++*at) {
    if (!in.Equal(items[*at], item, &same)) return false;
    if (same) return true;
  }
  return true;
}

bool ListIndex(Interp& in, const Value& self, const Args& args, Value* out) {
  size_t at = 0;
  if (!IndexOf(in, "index", self, args, &at)) return false;
  if (at == self.list->items.size()) return in.Fail("index: the value is not in the list");
  *out = Value::Int(static_cast<int64_t>(at));
  return true;
}

bool ListRemove(Interp& in, const Value& self, const Args& args, Value* out) {
  size_t at = 0;
  if (!IndexOf(in, "remove", self, args, &at)) return false;
  if (at == self.list->items.size()) return in.Fail("remove: the value is not in the list");
  self.list->items.erase(self.list->items.begin() + static_cast<ptrdiff_t>(at));
  *out = Value::None();
  return true;
}

bool ListCount(Interp& in, const Value& self, const Args& args, Value* out) {
  Value item;
  if (!in.Bind("count", args, {"value"}, &item)) return false;
  int64_t count = 0;
  for (const Value& other : self.list->items) {
    bool same = false;
    if (!in.Equal(other, item, &same)) return false;
    count += same;
  }
  *out = Value::Int(count);
  return true;
}

bool ListCopy(Interp& in, const Value& self, const Args& args, Value* out) {
  if (!NoArguments(in, "copy", args) || !in.Charge(2)) return false;
  *out = in.heap().NewList();
  return in.Items(self, &out->list->items);
}

bool ListClear(Interp& in, const Value& self, const Args& args, Value* out) {
  self.list->items.clear();
  *out = Value::None();
  return NoArguments(in, "clear", args);
}

bool ListReverse(Interp& in, const Value& self, const Args& args, Value* out) {
  if (!in.Charge(self.list->items.size())) return false;
  std::reverse(self.list->items.begin(), self.list->items.end());
  *out = Value::None();
  return NoArguments(in, "reverse", args);
}

bool View(Interp& in, const char* name, const Value& self, const Args& args, DictView::What what, Value* out) {
  *out = in.heap().NewView({what, self.dict});
  return NoArguments(in, name, args) && in.Charge(1);
}

bool DictKeys(Interp& in, const Value& self, const Args& args, Value* out) {
  return View(in, "keys", self, args, DictView::What::kKeys, out);
}

bool DictValues(Interp& in, const Value& self, const Args& args, Value* out) {
  return View(in, "values", self, args, DictView::What::kValues, out);
}

bool DictItems(Interp& in, const Value& self, const Args& args, Value* out) {
  return View(in, "items", self, args, DictView::What::kItems, out);
}

// A key and an optional fallback; `*at` is the key's entry or SIZE_MAX.
bool KeyAndDefault(Interp& in, const char* name, const Value& self, const Args& args, Value (&two)[2], size_t* at) {
  if (!in.Bind(name, args, {"key", "default"}, two)) return false;
  if (!Dict::IsKey(two[0]) && !two[0].IsUndefined()) {
    return in.Fail("%s takes a dict's key, not '%s'", name, Interp::TypeName(two[0]));
  }
  return in.Lookup(*self.dict, two[0], at);
}

bool DictGet(Interp& in, const Value& self, const Args& args, Value* out) {
  Value two[2];
  size_t at = 0;
  if (!KeyAndDefault(in, "get", self, args, two, &at)) return false;
  *out = at != SIZE_MAX ? self.dict->entries[at].value : two[1].IsMissing() ? Value::None() : two[1];
  return true;
}

bool DictPop(Interp& in, const Value& self, const Args& args, Value* out) {
  Value two[2];
  size_t at = 0;
  if (!KeyAndDefault(in, "pop", self, args, two, &at)) return false;
  if (at == SIZE_MAX) {
    if (two[1].IsMissing()) return in.Fail("pop: there is no such key");
    *out = two[1];
    return true;
  }
  // The index of a large dict is made anew.
  uint64_t bytes = 0;
  for (const Dict::Entry& entry : self.dict->entries) bytes += entry.key.IsString() ? entry.key.str->size : 0;
  if (!in.Charge(self.dict->entries.size()) || !in.ChargeBytes(bytes)) return false;
  *out = self.dict->entries[at].value;
  self.dict->Erase(at);
  return true;
}

bool DictSetDefault(Interp& in, const Value& self, const Args& args, Value* out) {
  Value two[2];
  size_t at = 0;
  if (!KeyAndDefault(in, "setdefault", self, args, two, &at) || !in.Charge(2)) return false;
  if (at == SIZE_MAX) {
    if (!in.Insert(self.dict, two[0], two[1].IsMissing() ? Value::None() : two[1])) return false;
    at = self.dict->entries.size() - 1;
  }
  *out = self.dict->entries[at].value;
  return true;
}

bool DictUpdate(Interp& in, const Value& self, const Args& args, Value* out) {
  if (args.positional.size() > 1) return in.Fail("update takes one argument without a name at most");
  if (!args.positional.empty()) {
    const Value& other = args.positional[0];
    if (other.kind != Kind::kDict) return in.Fail("update takes a dict, not '%s'", Interp::TypeName(other));
    for (size_t i = 0; other.dict != self.dict && i < other.dict->entries.size(); ++i) {
      const Dict::Entry& entry = other.dict->entries[i];
      if (!in.Insert(self.dict, entry.key, entry.value)) return false;
    }
  }
  for (const auto& [key, value] : args.named) {
    if (!in.InsertNamed(self.dict, key, value)) return false;
  }
  *out = Value::None();
  return true;
}

bool DictCopy(Interp& in, const Value& self, const Args& args, Value* out) {
  if (!NoArguments(in, "copy", args) || !in.Charge(4 + self.dict->entries.size())) return false;
  *out = in.heap().NewDict();
  *out->dict = *self.dict;
  return true;
}

bool DictClear(Interp& in, const Value& self, const Args& args, Value* out) {
  self.dict->Clear();
  *out = Value::None();
  return NoArguments(in, "clear", args);
}

constexpr Function kListMethods[] = {
    {"append", ListAppend}, {"extend", ListExtend},   {"insert", ListInsert}, {"pop", ListPop},
    {"index", ListIndex},   {"remove", ListRemove},   {"count", ListCount},   {"copy", ListCopy},
    {"clear", ListClear},   {"reverse", ListReverse},
};
constexpr Function kTupleMethods[] = {{"index", ListIndex}, {"count", ListCount}};
constexpr Function kDictMethods[] = {
    {"items", DictItems}, {"keys", DictKeys}, {"values", DictValues},         {"get", DictGet},
    {"pop", DictPop},     {"copy", DictCopy}, {"setdefault", DictSetDefault}, {"update", DictUpdate},
    {"clear", DictClear},
};

}  // namespace

std::span<const Function> ListMethods() {
  return kListMethods;
}
std::span<const Function> TupleMethods() {
  return kTupleMethods;
}
std::span<const Function> DictMethods() {
  return kDictMethods;
}

}  // namespace mote::jinja
