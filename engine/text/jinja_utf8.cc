#include "engine/text/jinja_utf8.h"

#include <vector>

namespace mote::jinja {

Char DecodeCharBefore(std::string_view text, size_t end) {
  const size_t longest = end < 4 ? end : 4;
  for (size_t bytes = longest; bytes > 1; --bytes) {
    const Utf8Char c = DecodeUtf8(text.substr(0, end), end - bytes);
    if (c.valid && c.bytes == bytes) return {c.code_point, c.bytes};
  }
  return DecodeChar(text.substr(0, end), end - 1);
}

void AppendChar(uint32_t code, std::string* out) {
  if (code >= kBadByte) {
    out->push_back(static_cast<char>(code & 0xff));
  } else {
    AppendUtf8(code, out);
  }
}

size_t CountChars(std::string_view text) {
  size_t count = 0;
  for (size_t i = 0; i < text.size(); ++count) {
    i += static_cast<uint8_t>(text[i]) < 0x80 ? 1 : DecodeUtf8(text, i).bytes;
  }
  return count;
}

size_t SkipChars(std::string_view text, size_t from, size_t count) {
  for (; count > 0 && from < text.size(); --count) from += DecodeUtf8(text, from).bytes;
  return from;
}

bool IsSpace(uint32_t code) {
  if (code < 0x80) return code == ' ' || (code >= 9 && code <= 13) || (code >= 0x1c && code <= 0x1f);
  return IsWhiteSpace(code);
}

bool IsLineBreak(uint32_t code) {
  return (code >= 10 && code <= 13) || (code >= 0x1c && code <= 0x1e) || code == 0x85 || code == 0x2028 ||
         code == 0x2029;
}

bool IsDigit(uint32_t code) {
  // Beyond the decimal digits: superscripts and subscripts, whose Numeric_Type is Digit.
  return CategoryOf(code) == Category::kNd || code == 0xb2 || code == 0xb3 || code == 0xb9 || code == 0x2070 ||
         (code >= 0x2074 && code <= 0x2079) || (code >= 0x2080 && code <= 0x2089);
}

bool IsPrintable(uint32_t code) {
  if (code < 0x7f) return code >= 0x20;
  return InCategories(code, kLetters | kMarks | kNumbers | kPunctuation | kSymbols);
}

void AppendLower(uint32_t code, std::string* out) {
  AppendChar(code >= kBadByte ? code : ToLower(code), out);
}

void AppendUpper(uint32_t code, std::string* out) {
  if (code < 0x80) {
    out->push_back(static_cast<char>(code - 'a' < 26 ? code - 32 : code));
    return;
  }
  if (code == 0xdf) {
    out->append("SS");
    return;
  }
  if (code == 0xb5) return AppendChar(0x39c, out);   // micro sign: Greek capital mu
  if (code == 0x131) return AppendChar('I', out);    // dotless i
  if (code == 0x17f) return AppendChar('S', out);    // long s
  if (code == 0x3c2) return AppendChar(0x3a3, out);  // final sigma
  if (IsLower(code) || code >= 0x2170) {
    // How far capitals stand from their small letters in Unicode's bicameral scripts; the lower-case table decides.
    static constexpr int32_t kDistances[] = {-32,  -1,  -80,  121, -48,   -40,  -8,    -16,   -26,
                                             -63,  -64, -37,  -38, -2,    -56,  -74,   -86,   -100,
                                             -112, -9,  -126, -39, -7264, 7264, 10743, 10727, 10749};
    for (const int32_t distance : kDistances) {
      const int64_t upper = int64_t{code} + distance;
      if (upper > 0x7f && upper <= kMaxCodePoint && ToLower(static_cast<uint32_t>(upper)) == code) {
        return AppendChar(static_cast<uint32_t>(upper), out);
      }
    }
  }
  AppendChar(code, out);
}

std::string_view TrimLeft(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    const Char c = DecodeChar(text, i);
    if (!IsSpace(c.code)) break;
    i += c.bytes;
  }
  return text.substr(i);
}

std::string_view TrimRight(std::string_view text) {
  size_t end = text.size();
  while (end > 0) {
    const Char c = DecodeCharBefore(text, end);
    if (!IsSpace(c.code)) break;
    end -= c.bytes;
  }
  return text.substr(0, end);
}

namespace {

// Knuth, Morris and Pratt: borders[i] is the length of the longest proper border of needle[0 .. i].
std::vector<uint32_t> Borders(std::string_view needle) {
  std::vector<uint32_t> borders(needle.size());
  uint32_t length = 0;
  for (size_t i = 1; i < needle.size(); ++i) {
    while (length > 0 && needle[i] != needle[length]) length = borders[length - 1];
    if (needle[i] == needle[length]) ++length;
    borders[i] = length;
  }
  return borders;
}

// Up to here the library's search, quadratic at worst, costs no more than this many looks at each byte.
constexpr size_t kShortNeedle = 32;

}  // namespace

size_t FindText(std::string_view text, std::string_view needle, size_t from) {
  if (needle.size() <= kShortNeedle) return text.find(needle, from);
  if (from > text.size() || needle.size() > text.size() - from) return std::string_view::npos;
  const std::vector<uint32_t> borders = Borders(needle);
  uint32_t length = 0;
  for (size_t i = from; i < text.size(); ++i) {
    while (length > 0 && text[i] != needle[length]) length = borders[length - 1];
    if (text[i] == needle[length]) ++length;
    if (length == needle.size()) return i + 1 - needle.size();
  }
  return std::string_view::npos;
}

size_t FindLastText(std::string_view text, std::string_view needle) {
  if (needle.size() <= kShortNeedle) return text.rfind(needle);
  const std::string reversed(needle.rbegin(), needle.rend());
  const std::vector<uint32_t> borders = Borders(reversed);
  uint32_t length = 0;
  for (size_t i = text.size(); i-- > 0;) {
    while (length > 0 && text[i] != reversed[length]) length = borders[length - 1];
    if (text[i] == reversed[length]) ++length;
    if (length == reversed.size()) return i;
  }
  return std::string_view::npos;
}

}  // namespace mote::jinja
