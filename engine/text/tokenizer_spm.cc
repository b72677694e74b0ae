// SentencePiece ("llama"): spaces become U+2581, and adjacent pieces are merged as long as they make a token, the one
// of the highest score first. Characters that are in no token are spelled in <0xHH> bytes.
#include <string.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/text/bpe_merger.h"
#include "engine/text/tokenizer_base.h"
#include "engine/text/utf8.h"

namespace mote {

namespace {

constexpr uint32_t kSpaceMarkCode = 0x2581;

// Orders ranks as scores, the highest first. Scores are numbers (the vocabulary was checked).
uint32_t RankOfScore(float score) {
  uint32_t bits = 0;
  score += 0.0f;  // -0 and 0 are the same score
  memcpy(&bits, &score, sizeof(bits));
  const uint32_t increasing = (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
  return ~increasing;  // never kNoRank, which would be a NaN
}

class SpmTokenizer final : public BaseTokenizer {
 public:
  Status Load(const GgufFile& file) {
    model_ = "llama";
    MOTE_RETURN_IF_ERROR(vocab_.Load(file, true));
    MOTE_ASSIGN_OR_RETURN(add_space_prefix_, file.BoolOr("tokenizer.ggml.add_space_prefix", true));
    strip_leading_space_ = add_space_prefix_;
    // The ids that SentencePiece gives by default.
    MOTE_RETURN_IF_ERROR(Finish(file, {.bos = 1, .eos = 2, .unknown = 0, .add_bos = true}));
    special_.add_separator = false;  // only WordPiece has it
    for (uint32_t b = 0; b < 256; ++b) byte_tokens_[b] = vocab_.FindByte(static_cast<uint8_t>(b));
    FindJoins();
    return Status();
  }

 protected:
  void EncodeFragment(std::string_view text, bool first, std::vector<int32_t>* out) const override {
    std::string marked;
    marked.reserve(text.size() + text.size() / 2);
    if (add_space_prefix_ && first) marked += kSpaceMark;
    for (const char c : text) {
      if (c == ' ') {
        marked += kSpaceMark;
      } else {
        marked += c;
      }
    }
    const auto find = [this, &marked](const MergeSymbol& left, const MergeSymbol& right) {
      const int32_t token = vocab_.FindPlain({marked.data() + left.start, left.bytes + right.bytes});
      return token == kNoToken ? Merge{kNoRank, kNoToken} : Merge{RankOfScore(vocab_.score(token)), token};
    };
    Merger<decltype(find)> merger(find);
    std::vector<MergeSymbol> symbols;
    const auto flush = [&] {
      merger.Run(&symbols);
      for (const MergeSymbol& symbol : symbols) Emit(marked, symbol, out);
      symbols.clear();
    };
    uint32_t previous = kSpaceMarkCode;
    for (size_t at = 0; at < marked.size();) {
      const Utf8Char c = DecodeUtf8(marked, at);
      if (c.code_point == kSpaceMarkCode && CanCutAfter(previous)) flush();
      symbols.push_back({vocab_.FindPlain({marked.data() + at, c.bytes}), static_cast<uint32_t>(at), c.bytes});
      previous = c.code_point;
      at += c.bytes;
    }
    flush();
  }

  std::string PlainPiece(int32_t token) const override { return UnmarkSpaces(vocab_.text(token)); }

 private:
  // Nothing merges across a place that no token contains, so text can be cut there and merged in small parts: before
  // each U+2581 that follows a character which is followed by U+2581 in no token. joins_ holds the other characters.
  void FindJoins() {
    for (int32_t id = 0; id < vocab_.size(); ++id) {
      if (!vocab_.IsPlain(id)) continue;
      const std::string_view text = vocab_.text(id);
      uint32_t previous = kSpaceMarkCode;
      for (size_t at = 0; at < text.size();) {
        const Utf8Char c = DecodeUtf8(text, at);
        if (c.code_point == kSpaceMarkCode && previous != kSpaceMarkCode) joins_.push_back(previous);
        previous = c.code_point;
        at += c.bytes;
      }
    }
    std::sort(joins_.begin(), joins_.end());
    joins_.erase(std::unique(joins_.begin(), joins_.end()), joins_.end());
    joins_.shrink_to_fit();
  }
  bool CanCutAfter(uint32_t code_point) const {
    return code_point != kSpaceMarkCode && !std::binary_search(joins_.begin(), joins_.end(), code_point);
  }

  void Emit(const std::string& text, const MergeSymbol& symbol, std::vector<int32_t>* out) const {
    if (symbol.token != kNoToken) {
      out->push_back(symbol.token);
      return;
    }
    // All of the character's bytes, or the unknown token once, or nothing where the vocabulary has neither.
    const std::string_view bytes(text.data() + symbol.start, symbol.bytes);
    const bool spelled = std::all_of(bytes.begin(), bytes.end(),
                                     [this](char c) { return byte_tokens_[static_cast<uint8_t>(c)] != kNoToken; });
    if (spelled) {
      for (const char c : bytes) out->push_back(byte_tokens_[static_cast<uint8_t>(c)]);
    } else if (special_.unknown != kNoToken) {
      out->push_back(special_.unknown);
    }
  }

  bool add_space_prefix_ = true;
  int32_t byte_tokens_[256] = {};
  std::vector<uint32_t> joins_;  // sorted code points
};

}  // namespace

Result<std::unique_ptr<Tokenizer>> CreateSpmTokenizer(const GgufFile& file) {
  auto tokenizer = std::make_unique<SpmTokenizer>();
  MOTE_RETURN_IF_ERROR(tokenizer->Load(file));
  return std::unique_ptr<Tokenizer>(std::move(tokenizer));
}

}  // namespace mote
