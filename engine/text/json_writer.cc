// The filter tojson, as Hugging Face defines it: Python's json.dumps without escapes for HTML, text as it is.
#include <stdio.h>

#include <algorithm>

#include "engine/text/jinja_builtins.h"
#include "engine/text/jinja_interp.h"
#include "engine/text/jinja_number.h"
#include "engine/text/jinja_utf8.h"

namespace mote::jinja {
namespace {

struct Style {
  bool ascii = false;
  bool sort_keys = false;
  bool indented = false;
  std::string indent;
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};

class JsonWriter {
 public:
  JsonWriter(Interp& in, const Style& style, std::string* out) : in_(in), style_(style), out_(*out) {}

  bool Write(const Value& value) {
    if (!in_.Charge(1)) return false;
    switch (value.kind) {
      case Kind::kNone:
        return in_.Append(&out_, "null");
      case Kind::kBool:
        return in_.Append(&out_, value.boolean ? "true" : "false");
      case Kind::kInt:
        return in_.Append(&out_, std::to_string(value.integer));
      case Kind::kFloat:
        return in_.Append(&out_, Number(value.real));
      case Kind::kString:
        return String(value.str->view());
      case Kind::kList:
      case Kind::kTuple:
        return Array(value.list->items);
      case Kind::kDict:
        return Object(*value.dict);
      default:
        return in_.Fail("tojson: a value of type '%s' has no JSON form", Interp::TypeName(value));
    }
  }

 private:
  static std::string Number(double value) {
    const std::string text = FormatDouble(value);
    return text == "nan" ? "NaN" : text == "inf" ? "Infinity" : text == "-inf" ? "-Infinity" : text;
  }

  bool String(std::string_view text) {
    if (!in_.ChargeString(text.size())) return false;
    std::string quoted = "\"";
    char escape[16];
    for (size_t i = 0; i < text.size();) {
      const Char c = DecodeChar(text, i);
      static constexpr std::string_view kFrom = "\"\\\b\f\n\r\t";
      static constexpr std::string_view kTo = "\"\\bfnrt";
      const size_t simple = c.code < 0x80 ? kFrom.find(static_cast<char>(c.code)) : std::string_view::npos;
      if (simple != std::string_view::npos) {
        quoted.push_back('\\');
        quoted.push_back(kTo[simple]);
      } else if (c.code < 0x20 || (style_.ascii && c.code >= 0x7f && c.code < 0x10000 && c.code != 0x7f)) {
        snprintf(escape, sizeof(escape), "\\u%04x", static_cast<unsigned>(c.code));
        quoted.append(escape);
      } else if (style_.ascii && c.code >= 0x10000 && c.code < kBadByte) {
        snprintf(escape, sizeof(escape), "\\u%04x\\u%04x", static_cast<unsigned>(0xd800 + ((c.code - 0x10000) >> 10)),
                 static_cast<unsigned>(0xdc00 + ((c.code - 0x10000) & 0x3ff)));
        quoted.append(escape);
      } else {
        quoted.append(text.substr(i, c.bytes));
      }
      i += c.bytes;
    }
    quoted.push_back('"');
    return in_.Append(&out_, quoted);
  }

  bool Newline() {
    if (!style_.indented) return true;
    if (!in_.Append(&out_, "\n")) return false;
    for (int i = 0; i < level_; ++i) {
      if (!in_.Append(&out_, style_.indent)) return false;
    }
    return true;
  }

  bool Separate(bool first) { return (first || in_.Append(&out_, style_.item_separator)) && Newline(); }

  bool Array(const std::vector<Value>& items) {
    if (items.empty()) return in_.Append(&out_, "[]");
    DepthScope depth(in_);
    if (!depth.ok() || !in_.Append(&out_, "[")) return false;
    ++level_;
    for (size_t i = 0; i < items.size(); ++i) {
      if (!Separate(i == 0) || !Write(items[i])) return false;
    }
    --level_;
    return Newline() && in_.Append(&out_, "]");
  }

  bool Object(const Dict& dict) {
    if (dict.entries.empty()) return in_.Append(&out_, "{}");
    DepthScope depth(in_);
    if (!depth.ok() || !in_.Append(&out_, "{")) return false;
    std::vector<const Dict::Entry*> entries;
    for (const Dict::Entry& entry : dict.entries) entries.push_back(&entry);
    if (style_.sort_keys) {
      for (const Dict::Entry* entry : entries) {
        // Python compares the keys themselves.
        if (entry->key.IsString() != entries[0]->key.IsString())
          return in_.Fail("tojson: keys of several types have no order");
      }
      std::sort(entries.begin(), entries.end(),
                [](const Dict::Entry* a, const Dict::Entry* b) { return KeyLess()(a->key, b->key); });
    }
    ++level_;
    bool first = true;
    for (const Dict::Entry* entry : entries) {
      if (!Separate(first) || !Key(entry->key) || !in_.Append(&out_, style_.key_separator) || !Write(entry->value)) {
        return false;
      }
      first = false;
    }
    --level_;
    return Newline() && in_.Append(&out_, "}");
  }

  bool Key(const Value& key) {
    if (key.IsString()) return String(key.str->view());
    const std::string_view word = key.IsNone() ? "null" : key.kind == Kind::kBool && key.boolean ? "true" : "false";
    if (key.IsNone() || key.kind == Kind::kBool) return String(word);
    return String(key.kind == Kind::kInt ? std::to_string(key.integer) : Number(key.real));
  }

  Interp& in_;
  const Style& style_;
  std::string& out_;
  int level_ = 0;
};

}  // namespace

bool ToJson(Interp& in, const Value& value, const Args& args, Value* out) {
  Value parts[4];
  if (!in.Bind("tojson", args, {"ensure_ascii", "indent", "separators", "sort_keys"}, parts)) return false;
  Style style;
  style.ascii = Interp::Truth(parts[0]);
  style.sort_keys = Interp::Truth(parts[3]);
  style.indented = !parts[1].IsMissing() && !parts[1].IsNone();
  if (style.indented) {
    style.item_separator = ",";
    if (parts[1].IsString()) {
      style.indent = parts[1].str->view();
    } else if (parts[1].IsIntegral()) {
      if (parts[1].AsInt() > 1000)
        return in.FailAs(Code::kInvalidArgument, "tojson: an indent of more than 1000 blanks");
      style.indent.assign(static_cast<size_t>(std::max<int64_t>(parts[1].AsInt(), 0)), ' ');
    } else {
      return in.Fail("tojson: indent must be an integer or a string");
    }
  }
  if (!parts[2].IsMissing() && !parts[2].IsNone()) {
    std::vector<Value> two;
    if (!in.Items(parts[2], &two)) return false;
    if (two.size() != 2 || !two[0].IsString() || !two[1].IsString())
      return in.Fail("tojson: separators must be two strings");
    style.item_separator = two[0].str->view();
    style.key_separator = two[1].str->view();
  }
  std::string text;
  return JsonWriter(in, style, &text).Write(value) && in.MakeString(text, out);
}

}  // namespace mote::jinja
