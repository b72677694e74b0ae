#include "engine/text/json_reader.h"

#include <inttypes.h>

#include "engine/text/jinja_number.h"
#include "engine/text/jinja_utf8.h"

namespace mote::jinja {
namespace {

class JsonReader {
 public:
  JsonReader(std::string_view text, Heap* heap) : text_(text), heap_(*heap) {}

  Result<Value> Run() {
    Value value;
    if (!ReadValue(&value)) return status_;
    SkipBlanks();
    if (at_ != text_.size()) {
      Fail("text after the value");
      return status_;
    }
    return value;
  }

 private:
  bool Fail(const char* what) {
    status_ = Error(Code::kInvalidArgument, "JSON, byte %zu: %s", at_, what);
    return false;
  }
  char Now() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void SkipBlanks() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t')) {
      ++at_;
    }
  }
  bool Take(char c) {
    SkipBlanks();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool Word(std::string_view word, const Value& value, Value* out) {
    if (text_.substr(at_, word.size()) != word) return Fail("expected a value");
    at_ += word.size();
    *out = value;
    return true;
  }

  bool ReadValue(Value* out) {
    SkipBlanks();
    switch (Now()) {
      case '{':
      case '[': {
        if (depth_ == kMaxJsonDepth) return Fail("nested too deep (at most 64 levels)");
        ++depth_;
        const bool ok = Now() == '{' ? ReadObject(out) : ReadArray(out);
        --depth_;
        return ok;
      }
      case '"':
        return ReadString(out);
      case 't':
        return Word("true", Value::Bool(true), out);
      case 'f':
        return Word("false", Value::Bool(false), out);
      case 'n':
        return Word("null", Value::None(), out);
      default:
        return ReadNumber(out);
    }
  }

  bool ReadArray(Value* out) {
    ++at_;
    *out = heap_.NewList();
    if (Take(']')) return true;
    do {
      Value item;
      if (!ReadValue(&item)) return false;
      out->list->items.push_back(item);
    } while (Take(','));
    return Take(']') || Fail("expected ',' or ']'");
  }

  bool ReadObject(Value* out) {
    ++at_;
    *out = heap_.NewDict();
    if (Take('}')) return true;
    do {
      Value key;
      Value value;
      SkipBlanks();
      if (Now() != '"') return Fail("expected a key, a string");
      if (!ReadString(&key)) return false;
      if (!Take(':')) return Fail("expected ':'");
      if (!ReadValue(&value)) return false;
      out->dict->Set(key, value);
    } while (Take(','));
    return Take('}') || Fail("expected ',' or '}'");
  }

  bool ReadString(Value* out) {
    const size_t begin = ++at_;
    bool escaped = false;
    for (; at_ < text_.size() && text_[at_] != '"'; ++at_) {
      if (static_cast<uint8_t>(text_[at_]) < 0x20) return Fail("a control character in a string");
      if (text_[at_] != '\\') continue;
      escaped = true;
      ++at_;
    }
    if (at_ >= text_.size()) return Fail("a string has no end");
    const std::string_view raw = text_.substr(begin, at_ - begin);
    if (!escaped) {
      ++at_;
      *out = Value::String(heap_.View(raw));
      return true;
    }
    std::string plain;
    at_ = begin;
    while (text_[at_] != '"') {
      if (text_[at_] != '\\') {
        plain.push_back(text_[at_++]);
      } else if (!ReadEscape(&plain)) {
        return false;
      }
    }
    ++at_;
    *out = heap_.NewString(plain);
    return true;
  }

  bool ReadEscape(std::string* out) {
    static constexpr std::string_view kFrom = "\"\\/bfnrt";
    static constexpr std::string_view kTo = "\"\\/\b\f\n\r\t";
    ++at_;
    const char c = Now();
    ++at_;
    if (const size_t simple = kFrom.find(c); c != '\0' && simple != std::string_view::npos) {
      out->push_back(kTo[simple]);
      return true;
    }
    uint32_t code = 0;
    if (c != 'u' || !ReadHex(&code)) return Fail("an unknown escape in a string");
    if (code >= 0xd800 && code < 0xdc00) {
      uint32_t low = 0;
      if (text_.substr(at_, 2) != "\\u") return Fail("half of a surrogate pair");
      at_ += 2;
      if (!ReadHex(&low) || low < 0xdc00 || low >= 0xe000) return Fail("half of a surrogate pair");
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if (code >= 0xdc00 && code < 0xe000) {
      return Fail("half of a surrogate pair");
    }
    AppendChar(code, out);
    return true;
  }

  bool ReadHex(uint32_t* out) {
    for (int i = 0; i < 4; ++i) {
      const int digit = HexDigit(Now());
      if (digit < 0) return false;
      *out = *out * 16 + static_cast<uint32_t>(digit);
      ++at_;
    }
    return true;
  }

  bool ReadNumber(Value* out) {
    const size_t begin = at_;
    const auto digits = [this] {
      const size_t from = at_;
      while (Now() >= '0' && Now() <= '9') ++at_;
      return at_ - from;
    };
    if (Now() == '-') ++at_;
    const size_t first = at_;
    const size_t whole = digits();
    if (whole == 0) return Fail("expected a value");
    if (whole > 1 && text_[first] == '0') return Fail("a number with a leading zero");
    bool integer = true;
    if (Now() == '.') {
      ++at_;
      integer = false;
      if (digits() == 0) return Fail("expected digits after '.'");
    }
    if (Now() == 'e' || Now() == 'E') {
      ++at_;
      integer = false;
      if (Now() == '+' || Now() == '-') ++at_;
      if (digits() == 0) return Fail("expected digits of an exponent");
    }
    const std::string_view number = text_.substr(begin, at_ - begin);
    if (integer) {
      int64_t value = 0;
      if (ParseInteger(number, 10, &value) != ParsedInteger::kOk)
        return Fail("an integer that does not fit in 64 bits");
      *out = Value::Int(value);
      return true;
    }
    double value = 0;
    ParseDouble(number, &value);
    *out = Value::Float(value);
    return true;
  }

  std::string_view text_;
  Heap& heap_;
  size_t at_ = 0;
  int depth_ = 0;
  Status status_;
};

}  // namespace

Result<Value> ReadJson(std::string_view text, Heap* heap) {
  return JsonReader(text, heap).Run();
}

}  // namespace mote::jinja
