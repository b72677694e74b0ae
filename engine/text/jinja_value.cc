#include "engine/text/jinja_value.h"

#include <math.h>
#include <string.h>

#include "engine/text/jinja_utf8.h"

namespace mote::jinja {
namespace {

int CompareIntFloat(int64_t i, double f) {
  if (isnan(f)) return 1;
  // Beyond int64's range the sign of f decides; inside it, truncation is exact and the fraction breaks a tie.
  if (f >= 9223372036854775808.0) return -1;
  if (f < -9223372036854775808.0) return 1;
  const int64_t whole = static_cast<int64_t>(f);
  if (i != whole) return i < whole ? -1 : 1;
  const double rest = f - static_cast<double>(whole);
  return rest > 0 ? -1 : rest < 0 ? 1 : 0;
}

int KeyRank(const Value& key) {
  return key.IsNone() ? 0 : key.IsNumber() ? 1 : 2;
}

bool SameKey(const Value& a, const Value& b) {
  const int rank = KeyRank(a);
  if (rank != KeyRank(b)) return false;
  if (rank == 2) return a.str->view() == b.str->view();
  return rank == 0 || CompareNumbers(a, b) == 0;
}

}  // namespace

int CompareNumbers(const Value& a, const Value& b) {
  if (a.IsIntegral() && b.IsIntegral()) {
    const int64_t x = a.AsInt();
    const int64_t y = b.AsInt();
    return x < y ? -1 : x > y;
  }
  if (a.IsIntegral()) return CompareIntFloat(a.AsInt(), b.real);
  if (b.IsIntegral()) return -CompareIntFloat(b.AsInt(), a.real);
  if (isnan(a.real) || isnan(b.real)) return int{isnan(b.real) != 0} - int{isnan(a.real) != 0};
  return a.real < b.real ? -1 : a.real > b.real;
}

bool KeyLess::operator()(const Value& a, const Value& b) const {
  const int rank = KeyRank(a);
  if (rank != KeyRank(b)) return rank < KeyRank(b);
  if (rank == 2) return a.str->view() < b.str->view();
  return rank == 1 && CompareNumbers(a, b) < 0;
}

size_t Dict::Find(const Value& key) const {
  if (!IsKey(key)) return SIZE_MAX;
  if (entries.size() > kLinear) {
    const auto found = index_.find(key);
    return found == index_.end() ? SIZE_MAX : found->second;
  }
  for (size_t i = 0; i < entries.size(); ++i) {
    if (SameKey(entries[i].key, key)) return i;
  }
  return SIZE_MAX;
}

const Value* Dict::Get(std::string_view key) const {
  Str str;
  str.data = key.data();
  str.size = static_cast<uint32_t>(key.size());
  const size_t i = Find(Value::String(&str));
  return i == SIZE_MAX ? nullptr : &entries[i].value;
}

void Dict::Set(const Value& key, const Value& value) {
  const size_t found = Find(key);
  if (found != SIZE_MAX) {
    entries[found].value = value;
    return;
  }
  entries.push_back({key, value});
  if (entries.size() == kLinear + 1) {
    for (size_t i = 0; i < entries.size(); ++i) index_.emplace(entries[i].key, i);
  } else if (entries.size() > kLinear) {
    index_.emplace(key, entries.size() - 1);
  }
}

void Dict::Erase(size_t index) {
  entries.erase(entries.begin() + static_cast<ptrdiff_t>(index));
  index_.clear();
  if (entries.size() <= kLinear) return;
  for (size_t i = 0; i < entries.size(); ++i) index_.emplace(entries[i].key, i);
}

void Dict::Clear() {
  entries.clear();
  index_.clear();
}

const Str* Heap::View(std::string_view bytes, bool markup) {
  Str str;
  str.data = bytes.data();
  str.size = static_cast<uint32_t>(bytes.size());
  str.length = static_cast<uint32_t>(CountChars(bytes));
  str.markup = markup;
  return &strings_.emplace_back(str);
}

const Str* Heap::Copy(std::string_view bytes, bool markup) {
  char* copy = Bytes(bytes.size());
  if (!bytes.empty()) memcpy(copy, bytes.data(), bytes.size());
  return View({copy, bytes.size()}, markup);
}

char* Heap::Bytes(size_t size) {
  constexpr size_t kChunk = 16 << 10;
  if (size > kChunk / 4) {
    chunks_.push_back(std::make_unique<char[]>(size));
    return chunks_.back().get();
  }
  if (size > chunk_left_) {
    chunks_.push_back(std::make_unique<char[]>(kChunk));
    chunk_ = chunks_.back().get();
    chunk_left_ = kChunk;
  }
  char* bytes = chunk_;
  chunk_ += size;
  chunk_left_ -= size;
  return bytes;
}

}  // namespace mote::jinja
