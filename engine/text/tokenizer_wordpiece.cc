// WordPiece ("bert"): text is cleaned, lower-cased, stripped of accents and cut at white space, punctuation and CJK
// characters; each word is covered from its left by the longest tokens. GGUF writes a word's first token with U+2581
// before it and the others without BERT's "##".
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/text/tokenizer_base.h"
#include "engine/text/utf8.h"

namespace mote {

namespace {

// Longer words are unknown as a whole: max_input_chars_per_word in the models' tokenizer.json.
constexpr size_t kMaxWordChars = 100;

bool IsBertPunctuation(uint32_t c) {
  // BERT counts all of ASCII that is neither letter, digit nor space, so the symbols $ + < = > ^ ` | ~ too.
  return InCategories(c, kPunctuation) || (c < 0x7F && InCategories(c, kSymbols));
}

// The blocks that BERT's tokenizer lists as Chinese. 2B920 is no slip of ours: the tokenizers in use start there.
bool IsBertChinese(uint32_t c) {
  constexpr struct {
    uint32_t first;
    uint32_t last;
  } kBlocks[] = {{0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},   {0x20000, 0x2A6DF},
                 {0x2A700, 0x2B73F}, {0x2B740, 0x2B81F}, {0x2B920, 0x2CEAF}, {0x2F800, 0x2FA1F}};
  for (const auto& block : kBlocks) {
    if (c >= block.first && c <= block.last) return true;
  }
  return false;
}

class WordPieceTokenizer final : public BaseTokenizer {
 public:
  Status Load(const GgufFile& file) {
    model_ = "bert";
    MOTE_RETURN_IF_ERROR(vocab_.Load(file, false));
    MOTE_ASSIGN_OR_RETURN(lower_case_, file.BoolOr("tokenizer.ggml.normalizer.lowercase", true));
    MOTE_ASSIGN_OR_RETURN(strip_accents_, file.BoolOr("tokenizer.ggml.normalizer.strip_accents", lower_case_));
    strip_leading_space_ = true;
    // The ids of [CLS], [SEP] and [UNK] in BERT's own vocabulary.
    MOTE_RETURN_IF_ERROR(
        Finish(file, {.bos = 101, .unknown = 100, .separator = 102, .add_bos = true, .add_separator = true}));
    special_.add_eos = false;  // [SEP] ends the text
    return Status();
  }

 protected:
  void EncodeFragment(std::string_view text, bool first, std::vector<int32_t>* out) const override {
    Word word;
    const auto flush = [&] {
      EncodeWord(word, out);
      word.Clear();
    };
    for (size_t at = 0; at < text.size();) {
      const Utf8Char c = DecodeUtf8(text, at);
      at += c.bytes;
      if (c.code_point == 0 || c.code_point == kReplacementCharacter) continue;
      if (c.code_point == '\t' || c.code_point == '\n' || c.code_point == '\r') {
        flush();
        continue;
      }
      const Category category = CategoryOf(c.code_point);
      if (category >= Category::kCc) continue;
      if (IsWhiteSpace(c.code_point)) {
        flush();
        continue;
      }
      uint32_t parts[kMaxDecomposition] = {c.code_point};
      const size_t count = strip_accents_ ? Decompose(c.code_point, parts) : 1;
      for (size_t i = 0; i < count; ++i) {
        if (strip_accents_ && CategoryOf(parts[i]) == Category::kMn) continue;
        const uint32_t part = lower_case_ ? ToLower(parts[i]) : parts[i];
        const bool alone = IsBertPunctuation(part) || IsBertChinese(part);
        if (alone) flush();
        word.Append(part);
        if (alone) flush();
      }
    }
    flush();
  }

  std::string PlainPiece(int32_t token) const override { return UnmarkSpaces(vocab_.text(token)); }

 private:
  struct Word {
    std::string text{kSpaceMark};
    std::vector<size_t> starts = {0};  // of each character after the mark; the mark and the first go together
    size_t chars = 0;

    void Append(uint32_t code_point) {
      if (chars > kMaxWordChars) return;  // unknown already
      if (chars > 0) starts.push_back(text.size());
      AppendUtf8(code_point, &text);
      ++chars;
    }
    void Clear() {
      text.assign(kSpaceMark);
      starts.assign(1, 0);
      chars = 0;
    }
  };

  void EncodeWord(const Word& word, std::vector<int32_t>* out) const {
    if (word.chars == 0) return;
    const size_t before = out->size();
    bool covered = word.chars <= kMaxWordChars;
    for (size_t from = 0; covered && from < word.chars;) {
      size_t to = word.chars;
      int32_t token = kNoToken;
      for (; to > from; --to) {
        const size_t end = to == word.chars ? word.text.size() : word.starts[to];
        token = vocab_.FindPlain(std::string_view(word.text).substr(word.starts[from], end - word.starts[from]));
        if (token != kNoToken) break;
      }
      covered = token != kNoToken;
      if (covered) out->push_back(token);
      from = to;
    }
    if (covered) return;
    out->resize(before);
    if (special_.unknown != kNoToken) out->push_back(special_.unknown);
  }

  bool lower_case_ = true;
  bool strip_accents_ = true;
};

}  // namespace

Result<std::unique_ptr<Tokenizer>> CreateWordPieceTokenizer(const GgufFile& file) {
  auto tokenizer = std::make_unique<WordPieceTokenizer>();
  MOTE_RETURN_IF_ERROR(tokenizer->Load(file));
  return std::unique_ptr<Tokenizer>(std::move(tokenizer));
}

}  // namespace mote
