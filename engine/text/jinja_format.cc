// Python's two ways to put values into a format: "%s" % x and "{}".format(x).
#include <algorithm>

#include "engine/text/jinja_builtins.h"
#include "engine/text/jinja_interp.h"
#include "engine/text/jinja_number.h"
#include "engine/text/jinja_utf8.h"

namespace mote::jinja {
namespace {

constexpr int64_t kWidest = 1 << 20;
constexpr int64_t kMostDigits = 100;

struct Spec {
  std::string fill = " ";
  char align = '\0';  // < > ^ = or none
  char sign = '-';    // - + or blank
  bool alternate = false;
  bool commas = false;
  int64_t width = 0;
  int64_t precision = -1;
  char type = '\0';
};

bool Pad(Interp& in, const std::string& sign, const std::string& body, const Spec& spec, char default_align,
         std::string* out) {
  const int64_t length = static_cast<int64_t>(CountChars(sign) + CountChars(body));
  const int64_t missing = std::max<int64_t>(0, spec.width - length);
  const char align = spec.align == '\0' ? default_align : spec.align;
  const int64_t left = align == '>' ? missing : align == '^' ? missing / 2 : 0;
  std::string text;
  const auto fill = [&](int64_t count) {
    for (int64_t i = 0; i < count; ++i) text.append(spec.fill);
  };
  if (!in.ChargeBytes(static_cast<uint64_t>(missing) * spec.fill.size())) return false;
  fill(left);
  text.append(sign);
  if (align == '=') fill(missing);
  text.append(body);
  if (align != '=') fill(missing - left);
  return in.Append(out, text);
}

std::string Magnitude(uint64_t value, unsigned base, bool capital) {
  std::string digits;
  do {
    const unsigned digit = static_cast<unsigned>(value % base);
    digits.push_back(static_cast<char>(digit < 10 ? '0' + digit : (capital ? 'A' : 'a') + digit - 10));
    value /= base;
  } while (value != 0);
  std::reverse(digits.begin(), digits.end());
  return digits;
}

void InsertCommas(std::string* text) {
  const size_t end = std::min(text->find_first_not_of("0123456789"), text->size());
  for (size_t at = end; at > 3; at -= 3) text->insert(at - 3, ",");
}

std::string SignOf(bool negative, char sign) {
  return negative ? "-" : sign == '-' ? "" : std::string(1, sign);
}

bool FormatInteger(Interp& in, int64_t value, const Spec& spec, std::string* out) {
  const bool negative = value < 0;
  const uint64_t magnitude = negative ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  std::string sign = SignOf(negative, spec.sign);
  const char lower = static_cast<char>(spec.type | 32);
  const unsigned base = lower == 'x' ? 16 : lower == 'o' ? 8 : lower == 'b' ? 2 : 10;
  std::string body = Magnitude(magnitude, base, spec.type == 'X');
  if (spec.precision > static_cast<int64_t>(body.size())) {
    body.insert(0, static_cast<size_t>(spec.precision) - body.size(), '0');
  }
  if (spec.alternate && base != 10) sign += std::string("0") + spec.type;
  if (spec.commas) InsertCommas(&body);
  return Pad(in, sign, body, spec, '>', out);
}

bool FormatReal(Interp& in, double value, const Spec& spec, std::string* out) {
  const bool negative = value < 0 || (value == 0 && 1 / value < 0);
  std::string body;
  if (spec.type == '\0' && spec.precision < 0) {
    body = FormatDouble(value);
  } else {
    const bool percent = spec.type == '%';
    const char type = spec.type == '\0' || spec.type == 'n' ? 'g' : percent ? 'f' : static_cast<char>(spec.type | 32);
    int precision = spec.precision < 0 ? 6 : static_cast<int>(spec.precision);
    if (type == 'g' && precision == 0) precision = 1;
    body = FormatDoubleFixed(percent ? value * 100 : value, type, precision);
    if (percent) body.push_back('%');
  }
  if (!body.empty() && body[0] == '-') body.erase(0, 1);
  if (spec.commas) InsertCommas(&body);
  if (spec.type == 'E' || spec.type == 'F' || spec.type == 'G') {
    for (char& c : body) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
  }
  return Pad(in, SignOf(negative, spec.sign), body, spec, '>', out);
}

bool FormatText(Interp& in, std::string_view text, const Spec& spec, char default_align, std::string* out) {
  if (spec.precision >= 0) text = text.substr(0, SkipChars(text, 0, static_cast<size_t>(spec.precision)));
  return Pad(in, "", std::string(text), spec, default_align, out);
}

// Digits at text[*i]; false if they are beyond any sensible width.
bool ReadNumber(Interp& in, std::string_view text, size_t* i, int64_t most, int64_t* out) {
  *out = 0;
  for (; *i < text.size() && text[*i] >= '0' && text[*i] <= '9'; ++*i) {
    *out = *out * 10 + (text[*i] - '0');
    if (*out > most) return in.FailAs(Code::kInvalidArgument, "a format's width or precision is too large");
  }
  return true;
}

// One %-directive, whose spec is read, applied to `value`.
bool PercentValue(Interp& in, const Value& value, Spec spec, std::string* out) {
  const char type = spec.type;
  if (type == 's' || type == 'r' || type == 'a') {
    std::string text;
    spec.fill = " ";
    return (type == 's' ? in.AppendText(value, &text) : in.AppendRepr(value, &text)) &&
           FormatText(in, text, spec, '>', out);
  }
  if (type == 'c') {
    std::string text;
    if (value.IsString() && value.str->length == 1) {
      text = value.str->view();
    } else if (value.IsIntegral() && value.AsInt() >= 0 && value.AsInt() <= kMaxCodePoint) {
      AppendChar(static_cast<uint32_t>(value.AsInt()), &text);
    } else {
      return in.Fail("%%c takes one character");
    }
    return FormatText(in, text, spec, '>', out);
  }
  if (!value.IsNumber()) return in.Fail("%%%c takes a number, not '%s'", type, Interp::TypeName(value));
  const char lower = static_cast<char>(type | 32);
  if (lower == 'e' || lower == 'f' || lower == 'g') return FormatReal(in, value.AsFloat(), spec, out);
  if (value.kind == Kind::kFloat && lower != 'd' && lower != 'i' && lower != 'u') {
    return in.Fail("%%%c takes an integer, not a float", type);
  }
  if (value.kind == Kind::kFloat && !(value.real > -9.2e18 && value.real < 9.2e18)) {
    return in.FailAs(Code::kInvalidArgument, "%%d: the number does not fit in 64 bits");
  }
  return FormatInteger(in, value.kind == Kind::kFloat ? static_cast<int64_t>(value.real) : value.AsInt(), spec, out);
}

}  // namespace

bool FormatPercent(Interp& in, std::string_view format, const Value& values, Value* out) {
  const bool tuple = values.kind == Kind::kTuple;
  size_t next = 0;
  const auto take = [&](Value* value) {
    const size_t count = tuple ? values.list->items.size() : 1;
    if (next >= count) return in.Fail("not enough values for the format");
    *value = tuple ? values.list->items[next] : values;
    ++next;
    return true;
  };
  bool by_name = false;
  std::string text;
  for (size_t i = 0; i < format.size(); ++i) {
    const size_t percent = std::min(format.find('%', i), format.size());
    if (!in.Charge(1) || !in.Append(&text, format.substr(i, percent - i))) return false;
    i = percent + 1;
    if (percent == format.size()) break;
    Spec spec;
    Value value = Value::Missing();
    if (i < format.size() && format[i] == '(') {
      const size_t close = format.find(')', i);
      if (close == std::string_view::npos) return in.Fail("a name in the format has no end");
      if (values.kind != Kind::kDict) return in.Fail("a format with names takes a dict");
      if (!in.ChargeBytes(close - i)) return false;
      const Value* found = values.dict->Get(format.substr(i + 1, close - i - 1));
      if (found == nullptr) return in.Fail("the format names a value that is not there");
      value = *found;
      by_name = true;
      i = close + 1;
    }
    for (; i < format.size() && std::string_view("-+ #0").find(format[i]) != std::string_view::npos; ++i) {
      if (format[i] == '-') spec.align = '<';
      if (format[i] == '+') spec.sign = '+';
      if (format[i] == ' ' && spec.sign != '+') spec.sign = ' ';
      if (format[i] == '#') spec.alternate = true;
      if (format[i] == '0') spec.fill = "0";
    }
    if (spec.align == '<') spec.fill = " ";
    if (spec.fill == "0") spec.align = '=';
    if (!ReadNumber(in, format, &i, kWidest, &spec.width)) return false;
    if (i < format.size() && format[i] == '.') {
      ++i;
      if (!ReadNumber(in, format, &i, kMostDigits, &spec.precision)) return false;
    }
    while (i < format.size() && (format[i] == 'l' || format[i] == 'h' || format[i] == 'L')) ++i;
    if (i >= format.size()) return in.Fail("the format ends in an unfinished directive");
    spec.type = format[i];
    if (spec.type == '%') {
      if (!in.Append(&text, "%")) return false;
      continue;
    }
    if (std::string_view("srcadiuoxXeEfFgG").find(spec.type) == std::string_view::npos) {
      return in.Fail("unknown directive in a format");
    }
    if (spec.type == 's' || spec.type == 'r' || spec.type == 'c' || spec.type == 'a') {
      if (spec.align == '=') spec.align = '>';
      spec.fill = " ";
    }
    if (value.IsMissing() && !take(&value)) return false;
    if (!PercentValue(in, value, spec, &text)) return false;
  }
  if (!by_name && tuple && next < values.list->items.size()) return in.Fail("not all values were used by the format");
  if (!tuple && next == 0 && !by_name && values.kind != Kind::kDict && values.kind != Kind::kList) {
    return in.Fail("not all values were used by the format");
  }
  return in.MakeString(text, out);
}

namespace {

// [[fill]align][sign][#][0][width][,][.precision][type]
bool ParseSpec(Interp& in, std::string_view text, Spec* spec) {
  size_t i = 0;
  constexpr std::string_view kAligns = "<>^=";
  const auto is_align = [&](size_t at) { return at < text.size() && kAligns.find(text[at]) != std::string_view::npos; };
  const size_t first = text.empty() ? 0 : DecodeChar(text, 0).bytes;
  if (first > 0 && is_align(first)) {
    spec->fill = text.substr(0, first);
    spec->align = text[first];
    i = first + 1;
  } else if (is_align(0)) {
    spec->align = text[0];
    i = 1;
  }
  if (i < text.size() && (text[i] == '+' || text[i] == '-' || text[i] == ' ')) spec->sign = text[i++];
  if (i < text.size() && text[i] == '#') spec->alternate = text[i++] == '#';
  if (i < text.size() && text[i] == '0') {
    ++i;
    if (spec->align == '\0') {
      spec->align = '=';
      spec->fill = "0";
    }
  }
  if (!ReadNumber(in, text, &i, kWidest, &spec->width)) return false;
  if (i < text.size() && text[i] == ',') spec->commas = text[i++] == ',';
  if (i < text.size() && text[i] == '.') {
    const size_t digits = ++i;
    if (!ReadNumber(in, text, &i, kMostDigits, &spec->precision)) return false;
    if (i == digits) return in.Fail("a format's precision is missing");
  }
  if (i < text.size()) spec->type = text[i++];
  if (i != text.size()) return in.Fail("a format's specification is not understood");
  return true;
}

bool BraceValue(Interp& in, const Value& value, std::string_view spec_text, std::string* out) {
  Spec spec;
  if (spec_text.empty()) return in.AppendText(value, out);
  if (!ParseSpec(in, spec_text, &spec)) return false;
  constexpr std::string_view kIntegers = "dxXob";
  constexpr std::string_view kReals = "eEfFgGn%";
  const bool integer_type = spec.type != '\0' && kIntegers.find(spec.type) != std::string_view::npos;
  const bool real_type = spec.type != '\0' && kReals.find(spec.type) != std::string_view::npos;
  if (value.IsNumber() && value.kind != Kind::kBool) {
    if (real_type || (value.kind == Kind::kFloat && spec.type == '\0')) {
      return FormatReal(in, value.AsFloat(), spec, out);
    }
    if (value.IsIntegral() && (integer_type || spec.type == '\0')) return FormatInteger(in, value.AsInt(), spec, out);
  } else if (value.IsString() && (spec.type == '\0' || spec.type == 's') && spec.align != '=') {
    return FormatText(in, value.str->view(), spec, '<', out);
  } else if (value.kind == Kind::kBool && integer_type) {
    return FormatInteger(in, value.AsInt(), spec, out);
  }
  return in.Fail("this format does not fit a value of type '%s'", Interp::TypeName(value));
}

// "0.name[1]": an argument, then attributes and items. `*automatic` counts the fields without a number.
bool Field(Interp& in, std::string_view field, const Args& args, size_t* automatic, Value* out) {
  const size_t end = std::min(field.find_first_of(".["), field.size());
  const std::string_view name = field.substr(0, end);
  int64_t index = 0;
  const bool number = ParseInteger(name, 10, &index) == ParsedInteger::kOk;
  if (name.empty()) index = static_cast<int64_t>((*automatic)++);
  if (name.empty() || number) {
    if (index < 0 || static_cast<uint64_t>(index) >= args.positional.size()) {
      return in.Fail("format: there are only %zu values", args.positional.size());
    }
    *out = args.positional[static_cast<size_t>(index)];
  } else {
    bool found = false;
    for (const auto& [key, value] : args.named) {
      if (key != name) continue;
      *out = value;
      found = true;
    }
    if (!found) return in.Fail("format: there is no value named '%s'", std::string(name.substr(0, 80)).c_str());
  }
  for (size_t i = end; i < field.size();) {
    const bool item = field[i] == '[';
    const size_t from = i + 1;
    const size_t to = std::min(item ? field.find(']', from) : field.find_first_of(".[", from), field.size());
    const std::string_view part = field.substr(from, to - from);
    Value key;
    if (!in.View(part, false, &key)) return false;
    int64_t position = 0;
    if (item && ParseInteger(part, 10, &position) == ParsedInteger::kOk) key = Value::Int(position);
    Value next;
    if (!in.Charge(1) || !(item ? in.Item(*out, key, &next) : in.Attribute(*out, *key.str, &next))) return false;
    *out = next;
    i = to + item;
  }
  return true;
}

}  // namespace

bool FormatBraces(Interp& in, std::string_view format, const Args& args, Value* out) {
  std::string text;
  size_t automatic = 0;
  for (size_t i = 0; i < format.size(); ++i) {
    const char c = format[i];
    const bool doubled = i + 1 < format.size() && format[i + 1] == c;
    if (c != '{' && c != '}') {
      const size_t brace = std::min(format.find_first_of("{}", i), format.size());
      if (!in.Charge(1) || !in.Append(&text, format.substr(i, brace - i))) return false;
      i = brace - 1;
      continue;
    }
    if (doubled) {
      if (!in.Append(&text, format.substr(i++, 1))) return false;
      continue;
    }
    const size_t close = format.find('}', i);
    if (c == '}' || close == std::string_view::npos) return in.Fail("format: a single '%c'", c);
    std::string_view field = format.substr(i + 1, close - i - 1);
    if (field.find('{') != std::string_view::npos) {
      return in.FailAs(Code::kUnsupported, "format: a field inside of a field's specification");
    }
    i = close;
    const size_t colon = std::min(field.find(':'), field.size());
    const std::string_view spec = colon < field.size() ? field.substr(colon + 1) : std::string_view();
    field = field.substr(0, colon);
    char conversion = '\0';
    if (const size_t mark = field.find('!'); mark != std::string_view::npos) {
      if (mark + 2 != field.size()) return in.Fail("format: a conversion is one letter");
      conversion = field[mark + 1];
      field = field.substr(0, mark);
    }
    Value value;
    if (!in.Charge(1) || !Field(in, field, args, &automatic, &value)) return false;
    if (conversion == 's' || conversion == 'r') {
      std::string converted;
      if (!(conversion == 's' ? in.AppendText(value, &converted) : in.AppendRepr(value, &converted)) ||
          !in.MakeString(converted, &value)) {
        return false;
      }
    } else if (conversion != '\0') {
      return in.Fail("format: unknown conversion");
    }
    if (!BraceValue(in, value, spec, &text)) return false;
  }
  return in.MakeString(text, out);
}

}  // namespace mote::jinja
