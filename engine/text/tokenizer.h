// Text to token ids and back, for the vocabularies that GGUF files carry: SPM ("llama"), byte-level BPE ("gpt2") with
// the pre-tokenizers named by tokenizer.ggml.pre, and WordPiece ("bert").
#ifndef MOTE_ENGINE_TEXT_TOKENIZER_H_
#define MOTE_ENGINE_TEXT_TOKENIZER_H_

#include <stdint.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/status.h"
#include "engine/format/gguf.h"

namespace mote {

// tokenizer.ggml.token_type
enum class TokenType : int32_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

inline constexpr int32_t kNoToken = -1;

struct EncodeOptions {
  bool add_special = true;     // BOS, EOS, CLS, SEP as the model's metadata asks
  bool parse_special = false;  // control tokens written out in the text become those tokens. Never for a user's words.
};

// Immutable after Create; safe from any thread.
class Tokenizer {
 public:
  // Checks every id and array length against the vocabulary. kUnsupported names a model or pre-tokenizer not known.
  static Result<std::unique_ptr<Tokenizer>> Create(const GgufFile& file);
  virtual ~Tokenizer() = default;

  // Linear in text.size() for any input, invalid UTF-8 included; recursion-free. text up to 2^31 - 1 bytes.
  virtual Result<std::vector<int32_t>> Encode(std::string_view text, EncodeOptions options) const = 0;
  // The bytes of one token as they appear in running text (may be part of a UTF-8 sequence). Control tokens give
  // their written form if `with_special`, otherwise nothing. Ids outside the vocabulary give nothing.
  virtual std::string Piece(int32_t token, bool with_special) const = 0;
  // Pieces joined, with the leading space that SPM adds to the first word removed again.
  virtual std::string Decode(const std::vector<int32_t>& tokens, bool with_special) const = 0;

  int32_t vocab_size() const { return vocab_size_; }
  // kNoToken where the vocabulary has none.
  int32_t bos() const { return bos_; }
  int32_t eos() const { return eos_; }
  bool add_bos() const { return add_bos_; }
  // End of generation: EOS, EOT, EOM and whatever else ends an answer in this vocabulary (<|im_end|>, <|eot_id|>,
  // <end_of_turn>, ...).
  bool IsEndOfGeneration(int32_t token) const;
  bool IsControl(int32_t token) const;
  // kNoToken if no token is written exactly like this.
  virtual int32_t Find(std::string_view text) const = 0;
  // "llama", "gpt2", "bert" and the pre-tokenizer's name or "".
  const std::string& model() const { return model_; }
  const std::string& pre() const { return pre_; }

 protected:
  int32_t vocab_size_ = 0;
  int32_t bos_ = kNoToken;
  int32_t eos_ = kNoToken;
  bool add_bos_ = false;
  std::string model_;
  std::string pre_;
  std::vector<TokenType> types_;            // (vocab_size)
  std::vector<int32_t> end_of_generation_;  // sorted
};

}  // namespace mote

#endif  // MOTE_ENGINE_TEXT_TOKENIZER_H_
