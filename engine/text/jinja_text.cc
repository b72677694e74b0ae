// str(), repr() and truth of values, as Python has them.
#include <stdio.h>

#include "engine/text/jinja_interp.h"
#include "engine/text/jinja_number.h"
#include "engine/text/jinja_utf8.h"

namespace mote::jinja {
namespace {

std::string ReprString(std::string_view text) {
  const bool single = text.find('\'') != std::string_view::npos;
  const char quote = single && text.find('"') == std::string_view::npos ? '"' : '\'';
  std::string out(1, quote);
  for (size_t i = 0; i < text.size();) {
    const Char c = DecodeChar(text, i);
    char escape[16];
    if (c.code == static_cast<uint32_t>(quote) || c.code == '\\') {
      out.push_back('\\');
      out.append(text.substr(i, 1));
    } else if (c.code == '\n' || c.code == '\r' || c.code == '\t') {
      out.append(c.code == '\n' ? "\\n" : c.code == '\r' ? "\\r" : "\\t");
    } else if (c.code >= kBadByte || IsPrintable(c.code)) {
      out.append(text.substr(i, c.bytes));
    } else {
      const char* format = c.code < 0x100 ? "\\x%02x" : c.code < 0x10000 ? "\\u%04x" : "\\U%08x";
      snprintf(escape, sizeof(escape), format, static_cast<unsigned>(c.code));
      out.append(escape);
    }
    i += c.bytes;
  }
  out.push_back(quote);
  return out;
}

}  // namespace

bool Interp::AppendText(const Value& value, std::string* out) {
  if (value.IsString()) return Append(out, value.str->view());
  return AppendRepr(value, out);
}

bool Interp::AppendRepr(const Value& value, std::string* out) {
  if (!Charge(1)) return false;
  switch (value.kind) {
    case Kind::kMissing:
    case Kind::kUndefined:
      return true;
    case Kind::kNone:
      return Append(out, "None");
    case Kind::kBool:
      return Append(out, value.boolean ? "True" : "False");
    case Kind::kInt:
      return Append(out, std::to_string(value.integer));
    case Kind::kFloat:
      return Append(out, FormatDouble(value.real));
    case Kind::kString:
      // The quoted form has at most ten bytes for one; paid before it is made.
      if (!ChargeString(value.str->size)) return false;
      return (!value.str->markup || Append(out, "Markup(")) && Append(out, ReprString(value.str->view())) &&
             (!value.str->markup || Append(out, ")"));
    case Kind::kRange: {
      const Range& range = *value.range;
      std::string text = "range(" + std::to_string(range.start) + ", " + std::to_string(range.stop);
      if (range.step != 1) text += ", " + std::to_string(range.step);
      return Append(out, text + ")");
    }
    case Kind::kList:
    case Kind::kTuple: {
      DepthScope depth(*this);
      const bool list = value.kind == Kind::kList;
      if (!depth.ok() || !Append(out, list ? "[" : "(")) return false;
      for (size_t i = 0; i < value.list->items.size(); ++i) {
        if ((i > 0 && !Append(out, ", ")) || !AppendRepr(value.list->items[i], out)) return false;
      }
      if (!list && value.list->items.size() == 1 && !Append(out, ",")) return false;
      return Append(out, list ? "]" : ")");
    }
    case Kind::kDict:
    case Kind::kNamespace: {
      DepthScope depth(*this);
      const bool dict = value.kind == Kind::kDict;
      if (!depth.ok() || !Append(out, dict ? "{" : "<Namespace {")) return false;
      bool first = true;
      for (const Dict::Entry& entry : value.dict->entries) {
        if (!first && !Append(out, ", ")) return false;
        first = false;
        if (!AppendRepr(entry.key, out) || !Append(out, ": ") || !AppendRepr(entry.value, out)) return false;
      }
      return Append(out, dict ? "}" : "}>");
    }
    case Kind::kDictView: {
      Value items = heap_.NewList();
      static constexpr const char* kNames[] = {"dict_keys(", "dict_values(", "dict_items("};
      return Items(value, &items.list->items) && Append(out, kNames[static_cast<int>(value.view->what)]) &&
             AppendRepr(items, out) && Append(out, ")");
    }
    default:
      return Append(out, "<") && Append(out, TypeName(value)) && Append(out, ">");
  }
}

bool Interp::Text(const Value& value, Value* out) {
  if (value.IsString()) {
    *out = value;
    return true;
  }
  std::string text;
  return AppendText(value, &text) && MakeString(text, out);
}

bool Interp::Truth(const Value& value) {
  switch (value.kind) {
    case Kind::kMissing:
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
      return value.boolean;
    case Kind::kInt:
      return value.integer != 0;
    case Kind::kFloat:
      return value.real != 0;
    case Kind::kString:
      return value.str->size != 0;
    case Kind::kList:
    case Kind::kTuple:
      return !value.list->items.empty();
    case Kind::kDict:
      return !value.dict->entries.empty();
    case Kind::kRange:
      return value.range->length != 0;
    case Kind::kDictView:
      return !value.view->dict->entries.empty();
    default:
      return true;
  }
}

const char* Interp::TypeName(const Value& value) {
  switch (value.kind) {
    case Kind::kMissing:
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return "str";
    case Kind::kList:
      return "list";
    case Kind::kTuple:
      return "tuple";
    case Kind::kDict:
      return "dict";
    case Kind::kNamespace:
      return "Namespace";
    case Kind::kRange:
      return "range";
    case Kind::kDictView:
      return "dict view";
    case Kind::kIterator:
      return "generator";
    case Kind::kMacro:
      return "macro";
    case Kind::kFunction:
      return "function";
    case Kind::kMethod:
      return "method";
    case Kind::kLoop:
      return "LoopContext";
    case Kind::kCycler:
      return "Cycler";
    case Kind::kJoiner:
      return "Joiner";
  }
  return "?";
}

}  // namespace mote::jinja
