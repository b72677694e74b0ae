// Filters on lists and dicts.
#include <algorithm>

#include "engine/text/jinja_builtins.h"
#include "engine/text/jinja_interp.h"
#include "engine/text/jinja_utf8.h"

namespace mote::jinja {
namespace {

bool WantInt(Interp& in, const char* name, const Value& value, int64_t* out) {
  if (!value.IsIntegral()) return in.Fail("%s takes an integer", name);
  *out = value.AsInt();
  return true;
}

bool Given(const Value& value) {
  return !value.IsMissing() && !value.IsNone();
}

Value FromItems(Interp& in, std::vector<Value> items, Kind kind) {
  if (kind == Kind::kIterator) {
    const Value iterator = in.heap().NewIterator();
    iterator.iterator->items = std::move(items);
    return iterator;
  }
  const Value list = in.heap().NewList(kind);
  list.list->items = std::move(items);
  return list;
}

bool LengthFilter(Interp& in, const Value& self, const Args& args, Value* out) {
  int64_t length = 0;
  if (!in.Bind("length", args, {}, nullptr) || !in.Length(self, &length)) return false;
  *out = Value::Int(length);
  return true;
}

bool Default(Interp& in, const Value& self, const Args& args, Value* out) {
  Value parts[2];
  if (!in.Bind("default", args, {"default_value", "boolean"}, parts)) return false;
  const bool replaced = self.IsUndefined() || (Interp::Truth(parts[1]) && !Interp::Truth(self));
  *out = !replaced ? self : parts[0].IsMissing() ? Value::String(in.heap().View({})) : parts[0];
  return in.Charge(1);
}

bool First(Interp& in, const Value& self, const Args& args, Value* out) {
  Iteration iteration;
  if (!in.Bind("first", args, {}, nullptr) || !iteration.Start(in, self)) return false;
  if (!iteration.Next(out)) *out = Value::Undefined(nullptr, false);
  return true;
}

bool Last(Interp& in, const Value& self, const Args& args, Value* out) {
  if (self.kind == Kind::kIterator) return in.Fail("last takes a sequence, not '%s'", Interp::TypeName(self));
  std::vector<Value> items;
  if (!in.Bind("last", args, {}, nullptr)) return false;
  if (self.IsSequence() && !self.list->items.empty()) {
    *out = self.list->items.back();
    return true;
  }
  if (self.kind == Kind::kUndefined) return in.FailUndefined(self);
  if (!in.Items(self, &items)) return false;
  *out = items.empty() ? Value::Undefined(nullptr, false) : items.back();
  return true;
}

bool Join(Interp& in, const Value& self, const Args& args, Value* out) {
  Value parts[2];
  Value separator;
  if (!in.Bind("join", args, {"d", "attribute"}, parts)) return false;
  if (parts[0].IsMissing()) parts[0] = Value::String(in.heap().View({}));
  if (!in.Text(parts[0], &separator)) return false;
  std::vector<Value> items;
  if (!in.Items(self, &items)) return false;
  std::string text;
  for (size_t i = 0; i < items.size(); ++i) {
    Value item = items[i];
    if (Given(parts[1]) && !in.AttributePath(items[i], parts[1], &item)) return false;
    if ((i > 0 && !in.Append(&text, separator.str->view())) || !in.AppendText(item, &text)) return false;
  }
  return in.MakeString(text, out);
}

bool ToList(Interp& in, const Value& self, const Args& args, Value* out) {
  std::vector<Value> items;
  if (!in.Bind("list", args, {}, nullptr) || !in.Items(self, &items) || !in.Charge(2)) return false;
  *out = FromItems(in, std::move(items), Kind::kList);
  return true;
}

bool Reverse(Interp& in, const Value& self, const Args& args, Value* out) {
  if (!in.Bind("reverse", args, {}, nullptr)) return false;
  if (self.IsString()) {
    const Value parts[3] = {Value::None(), Value::None(), Value::Int(-1)};
    return in.Slice(self, parts, out);
  }
  std::vector<Value> items;
  if (self.IsUndefined()) return in.FailUndefined(self);
  if (!in.Items(self, &items) || !in.Charge(2)) return false;
  std::reverse(items.begin(), items.end());
  // A generator is gathered into a list first, everything else is walked backwards.
  *out = FromItems(in, std::move(items), self.kind == Kind::kIterator ? Kind::kList : Kind::kIterator);
  return true;
}

bool ItemsFilter(Interp& in, const Value& self, const Args& args, Value* out) {
  if (!in.Bind("items", args, {}, nullptr)) return false;
  std::vector<Value> items;
  if (!self.IsUndefined()) {
    if (self.kind != Kind::kDict) return in.Fail("items takes a dict, not '%s'", Interp::TypeName(self));
    if (!in.Items(in.heap().NewView({DictView::What::kItems, self.dict}), &items)) return false;
  }
  *out = FromItems(in, std::move(items), Kind::kIterator);
  return in.Charge(2);
}

// Strings compare by their lower case unless asked otherwise.
bool SortKey(Interp& in, const Value& item, const Value& attribute, bool case_sensitive, Value* key) {
  *key = item;
  if (Given(attribute) && !in.AttributePath(item, attribute, key)) return false;
  return case_sensitive || !key->IsString() || MapCase(in, *key, false, key);
}

struct Keyed {
  std::vector<Value> keys;
  Value item;
};

// Merges runs of doubling length: stable, and no comparison is lost when one fails.
bool SortKeyed(Interp& in, std::vector<Keyed>* items, bool reverse) {
  const auto less = [&](const Keyed& a, const Keyed& b, bool* out) {
    *out = false;
    for (size_t i = 0; i < a.keys.size(); ++i) {
      int order = 0;
      bool same = false;
      if (i + 1 < a.keys.size()) {
        if (!in.Equal(a.keys[i], b.keys[i], &same)) return false;
        if (same) continue;
      }
      if (!in.Order(a.keys[i], b.keys[i], &order)) return false;
      *out = reverse ? order > 0 : order < 0;
      return true;
    }
    return true;
  };
  std::vector<Keyed> merged;
  for (size_t run = 1; run < items->size(); run *= 2) {
    merged.clear();
    for (size_t begin = 0; begin < items->size(); begin += 2 * run) {
      const size_t middle = std::min(begin + run, items->size());
      const size_t end = std::min(begin + 2 * run, items->size());
      size_t a = begin;
      size_t b = middle;
      while (a < middle && b < end) {
        bool take_second = false;
        if (!less((*items)[b], (*items)[a], &take_second)) return false;
        merged.push_back(std::move((*items)[take_second ? b++ : a++]));
      }
      while (a < middle) merged.push_back(std::move((*items)[a++]));
      while (b < end) merged.push_back(std::move((*items)[b++]));
    }
    items->swap(merged);
  }
  return true;
}

// Sorts by `attribute`, or by several with commas between them.
bool SortItems(Interp& in, std::vector<Value>* items, const Value& attribute, bool case_sensitive, bool reverse) {
  std::vector<Value> attributes = {attribute};
  if (attribute.IsString()) {
    attributes.clear();
    std::string_view rest = attribute.str->view();
    while (true) {
      const size_t comma = rest.find(',');
      Value part;
      if (!in.View(rest.substr(0, comma), false, &part)) return false;
      attributes.push_back(part);
      if (comma == std::string_view::npos) break;
      rest.remove_prefix(comma + 1);
    }
  }
  if (!in.Charge(items->size() * attributes.size())) return false;
  std::vector<Keyed> keyed;
  for (const Value& item : *items) {
    Keyed entry = {std::vector<Value>(attributes.size()), item};
    for (size_t i = 0; i < attributes.size(); ++i) {
      if (!SortKey(in, item, attributes[i], case_sensitive, &entry.keys[i])) return false;
    }
    keyed.push_back(std::move(entry));
  }
  if (!SortKeyed(in, &keyed, reverse)) return false;
  for (size_t i = 0; i < keyed.size(); ++i) (*items)[i] = keyed[i].item;
  return true;
}

bool Sort(Interp& in, const Value& self, const Args& args, Value* out) {
  Value parts[3];
  std::vector<Value> items;
  if (!in.Bind("sort", args, {"reverse", "case_sensitive", "attribute"}, parts) || !in.Items(self, &items))
    return false;
  if (!SortItems(in, &items, parts[2], Interp::Truth(parts[1]), Interp::Truth(parts[0])) || !in.Charge(2)) return false;
  *out = FromItems(in, std::move(items), Kind::kList);
  return true;
}

bool DictSort(Interp& in, const Value& self, const Args& args, Value* out) {
  Value parts[3];
  if (!in.Bind("dictsort", args, {"case_sensitive", "by", "reverse"}, parts)) return false;
  if (self.IsUndefined()) return in.FailUndefined(self);
  if (self.kind != Kind::kDict) return in.Fail("dictsort takes a dict, not '%s'", Interp::TypeName(self));
  const std::string_view by = parts[1].IsString() ? parts[1].str->view() : parts[1].IsMissing() ? "key" : "";
  if (by != "key" && by != "value") return in.Fail("dictsort: by must be 'key' or 'value'");
  std::vector<Value> items;
  if (!in.Items(in.heap().NewView({DictView::What::kItems, self.dict}), &items)) return false;
  if (!SortItems(in, &items, Value::Int(by == "value"), Interp::Truth(parts[0]), Interp::Truth(parts[2]))) return false;
  *out = FromItems(in, std::move(items), Kind::kList);
  return in.Charge(2);
}

bool Unique(Interp& in, const Value& self, const Args& args, Value* out) {
  Value parts[2];
  std::vector<Value> items;
  if (!in.Bind("unique", args, {"case_sensitive", "attribute"}, parts) || !in.Items(self, &items)) return false;
  Dict seen;  // keys that a dict can hold; others are compared one by one
  std::vector<Value> others;
  std::vector<Value> kept;
  for (const Value& item : items) {
    Value key;
    if (!SortKey(in, item, parts[1], Interp::Truth(parts[0]), &key) || !in.Charge(2)) return false;
    bool known = false;
    if (Dict::IsKey(key)) {
      size_t at = 0;
      if (!in.Lookup(seen, key, &at) || (at == SIZE_MAX && !in.Insert(&seen, key, Value::None()))) return false;
      known = at != SIZE_MAX;
    } else {
      if (key.kind == Kind::kList || key.kind == Kind::kDict) {
        return in.Fail("unique: values of type '%s' cannot be told apart", Interp::TypeName(key));
      }
      for (size_t i = 0; !known && i < others.size(); ++i) {
        if (!in.Equal(others[i], key, &known)) return false;
      }
      if (!known) others.push_back(key);
    }
    if (!known) kept.push_back(item);
  }
  *out = FromItems(in, std::move(kept), Kind::kIterator);
  return true;
}

bool Sum(Interp& in, const Value& self, const Args& args, Value* out) {
  Value parts[2];
  std::vector<Value> items;
  if (!in.Bind("sum", args, {"attribute", "start"}, parts) || !in.Items(self, &items)) return false;
  Value total = parts[1].IsMissing() ? Value::Int(0) : parts[1];
  if (total.IsString()) return in.Fail("sum adds no strings; join does");
  for (const Value& item : items) {
    Value addend = item;
    Value result;
    if (Given(parts[0]) && !in.AttributePath(item, parts[0], &addend)) return false;
    if (!in.Math(Binary::kAdd, total, addend, &result)) return false;
    total = result;
  }
  *out = total;
  return true;
}

template <bool kMax>
bool MinMax(Interp& in, const Value& self, const Args& args, Value* out) {
  Value parts[2];
  std::vector<Value> items;
  if (!in.Bind(kMax ? "max" : "min", args, {"case_sensitive", "attribute"}, parts)) return false;
  if (!in.Items(self, &items)) return false;
  *out = Value::Undefined(nullptr, false);
  Value best;
  for (size_t i = 0; i < items.size(); ++i) {
    Value key;
    int order = 0;
    if (!SortKey(in, items[i], parts[1], Interp::Truth(parts[0]), &key)) return false;
    if (i > 0 && !in.Order(key, best, &order)) return false;
    if (i > 0 && (kMax ? order <= 0 : order >= 0)) continue;
    best = key;
    *out = items[i];
  }
  return true;
}

bool Batch(Interp& in, const Value& self, const Args& args, Value* out) {
  Value parts[2];
  int64_t size = 0;
  std::vector<Value> items;
  if (!in.Bind("batch", args, {"linecount", "fill_with"}, parts) || !WantInt(in, "batch", parts[0], &size))
    return false;
  if (!in.Items(self, &items)) return false;
  if (size <= 0) return in.Fail("batch: the number of items must be positive");
  std::vector<Value> batches;
  for (size_t i = 0; i < items.size(); ++i) {
    if (i % static_cast<uint64_t>(size) == 0) {
      if (!in.Charge(2)) return false;
      batches.push_back(in.heap().NewList());
    }
    batches.back().list->items.push_back(items[i]);
  }
  if (Given(parts[1]) && !batches.empty()) {
    std::vector<Value>& last = batches.back().list->items;
    if (!in.Charge(static_cast<uint64_t>(size) - last.size())) return false;
    last.resize(static_cast<size_t>(size), parts[1]);
  }
  *out = FromItems(in, std::move(batches), Kind::kIterator);
  return true;
}

bool SliceFilter(Interp& in, const Value& self, const Args& args, Value* out) {
  Value parts[2];
  int64_t count = 0;
  std::vector<Value> items;
  if (!in.Bind("slice", args, {"slices", "fill_with"}, parts) || !WantInt(in, "slice", parts[0], &count)) return false;
  if (!in.Items(self, &items)) return false;
  if (count <= 0) return in.Fail("slice: the number of slices must be positive");
  if (!in.Charge(3 * static_cast<uint64_t>(count))) return false;
  const size_t slices = static_cast<size_t>(count);
  const size_t extra = items.size() % slices;
  std::vector<Value> result;
  size_t at = 0;
  for (size_t i = 0; i < slices; ++i) {
    const Value list = in.heap().NewList();
    for (const size_t end = at + items.size() / slices + (i < extra); at < end; ++at)
      list.list->items.push_back(items[at]);
    if (Given(parts[1]) && i >= extra) list.list->items.push_back(parts[1]);
    result.push_back(list);
  }
  *out = FromItems(in, std::move(result), Kind::kIterator);
  return true;
}

bool GroupBy(Interp& in, const Value& self, const Args& args, Value* out) {
  Value parts[3];
  std::vector<Value> items;
  if (!in.Bind("groupby", args, {"attribute", "default", "case_sensitive"}, parts)) return false;
  if (parts[0].IsMissing()) return in.Fail("groupby takes the name of an attribute");
  if (!in.Items(self, &items)) return false;
  const bool case_sensitive = Interp::Truth(parts[2]);
  std::vector<Keyed> keyed;
  for (const Value& item : items) {
    Value key;
    if (!in.AttributePath(item, parts[0], &key)) return false;
    if (key.IsUndefined() && Given(parts[1])) key = parts[1];
    Value sort_key;
    if (!SortKey(in, key, Value::None(), case_sensitive, &sort_key)) return false;
    const Value both = in.heap().NewList(Kind::kTuple);
    both.list->items = {key, item};
    keyed.push_back({{sort_key}, both});
  }
  if (!in.Charge(4 * items.size()) || !SortKeyed(in, &keyed, false)) return false;
  std::vector<Value> groups;
  for (size_t i = 0; i < keyed.size(); ++i) {
    bool same = false;
    if (i > 0 && !in.Equal(keyed[i - 1].keys[0], keyed[i].keys[0], &same)) return false;
    const std::vector<Value>& both = keyed[i].item.list->items;
    if (!same) {
      const Value group = in.heap().NewList(Kind::kTuple);
      group.list->items = {both[0], in.heap().NewList()};
      group.list->grouped = true;
      groups.push_back(group);
    }
    groups.back().list->items[1].list->items.push_back(both[1]);
  }
  *out = FromItems(in, std::move(groups), Kind::kList);
  return true;
}

constexpr Function kSequenceFilters[] = {
    {"length", LengthFilter}, {"count", LengthFilter},
    {"default", Default},     {"d", Default},
    {"first", First},         {"last", Last},
    {"join", Join},           {"list", ToList},
    {"reverse", Reverse},     {"items", ItemsFilter},
    {"sort", Sort},           {"dictsort", DictSort},
    {"unique", Unique},       {"sum", Sum},
    {"min", MinMax<false>},   {"max", MinMax<true>},
    {"batch", Batch},         {"slice", SliceFilter},
    {"groupby", GroupBy},
};

}  // namespace

std::span<const Function> SequenceFilters() {
  return kSequenceFilters;
}

}  // namespace mote::jinja
