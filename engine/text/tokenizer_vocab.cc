#include "engine/text/tokenizer_vocab.h"

#include <string.h>

#include <algorithm>
#include <utility>

namespace mote {

namespace {

constexpr char kTokensKey[] = "tokenizer.ggml.tokens";
constexpr char kTypesKey[] = "tokenizer.ggml.token_type";
constexpr char kScoresKey[] = "tokenizer.ggml.scores";
constexpr uint64_t kMaxTokens = 1 << 27;  // some 500 times the largest known vocabulary

Status Malformed(std::string message) {
  return Status(Code::kMalformed, std::move(message));
}

std::string Shown(std::string_view text) {
  constexpr size_t kMaxShown = 40;
  std::string result = "\"" + std::string(text.substr(0, kMaxShown)) + "\"";
  return text.size() > kMaxShown ? result + "..." : result;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

Status CheckLength(const char* key, const GgufValue& value, int32_t tokens) {
  if (value.type() != GgufType::kArray) {
    return Malformed(std::string(key) + " is of type " + GgufTypeName(value.type()) + "; an array is needed");
  }
  if (value.count() < static_cast<uint64_t>(tokens)) {
    return Malformed(std::string(key) + " has " + std::to_string(value.count()) + " elements for " +
                     std::to_string(tokens) + " tokens");
  }
  return Status();
}

}  // namespace

uint32_t HashBytes(std::string_view bytes) {
  constexpr uint64_t kMultiplier = 0x9E3779B97F4A7C15u;
  uint64_t h = bytes.size() * kMultiplier;
  const char* p = bytes.data();
  size_t left = bytes.size();
  while (left > 0) {
    uint64_t word = 0;
    const size_t take = std::min<size_t>(left, 8);
    if (take == 8) {
      memcpy(&word, p, 8);
    } else {
      for (size_t i = 0; i < take; ++i) word |= uint64_t{static_cast<uint8_t>(p[i])} << (8 * i);
    }
    h = (h ^ word) * kMultiplier;
    h ^= h >> 29;
    p += take;
    left -= take;
  }
  return static_cast<uint32_t>(h * 0xD6E8FEB86659FD93u >> 32);
}

size_t HashSlots(size_t count) {
  size_t slots = 16;
  while (slots / 4 * 3 < count) slots *= 2;
  return slots;
}

Status Vocabulary::Load(const GgufFile& file, bool need_scores) {
  const GgufValue* tokens = file.Find(kTokensKey);
  if (tokens == nullptr) return Status(Code::kNotFound, std::string(kTokensKey) + " is missing: no vocabulary");
  MOTE_RETURN_IF_ERROR(LoadTexts(*tokens));
  MOTE_RETURN_IF_ERROR(LoadTypes(file));
  return LoadScores(file, need_scores);
}

Status Vocabulary::LoadTexts(const GgufValue& tokens) {
  if (tokens.type() != GgufType::kArray || tokens.element_type() != GgufType::kString) {
    return Malformed(std::string(kTokensKey) + " is not an array of strings");
  }
  if (tokens.count() == 0 || tokens.count() > kMaxTokens) {
    return Malformed(std::string(kTokensKey) + " has " + std::to_string(tokens.count()) +
                     " elements; 1 to 134217728 are possible");
  }
  const size_t count = static_cast<size_t>(tokens.count());
  uint64_t bytes = 0;
  std::string_view text;
  for (size_t i = 0; i < count; ++i) {
    if (!tokens.StringAt(i, &text)) return Malformed("token " + std::to_string(i) + " cannot be read");
    bytes += text.size();
  }
  if (bytes > UINT32_MAX / 2) return Malformed("the tokens' texts take " + std::to_string(bytes) + " bytes");
  texts_.reserve(static_cast<size_t>(bytes));
  starts_.reserve(count + 1);
  slots_.assign(HashSlots(count), Slot{0, kNoToken});
  const size_t mask = slots_.size() - 1;
  for (size_t i = 0; i < count; ++i) {
    (void)tokens.StringAt(i, &text);
    starts_.push_back(static_cast<uint32_t>(texts_.size()));
    texts_ += text;
    max_token_bytes_ = std::max(max_token_bytes_, text.size());
    if (text.empty()) continue;
    const uint32_t hash = HashBytes(text);
    uint32_t probe = 0;
    size_t at = hash & mask;
    for (; slots_[at].id != kNoToken; at = (at + 1) & mask, ++probe) {
      const size_t other = static_cast<size_t>(slots_[at].id);
      if (slots_[at].hash == hash &&
          text == std::string_view(texts_.data() + starts_[other], starts_[other + 1] - starts_[other])) {
        return Malformed("tokens " + std::to_string(other) + " and " + std::to_string(i) + " are both written " +
                         Shown(text));
      }
      if (probe == kMaxProbes) return Malformed("the tokens' texts collide: the vocabulary was made to be slow");
    }
    slots_[at] = {hash, static_cast<int32_t>(i)};
    longest_probe_ = std::max(longest_probe_, probe);
  }
  starts_.push_back(static_cast<uint32_t>(texts_.size()));
  types_.assign(count, TokenType::kNormal);
  return Status();
}

Status Vocabulary::LoadTypes(const GgufFile& file) {
  const GgufValue* value = file.Find(kTypesKey);
  if (value == nullptr) return Status();
  MOTE_RETURN_IF_ERROR(CheckLength(kTypesKey, *value, size()));
  for (size_t i = 0; i < types_.size(); ++i) {
    int64_t type = 0;
    if (!value->IntAt(i, &type)) return Malformed(std::string(kTypesKey) + " is not an array of integers");
    if (type < 0 || type > static_cast<int64_t>(TokenType::kByte)) {
      return Malformed("token " + std::to_string(i) + " has type " + std::to_string(type) + "; 0 to 6 are known");
    }
    // 0 is "undefined"; such tokens take part in everything, as normal ones do.
    types_[i] = type == 0 ? TokenType::kNormal : static_cast<TokenType>(type);
  }
  return Status();
}

Status Vocabulary::LoadScores(const GgufFile& file, bool need_scores) {
  if (!need_scores) return Status();
  const GgufValue* value = file.Find(kScoresKey);
  if (value == nullptr) {
    return Status(Code::kNotFound, std::string(kScoresKey) + " is missing: this kind of tokenizer merges by score");
  }
  MOTE_RETURN_IF_ERROR(CheckLength(kScoresKey, *value, size()));
  scores_.reserve(types_.size());
  for (size_t i = 0; i < types_.size(); ++i) {
    double score = 0;
    if (!value->FloatAt(i, &score)) return Malformed(std::string(kScoresKey) + " is not an array of numbers");
    if (score != score) return Malformed("the score of token " + std::to_string(i) + " is not a number");
    scores_.push_back(static_cast<float>(score));
  }
  return Status();
}

int32_t Vocabulary::Find(std::string_view text) const {
  if (text.empty() || text.size() > max_token_bytes_) return kNoToken;
  const uint32_t hash = HashBytes(text);
  const size_t mask = slots_.size() - 1;
  size_t at = hash & mask;
  for (uint32_t probe = 0; probe <= longest_probe_; ++probe, at = (at + 1) & mask) {
    const Slot& slot = slots_[at];
    if (slot.id == kNoToken) return kNoToken;
    if (slot.hash == hash && this->text(slot.id) == text) return slot.id;
  }
  return kNoToken;
}

int32_t Vocabulary::FindByte(uint8_t byte) const {
  constexpr char kHex[] = "0123456789ABCDEF";
  const char written[] = {'<', '0', 'x', kHex[byte >> 4], kHex[byte & 15], '>'};
  const int32_t id = Find({written, sizeof(written)});
  if (id != kNoToken) return id;
  const char raw = static_cast<char>(byte);
  return FindPlain({&raw, 1});
}

int Vocabulary::ByteOf(int32_t id) const {
  const std::string_view t = text(id);
  if (type(id) != TokenType::kByte || t.size() != 6 || t.substr(0, 3) != "<0x" || t[5] != '>') return -1;
  const int high = HexDigit(t[3]);
  const int low = HexDigit(t[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

}  // namespace mote
