#include "engine/text/jinja_number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <charconv>
#include <limits>

namespace mote::jinja {
namespace {

bool IsDecimal(char c) {
  return c >= '0' && c <= '9';
}

size_t SkipDigits(std::string_view text, size_t i) {
  while (i < text.size() && IsDecimal(text[i])) ++i;
  return i;
}

// [sign] digits [. digits] [e [sign] digits], at least one digit before the exponent.
bool IsDecimalNumber(std::string_view text) {
  size_t i = !text.empty() && (text[0] == '-' || text[0] == '+');
  const size_t whole = i;
  i = SkipDigits(text, i);
  size_t digits = i - whole;
  if (i < text.size() && text[i] == '.') {
    const size_t fraction = ++i;
    i = SkipDigits(text, i);
    digits += i - fraction;
  }
  if (digits == 0) return false;
  if (i < text.size() && (text[i] | 32) == 'e') {
    ++i;
    if (i < text.size() && (text[i] == '-' || text[i] == '+')) ++i;
    const size_t exponent = i;
    i = SkipDigits(text, i);
    if (i == exponent) return false;
  }
  return i == text.size();
}

// Room for 309 digits before the point and 400 after it.
using NumberText = char[720];

#if defined(__cpp_lib_to_chars)
// Of a number whose magnitude no double has: infinity or zero, by the power of ten of its first digit that is not 0.
// (strtod would ask the locale what a point is.)
double OutOfRange(std::string_view text) {
  constexpr int64_t kMost = int64_t{1} << 62;  // no text is so long that its digits would outweigh this
  const bool negative = text[0] == '-';
  if (negative) text.remove_prefix(1);
  const size_t e = std::min(text.find_first_of("eE"), text.size());
  const size_t point = std::min(text.find('.'), e);
  const size_t first = text.find_first_of("123456789");
  int64_t power = static_cast<int64_t>(point) - static_cast<int64_t>(first);
  if (e < text.size()) {
    const bool below = text[e + 1] == '-';
    int64_t exponent = 0;
    for (const char c : text.substr(e + 1)) {
      if (IsDecimal(c)) exponent = std::min(exponent * 10 + (c - '0'), kMost / 10);
    }
    power += below ? -exponent : exponent;
  }
  const double magnitude = power > 0 ? std::numeric_limits<double>::infinity() : 0.0;
  return negative ? -magnitude : magnitude;
}

// The value as printf's %.*e, %.*f or %.*g has it, whatever the locale.
std::string_view Print(double value, char type, int precision, NumberText& buffer) {
  const std::chars_format format = type == 'e'   ? std::chars_format::scientific
                                   : type == 'f' ? std::chars_format::fixed
                                                 : std::chars_format::general;
  const std::to_chars_result end = std::to_chars(buffer, buffer + sizeof(buffer), value, format, precision);
  return {buffer, static_cast<size_t>(end.ptr - buffer)};
}

// d.ddde[+-]xx with the fewest digits that mean this value and no other.
std::string_view PrintShortest(double value, NumberText& buffer) {
  const std::to_chars_result end = std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific);
  return {buffer, static_cast<size_t>(end.ptr - buffer)};
}
#else
// libc++, whose users here (wasm) know no locale but "C": its own functions bring 120 KB of tables along.
std::string_view Print(double value, char type, int precision, NumberText& buffer) {
  const char format[] = {'%', '.', '*', type, '\0'};
  return {buffer, static_cast<size_t>(snprintf(buffer, sizeof(buffer), format, precision, value))};
}

// The next number up or down from zero with as many digits. False: it has one digit more before the point.
bool NextDigit(char* text) {
  char* at = strchr(text, 'e');
  while (at-- > text) {
    if (!IsDecimal(*at)) continue;
    if (*at != '9') {
      ++*at;
      return true;
    }
    *at = '0';
  }
  return false;
}

std::string_view PrintShortest(double value, NumberText& buffer) {
  constexpr int kMostDigits = 17;
  for (int digits = 1; digits < kMostDigits; ++digits) {
    const std::string_view text = Print(value, 'e', digits - 1, buffer);
    if (strtod(buffer, nullptr) == value) return text;
    // The doubles below a power of two stand closer together than those above it: where the nearest number of so many
    // digits is below and means another double, the next one up may still mean this one.
    if (NextDigit(buffer) && strtod(buffer, nullptr) == value) return text;
  }
  return Print(value, 'e', kMostDigits - 1, buffer);
}
#endif

}  // namespace

int HexDigit(char c) {
  if (IsDecimal(c)) return c - '0';
  const char lower = static_cast<char>(c | 32);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

ParsedInteger ParseInteger(std::string_view text, int base, int64_t* out) {
  const bool negative = !text.empty() && text[0] == '-';
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  bool prefixed = false;
  if (text.size() > 2 && text[0] == '0') {
    const char letter = static_cast<char>(text[1] | 32);
    const int named = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
    if (named != 0 && (base == 0 || base == named)) {
      base = named;
      text.remove_prefix(2);
      prefixed = true;
    }
  }
  if (base == 0) {
    // Python takes 0 and 00, and refuses 07: it would be octal elsewhere.
    base = 10;
    if (text.size() > 1 && text[0] == '0' && text.find_first_not_of("0_") != std::string_view::npos) {
      return ParsedInteger::kNotANumber;
    }
  }
  uint64_t magnitude = 0;
  bool overflow = false;
  bool digit_before = prefixed;  // an underscore may follow a digit or a prefix
  for (const char c : text) {
    if (c == '_') {
      if (!digit_before) return ParsedInteger::kNotANumber;
      digit_before = false;
      continue;
    }
    const char lower = static_cast<char>(c | 32);
    const int digit = IsDecimal(c) ? c - '0' : lower >= 'a' && lower <= 'z' ? lower - 'a' + 10 : 99;
    if (digit >= base) return ParsedInteger::kNotANumber;
    overflow = __builtin_mul_overflow(magnitude, static_cast<uint64_t>(base), &magnitude) || overflow;
    overflow = __builtin_add_overflow(magnitude, static_cast<uint64_t>(digit), &magnitude) || overflow;
    digit_before = true;
  }
  if (text.empty() || !digit_before || text[0] == '_') {
    if (text.empty() || !digit_before || !prefixed) return ParsedInteger::kNotANumber;
  }
  constexpr uint64_t kLimit = uint64_t{1} << 63;
  if (overflow || magnitude > kLimit || (magnitude == kLimit && !negative)) return ParsedInteger::kTooLarge;
  *out = static_cast<int64_t>(negative ? 0 - magnitude : magnitude);
  return ParsedInteger::kOk;
}

bool ParseDouble(std::string_view text, double* out) {
  if (!IsDecimalNumber(text)) return false;
  if (text[0] == '+') text.remove_prefix(1);
#if defined(__cpp_lib_to_chars)
  const std::from_chars_result result = std::from_chars(text.data(), text.data() + text.size(), *out);
  if (result.ec != std::errc()) *out = OutOfRange(text);
#else
  // libc++, whose from_chars has no doubles.
  const std::string terminated(text);
  *out = strtod(terminated.c_str(), nullptr);
#endif
  return true;
}

std::string FormatDouble(double value) {
  if (isnan(value)) return "nan";
  if (isinf(value)) return value < 0 ? "-inf" : "inf";
  NumberText buffer;
  std::string_view text = PrintShortest(value, buffer);
  std::string out;
  if (text[0] == '-') {
    out = "-";
    text.remove_prefix(1);
  }
  const size_t e = text.find('e');
  int exponent = 0;
  for (const char c : text.substr(e + 2)) exponent = exponent * 10 + (c - '0');
  if (text[e + 1] == '-') exponent = -exponent;
  std::string digits(1, text[0]);
  if (e > 2) digits.append(text.substr(2, e - 2));
  const int count = static_cast<int>(digits.size());
  if (exponent < -4 || exponent >= 16) {
    out.append(digits, 0, 1);
    if (count > 1) out.append(".").append(digits, 1);
    char tail[16];
    snprintf(tail, sizeof(tail), "e%c%02d", exponent < 0 ? '-' : '+', exponent < 0 ? -exponent : exponent);
    return out + tail;
  }
  if (exponent < 0) return out + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  const size_t whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() <= whole) return out + digits + std::string(whole - digits.size(), '0') + ".0";
  return out + digits.substr(0, whole) + "." + digits.substr(whole);
}

std::string FormatDoubleFixed(double value, char type, int precision) {
  if (isnan(value)) return "nan";
  if (isinf(value)) return value < 0 ? "-inf" : "inf";
  NumberText buffer;
  return std::string(Print(value, type, precision, buffer));
}

double RoundDouble(double value, int64_t digits) {
  // Past these bounds a double has no such digit (Python's own bounds for round()).
  if (!isfinite(value) || digits > 323) return value;
  if (digits < -308) return copysign(0.0, value);
  if (digits >= 0) {
    double rounded = value;
    NumberText buffer;
    ParseDouble(Print(value, 'f', static_cast<int>(digits), buffer), &rounded);
    return rounded;
  }
  const double scale = pow(10.0, static_cast<double>(-digits));
  const double scaled = value / scale;
  double nearest = round(scaled);
  if (fabs(scaled - nearest) == 0.5) nearest = 2.0 * round(scaled / 2.0);
  return nearest * scale;
}

}  // namespace mote::jinja
