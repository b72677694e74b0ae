// Characters of UTF-8 text as Python's str sees them: classes, case, line breaks, search.
//
// Text may be invalid: a byte that begins no valid sequence is a character of its own, kept as it is.
#ifndef MOTE_ENGINE_TEXT_JINJA_UTF8_H_
#define MOTE_ENGINE_TEXT_JINJA_UTF8_H_

#include <stddef.h>
#include <stdint.h>

#include <string>
#include <string_view>

#include "engine/text/unicode.h"
#include "engine/text/utf8.h"

namespace mote::jinja {

inline constexpr uint32_t kBadByte = 0x80000000u;  // | the byte itself: not a character of Unicode

struct Char {
  uint32_t code = 0;
  uint32_t bytes = 1;
};

// The character at text[at]; at < text.size().
inline Char DecodeChar(std::string_view text, size_t at) {
  const Utf8Char c = DecodeUtf8(text, at);
  return {c.valid ? c.code_point : kBadByte | static_cast<uint8_t>(text[at]), c.bytes};
}
// The character that ends before `end`; end > 0.
Char DecodeCharBefore(std::string_view text, size_t end);
// Takes what DecodeChar gives, bad bytes included.
void AppendChar(uint32_t code, std::string* out);
size_t CountChars(std::string_view text);
// The byte `count` characters after byte `from`, or text.size().
size_t SkipChars(std::string_view text, size_t from, size_t count);

bool IsSpace(uint32_t code);      // str.isspace, and \s of a regular expression
bool IsLineBreak(uint32_t code);  // str.splitlines
bool IsDigit(uint32_t code);      // str.isdigit
bool IsPrintable(uint32_t code);  // shown as it is by repr()
inline bool IsUpper(uint32_t code) {
  return CategoryOf(code) == Category::kLu;
}
inline bool IsLower(uint32_t code) {
  return CategoryOf(code) == Category::kLl;
}
inline bool IsCased(uint32_t code) {
  return IsUpper(code) || IsLower(code) || CategoryOf(code) == Category::kLt;
}
inline bool IsAlpha(uint32_t code) {
  return InCategories(code, kLetters);
}
inline bool IsAlnum(uint32_t code) {
  return InCategories(code, kLetters | kNumbers);
}

// Appends the upper-case form: the one character whose simple lower case is `code`, and SS for sharp s. Characters
// whose upper case is several others (ligatures and the like) stay as they are.
void AppendUpper(uint32_t code, std::string* out);
void AppendLower(uint32_t code, std::string* out);

std::string_view TrimLeft(std::string_view text);
std::string_view TrimRight(std::string_view text);

// Linear in text.size() + needle.size() for any input; npos where absent.
size_t FindText(std::string_view text, std::string_view needle, size_t from = 0);
size_t FindLastText(std::string_view text, std::string_view needle);

}  // namespace mote::jinja

#endif  // MOTE_ENGINE_TEXT_JINJA_UTF8_H_
