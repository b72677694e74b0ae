// Numbers to text and back as Python does it, without a locale.
#ifndef MOTE_ENGINE_TEXT_JINJA_NUMBER_H_
#define MOTE_ENGINE_TEXT_JINJA_NUMBER_H_

#include <stdint.h>

#include <string>
#include <string_view>

namespace mote::jinja {

// -1 where c is no hexadecimal digit.
int HexDigit(char c);

enum class ParsedInteger { kOk, kNotANumber, kTooLarge };
// Sign, digits with single underscores between them, prefixes 0x 0o 0b where base is 0 or fits. Base 0 or 2..36.
ParsedInteger ParseInteger(std::string_view text, int base, int64_t* out);

// The nearest double to the whole of `text`, a decimal number as JSON or Python writes it (no underscores, no blanks,
// no inf or nan). False if it is none.
bool ParseDouble(std::string_view text, double* out);

// repr(float): the shortest digits that read back as the same value; exponent form outside of 1e-4 .. 1e16.
std::string FormatDouble(double value);

// Python's '%.<precision><type>' with type one of e, f, g; precision 0..100.
std::string FormatDoubleFixed(double value, char type, int precision);

// round(value, digits): nearest, halves decided by the value's exact binary expansion.
double RoundDouble(double value, int64_t digits);

}  // namespace mote::jinja

#endif  // MOTE_ENGINE_TEXT_JINJA_NUMBER_H_
