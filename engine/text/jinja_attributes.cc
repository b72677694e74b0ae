// object.name, object[index] and slices.
#include <algorithm>

#include "engine/text/jinja_builtins.h"
#include "engine/text/jinja_interp.h"
#include "engine/text/jinja_number.h"
#include "engine/text/jinja_utf8.h"

namespace mote::jinja {
namespace {

std::span<const Function> MethodsOf(const Value& object) {
  switch (object.kind) {
    case Kind::kString:
      return StringMethods();
    case Kind::kList:
      return ListMethods();
    case Kind::kTuple:
      return TupleMethods();
    case Kind::kDict:
      return DictMethods();
    case Kind::kLoop:
      return LoopMethods();
    case Kind::kCycler:
      return CyclerMethods();
    default:
      return {};
  }
}

// The attributes of `loop`. False: there is none of that name.
bool LoopAttribute(const Loop& loop, std::string_view name, Value* out) {
  const struct {
    std::string_view name;
    Value value;
  } attributes[] = {
      {"index", Value::Int(loop.index0 + 1)},
      {"index0", Value::Int(loop.index0)},
      {"revindex", Value::Int(loop.length - loop.index0)},
      {"revindex0", Value::Int(loop.length - loop.index0 - 1)},
      {"first", Value::Bool(loop.index0 == 0)},
      {"last", Value::Bool(loop.next.IsMissing())},
      {"length", Value::Int(loop.length)},
      {"depth", Value::Int(loop.depth0 + 1)},
      {"depth0", Value::Int(loop.depth0)},
      {"previtem", loop.previous.IsMissing() ? Value::Undefined(nullptr, true) : loop.previous},
      {"nextitem", loop.next.IsMissing() ? Value::Undefined(nullptr, true) : loop.next},
  };
  for (const auto& attribute : attributes) {
    if (attribute.name != name) continue;
    *out = attribute.value;
    return true;
  }
  return false;
}

// What is found as a dict entry or a namespace's variable. False: nothing.
bool EntryOf(const Value& object, std::string_view name, Value* out) {
  if (object.kind != Kind::kDict && object.kind != Kind::kNamespace) return false;
  const Value* found = object.dict->Get(name);
  if (found != nullptr) *out = *found;
  return found != nullptr;
}

// Python's slice.indices(): start and count of the elements that `parts` choose of `length`.
struct Span {
  int64_t start = 0;
  int64_t step = 1;
  int64_t count = 0;
};

bool ResolveSlice(Interp& in, const Value (&parts)[3], int64_t length, Span* span) {
  for (const Value& part : parts) {
    if (part.IsUndefined()) return in.FailUndefined(part);
    if (!part.IsNone() && !part.IsIntegral()) {
      return in.Fail("parts of a slice are integers or none, not '%s'", Interp::TypeName(part));
    }
  }
  const int64_t step = parts[2].IsNone() ? 1 : parts[2].AsInt();
  if (step == 0) return in.Fail("a slice's step cannot be zero");
  const auto clamp = [&](const Value& part, int64_t absent) {
    if (part.IsNone()) return absent;
    int64_t i = part.AsInt();
    if (i < 0) i = i < -length ? -1 : i + length;
    if (part.AsInt() < 0 && i < 0) return step > 0 ? int64_t{0} : int64_t{-1};
    return step > 0 ? std::min(i, length) : std::min(i, length - 1);
  };
  const int64_t start = clamp(parts[0], step > 0 ? 0 : length - 1);
  const int64_t stop = clamp(parts[1], step > 0 ? length : -1);
  const int64_t distance = step > 0 ? stop - start : start - stop;
  const uint64_t stride = step > 0 ? static_cast<uint64_t>(step) : 0 - static_cast<uint64_t>(step);
  span->start = start;
  span->step = step;
  span->count = distance <= 0 ? 0 : static_cast<int64_t>((static_cast<uint64_t>(distance) - 1) / stride + 1);
  return true;
}

bool SliceString(Interp& in, const Str& text, const Span& span, Value* out) {
  if (span.count == 0) return in.MakeString({}, text.markup, out);
  const std::string_view bytes = text.view();
  if (span.step == 1) {
    const size_t start =
        text.ascii() ? static_cast<size_t>(span.start) : SkipChars(bytes, 0, static_cast<size_t>(span.start));
    const size_t end = text.ascii() ? start + static_cast<size_t>(span.count)
                                    : SkipChars(bytes, start, static_cast<size_t>(span.count));
    if (!in.ChargeBytes(end)) return false;
    *out = Value::String(in.heap().View(bytes.substr(start, end - start), text.markup));
    return true;
  }
  if (!in.Charge(uint64_t{text.length})) return false;
  std::vector<uint32_t> starts;  // of each character
  for (size_t i = 0; i < bytes.size(); i += DecodeChar(bytes, i).bytes) starts.push_back(static_cast<uint32_t>(i));
  std::string result;
  for (int64_t i = 0; i < span.count; ++i) {
    const size_t at = starts[static_cast<size_t>(span.start + i * span.step)];
    result.append(bytes.substr(at, DecodeChar(bytes, at).bytes));
  }
  return in.MakeString(result, text.markup, out);
}

// An index into `length` elements, counted from the end if negative. False: outside.
bool ResolveIndex(int64_t length, int64_t* index) {
  if (*index < 0) *index += length;
  return *index >= 0 && *index < length;
}

}  // namespace

bool Interp::Attribute(const Value& object, const Str& name, Value* out) {
  if (object.IsUndefined()) return FailUndefined(object);
  const std::string_view text = name.view();
  // Methods come before entries: d.items is the method even where there is a key "items".
  if (const Function* function = FindFunction(MethodsOf(object), text); function != nullptr) {
    if (!Charge(1)) return false;
    methods_.push_back({object, function});
    *out = Value::OfKind(Kind::kMethod);
    out->method = &methods_.back();
    return true;
  }
  if (object.kind == Kind::kLoop && LoopAttribute(*object.loop, text, out)) return true;
  if (!ChargeBytes(text.size())) return false;
  if (EntryOf(object, text, out)) return true;
  if (object.kind == Kind::kTuple && object.list->grouped && (text == "grouper" || text == "list")) {
    *out = object.list->items[text == "list"];
    return true;
  }
  if (object.kind == Kind::kMacro && text == "name") {
    *out = Value::String(heap_.View(ast_.names[object.macro->node->a]));
    return true;
  }
  if (object.kind == Kind::kCycler && text == "current" && !object.cycler->items.empty()) {
    *out = object.cycler->items[object.cycler->position];
    return true;
  }
  *out = Value::Undefined(&name, true);
  return true;
}

bool Interp::Item(const Value& object, const Value& index, Value* out) {
  if (object.IsUndefined()) return FailUndefined(object);
  const Str* name = index.IsString() ? index.str : nullptr;
  if (object.kind == Kind::kDict) {
    size_t found = 0;
    if (!Lookup(*object.dict, index, &found)) return false;
    if (found != SIZE_MAX) {
      *out = object.dict->entries[found].value;
      return true;
    }
  }
  // object["name"] falls back to object.name, as in jinja2.
  if (name != nullptr) return Attribute(object, *name, out);
  *out = Value::Undefined(nullptr, true);
  if (!index.IsIntegral()) return true;
  int64_t i = index.AsInt();
  const int64_t asked = i;
  if (object.IsSequence() && ResolveIndex(static_cast<int64_t>(object.list->items.size()), &i)) {
    *out = object.list->items[static_cast<size_t>(i)];
  } else if (object.kind == Kind::kRange && ResolveIndex(object.range->length, &i)) {
    *out = Value::Int(object.range->At(i));
  } else if (object.IsString() && ResolveIndex(object.str->length, &i)) {
    return SliceString(*this, *object.str, {i, 1, 1}, out);
  } else {
    Value position;
    if (!MakeString(std::to_string(asked), &position)) return false;
    *out = Value::Undefined(position.str, true);
  }
  return true;
}

bool Interp::Slice(const Value& object, const Value (&parts)[3], Value* out) {
  if (object.IsUndefined()) return FailUndefined(object);
  int64_t length = 0;
  if (!object.IsString() && !object.IsSequence() && object.kind != Kind::kRange) {
    // Like any index that an object does not take.
    *out = Value::Undefined(nullptr, true);
    return true;
  }
  Span span;
  if (!Length(object, &length) || !ResolveSlice(*this, parts, length, &span)) return false;
  if (object.IsString()) return SliceString(*this, *object.str, span, out);
  if (!Charge(2) || !Charge(static_cast<uint64_t>(span.count))) return false;
  Value list = heap_.NewList(object.kind == Kind::kTuple ? Kind::kTuple : Kind::kList);
  for (int64_t i = 0; i < span.count; ++i) {
    const int64_t at = span.start + i * span.step;
    list.list->items.push_back(object.IsSequence() ? object.list->items[static_cast<size_t>(at)]
                                                   : Value::Int(object.range->At(at)));
  }
  *out = list;
  return true;
}

bool Interp::AttributePath(const Value& object, const Value& path, Value* out) {
  if (!path.IsString()) return Item(object, path, out);
  Value value = object;
  std::string_view rest = path.str->view();
  while (true) {
    const size_t dot = rest.find('.');
    const std::string_view part = rest.substr(0, dot);
    int64_t number = 0;
    const bool digits = part.find_first_not_of("0123456789") == std::string_view::npos;
    Value index;
    if (!View(part, false, &index)) return false;
    if (digits && ParseInteger(part, 10, &number) == ParsedInteger::kOk) index = Value::Int(number);
    Value next;
    if (!Charge(1) || !Item(value, index, &next)) return false;
    value = next;
    if (dot == std::string_view::npos) break;
    rest.remove_prefix(dot + 1);
  }
  *out = value;
  return true;
}

bool Interp::Length(const Value& value, int64_t* out) {
  switch (value.kind) {
    case Kind::kUndefined:
      *out = 0;
      return true;
    case Kind::kString:
      *out = value.str->length;
      return true;
    case Kind::kList:
    case Kind::kTuple:
      *out = static_cast<int64_t>(value.list->items.size());
      return true;
    case Kind::kDict:
      *out = static_cast<int64_t>(value.dict->entries.size());
      return true;
    case Kind::kDictView:
      *out = static_cast<int64_t>(value.view->dict->entries.size());
      return true;
    case Kind::kRange:
      *out = value.range->length;
      return true;
    case Kind::kLoop:
      *out = value.loop->length;
      return true;
    default:
      return Fail("'%s' has no length", TypeName(value));
  }
}

}  // namespace mote::jinja
