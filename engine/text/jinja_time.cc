// strftime for UTC in the C locale.
#include <stdio.h>

#include "engine/text/jinja_builtins.h"
#include "engine/text/jinja_interp.h"

namespace mote::jinja {
namespace {

struct Time {
  int64_t year = 1970;
  int month = 1;  // 1..12
  int day = 1;    // 1..31
  int hour = 0;
  int minute = 0;
  int second = 0;
  int weekday = 0;  // 0: Sunday
  int yearday = 1;  // 1..366
};

bool IsLeap(int64_t year) {
  return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

int64_t FloorDiv(int64_t x, int64_t y) {
  return x / y - (x % y < 0);
}

Time FromUnix(int64_t seconds) {
  constexpr int64_t kDay = 86400;
  Time time;
  const int64_t days = FloorDiv(seconds, kDay);
  const int rest = static_cast<int>(seconds - days * kDay);
  time.hour = rest / 3600;
  time.minute = rest / 60 % 60;
  time.second = rest % 60;
  time.weekday = static_cast<int>((days % 7 + 7 + 4) % 7);  // 1970-01-01 was a Thursday
  // Whole 400-year cycles of 146097 days first, then year by year: at most 400 steps.
  const int64_t cycles = FloorDiv(days, 146097);
  int64_t left = days - cycles * 146097;
  time.year = 1970 + 400 * cycles;
  while (left >= 365 + IsLeap(time.year)) left -= 365 + IsLeap(time.year++);
  time.yearday = static_cast<int>(left) + 1;
  static constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  while (left >= kDays[time.month - 1] + (time.month == 2 && IsLeap(time.year))) {
    left -= kDays[time.month - 1] + (time.month == 2 && IsLeap(time.year));
    ++time.month;
  }
  time.day = static_cast<int>(left) + 1;
  return time;
}

// ISO 8601 week and the year that it belongs to.
int IsoWeek(const Time& time, int64_t* year) {
  const int monday_based = (time.weekday + 6) % 7;
  const int week = (time.yearday - 1 - monday_based + 10) / 7;
  const auto weeks_in = [](int64_t y) {
    const auto last_weekday = [](int64_t z) { return (z + FloorDiv(z, 4) - FloorDiv(z, 100) + FloorDiv(z, 400)) % 7; };
    return last_weekday(y) == 4 || last_weekday(y - 1) == 3 ? 53 : 52;
  };
  *year = time.year;
  if (week < 1) {
    --*year;
    return weeks_in(*year);
  }
  if (week > weeks_in(time.year)) {
    ++*year;
    return 1;
  }
  return week;
}

constexpr const char* kDayNames[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
constexpr const char* kMonthNames[] = {"January", "February", "March",     "April",   "May",      "June",
                                       "July",    "August",   "September", "October", "November", "December"};

// A number at least `width` wide; `flag` is glibc's '-' (no padding), '_' (blanks), '0' or nothing.
std::string Number(int64_t value, int width, char pad, char flag) {
  char text[32];
  if (flag == '-') width = 0;
  if (flag == '_') pad = ' ';
  if (flag == '0') pad = '0';
  snprintf(text, sizeof(text), pad == '0' ? "%0*lld" : "%*lld", width, static_cast<long long>(value));
  return text;
}

// A composite's parts, or null.
const char* Composite(char letter) {
  switch (letter) {
    case 'D':
    case 'x':
      return "%m/%d/%y";
    case 'F':
      return "%Y-%m-%d";
    case 'T':
    case 'X':
      return "%H:%M:%S";
    case 'R':
      return "%H:%M";
    case 'r':
      return "%I:%M:%S %p";
    case 'c':
      return "%a %b %e %H:%M:%S %Y";
    default:
      return nullptr;
  }
}

// One directive that is not a composite. False: unknown.
bool Directive(char letter, char flag, const Time& time, int64_t seconds, std::string* out) {
  int64_t iso_year = 0;
  const int iso_week = IsoWeek(time, &iso_year);
  const int hour12 = time.hour % 12 == 0 ? 12 : time.hour % 12;
  const auto number = [&](int64_t value, int width, char pad) { out->append(Number(value, width, pad, flag)); };
  const auto modulo100 = [](int64_t value) { return (value % 100 + 100) % 100; };
  switch (letter) {
    case 'Y':
      return number(time.year, 4, '0'), true;
    case 'C':
      return number(FloorDiv(time.year, 100), 2, '0'), true;
    case 'y':
      return number(modulo100(time.year), 2, '0'), true;
    case 'm':
      return number(time.month, 2, '0'), true;
    case 'd':
      return number(time.day, 2, '0'), true;
    case 'e':
      return number(time.day, 2, ' '), true;
    case 'H':
      return number(time.hour, 2, '0'), true;
    case 'k':
      return number(time.hour, 2, ' '), true;
    case 'I':
      return number(hour12, 2, '0'), true;
    case 'l':
      return number(hour12, 2, ' '), true;
    case 'M':
      return number(time.minute, 2, '0'), true;
    case 'S':
      return number(time.second, 2, '0'), true;
    case 'j':
      return number(time.yearday, 3, '0'), true;
    case 'u':
      return number(time.weekday == 0 ? 7 : time.weekday, 1, '0'), true;
    case 'w':
      return number(time.weekday, 1, '0'), true;
    case 'U':
      return number((time.yearday - 1 + 7 - time.weekday) / 7, 2, '0'), true;
    case 'W':
      return number((time.yearday - 1 + 7 - (time.weekday + 6) % 7) / 7, 2, '0'), true;
    case 'V':
      return number(iso_week, 2, '0'), true;
    case 'G':
      return number(iso_year, 4, '0'), true;
    case 'g':
      return number(modulo100(iso_year), 2, '0'), true;
    case 's':
      return number(seconds, 1, '0'), true;
    case 'f':
      return out->append("000000"), true;
    case 'A':
      return out->append(kDayNames[time.weekday]), true;
    case 'a':
      return out->append(kDayNames[time.weekday], 3), true;
    case 'B':
      return out->append(kMonthNames[time.month - 1]), true;
    case 'b':
    case 'h':
      return out->append(kMonthNames[time.month - 1], 3), true;
    case 'p':
      return out->append(time.hour < 12 ? "AM" : "PM"), true;
    case 'P':
      return out->append(time.hour < 12 ? "am" : "pm"), true;
    case 'n':
      return out->append("\n"), true;
    case 't':
      return out->append("\t"), true;
    case '%':
      return out->append("%"), true;
    case 'Z':
    case 'z':
      return true;  // Python's now() carries no time zone
    default:
      return false;
  }
}

}  // namespace

bool FormatTime(Interp& in, std::string_view format, int64_t unix_seconds, std::string* out) {
  // Years 1 to 9999, as Python's datetime.
  if (unix_seconds < -62135596800 || unix_seconds > 253402300799) {
    return in.FailAs(Code::kInvalidArgument, "strftime_now: the time %lld is outside of the years 1 to 9999",
                     static_cast<long long>(unix_seconds));
  }
  const Time time = FromUnix(unix_seconds);
  for (size_t i = 0; i < format.size(); ++i) {
    if (!in.Charge(1)) return false;
    if (format[i] != '%' || i + 1 == format.size()) {
      if (!in.Append(out, format.substr(i, 1))) return false;
      continue;
    }
    ++i;
    const char flag = format[i] == '-' || format[i] == '_' || format[i] == '0' ? format[i] : '\0';
    if (flag != '\0' && i + 1 < format.size()) ++i;
    std::string text;
    if (const char* composite = Composite(format[i]); composite != nullptr) {
      for (const char* c = composite; *c != '\0'; ++c) {
        if (*c == '%') {
          Directive(*++c, '\0', time, unix_seconds, &text);
        } else {
          text.push_back(*c);
        }
      }
    } else if (!Directive(format[i], flag, time, unix_seconds, &text)) {
      return in.Fail("strftime_now: unknown directive '%%%c'", format[i] > 32 && format[i] < 127 ? format[i] : '?');
    }
    if (!in.Append(out, text)) return false;
  }
  return true;
}

}  // namespace mote::jinja
