// Numbers between bounds as grammars of their decimal digits.
#ifndef MOTE_ENGINE_TEXT_JSON_SCHEMA_NUMBER_H_
#define MOTE_ENGINE_TEXT_JSON_SCHEMA_NUMBER_H_

#include <stdint.h>

#include <optional>
#include <string>
#include <string_view>

#include "engine/text/grammar_ast.h"

namespace mote::grammar {

// A decimal number: digits of the whole part without leading zeros ("0" if it is 0), of the fraction without trailing
// ones.
struct Decimal {
  bool negative = false;
  std::string whole = "0";
  std::string fraction;
  bool IsZero() const { return whole == "0" && fraction.empty(); }
};
// Of a number without exponent. Nothing for another text.
std::optional<Decimal> ParseDecimal(std::string_view text);
// -1, 0, 1.
int Compare(const Decimal& a, const Decimal& b);

struct Bound {
  Decimal value;
  bool exclusive = false;
};

inline constexpr size_t kMaxBoundDigits = 13;  // of the whole part of a number's bound

// Integers from `low` to `high`, both included, of at most 15 digits where there is no bound. Nothing if there are
// none.
std::optional<ExprId> IntegersBetween(std::optional<int64_t> low, std::optional<int64_t> high, Ast* ast);
// Numbers between the bounds, without exponent, of at most 15 digits: that many a double tells apart, so that none
// passes a bound by rounding. Without bounds: with exponents. Nothing if there are none.
std::optional<ExprId> NumbersBetween(const std::optional<Bound>& low, const std::optional<Bound>& high, Ast* ast);

}  // namespace mote::grammar

#endif  // MOTE_ENGINE_TEXT_JSON_SCHEMA_NUMBER_H_
