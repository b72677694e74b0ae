#include "edge/server/openai/json.h"

#include <stdint.h>

#include <cmath>
#include <unordered_set>
#include <utility>
#include <vector>

namespace mote::server {
namespace {

// Builds a Json while it is read, and stops at the first bound that is passed.
class Builder : public nlohmann::json_sax<Json> {
 public:
  Builder(Json* root, const JsonBounds& bounds) : root_(root), bounds_(bounds) {}

  const std::string& problem() const { return problem_; }

  bool null() override { return Add(nullptr) != nullptr; }
  bool boolean(bool value) override { return Add(value) != nullptr; }
  bool number_integer(number_integer_t value) override { return Add(value) != nullptr; }
  bool number_unsigned(number_unsigned_t value) override { return Add(value) != nullptr; }
  bool number_float(number_float_t value, const string_t&) override { return Add(value) != nullptr; }
  bool string(string_t& value) override { return Add(std::move(value)) != nullptr; }
  bool binary(binary_t&) override { return Fail("it holds binary data"); }
  bool start_object(size_t) override { return Open(Json::object()); }
  bool start_array(size_t) override { return Open(Json::array()); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }

  bool key(string_t& name) override {
    Level& level = levels_.back();
    // A few names are compared one by one; a set is built only for the rare large object.
    auto& members = level.json->get_ref<Json::object_t&>();
    bool twice = false;
    if (members.size() < kSmall) {
      for (const auto& member : members) twice = twice || member.first == name;
    } else {
      if (level.names.empty()) {
        for (const auto& member : members) level.names.insert(member.first);
      }
      twice = !level.names.insert(name).second;
    }
    if (twice) return Fail("it names \"" + name.substr(0, 64) + "\" twice in one object");
    level.name = std::move(name);
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    // Numbers too large are reported as errors of their own kind.
    if (error.id == 406) return Fail("it has a number that is out of range");
    return Fail("it breaks at byte " + std::to_string(position));
  }

 private:
  static constexpr size_t kSmall = 16;

  struct Level {
    Json* json;
    std::string name;
    std::unordered_set<std::string> names;
  };

  bool Fail(std::string problem) {
    if (problem_.empty()) problem_ = std::move(problem);
    return false;
  }

  Json* Add(Json value) {
    if (++values_ > bounds_.values) {
      Fail("it holds more than " + std::to_string(bounds_.values) + " values");
      return nullptr;
    }
    if (levels_.empty()) {
      *root_ = std::move(value);
      return root_;
    }
    Level& level = levels_.back();
    if (level.json->is_array()) {
      auto& items = level.json->get_ref<Json::array_t&>();
      items.push_back(std::move(value));
      return &items.back();
    }
    // The vector below ordered_map: its own emplace would look for the name once more, one by one.
    auto& members = level.json->get_ref<Json::object_t&>();
    static_cast<Json::object_t::Container&>(members).emplace_back(std::move(level.name), std::move(value));
    return &members.back().second;
  }

  bool Open(Json value) {
    if (levels_.size() >= bounds_.depth) {
      return Fail("it is nested deeper than " + std::to_string(bounds_.depth) + " levels");
    }
    Json* json = Add(std::move(value));
    if (json == nullptr) return false;
    // The address stays good: nothing is added to the levels above before this one is closed.
    levels_.push_back({json, {}, {}});
    return true;
  }

  bool Close() {
    levels_.pop_back();
    return true;
  }

  Json* root_;
  const JsonBounds& bounds_;
  std::vector<Level> levels_;
  size_t values_ = 0;
  std::string problem_;
};

// The length of the valid UTF-8 sequence at the start of `text`, or 0.
size_t Utf8Length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  // Longer than needed, surrogates, beyond U+10FFFF.
  if ((first == 0xE0 && byte(1) < 0xA0) || (first == 0xED && byte(1) > 0x9F)) return 0;
  if ((first == 0xF0 && byte(1) < 0x90) || (first == 0xF4 && byte(1) > 0x8F)) return 0;
  return length;
}

}  // namespace

std::optional<ApiError> ParseJson(std::string_view text, Json* json, const JsonBounds& bounds) {
  Builder builder(json, bounds);
  if (Json::sax_parse(text.begin(), text.end(), &builder)) return std::nullopt;
  *json = Json();
  ApiError error;
  error.status = 400;
  error.type = "invalid_request_error";
  error.code = "invalid_json";
  error.message = "the body must be one JSON text in UTF-8, but " + builder.problem();
  return error;
}

bool IsJson(std::string_view text, const JsonBounds& bounds) {
  Json json;
  return !ParseJson(text, &json, bounds);
}

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void AppendQuoted(std::string* out, std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  out->push_back('"');
  size_t begin = 0;  // of what stands as it is
  for (size_t i = 0; i < text.size();) {
    const auto c = static_cast<uint8_t>(text[i]);
    if (c >= 0x20 && c < 0x7F && c != '"' && c != '\\') {
      ++i;
      continue;
    }
    const size_t length = Utf8Length(text.substr(i));
    if (length > 1) {
      i += length;
      continue;
    }
    out->append(text, begin, i - begin);
    begin = ++i;
    if (length == 0) {
      out->append("\xEF\xBF\xBD");
    } else if (c == '"' || c == '\\') {
      out->push_back('\\');
      out->push_back(static_cast<char>(c));
    } else if (c == '\n') {
      out->append("\\n");
    } else {
      out->append("\\u00");
      out->push_back(kHex[c >> 4]);
      out->push_back(kHex[c & 15]);
    }
  }
  out->append(text, begin);
  out->push_back('"');
}

size_t IncompleteUtf8(std::string_view text) {
  for (size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const auto c = static_cast<uint8_t>(text[text.size() - back]);
    if ((c & 0xC0) == 0x80) continue;  // inside a sequence
    const size_t length = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC2 ? 2 : 1;
    return length > back && c <= 0xF4 ? back : 0;
  }
  return 0;
}

}  // namespace mote::server
