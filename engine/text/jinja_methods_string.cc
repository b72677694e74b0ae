// Methods of strings.
#include <algorithm>

#include "engine/text/jinja_builtins.h"
#include "engine/text/jinja_interp.h"
#include "engine/text/jinja_utf8.h"

namespace mote::jinja {

bool EscapeHtml(Interp& in, std::string_view text, std::string* out) {
  size_t from = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char* entity = nullptr;
    switch (text[i]) {
      case '&':
        entity = "&amp;";
        break;
      case '<':
        entity = "&lt;";
        break;
      case '>':
        entity = "&gt;";
        break;
      case '\'':
        entity = "&#39;";
        break;
      case '"':
        entity = "&#34;";
        break;
      default:
        continue;
    }
    if (!in.Append(out, text.substr(from, i - from)) || !in.Append(out, entity)) return false;
    from = i + 1;
  }
  return in.Append(out, text.substr(from));
}

bool ReplaceText(Interp& in, const Value& text, const Value& from, const Value& to, int64_t count, Value* out) {
  const std::string_view source = text.str->view();
  const std::string_view old = from.str->view();
  const std::string_view fresh = to.str->view();
  if (!in.ChargeBytes(uint64_t{text.str->size} + from.str->size)) return false;
  std::string result;
  size_t at = 0;
  for (; count != 0; count -= count > 0) {
    // An empty pattern matches before every character and at the end.
    const size_t found = FindText(source, old, at);
    if (found == std::string_view::npos) break;
    if (!in.Charge(1) || !in.Append(&result, source.substr(at, found - at)) || !in.Append(&result, fresh)) return false;
    at = found + old.size();
    if (!old.empty()) continue;
    if (at == source.size()) return in.MakeString(result, text.str->markup, out);
    const size_t bytes = DecodeChar(source, at).bytes;
    if (!in.Append(&result, source.substr(at, bytes))) return false;
    at += bytes;
  }
  return in.Append(&result, source.substr(at)) && in.MakeString(result, text.str->markup, out);
}

bool StripText(Interp& in, const Value& text, const Value& chars, bool left, bool right, Value* out) {
  std::string_view view = text.str->view();
  if (!in.ChargeBytes(view.size())) return false;
  if (chars.IsMissing() || chars.IsNone()) {
    if (left) view = TrimLeft(view);
    if (right) view = TrimRight(view);
  } else {
    if (!chars.IsString()) return in.Fail("strip takes a string of characters, not '%s'", Interp::TypeName(chars));
    const std::string_view set = chars.str->view();
    const auto contains = [&](std::string_view character) {
      return FindText(set, character) != std::string_view::npos;
    };
    while (left && !view.empty() && contains(view.substr(0, DecodeChar(view, 0).bytes))) {
      if (!in.Charge(1 + set.size() / 64)) return false;
      view.remove_prefix(DecodeChar(view, 0).bytes);
    }
    while (right && !view.empty()) {
      const size_t bytes = DecodeCharBefore(view, view.size()).bytes;
      if (!contains(view.substr(view.size() - bytes))) break;
      if (!in.Charge(1 + set.size() / 64)) return false;
      view.remove_suffix(bytes);
    }
  }
  *out = Value::String(in.heap().View(view, text.str->markup));
  return true;
}

bool MapCase(Interp& in, const Value& text, bool upper, Value* out) {
  constexpr uint32_t kSigma = 0x3a3;
  constexpr uint32_t kFinalSigma = 0x3c2;
  const std::string_view view = text.str->view();
  if (!in.ChargeString(2 * view.size())) return false;
  std::string result;
  bool after_letter = false;
  for (size_t i = 0; i < view.size();) {
    const Char c = DecodeChar(view, i);
    i += c.bytes;
    const bool before_letter = c.code == kSigma && i < view.size() && IsCased(DecodeChar(view, i).code);
    if (upper) {
      AppendUpper(c.code, &result);
    } else {
      AppendLower(c.code == kSigma && after_letter && !before_letter ? kFinalSigma : c.code, &result);
    }
    after_letter = IsCased(c.code);
  }
  return in.MakeString(result, text.str->markup, out);
}

bool Capitalize(Interp& in, const Value& text, Value* out) {
  const std::string_view view = text.str->view();
  if (!in.ChargeString(2 * view.size())) return false;
  std::string result;
  for (size_t i = 0; i < view.size();) {
    const Char c = DecodeChar(view, i);
    i == 0 ? AppendUpper(c.code, &result) : AppendLower(c.code, &result);
    i += c.bytes;
  }
  return in.MakeString(result, text.str->markup, out);
}

bool Center(Interp& in, const Value& text, int64_t width, Value* out) {
  const int64_t length = text.str->length;
  if (width <= length) {
    *out = text;
    return true;
  }
  if (!in.ChargeString(static_cast<uint64_t>(width - length) + text.str->size)) return false;
  const int64_t blanks = width - length;
  // Python puts the odd blank on the left where the width is odd.
  const int64_t left = blanks / 2 + (blanks & width & 1);
  std::string result(static_cast<size_t>(left), ' ');
  result.append(text.str->view()).append(static_cast<size_t>(blanks - left), ' ');
  return in.MakeString(result, text.str->markup, out);
}

void SplitLines(std::string_view text, std::vector<std::string_view>* lines) {
  size_t begin = 0;
  for (size_t i = 0; i < text.size();) {
    const Char c = DecodeChar(text, i);
    const size_t at = i;
    i += c.bytes;
    if (!IsLineBreak(c.code)) continue;
    if (c.code == '\r' && i < text.size() && text[i] == '\n') ++i;
    lines->push_back(text.substr(begin, at - begin));
    begin = i;
  }
  if (begin < text.size()) lines->push_back(text.substr(begin));
}

namespace {

bool Want(Interp& in, const char* name, const Value& value) {
  if (value.IsString()) return true;
  if (value.IsUndefined()) return in.FailUndefined(value);
  return in.Fail("%s takes a string, not '%s'", name, value.IsMissing() ? "nothing" : Interp::TypeName(value));
}

template <bool kLeft, bool kRight>
bool Strip(Interp& in, const Value& self, const Args& args, Value* out) {
  Value chars;
  return in.Bind("strip", args, {"chars"}, &chars) && StripText(in, self, chars, kLeft, kRight, out);
}

template <bool kUpper>
bool ChangeCase(Interp& in, const Value& self, const Args& args, Value* out) {
  return in.Bind("upper", args, {}, nullptr) && MapCase(in, self, kUpper, out);
}

bool CapitalizeMethod(Interp& in, const Value& self, const Args& args, Value* out) {
  return in.Bind("capitalize", args, {}, nullptr) && Capitalize(in, self, out);
}

// A capital after anything that has no case.
bool Title(Interp& in, const Value& self, const Args& args, Value* out) {
  const std::string_view view = self.str->view();
  if (!in.Bind("title", args, {}, nullptr) || !in.ChargeString(2 * view.size())) return false;
  std::string result;
  bool inside = false;
  for (size_t i = 0; i < view.size();) {
    const Char c = DecodeChar(view, i);
    inside ? AppendLower(c.code, &result) : AppendUpper(c.code, &result);
    inside = IsCased(c.code);
    i += c.bytes;
  }
  return in.MakeString(result, self.str->markup, out);
}

bool SwapCase(Interp& in, const Value& self, const Args& args, Value* out) {
  const std::string_view view = self.str->view();
  if (!in.Bind("swapcase", args, {}, nullptr) || !in.ChargeString(2 * view.size())) return false;
  std::string result;
  for (size_t i = 0; i < view.size();) {
    const Char c = DecodeChar(view, i);
    IsUpper(c.code) ? AppendLower(c.code, &result) : AppendUpper(c.code, &result);
    i += c.bytes;
  }
  return in.MakeString(result, self.str->markup, out);
}

bool PushPiece(Interp& in, const Value& self, std::string_view piece, Value* list) {
  Value text;
  if (!in.View(piece, self.str->markup, &text)) return false;
  list->list->items.push_back(text);
  return in.Charge(1);
}

// At runs of white space; `most` < 0 for no bound. The rest after the last split keeps its inner blanks.
bool SplitBlanks(Interp& in, const Value& self, int64_t most, bool from_right, Value* list) {
  std::string_view rest = from_right ? TrimRight(self.str->view()) : TrimLeft(self.str->view());
  for (; !rest.empty(); most -= most > 0) {
    if (most == 0) return PushPiece(in, self, rest, list);
    size_t begin = from_right ? rest.size() : 0;
    if (from_right) {
      while (begin > 0 && !IsSpace(DecodeCharBefore(rest, begin).code)) begin -= DecodeCharBefore(rest, begin).bytes;
      if (!PushPiece(in, self, rest.substr(begin), list)) return false;
      rest = TrimRight(rest.substr(0, begin));
    } else {
      while (begin < rest.size() && !IsSpace(DecodeChar(rest, begin).code)) begin += DecodeChar(rest, begin).bytes;
      if (!PushPiece(in, self, rest.substr(0, begin), list)) return false;
      rest = TrimLeft(rest.substr(begin));
    }
  }
  return true;
}

bool SplitAt(Interp& in, const Value& self, std::string_view separator, int64_t most, bool from_right, Value* list) {
  std::string_view rest = self.str->view();
  for (; most != 0; most -= most > 0) {
    const size_t at = from_right ? FindLastText(rest, separator) : FindText(rest, separator);
    if (at == std::string_view::npos) break;
    const std::string_view piece = from_right ? rest.substr(at + separator.size()) : rest.substr(0, at);
    // A long separator costs its preparation each time.
    if (!in.Charge(separator.size() / 64) || !PushPiece(in, self, piece, list)) return false;
    rest = from_right ? rest.substr(0, at) : rest.substr(at + separator.size());
  }
  return PushPiece(in, self, rest, list);
}

template <bool kFromRight>
bool Split(Interp& in, const Value& self, const Args& args, Value* out) {
  Value two[2];
  if (!in.Bind("split", args, {"sep", "maxsplit"}, two)) return false;
  int64_t most = -1;
  if (!two[1].IsMissing()) {
    if (!two[1].IsIntegral()) return in.Fail("split takes an integer for maxsplit");
    most = two[1].AsInt();
    if (most < 0) most = -1;
  }
  if (!in.ChargeBytes(self.str->size) || !in.Charge(2)) return false;
  Value list = in.heap().NewList();
  if (two[0].IsMissing() || two[0].IsNone()) {
    if (!SplitBlanks(in, self, most, kFromRight, &list)) return false;
  } else {
    if (!Want(in, "split", two[0])) return false;
    if (two[0].str->size == 0) return in.Fail("split: the separator is empty");
    if (!SplitAt(in, self, two[0].str->view(), most, kFromRight, &list)) return false;
  }
  if (kFromRight) std::reverse(list.list->items.begin(), list.list->items.end());
  *out = list;
  return true;
}

bool SplitLinesMethod(Interp& in, const Value& self, const Args& args, Value* out) {
  Value keep;
  if (!in.Bind("splitlines", args, {"keepends"}, &keep) || !in.ChargeBytes(self.str->size) || !in.Charge(2))
    return false;
  std::vector<std::string_view> lines;
  SplitLines(self.str->view(), &lines);
  *out = in.heap().NewList();
  const char* const end = self.str->data + self.str->size;
  for (size_t i = 0; i < lines.size(); ++i) {
    std::string_view line = lines[i];
    if (Interp::Truth(keep)) {
      const char* const next = i + 1 < lines.size() ? lines[i + 1].data() : end;
      line = {line.data(), static_cast<size_t>(next - line.data())};
    }
    if (!PushPiece(in, self, line, out)) return false;
  }
  return true;
}

template <bool kFromRight>
bool Partition(Interp& in, const Value& self, const Args& args, Value* out) {
  Value separator;
  if (!in.Bind("partition", args, {"sep"}, &separator) || !Want(in, "partition", separator)) return false;
  const std::string_view text = self.str->view();
  const std::string_view sep = separator.str->view();
  if (sep.empty()) return in.Fail("partition: the separator is empty");
  if (!in.ChargeBytes(text.size() + sep.size()) || !in.Charge(8)) return false;
  const size_t at = kFromRight ? FindLastText(text, sep) : FindText(text, sep);
  *out = in.heap().NewList(Kind::kTuple);
  const bool found = at != std::string_view::npos;
  const std::string_view whole[3] = {kFromRight ? "" : text, "", kFromRight ? text : ""};
  const std::string_view parts[3] = {found ? text.substr(0, at) : "", sep, found ? text.substr(at + sep.size()) : ""};
  for (int i = 0; i < 3; ++i) {
    if (!PushPiece(in, self, found ? parts[i] : whole[i], out)) return false;
  }
  return true;
}

// startswith and endswith: a string or a tuple of them.
template <bool kStart>
bool StartsOrEnds(Interp& in, const Value& self, const Args& args, Value* out) {
  const char* name = kStart ? "startswith" : "endswith";
  Value parts[3];
  if (!in.Bind(name, args, {"prefix", "start", "end"}, parts)) return false;
  Value text = self;
  if (!parts[1].IsMissing()) {
    const Value slice[3] = {parts[1], parts[2].IsMissing() ? Value::None() : parts[2], Value::None()};
    if (!in.Slice(self, slice, &text)) return false;
  }
  std::vector<Value> single = {parts[0]};
  const std::vector<Value>& choices = parts[0].kind == Kind::kTuple ? parts[0].list->items : single;
  bool found = false;
  for (const Value& choice : choices) {
    if (!Want(in, name, choice) || !in.ChargeBytes(choice.str->size)) return false;
    const std::string_view view = text.str->view();
    found = found || (kStart ? view.starts_with(choice.str->view()) : view.ends_with(choice.str->view()));
  }
  *out = Value::Bool(found);
  return true;
}

// find, rfind and index: positions count characters.
bool FindAt(Interp& in, const char* name, const Value& self, const Args& args, bool last, int64_t* at) {
  Value parts[3];
  if (!in.Bind(name, args, {"sub", "start", "end"}, parts) || !Want(in, name, parts[0])) return false;
  if (!in.ChargeBytes(uint64_t{self.str->size} + parts[0].str->size)) return false;
  const Value slice[3] = {parts[1].IsMissing() ? Value::None() : parts[1],
                          parts[2].IsMissing() ? Value::None() : parts[2], Value::None()};
  Value text;
  if (!in.Slice(self, slice, &text)) return false;
  const std::string_view view = text.str->view();
  const size_t found = last ? FindLastText(view, parts[0].str->view()) : FindText(view, parts[0].str->view());
  *at = -1;
  if (found == std::string_view::npos) return true;
  int64_t start = slice[0].IsNone() ? 0 : slice[0].AsInt();
  if (start < 0) start = std::max<int64_t>(0, start + self.str->length);
  if (start > self.str->length) return true;
  *at = start + static_cast<int64_t>(CountChars(view.substr(0, found)));
  return true;
}

template <bool kLast, bool kMust>
bool Find(Interp& in, const Value& self, const Args& args, Value* out) {
  int64_t at = -1;
  if (!FindAt(in, kMust ? "index" : "find", self, args, kLast, &at)) return false;
  if (kMust && at < 0) return in.Fail("index: the text is not found");
  *out = Value::Int(at);
  return true;
}

bool Count(Interp& in, const Value& self, const Args& args, Value* out) {
  Value sub;
  if (!in.Bind("count", args, {"sub"}, &sub) || !Want(in, "count", sub)) return false;
  if (!in.ChargeBytes(uint64_t{self.str->size} + sub.str->size)) return false;
  if (sub.str->size == 0) {
    *out = Value::Int(int64_t{self.str->length} + 1);
    return true;
  }
  int64_t count = 0;
  const std::string_view text = self.str->view();
  for (size_t at = 0; (at = FindText(text, sub.str->view(), at)) != std::string_view::npos; at += sub.str->size) {
    if (!in.Charge(1 + sub.str->size / 64)) return false;
    ++count;
  }
  *out = Value::Int(count);
  return true;
}

bool Replace(Interp& in, const Value& self, const Args& args, Value* out) {
  Value parts[3];
  if (!in.Bind("replace", args, {"old", "new", "count"}, parts)) return false;
  if (!Want(in, "replace", parts[0]) || !Want(in, "replace", parts[1])) return false;
  if (!parts[2].IsMissing() && !parts[2].IsIntegral()) return in.Fail("replace takes an integer count");
  return ReplaceText(in, self, parts[0], parts[1], parts[2].IsMissing() ? -1 : parts[2].AsInt(), out);
}

bool Join(Interp& in, const Value& self, const Args& args, Value* out) {
  Value iterable;
  if (!in.Bind("join", args, {"iterable"}, &iterable)) return false;
  std::vector<Value> items;
  if (!in.Items(iterable, &items)) return false;
  std::string text;
  for (size_t i = 0; i < items.size(); ++i) {
    if (!Want(in, "join", items[i])) return false;
    if ((i > 0 && !in.Append(&text, self.str->view())) || !in.Append(&text, items[i].str->view())) return false;
  }
  return in.MakeString(text, self.str->markup, out);
}

template <bool kPrefix>
bool Remove(Interp& in, const Value& self, const Args& args, Value* out) {
  const char* name = kPrefix ? "removeprefix" : "removesuffix";
  Value affix;
  if (!in.Bind(name, args, {"affix"}, &affix) || !Want(in, name, affix)) return false;
  std::string_view text = self.str->view();
  if (!in.ChargeBytes(text.size())) return false;
  if (kPrefix && text.starts_with(affix.str->view())) text.remove_prefix(affix.str->size);
  if (!kPrefix && text.ends_with(affix.str->view())) text.remove_suffix(affix.str->size);
  *out = Value::String(in.heap().View(text, self.str->markup));
  return true;
}

// True if there is a character and `holds` for all of them.
template <bool (*kHolds)(uint32_t)>
bool All(Interp& in, const Value& self, const Args& args, Value* out) {
  const std::string_view text = self.str->view();
  if (!in.Bind("this method", args, {}, nullptr) || !in.ChargeBytes(text.size())) return false;
  bool all = !text.empty();
  for (size_t i = 0; all && i < text.size();) {
    const Char c = DecodeChar(text, i);
    all = kHolds(c.code);
    i += c.bytes;
  }
  *out = Value::Bool(all);
  return true;
}

bool IsAscii(uint32_t code) {
  return code < 0x80;
}
bool IsDecimalDigit(uint32_t code) {
  return CategoryOf(code) == Category::kNd;
}

// All that has a case has this one, and something has.
template <bool kUpper>
bool IsCase(Interp& in, const Value& self, const Args& args, Value* out) {
  const std::string_view text = self.str->view();
  if (!in.Bind("this method", args, {}, nullptr) || !in.ChargeBytes(text.size())) return false;
  bool some = false;
  bool other = false;
  for (size_t i = 0; i < text.size();) {
    const Char c = DecodeChar(text, i);
    const bool wanted = kUpper ? IsUpper(c.code) : IsLower(c.code);
    some = some || wanted;
    other = other || (!wanted && IsCased(c.code));
    i += c.bytes;
  }
  *out = Value::Bool(some && !other);
  return true;
}

enum class Side { kLeft, kRight };
template <Side kText>
bool Justify(Interp& in, const Value& self, const Args& args, Value* out) {
  Value parts[2];
  if (!in.Bind("ljust", args, {"width", "fillchar"}, parts)) return false;
  if (!parts[0].IsIntegral()) return in.Fail("ljust and rjust take an integer width");
  if (!parts[1].IsMissing() && (!parts[1].IsString() || parts[1].str->length != 1)) {
    return in.Fail("ljust and rjust fill with one character");
  }
  const std::string_view fill = parts[1].IsMissing() ? " " : parts[1].str->view();
  const int64_t missing =
      std::max<int64_t>(0, parts[0].AsInt() - std::min<int64_t>(parts[0].AsInt(), self.str->length));
  if (!in.ChargeString(std::min<uint64_t>(static_cast<uint64_t>(missing), uint64_t{1} << 40) * fill.size() +
                       self.str->size)) {
    return false;
  }
  std::string padding;
  for (int64_t i = 0; i < missing; ++i) padding.append(fill);
  const std::string_view text = self.str->view();
  return in.MakeString(kText == Side::kLeft ? std::string(text) + padding : padding + std::string(text), out);
}

bool CenterMethod(Interp& in, const Value& self, const Args& args, Value* out) {
  Value width;
  if (!in.Bind("center", args, {"width"}, &width)) return false;
  if (!width.IsIntegral()) return in.Fail("center takes an integer width");
  return Center(in, self, width.AsInt(), out);
}

bool Zfill(Interp& in, const Value& self, const Args& args, Value* out) {
  Value width;
  if (!in.Bind("zfill", args, {"width"}, &width)) return false;
  if (!width.IsIntegral()) return in.Fail("zfill takes an integer width");
  const std::string_view text = self.str->view();
  const int64_t missing = width.AsInt() > self.str->length ? width.AsInt() - self.str->length : 0;
  if (!in.ChargeString(static_cast<uint64_t>(missing) + text.size())) return false;
  const bool sign = !text.empty() && (text[0] == '-' || text[0] == '+');
  std::string result(text.substr(0, sign));
  result.append(static_cast<size_t>(missing), '0').append(text.substr(sign));
  return in.MakeString(result, out);
}

bool Format(Interp& in, const Value& self, const Args& args, Value* out) {
  return FormatBraces(in, self.str->view(), args, out);
}

constexpr Function kStringMethods[] = {
    {"strip", Strip<true, true>},
    {"lstrip", Strip<true, false>},
    {"rstrip", Strip<false, true>},
    {"upper", ChangeCase<true>},
    {"lower", ChangeCase<false>},
    {"casefold", ChangeCase<false>},
    {"capitalize", CapitalizeMethod},
    {"title", Title},
    {"swapcase", SwapCase},
    {"split", Split<false>},
    {"rsplit", Split<true>},
    {"splitlines", SplitLinesMethod},
    {"partition", Partition<false>},
    {"rpartition", Partition<true>},
    {"startswith", StartsOrEnds<true>},
    {"endswith", StartsOrEnds<false>},
    {"find", Find<false, false>},
    {"rfind", Find<true, false>},
    {"index", Find<false, true>},
    {"rindex", Find<true, true>},
    {"count", Count},
    {"replace", Replace},
    {"join", Join},
    {"removeprefix", Remove<true>},
    {"removesuffix", Remove<false>},
    {"isdigit", All<IsDigit>},
    {"isdecimal", All<IsDecimalDigit>},
    {"isnumeric", All<IsDigit>},
    {"isalpha", All<IsAlpha>},
    {"isalnum", All<IsAlnum>},
    {"isspace", All<IsSpace>},
    {"isascii", All<IsAscii>},
    {"isupper", IsCase<true>},
    {"islower", IsCase<false>},
    {"ljust", Justify<Side::kLeft>},
    {"rjust", Justify<Side::kRight>},
    {"center", CenterMethod},
    {"zfill", Zfill},
    {"format", Format},
};

}  // namespace

std::span<const Function> StringMethods() {
  return kStringMethods;
}

}  // namespace mote::jinja
