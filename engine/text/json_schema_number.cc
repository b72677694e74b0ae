#include "engine/text/json_schema_number.h"

#include <algorithm>
#include <limits>
#include <vector>

namespace mote::grammar {
namespace {

constexpr uint32_t kDigits = 15;  // that a double holds whatever they are

class NumberBuilder {
 public:
  explicit NumberBuilder(Ast* ast) : ast_(*ast) {}

  // Whole numbers from a to b, a <= b, without leading zeros.
  ExprId Whole(uint64_t a, uint64_t b) {
    const std::string first = std::to_string(a);
    const std::string last = std::to_string(b);
    if (first.size() == last.size()) return SameLength(first, last);
    std::vector<ExprId> choices = {SameLength(first, std::string(first.size(), '9'))};
    if (last.size() - first.size() > 1) {
      choices.push_back(ast_.Sequence(
          {Digits('1', '9'), AnyDigits(static_cast<uint32_t>(first.size()), static_cast<uint32_t>(last.size() - 2))}));
    }
    choices.push_back(SameLength("1" + std::string(last.size() - 1, '0'), last));
    return ast_.Alternate(choices);
  }

  // Numbers from `low` to `high`, neither negative, low < high or equal and neither exclusive. `places`: of a fraction.
  std::optional<ExprId> Between(const Bound& low, const Bound& high, uint32_t places) {
    places_ = places;
    std::vector<ExprId> choices;
    const auto add = [&](ExprId whole, std::optional<ExprId> fraction) {
      if (fraction) choices.push_back(ast_.Sequence({whole, *fraction}));
    };
    const auto literal = [&](const std::string& digits) { return ast_.Literal(digits); };
    if (low.value.whole == high.value.whole) {
      add(literal(low.value.whole), FractionBetween(low, high));
    } else {
      add(literal(low.value.whole), FractionFrom(low));
      const uint64_t first = ToInteger(low.value.whole) + 1;
      const uint64_t end = ToInteger(high.value.whole);
      if (first < end) add(Whole(first, end - 1), AnyFraction());
      add(literal(high.value.whole), FractionTo(high));
    }
    if (choices.empty()) return std::nullopt;
    return ast_.Alternate(choices);
  }

  ExprId Digits(char first, char last) {
    return ast_.Class({{static_cast<uint32_t>(first), static_cast<uint32_t>(last)}});
  }
  ExprId AnyDigits(uint32_t min, uint32_t max) { return ast_.Repeat(Digits('0', '9'), min, max); }

 private:
  static uint64_t ToInteger(const std::string& digits) {
    uint64_t value = 0;
    for (const char c : digits) value = value * 10 + static_cast<uint64_t>(c - '0');
    return value;
  }
  uint32_t Left(uint32_t used) const { return places_ > used ? places_ - used : 0; }
  static uint32_t Size(std::string_view text) { return static_cast<uint32_t>(text.size()); }

  // Below: recursion over the digits of a bound, of which there are at most 20.
  ExprId SameLength(std::string_view a, std::string_view b) {
    if (a.empty()) return ast_.Empty();
    if (a == std::string(a.size(), '0') && b == std::string(b.size(), '9')) return AnyDigits(Size(a), Size(a));
    if (a[0] == b[0]) return ast_.Sequence({ast_.Literal(a.substr(0, 1)), SameLength(a.substr(1), b.substr(1))});
    const std::string nines(a.size() - 1, '9');
    const std::string zeros(a.size() - 1, '0');
    const bool all_a = a.substr(1) == zeros;
    const bool all_b = b.substr(1) == nines;
    std::vector<ExprId> choices;
    if (!all_a) choices.push_back(ast_.Sequence({ast_.Literal(a.substr(0, 1)), SameLength(a.substr(1), nines)}));
    const char low = static_cast<char>(a[0] + (all_a ? 0 : 1));
    const char high = static_cast<char>(b[0] - (all_b ? 0 : 1));
    if (low <= high) choices.push_back(ast_.Sequence({Digits(low, high), AnyDigits(Size(nines), Size(nines))}));
    if (!all_b) choices.push_back(ast_.Sequence({ast_.Literal(b.substr(0, 1)), SameLength(zeros, b.substr(1))}));
    return ast_.Alternate(choices);
  }

  ExprId Dot(ExprId digits) { return ast_.Sequence({ast_.Literal("."), digits}); }
  ExprId AnyFraction() { return ast_.Optional(Dot(AnyDigits(1, places_))); }
  // Up to `places` digits that are not all 0.
  std::optional<ExprId> NotZero(uint32_t places) {
    if (places == 0) return std::nullopt;
    const uint32_t zeros = (places - 1) / 2;
    return ast_.Sequence(
        {ast_.Repeat(ast_.Class({{'0', '0'}}), 0, zeros), Digits('1', '9'), AnyDigits(0, places - 1 - zeros)});
  }
  ExprId Zeros(uint32_t min, uint32_t max) { return ast_.Repeat(ast_.Class({{'0', '0'}}), min, max); }

  // What may follow the whole part of the lower bound.
  std::optional<ExprId> FractionFrom(const Bound& low) {
    if (low.value.fraction.empty() && !low.exclusive) return AnyFraction();
    const std::optional<ExprId> digits =
        low.value.fraction.empty() ? NotZero(places_) : From(low.value.fraction, low.exclusive, places_);
    if (!digits) return std::nullopt;
    return Dot(*digits);
  }
  // Digits, at most `places`, of a fraction of at least `bound`, which has digits.
  std::optional<ExprId> From(std::string_view bound, bool exclusive, uint32_t places) {
    if (places == 0) return std::nullopt;
    std::vector<ExprId> choices;
    const std::optional<ExprId> rest = AfterLow(bound.substr(1), exclusive, places - 1);
    if (rest) choices.push_back(ast_.Sequence({ast_.Literal(bound.substr(0, 1)), *rest}));
    if (bound[0] < '9') {
      choices.push_back(ast_.Sequence({Digits(static_cast<char>(bound[0] + 1), '9'), AnyDigits(0, places - 1)}));
    }
    if (choices.empty()) return std::nullopt;
    return ast_.Alternate(choices);
  }
  // What may follow once all digits were those of the lower bound, of which `rest` is left.
  std::optional<ExprId> AfterLow(std::string_view rest, bool exclusive, uint32_t places) {
    if (!rest.empty()) return From(rest, exclusive, places);
    return exclusive ? NotZero(places) : std::optional<ExprId>(AnyDigits(0, places));
  }

  // What may follow the whole part of the upper bound.
  std::optional<ExprId> FractionTo(const Bound& high) {
    if (high.value.fraction.empty()) {
      if (high.exclusive) return std::nullopt;
      return ast_.Optional(Dot(Zeros(1, places_)));
    }
    const std::optional<ExprId> digits = To(high.value.fraction, high.exclusive, places_);
    return digits ? ast_.Optional(Dot(*digits)) : ast_.Empty();
  }
  std::optional<ExprId> To(std::string_view bound, bool exclusive, uint32_t places) {
    if (places == 0) return std::nullopt;
    std::vector<ExprId> choices;
    if (bound[0] > '0') {
      choices.push_back(ast_.Sequence({Digits('0', static_cast<char>(bound[0] - 1)), AnyDigits(0, places - 1)}));
    }
    const std::optional<ExprId> rest = AfterHigh(bound.substr(1), exclusive, places - 1);
    if (rest) choices.push_back(ast_.Sequence({ast_.Literal(bound.substr(0, 1)), *rest}));
    if (choices.empty()) return std::nullopt;
    return ast_.Alternate(choices);
  }
  std::optional<ExprId> AfterHigh(std::string_view rest, bool exclusive, uint32_t places) {
    if (rest.empty()) return exclusive ? std::nullopt : std::optional<ExprId>(Zeros(0, places));
    const std::optional<ExprId> more = To(rest, exclusive, places);  // fewer digits are a lower number
    return more ? ast_.Optional(*more) : ast_.Empty();
  }

  // The whole parts of both bounds are the same.
  std::optional<ExprId> FractionBetween(const Bound& low, const Bound& high) {
    std::string_view a = low.value.fraction;
    std::string_view b = high.value.fraction;
    if (a == b) {
      if (low.exclusive || high.exclusive || Size(a) > places_) return std::nullopt;
      if (a.empty()) return ast_.Optional(Dot(Zeros(1, places_)));
      return Dot(ast_.Sequence({ast_.Literal(a), Zeros(0, Left(Size(a)))}));
    }
    size_t same = 0;
    while (same < a.size() && a[same] == b[same]) ++same;
    // Where the lower bound has no more digits and the upper one goes on with zeros, those are common to both.
    std::string common(a.substr(0, same));
    if (same == a.size()) {
      while (b[common.size()] == '0') common += '0';
    }
    a = a.size() > common.size() ? a.substr(common.size()) : std::string_view();
    b = b.substr(common.size());
    const char first = a.empty() ? '0' : a[0];
    const uint32_t places = Left(Size(common) + 1);
    std::vector<ExprId> choices;
    const auto add = [&](ExprId digit, std::optional<ExprId> rest) {
      if (rest) choices.push_back(ast_.Sequence({digit, *rest}));
    };
    add(Digits(first, first), AfterLow(a.empty() ? a : a.substr(1), low.exclusive, places));
    if (first + 1 < b[0]) {
      add(Digits(static_cast<char>(first + 1), static_cast<char>(b[0] - 1)), AnyDigits(0, places));
    }
    add(Digits(b[0], b[0]), AfterHigh(b.substr(1), high.exclusive, places));
    if (choices.empty()) return std::nullopt;
    const ExprId digits = Dot(ast_.Sequence({ast_.Literal(common), ast_.Alternate(choices)}));
    return low.value.fraction.empty() && !low.exclusive ? ast_.Optional(digits) : digits;
  }

  Ast& ast_;
  uint32_t places_ = 0;
};

std::string PowerOfTen(size_t zeros) {
  return "1" + std::string(zeros, '0');
}

}  // namespace

std::optional<Decimal> ParseDecimal(std::string_view text) {
  Decimal decimal;
  if (!text.empty() && text[0] == '-') {
    decimal.negative = true;
    text.remove_prefix(1);
  }
  const size_t dot = std::min(text.find('.'), text.size());
  const auto digits = [](std::string_view part) {
    return std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
  };
  std::string_view whole = text.substr(0, dot);
  std::string_view fraction = dot < text.size() ? text.substr(dot + 1) : std::string_view();
  if (whole.empty() || !digits(whole) || !digits(fraction)) return std::nullopt;
  while (whole.size() > 1 && whole[0] == '0') whole.remove_prefix(1);
  while (!fraction.empty() && fraction.back() == '0') fraction.remove_suffix(1);
  decimal.whole = whole;
  decimal.fraction = fraction;
  if (decimal.IsZero()) decimal.negative = false;
  return decimal;
}

int Compare(const Decimal& a, const Decimal& b) {
  if (a.negative != b.negative) return a.negative ? -1 : 1;
  const int sign = a.negative ? -1 : 1;
  if (a.whole.size() != b.whole.size()) return a.whole.size() < b.whole.size() ? -sign : sign;
  if (const int order = a.whole.compare(b.whole); order != 0) return order < 0 ? -sign : sign;
  const int order = a.fraction.compare(b.fraction);
  return order == 0 ? 0 : order < 0 ? -sign : sign;
}

std::optional<ExprId> IntegersBetween(std::optional<int64_t> low, std::optional<int64_t> high, Ast* ast) {
  constexpr int64_t kMost = 999999999999999;
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  const int64_t first = low.value_or(high.value_or(0) < -kMost ? std::numeric_limits<int64_t>::min() : -kMost);
  const int64_t last = high.value_or(low.value_or(0) > kMost ? kMax : kMost);
  if (first > last) return std::nullopt;
  NumberBuilder builder(ast);
  std::vector<ExprId> choices;
  if (last >= 0) {
    choices.push_back(builder.Whole(static_cast<uint64_t>(std::max<int64_t>(first, 0)), static_cast<uint64_t>(last)));
  }
  if (first < 0) {
    const uint64_t nearest = last < 0 ? uint64_t{0} - static_cast<uint64_t>(last) : 1;
    const uint64_t farthest = uint64_t{0} - static_cast<uint64_t>(first);
    choices.push_back(ast->Sequence({ast->Literal("-"), builder.Whole(nearest, farthest)}));
  }
  return ast->Alternate(choices);
}

std::optional<ExprId> NumbersBetween(const std::optional<Bound>& low, const std::optional<Bound>& high, Ast* ast) {
  NumberBuilder builder(ast);
  if (!low && !high) {
    const ExprId exponent =
        ast->Sequence({ast->Class({{'e', 'e'}, {'E', 'E'}}), ast->Optional(ast->Class({{'+', '+'}, {'-', '-'}})),
                       builder.AnyDigits(1, 2)});
    const ExprId fraction = ast->Sequence({ast->Literal("."), builder.AnyDigits(1, kDigits)});
    const ExprId whole = ast->Alternate(
        {ast->Literal("0"), ast->Sequence({builder.Digits('1', '9'), builder.AnyDigits(0, kDigits - 1)})});
    return ast->Sequence({ast->Optional(ast->Literal("-")), whole, ast->Optional(fraction), ast->Optional(exponent)});
  }
  if (low && high) {
    const int order = Compare(low->value, high->value);
    if (order > 0 || (order == 0 && (low->exclusive || high->exclusive))) return std::nullopt;
  }
  // Where there is no bound: two digits more than the other one has, and nine at least.
  size_t digits = 9;
  for (const std::optional<Bound>* bound : {&low, &high}) {
    if (*bound) digits = std::max(digits, std::min((*bound)->value.whole.size() + (low && high ? 0 : 2), size_t{14}));
  }
  if (low && high) digits = std::max(low->value.whole.size(), high->value.whole.size());
  const uint32_t places = kDigits - static_cast<uint32_t>(digits);
  const Bound zero;
  const Bound most = {{false, PowerOfTen(digits), ""}, true};
  const auto magnitude = [](Bound bound) {
    bound.value.negative = false;
    return bound;
  };
  std::vector<ExprId> choices;
  const bool some_positive = !high || (!high->value.negative && !(high->value.IsZero() && high->exclusive));
  if (some_positive) {
    const Bound from = low && !low->value.negative ? *low : zero;
    if (const auto numbers = builder.Between(from, high ? *high : most, places)) choices.push_back(*numbers);
  }
  if (!low || low->value.negative) {
    Bound from = {Decimal(), /*exclusive=*/true};
    if (high && high->value.negative) from = magnitude(*high);
    if (const auto numbers = builder.Between(from, low ? magnitude(*low) : most, places)) {
      choices.push_back(ast->Sequence({ast->Literal("-"), *numbers}));
    }
  }
  if (choices.empty()) return std::nullopt;
  return ast->Alternate(choices);
}

}  // namespace mote::grammar
