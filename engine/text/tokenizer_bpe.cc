// Byte-pair encoding ("gpt2"): text is cut into words by a pre-tokenizer, words into bytes, bytes merged. Tokens are
// written with one printable character per byte. Some vocabularies (gemma4) merge UTF-8 characters instead.
#include <array>
#include <memory>
#include <string>
#include <utility>

#include "engine/text/bpe_merge_table.h"
#include "engine/text/bpe_merger.h"
#include "engine/text/pretokenize.h"
#include "engine/text/tokenizer_base.h"
#include "engine/text/utf8.h"

namespace mote {

namespace {

// GPT-2's bytes_to_unicode(): printable Latin-1 stands for itself, the other 68 bytes follow from U+0100 on.
constexpr uint32_t kNumCodes = 256 + 68;
struct ByteCodes {
  std::array<uint16_t, 256> code = {};
  std::array<int16_t, kNumCodes> byte = {};  // -1: stands for no byte
};
constexpr ByteCodes MakeByteCodes() {
  ByteCodes codes;
  for (int16_t& byte : codes.byte) byte = -1;
  uint16_t next = 256;
  for (int b = 0; b < 256; ++b) {
    const bool printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xFF && b != 0xAD);
    const uint16_t code = printable ? static_cast<uint16_t>(b) : next++;
    codes.code[static_cast<size_t>(b)] = code;
    codes.byte[code] = static_cast<int16_t>(b);
  }
  return codes;
}
constexpr ByteCodes kByteCodes = MakeByteCodes();

class BpeTokenizer final : public BaseTokenizer {
 public:
  explicit BpeTokenizer(const PretokenizerSpec& spec) : spec_(spec) {}

  Status Load(const GgufFile& file, std::string_view pre) {
    model_ = pre == "gemma4" ? "gemma4" : "gpt2";
    pre_ = pre;
    MOTE_ASSIGN_OR_RETURN(pretokenizer_, Pretokenizer::Create(spec_));
    MOTE_RETURN_IF_ERROR(vocab_.Load(file, false));
    SpecialTokens defaults;
    defaults.add_bos = spec_.add_bos;
    if (!spec_.raw_utf8) {
      defaults.eos = DefaultEnd();
      if (!spec_.no_bos) defaults.bos = defaults.eos;
    }
    MOTE_RETURN_IF_ERROR(Finish(file, defaults));
    special_.add_separator = false;  // only WordPiece has it
    // After Finish(): tokens that turned out to be control tokens must not come out of merges.
    MOTE_RETURN_IF_ERROR(merges_.Load(file, vocab_));
    whole_newlines_ = pre == "gemma4" || pre == "granite-embed-multi-311m";
    std::string written;
    for (uint32_t b = 0; b < 256; ++b) {
      if (spec_.raw_utf8) {
        byte_tokens_[b] = vocab_.FindByte(static_cast<uint8_t>(b));
        continue;
      }
      written.clear();
      AppendUtf8(kByteCodes.code[b], &written);
      const int32_t token = vocab_.FindPlain(written);
      // User-defined tokens are written as they are: one that looks like a byte's character is that character.
      const bool user_defined = token != kNoToken && vocab_.type(token) == TokenType::kUserDefined;
      byte_tokens_[b] = user_defined && b >= 0x80 ? kNoToken : token;
    }
    return Status();
  }

 protected:
  void EncodeFragment(std::string_view text, bool first, std::vector<int32_t>* out) const override {
    std::string marked;
    if (spec_.raw_utf8) {
      for (const char c : text) {
        if (c == ' ') {
          marked += kSpaceMark;
        } else {
          marked += c;
        }
      }
      text = marked;
    }
    std::vector<uint32_t> pieces;
    pretokenizer_.Split(text, &pieces);
    const auto find = [this](const MergeSymbol& left, const MergeSymbol& right) {
      return merges_.Find(left.token, right.token);
    };
    Merger<decltype(find)> merger(find);
    std::vector<MergeSymbol> symbols;
    std::string scratch;
    for (const uint32_t bytes : pieces) {
      const std::string_view word = text.substr(0, bytes);
      text.remove_prefix(bytes);
      const int32_t whole = WholeWord(word, &scratch);
      if (whole != kNoToken) {
        out->push_back(whole);
        continue;
      }
      symbols.clear();
      Spell(word, &symbols);
      merger.Run(&symbols);
      for (const MergeSymbol& symbol : symbols) Emit(word, symbol, out);
    }
  }

  std::string PlainPiece(int32_t token) const override {
    const std::string_view text = vocab_.text(token);
    if (spec_.raw_utf8) return UnmarkSpaces(text);
    std::string result;
    for (size_t at = 0; at < text.size();) {
      const Utf8Char c = DecodeUtf8(text, at);
      const int byte = c.valid && c.code_point < kNumCodes ? kByteCodes.byte[c.code_point] : -1;
      if (byte >= 0) {
        result += static_cast<char>(byte);
      } else {
        result += text.substr(at, c.bytes);  // not a byte's character: as it is written
      }
      at += c.bytes;
    }
    return result;
  }

 private:
  // Files that name no EOS are old. Falcon's is 11, and so is llama.cpp's default, but elsewhere 11 may be a comma.
  int32_t DefaultEnd() const {
    constexpr int32_t kFalconEnd = 11;
    const bool control = kFalconEnd < vocab_.size() && vocab_.type(kFalconEnd) == TokenType::kControl;
    return control ? kFalconEnd : vocab_.Find("<|endoftext|>");
  }

  // The token that the word is as a whole, where that goes before the merges; kNoToken otherwise.
  int32_t WholeWord(std::string_view word, std::string* scratch) const {
    if (spec_.raw_utf8) {
      const bool newlines = whole_newlines_ && word.find_first_not_of('\n') == std::string_view::npos;
      return newlines ? vocab_.FindPlain(word) : kNoToken;
    }
    if (!spec_.ignore_merges || word.size() > vocab_.max_token_bytes()) return kNoToken;
    scratch->clear();
    for (const char c : word) AppendUtf8(kByteCodes.code[static_cast<uint8_t>(c)], scratch);
    return vocab_.FindPlain(*scratch);
  }

  void Spell(std::string_view word, std::vector<MergeSymbol>* symbols) const {
    for (size_t at = 0; at < word.size();) {
      const uint32_t start = static_cast<uint32_t>(at);
      if (spec_.raw_utf8) {
        const uint32_t bytes = DecodeUtf8(word, at).bytes;
        symbols->push_back({vocab_.FindPlain(word.substr(at, bytes)), start, bytes});
        at += bytes;
      } else {
        symbols->push_back({byte_tokens_[static_cast<uint8_t>(word[at])], start, 1});
        ++at;
      }
    }
  }

  // Bytes that the vocabulary lacks (mostly such as no valid UTF-8 has) give nothing, as with the models' own tools:
  // the "unknown" token of these vocabularies is often the end of the text.
  void Emit(std::string_view word, const MergeSymbol& symbol, std::vector<int32_t>* out) const {
    if (symbol.token != kNoToken) {
      out->push_back(symbol.token);
      return;
    }
    for (const char c : word.substr(symbol.start, symbol.bytes)) {
      const int32_t token = byte_tokens_[static_cast<uint8_t>(c)];
      if (token != kNoToken) out->push_back(token);
    }
  }

  const PretokenizerSpec& spec_;
  Pretokenizer pretokenizer_;
  MergeTable merges_;
  int32_t byte_tokens_[256] = {};
  bool whole_newlines_ = false;
};

}  // namespace

Result<std::unique_ptr<Tokenizer>> CreateBpeTokenizer(const GgufFile& file, std::string_view pre) {
  const PretokenizerSpec* spec = FindPretokenizer(pre);
  if (spec == nullptr) {
    return Status(Code::kUnsupported,
                  "tokenizer.ggml.pre is \"" + std::string(pre.substr(0, 80)) + "\"; known are " + PretokenizerNames());
  }
  auto tokenizer = std::make_unique<BpeTokenizer>(*spec);
  MOTE_RETURN_IF_ERROR(tokenizer->Load(file, pre));
  return std::unique_ptr<Tokenizer>(std::move(tokenizer));
}

}  // namespace mote
