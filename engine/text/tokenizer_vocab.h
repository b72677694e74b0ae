// A vocabulary as the GGUF file has it: the tokens' texts, types and scores, and the ids with a meaning.
#ifndef MOTE_ENGINE_TEXT_TOKENIZER_VOCAB_H_
#define MOTE_ENGINE_TEXT_TOKENIZER_VOCAB_H_

#include <stddef.h>
#include <stdint.h>

#include <string>
#include <string_view>
#include <vector>

#include "engine/core/status.h"
#include "engine/format/gguf.h"
#include "engine/text/tokenizer.h"

namespace mote {

// 32 bits that depend on every byte; the same on every platform.
uint32_t HashBytes(std::string_view bytes);
inline uint32_t HashPair(uint32_t left, uint32_t right) {
  uint64_t h = (uint64_t{left} << 32 | right) * 0x9E3779B97F4A7C15u;  // 2^64 / golden ratio
  h ^= h >> 32;
  return static_cast<uint32_t>(h * 0xD6E8FEB86659FD93u >> 32);
}

// Hash tables here are open-addressed and their keys come from files. A file whose keys collide more than this was
// made to; it is refused rather than searched slowly. (Random keys at these loads stay under 100.)
inline constexpr uint32_t kMaxProbes = 512;

// Slots for `count` keys at a load of at most 3/4, a power of two.
size_t HashSlots(size_t count);

class Vocabulary {
 public:
  // Reads tokenizer.ggml.{tokens,token_type,scores}. Token texts are copied: the file may be closed afterwards.
  // `need_scores`: kNotFound if there are none.
  Status Load(const GgufFile& file, bool need_scores);

  int32_t size() const { return static_cast<int32_t>(types_.size()); }
  // As the file has it; empty tokens (allowed, never matched) give "".
  std::string_view text(int32_t id) const {
    const uint32_t first = starts_[static_cast<size_t>(id)];
    return {texts_.data() + first, starts_[static_cast<size_t>(id) + 1] - first};
  }
  TokenType type(int32_t id) const { return types_[static_cast<size_t>(id)]; }
  void set_type(int32_t id, TokenType type) { types_[static_cast<size_t>(id)] = type; }
  float score(int32_t id) const { return scores_[static_cast<size_t>(id)]; }  // only with need_scores
  size_t max_token_bytes() const { return max_token_bytes_; }

  // kNoToken if no token is written exactly like this.
  int32_t Find(std::string_view text) const;
  // The same among the tokens that a user's words may become: not control, unknown or byte tokens.
  int32_t FindPlain(std::string_view text) const {
    const int32_t id = Find(text);
    return id != kNoToken && IsPlain(id) ? id : kNoToken;
  }
  bool IsPlain(int32_t id) const {
    const TokenType t = type(id);
    return t != TokenType::kControl && t != TokenType::kUnknown && t != TokenType::kByte;
  }
  // Token <0xHH>, or the token that is this one byte, or kNoToken.
  int32_t FindByte(uint8_t byte) const;
  // 0..255 if `id` is of type kByte and written <0xHH>; -1 otherwise.
  int ByteOf(int32_t id) const;

  const std::vector<TokenType>& types() const { return types_; }

 private:
  Status LoadTexts(const GgufValue& tokens);
  Status LoadTypes(const GgufFile& file);
  Status LoadScores(const GgufFile& file, bool need_scores);

  struct Slot {
    uint32_t hash;
    int32_t id;
  };
  std::string texts_;             // all texts, one after the other
  std::vector<uint32_t> starts_;  // (size + 1) offsets into texts_
  std::vector<TokenType> types_;
  std::vector<float> scores_;
  std::vector<Slot> slots_;
  uint32_t longest_probe_ = 0;
  size_t max_token_bytes_ = 0;
};

// The ids and switches of tokenizer.ggml.*: what the file says, over what the model's kind implies.
struct SpecialTokens {
  int32_t bos = kNoToken;
  int32_t eos = kNoToken;
  int32_t unknown = kNoToken;
  int32_t separator = kNoToken;
  bool add_bos = false;
  bool add_eos = false;
  bool add_separator = false;
  std::vector<int32_t> end_of_generation = {};  // sorted
};

// `defaults` holds what applies where the file is silent. Ids in the file that are outside the vocabulary are
// kMalformed; default ids outside it mean "none". Tokens that end an answer become control tokens.
Result<SpecialTokens> LoadSpecialTokens(const GgufFile& file, const SpecialTokens& defaults, Vocabulary* vocab);

}  // namespace mote

#endif  // MOTE_ENGINE_TEXT_TOKENIZER_VOCAB_H_
