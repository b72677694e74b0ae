// Filters on text and numbers.
#include <math.h>

#include <algorithm>

#include "engine/text/jinja_builtins.h"
#include "engine/text/jinja_interp.h"
#include "engine/text/jinja_number.h"
#include "engine/text/jinja_utf8.h"

namespace mote::jinja {
namespace {

bool WantInt(Interp& in, const char* name, const Value& value, int64_t fallback, int64_t* out) {
  *out = value.IsMissing() ? fallback : value.AsInt();
  if (value.IsMissing() || value.IsIntegral()) return true;
  return in.Fail("%s takes an integer, not '%s'", name, Interp::TypeName(value));
}

bool Trim(Interp& in, const Value& self, const Args& args, Value* out) {
  Value chars;
  Value text;
  return in.Bind("trim", args, {"chars"}, &chars) && in.Text(self, &text) &&
         StripText(in, text, chars, true, true, out);
}

template <bool kUpper>
bool ChangeCase(Interp& in, const Value& self, const Args& args, Value* out) {
  Value text;
  return in.Bind("this filter", args, {}, nullptr) && in.Text(self, &text) && MapCase(in, text, kUpper, out);
}

bool CapitalizeFilter(Interp& in, const Value& self, const Args& args, Value* out) {
  Value text;
  return in.Bind("capitalize", args, {}, nullptr) && in.Text(self, &text) && Capitalize(in, text, out);
}

// Words begin after blanks, hyphens and opening brackets: not where str.title() has them.
bool Title(Interp& in, const Value& self, const Args& args, Value* out) {
  Value text;
  if (!in.Bind("title", args, {}, nullptr) || !in.Text(self, &text)) return false;
  const std::string_view view = text.str->view();
  if (!in.ChargeString(2 * view.size())) return false;
  std::string result;
  bool inside = false;
  for (size_t i = 0; i < view.size();) {
    const Char c = DecodeChar(view, i);
    inside ? AppendLower(c.code, &result) : AppendUpper(c.code, &result);
    inside = !IsSpace(c.code) &&
             (c.code >= 0x80 || std::string_view("-({[<").find(static_cast<char>(c.code)) == std::string_view::npos);
    i += c.bytes;
  }
  return in.MakeString(result, out);
}

bool Replace(Interp& in, const Value& self, const Args& args, Value* out) {
  Value parts[3];
  if (!in.Bind("replace", args, {"old", "new", "count"}, parts)) return false;
  if (parts[0].IsMissing() || parts[1].IsMissing()) return in.Fail("replace takes two strings");
  int64_t count = -1;
  if (!parts[2].IsNone() && !WantInt(in, "replace", parts[2], -1, &count)) return false;
  Value texts[3];
  return in.Text(self, &texts[0]) && in.Text(parts[0], &texts[1]) && in.Text(parts[1], &texts[2]) &&
         ReplaceText(in, texts[0], texts[1], texts[2], count, out);
}

bool Indent(Interp& in, const Value& self, const Args& args, Value* out) {
  Value parts[3];
  if (!in.Bind("indent", args, {"width", "first", "blank"}, parts)) return false;
  if (!self.IsString()) return in.Fail("indent takes a string, not '%s'", Interp::TypeName(self));
  std::string margin;
  if (parts[0].IsString()) {
    margin = parts[0].str->view();
  } else {
    int64_t width = 0;
    if (!WantInt(in, "indent", parts[0], 4, &width)) return false;
    width = std::max<int64_t>(width, 0);
    if (!in.ChargeString(static_cast<uint64_t>(width))) return false;
    margin.assign(static_cast<size_t>(width), ' ');
  }
  const bool first = Interp::Truth(parts[1]);
  const bool blank = Interp::Truth(parts[2]);
  const std::string source = std::string(self.str->view()) + "\n";
  std::vector<std::string_view> lines;
  SplitLines(source, &lines);
  if (!in.ChargeBytes(source.size()) || !in.Charge(lines.size())) return false;
  std::string text;
  for (size_t i = 0; i < lines.size(); ++i) {
    const bool indented = i == 0 ? first : blank || !lines[i].empty();
    if ((i > 0 && !in.Append(&text, "\n")) || (indented && !in.Append(&text, margin)) || !in.Append(&text, lines[i])) {
      return false;
    }
  }
  return in.MakeString(text, self.str->markup, out);
}

bool ToText(Interp& in, const Value& self, const Args& args, Value* out) {
  return in.Bind("string", args, {}, nullptr) && in.Text(self, out);
}

bool Safe(Interp& in, const Value& self, const Args& args, Value* out) {
  Value text;
  return in.Bind("safe", args, {}, nullptr) && in.Text(self, &text) && in.View(text.str->view(), true, out);
}

template <bool kForce>
bool Escape(Interp& in, const Value& self, const Args& args, Value* out) {
  Value text;
  if (!in.Bind("escape", args, {}, nullptr) || !in.Text(self, &text)) return false;
  if (!kForce && text.str->markup) {
    *out = text;
    return true;
  }
  std::string escaped;
  return EscapeHtml(in, text.str->view(), &escaped) && in.MakeString(escaped, true, out);
}

bool CenterFilter(Interp& in, const Value& self, const Args& args, Value* out) {
  Value width;
  Value text;
  int64_t number = 0;
  return in.Bind("center", args, {"width"}, &width) && in.Text(self, &text) &&
         WantInt(in, "center", width, 80, &number) && Center(in, text, number, out);
}

bool WordCount(Interp& in, const Value& self, const Args& args, Value* out) {
  Value text;
  if (!in.Bind("wordcount", args, {}, nullptr) || !in.Text(self, &text) || !in.ChargeBytes(text.str->size))
    return false;
  int64_t words = 0;
  bool inside = false;
  const std::string_view view = text.str->view();
  for (size_t i = 0; i < view.size();) {
    const Char c = DecodeChar(view, i);
    const bool word = IsAlnum(c.code) || c.code == '_';
    words += word && !inside;
    inside = word;
    i += c.bytes;
  }
  *out = Value::Int(words);
  return true;
}

bool Truncate(Interp& in, const Value& self, const Args& args, Value* out) {
  Value parts[4];
  int64_t length = 0;
  int64_t leeway = 0;
  if (!in.Bind("truncate", args, {"length", "killwords", "end", "leeway"}, parts)) return false;
  if (!WantInt(in, "truncate", parts[0], 255, &length)) return false;
  if (!parts[3].IsNone() && !WantInt(in, "truncate", parts[3], 5, &leeway)) return false;
  if (parts[3].IsNone()) leeway = 5;
  if (!self.IsString()) return in.Fail("truncate takes a string, not '%s'", Interp::TypeName(self));
  if (!parts[2].IsMissing() && !parts[2].IsString()) return in.Fail("truncate: end must be a string");
  const Value end = parts[2].IsMissing() ? Value::String(in.heap().View("...")) : parts[2];
  if (length < end.str->length || leeway < 0) return in.Fail("truncate: the length is shorter than its end");
  if (self.str->length - leeway <= length) {
    *out = self;
    return true;
  }
  const std::string_view view = self.str->view();
  std::string_view kept = view.substr(0, SkipChars(view, 0, static_cast<size_t>(length - end.str->length)));
  if (!Interp::Truth(parts[1])) {
    const size_t blank = kept.rfind(' ');
    if (blank != std::string_view::npos) kept = kept.substr(0, blank);
  }
  return in.MakeString(std::string(kept) + std::string(end.str->view()), out);
}

bool FormatFilter(Interp& in, const Value& self, const Args& args, Value* out) {
  Value text;
  if (!in.Text(self, &text)) return false;
  if (!args.named.empty() && !args.positional.empty()) return in.Fail("format takes either values or names");
  Value values = in.heap().NewList(Kind::kTuple);
  values.list->items = args.positional;
  if (!args.named.empty()) {
    values = in.heap().NewDict();
    for (const auto& [name, value] : args.named) {
      if (!in.InsertNamed(values.dict, name, value)) return false;
    }
  }
  return in.Charge(2 + args.positional.size() + args.named.size()) && FormatPercent(in, text.str->view(), values, out);
}

bool Abs(Interp& in, const Value& self, const Args& args, Value* out) {
  if (!in.Bind("abs", args, {}, nullptr)) return false;
  if (self.IsUndefined()) return in.FailUndefined(self);
  if (!self.IsNumber()) return in.Fail("abs takes a number, not '%s'", Interp::TypeName(self));
  if (self.kind == Kind::kFloat) {
    *out = Value::Float(fabs(self.real));
    return true;
  }
  if (self.AsInt() < 0) return in.Negate(self, out);
  *out = Value::Int(self.AsInt());
  return true;
}

// float(text): blanks around, underscores between digits, inf and nan. False: it is no number.
bool TextToFloat(std::string_view text, double* out) {
  text = TrimLeft(TrimRight(text));
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      plain.push_back(static_cast<char>(text[i] >= 'A' && text[i] <= 'Z' ? text[i] | 32 : text[i]));
    } else if (i == 0 || i + 1 == text.size() || !IsDigit(static_cast<uint8_t>(text[i - 1])) ||
               !IsDigit(static_cast<uint8_t>(text[i + 1]))) {
      return false;
    }
  }
  const bool sign = !plain.empty() && (plain[0] == '-' || plain[0] == '+');
  const std::string_view word = std::string_view(plain).substr(sign);
  const double direction = sign && plain[0] == '-' ? -1 : 1;
  if (word == "inf" || word == "infinity") {
    *out = direction * HUGE_VAL;
    return true;
  }
  if (word == "nan") {
    *out = nan("");
    return true;
  }
  return ParseDouble(plain, out);
}

// Toward zero. False: NaN, infinite or too large, with a message.
bool FloatToInt(Interp& in, double real, Value* out, bool* is_number) {
  *is_number = !isnan(real);
  if (isnan(real)) return true;
  if (!(real > -9223372036854775808.0 && real < 9223372036854775808.0)) {
    return in.FailAs(Code::kInvalidArgument, "%g does not fit in a 64-bit integer", real);
  }
  *out = Value::Int(static_cast<int64_t>(real));
  return true;
}

bool ToInt(Interp& in, const Value& self, const Args& args, Value* out) {
  Value parts[2];
  int64_t base = 10;
  if (!in.Bind("int", args, {"default", "base"}, parts) || !WantInt(in, "int", parts[1], 10, &base)) return false;
  const Value fallback = parts[0].IsMissing() ? Value::Int(0) : parts[0];
  *out = fallback;
  if (self.IsUndefined()) return in.FailUndefined(self);
  bool is_number = true;
  if (self.IsIntegral()) {
    *out = Value::Int(self.AsInt());
    return true;
  }
  if (self.kind == Kind::kFloat) {
    if (!FloatToInt(in, self.real, out, &is_number)) return false;
    return true;
  }
  if (!self.IsString()) return true;
  if (!in.ChargeBytes(self.str->size)) return false;
  int64_t integer = 0;
  const bool base_ok = base == 0 || (base >= 2 && base <= 36);
  const std::string_view text = TrimLeft(TrimRight(self.str->view()));
  const ParsedInteger parsed =
      base_ok ? ParseInteger(text, static_cast<int>(base), &integer) : ParsedInteger::kNotANumber;
  if (parsed == ParsedInteger::kTooLarge) {
    return in.FailAs(Code::kInvalidArgument, "int: the number does not fit in 64 bits");
  }
  if (parsed == ParsedInteger::kOk) {
    *out = Value::Int(integer);
    return true;
  }
  double real = 0;
  if (!TextToFloat(text, &real)) return true;
  return FloatToInt(in, real, out, &is_number);
}

bool ToFloat(Interp& in, const Value& self, const Args& args, Value* out) {
  Value fallback;
  if (!in.Bind("float", args, {"default"}, &fallback)) return false;
  if (self.IsUndefined()) return in.FailUndefined(self);
  double real = 0;
  *out = fallback.IsMissing() ? Value::Float(0) : fallback;
  if (self.IsNumber()) *out = Value::Float(self.AsFloat());
  if (!self.IsString()) return true;
  if (!in.ChargeBytes(self.str->size)) return false;
  if (TextToFloat(self.str->view(), &real)) *out = Value::Float(real);
  return true;
}

bool Round(Interp& in, const Value& self, const Args& args, Value* out) {
  Value parts[2];
  int64_t precision = 0;
  if (!in.Bind("round", args, {"precision", "method"}, parts)) return false;
  if (!WantInt(in, "round", parts[0], 0, &precision)) return false;
  const std::string_view method = parts[1].IsString() ? parts[1].str->view() : "common";
  if (self.IsUndefined()) return in.FailUndefined(self);
  if (!self.IsNumber()) return in.Fail("round takes a number, not '%s'", Interp::TypeName(self));
  if (method == "common") {
    if (self.kind == Kind::kFloat) {
      *out = Value::Float(RoundDouble(self.real, precision));
      return true;
    }
    // An integer stays one; with negative digits, halves go to the even neighbour.
    *out = Value::Int(self.AsInt());
    if (precision >= 0) return true;
    if (precision < -18) {
      *out = Value::Int(0);
      return true;
    }
    int64_t scale = 1;
    for (int64_t i = precision; i < 0; ++i) scale *= 10;
    const int64_t value = self.AsInt();
    int64_t rest = value % scale;
    if (rest < 0) rest += scale;
    int64_t down = 0;
    if (__builtin_sub_overflow(value, rest, &down)) return in.FailAs(Code::kInvalidArgument, "round overflows 64 bits");
    const bool up = rest > scale - rest || (rest == scale - rest && (down / scale) % 2 != 0);
    int64_t result = down;
    if (up && __builtin_add_overflow(down, scale, &result)) {
      return in.FailAs(Code::kInvalidArgument, "round overflows 64 bits");
    }
    *out = Value::Int(result);
    return true;
  }
  if (method != "ceil" && method != "floor") return in.Fail("round: method must be common, ceil or floor");
  if (precision > 300 || precision < -300) return in.FailAs(Code::kInvalidArgument, "round: precision is out of range");
  const double scale = pow(10.0, static_cast<double>(precision));
  const double scaled = self.AsFloat() * scale;
  *out = Value::Float((method == "ceil" ? ceil(scaled) : floor(scaled)) / scale);
  return true;
}

constexpr Function kStringFilters[] = {
    {"trim", Trim},
    {"upper", ChangeCase<true>},
    {"lower", ChangeCase<false>},
    {"capitalize", CapitalizeFilter},
    {"title", Title},
    {"replace", Replace},
    {"indent", Indent},
    {"string", ToText},
    {"safe", Safe},
    {"escape", Escape<false>},
    {"e", Escape<false>},
    {"forceescape", Escape<true>},
    {"center", CenterFilter},
    {"wordcount", WordCount},
    {"truncate", Truncate},
    {"format", FormatFilter},
    {"abs", Abs},
    {"int", ToInt},
    {"float", ToFloat},
    {"round", Round},
    {"tojson", ToJson},
};

}  // namespace

std::span<const Function> StringFilters() {
  return kStringFilters;
}

}  // namespace mote::jinja
