// What the three kinds of tokenizer share: the vocabulary, the partition of text around special tokens, and the tokens
// added before and after.
#ifndef MOTE_ENGINE_TEXT_TOKENIZER_BASE_H_
#define MOTE_ENGINE_TEXT_TOKENIZER_BASE_H_

#include <stdint.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/status.h"
#include "engine/text/tokenizer.h"
#include "engine/text/tokenizer_matcher.h"
#include "engine/text/tokenizer_vocab.h"

namespace mote {

// SentencePiece writes a space as U+2581.
inline constexpr std::string_view kSpaceMark = "\xE2\x96\x81";

class BaseTokenizer : public Tokenizer {
 public:
  Result<std::vector<int32_t>> Encode(std::string_view text, EncodeOptions options) const final;
  std::string Piece(int32_t token, bool with_special) const final;
  std::string Decode(const std::vector<int32_t>& tokens, bool with_special) const final;
  int32_t Find(std::string_view text) const final { return vocab_.Find(text); }

 protected:
  // Reads the special tokens and prepares the partition; vocab_ is loaded. `defaults`: see LoadSpecialTokens.
  Status Finish(const GgufFile& file, const SpecialTokens& defaults);

  // Appends the tokens of text that holds no special token. `first`: at the start of the text or after a special one.
  virtual void EncodeFragment(std::string_view text, bool first, std::vector<int32_t>* out) const = 0;
  // The bytes of a normal or unused token in running text.
  virtual std::string PlainPiece(int32_t token) const = 0;

  Vocabulary vocab_;
  TokenMatcher matcher_;
  SpecialTokens special_;
  bool strip_leading_space_ = false;  // Decode() drops the space that encoding put before the first word

 private:
  void SetStripping(const GgufFile& file);

  std::vector<int32_t> strips_left_;   // sorted: tokens that swallow the white space before them
  std::vector<int32_t> strips_right_;  // sorted: after them
};

// Replaces every U+2581 by a space.
std::string UnmarkSpaces(std::string_view text);

// One for each tokenizer.ggml.model.
Result<std::unique_ptr<Tokenizer>> CreateSpmTokenizer(const GgufFile& file);
Result<std::unique_ptr<Tokenizer>> CreateBpeTokenizer(const GgufFile& file, std::string_view pre);
Result<std::unique_ptr<Tokenizer>> CreateWordPieceTokenizer(const GgufFile& file);

}  // namespace mote

#endif  // MOTE_ENGINE_TEXT_TOKENIZER_BASE_H_
