#include "engine/text/jinja_interp.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include <algorithm>

#include "engine/text/jinja_builtins.h"
#include "engine/text/jinja_utf8.h"

namespace mote::jinja {
namespace {

// Str counts bytes in 32 bits.
constexpr uint64_t kLongestString = 1u << 30;

}  // namespace

Interp::Interp(const Ast& ast, const TemplateLimits& limits, int64_t now)
    : ast_(ast), limits_(limits), now_(now), globals_(ast.names.size(), Value::Missing()), fuel_(limits.fuel) {
  loop_name_ = ast.FindName("loop");
  caller_name_ = ast.FindName("caller");
  varargs_name_ = ast.FindName("varargs");
  kwargs_name_ = ast.FindName("kwargs");
  for (const Function& function : Globals()) {
    Value value = Value::OfKind(Kind::kFunction);
    value.function = &function;
    SetGlobal(function.name, value);
  }
}

void Interp::SetGlobal(std::string_view name, const Value& value) {
  if (const uint32_t i = ast_.FindName(name); i != kNone) globals_[i] = value;
}

Result<std::string> Interp::Run() {
  std::string text;
  output_ = &text;
  const Flow flow = ExecBlock(ast_.root);
  output_ = nullptr;
  if (flow == Flow::kFail) return status_;
  return text;
}

bool Interp::Fail(const char* format, ...) {
  char text[512];
  va_list list;
  va_start(list, format);
  vsnprintf(text, sizeof(text), format, list);
  va_end(list);
  return FailAs(Code::kMalformed, "%s", text);
}

bool Interp::FailAs(Code code, const char* format, ...) {
  if (!status_.ok()) return false;
  char text[512];
  va_list list;
  va_start(list, format);
  vsnprintf(text, sizeof(text), format, list);
  va_end(list);
  status_ = Error(code, "chat template, line %" PRIu32 ": %s", Locate(ast_.source, position_).line, text);
  return false;
}

bool Interp::FailUndefined(const Value& value) {
  if (value.str == nullptr) return Fail("an undefined value is used");
  const std::string name(value.str->view().substr(0, 80));
  if (!value.attribute) return Fail("'%s' is undefined", name.c_str());
  const bool number = name.find_first_not_of("-0123456789") == std::string::npos;
  return Fail(number ? "there is no element %s" : "there is no attribute '%s'", name.c_str());
}

bool Interp::Charge(uint64_t units) {
  if (units <= fuel_) {
    fuel_ -= units;
    return true;
  }
  fuel_ = 0;
  return FailAs(Code::kInvalidArgument, "more than %" PRIu64 " steps of work: the template may not end", limits_.fuel);
}

bool Interp::ChargeString(uint64_t bytes) {
  const uint64_t most = std::min(limits_.output_bytes, kLongestString);
  if (bytes > most) {
    return FailAs(Code::kInvalidArgument, "a text of %" PRIu64 " bytes: at most %" PRIu64 " are allowed", bytes, most);
  }
  return ChargeBytes(bytes);
}

bool Interp::MakeString(std::string_view bytes, Value* out) {
  return MakeString(bytes, false, out);
}

bool Interp::MakeString(std::string_view bytes, bool markup, Value* out) {
  if (!ChargeString(bytes.size())) return false;
  *out = heap_.NewString(bytes, markup);
  return true;
}

bool Interp::View(std::string_view bytes, bool markup, Value* out) {
  if (!ChargeBytes(bytes.size())) return false;
  *out = Value::String(heap_.View(bytes, markup));
  return true;
}

bool Interp::Lookup(const Dict& dict, const Value& key, size_t* at) {
  *at = dict.Find(key);
  return ChargeBytes(key.IsString() ? key.str->size : 0);
}

bool Interp::Insert(Dict* dict, const Value& key, const Value& value) {
  if (!Dict::IsKey(key)) return Fail("a dict's key cannot be of type '%s'", TypeName(key));
  dict->Set(key, value);
  return ChargeBytes(key.IsString() ? key.str->size : 0);
}

bool Interp::InsertNamed(Dict* dict, std::string_view name, const Value& value) {
  Value key;
  return View(name, false, &key) && Insert(dict, key, value);
}

bool Interp::Append(std::string* out, std::string_view bytes) {
  const uint64_t most = std::min(limits_.output_bytes, kLongestString);
  if (bytes.size() > most || out->size() > most - bytes.size()) {
    return FailAs(Code::kInvalidArgument, "the text grows past the limit of %" PRIu64 " bytes", most);
  }
  if (!Charge(bytes.size() / 64)) return false;
  out->append(bytes);
  return true;
}

bool Interp::Enter() {
  if (depth_ >= limits_.depth) {
    return FailAs(Code::kInvalidArgument, "nested more than %" PRIu32 " levels deep", limits_.depth);
  }
  ++depth_;
  return true;
}

bool Iteration::Start(Interp& in, const Value& iterable) {
  items_.clear();
  next_ = 0;
  switch (iterable.kind) {
    case Kind::kList:
    case Kind::kTuple:
      source_ = Source::kList;
      list_ = iterable.list;
      return true;
    case Kind::kRange:
      source_ = Source::kRange;
      range_ = iterable.range;
      return true;
    case Kind::kIterator:
      source_ = Source::kIterator;
      iterator_ = iterable.iterator;
      return true;
    case Kind::kUndefined:
      source_ = Source::kItems;
      return true;
    case Kind::kDict: {
      source_ = Source::kItems;
      if (!in.Charge(iterable.dict->entries.size())) return false;
      for (const Dict::Entry& entry : iterable.dict->entries) items_.push_back(entry.key);
      return true;
    }
    case Kind::kDictView: {
      source_ = Source::kItems;
      const std::vector<Dict::Entry>& entries = iterable.view->dict->entries;
      if (!in.Charge(3 * entries.size())) return false;
      for (const Dict::Entry& entry : entries) {
        Value item = iterable.view->what == DictView::What::kValues ? entry.value : entry.key;
        if (iterable.view->what == DictView::What::kItems) {
          item = in.heap().NewList(Kind::kTuple);
          item.list->items = {entry.key, entry.value};
        }
        items_.push_back(item);
      }
      return true;
    }
    case Kind::kString: {
      source_ = Source::kItems;
      if (!in.Charge(2 * uint64_t{iterable.str->length})) return false;
      const std::string_view text = iterable.str->view();
      for (size_t i = 0; i < text.size();) {
        const Char c = DecodeChar(text, i);
        items_.push_back(Value::String(in.heap().View(text.substr(i, c.bytes))));
        i += c.bytes;
      }
      return true;
    }
    default:
      return in.Fail("'%s' cannot be iterated over", Interp::TypeName(iterable));
  }
}

bool Iteration::Next(Value* out) {
  if (left() == 0) return false;
  const int64_t i = next_++;
  switch (source_) {
    case Source::kList:
      *out = list_->items[static_cast<size_t>(i)];
      return true;
    case Source::kRange:
      *out = Value::Int(range_->At(i));
      return true;
    case Source::kIterator:
      *out = iterator_->items[iterator_->next++];
      return true;
    case Source::kItems:
      *out = items_[static_cast<size_t>(i)];
      return true;
  }
  return false;
}

int64_t Iteration::left() const {
  int64_t size = 0;
  switch (source_) {
    case Source::kList:
      size = static_cast<int64_t>(list_->items.size());
      break;
    case Source::kRange:
      size = range_->length;
      break;
    case Source::kIterator:
      return static_cast<int64_t>(iterator_->items.size() - iterator_->next);
    case Source::kItems:
      size = static_cast<int64_t>(items_.size());
      break;
  }
  return next_ < size ? size - next_ : 0;
}

}  // namespace mote::jinja
