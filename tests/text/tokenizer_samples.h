// Small vocabularies in memory, for tests and fuzzing.
#ifndef MOTE_TESTS_TEXT_TOKENIZER_SAMPLES_H_
#define MOTE_TESTS_TEXT_TOKENIZER_SAMPLES_H_

#include <stdint.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/format/gguf.h"
#include "engine/format/gguf_writer.h"
#include "engine/text/tokenizer.h"
#include "engine/text/utf8.h"

namespace mote::samples {

struct Token {
  std::string text;
  TokenType type = TokenType::kNormal;
  float score = 0;
};

// A vocabulary that can still be changed before it becomes a file.
struct Vocab {
  std::string model;
  std::string pre;
  std::vector<Token> tokens;
  std::vector<std::string> merges;
  bool scores = false;

  int32_t Add(std::string text, TokenType type = TokenType::kNormal, float score = 0) {
    tokens.push_back({std::move(text), type, score});
    return static_cast<int32_t>(tokens.size()) - 1;
  }
  void Merge(const std::string& left, const std::string& right) {
    merges.push_back(left + " " + right);
    Add(left + right);
  }

  void Fill(GgufWriter* writer) const {
    std::vector<std::string> texts;
    std::vector<int32_t> types;
    std::vector<float> all_scores;
    for (const Token& token : tokens) {
      texts.push_back(token.text);
      types.push_back(static_cast<int32_t>(token.type));
      all_scores.push_back(token.score);
    }
    writer->SetString("general.architecture", "llama");
    writer->SetString("tokenizer.ggml.model", model);
    if (!pre.empty()) writer->SetString("tokenizer.ggml.pre", pre);
    writer->SetStrings("tokenizer.ggml.tokens", texts);
    writer->SetInt32s("tokenizer.ggml.token_type", types);
    if (scores) writer->SetFloats("tokenizer.ggml.scores", all_scores);
    if (model == "gpt2") writer->SetStrings("tokenizer.ggml.merges", merges);
  }
};

// GPT-2's character for a byte.
inline std::string ByteChar(int byte) {
  std::string result;
  const auto printable = [](int b) { return (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xFF && b != 0xAD); };
  uint32_t code = 256;
  for (int b = 0; b < byte; ++b) code += printable(b) ? 0 : 1;
  AppendUtf8(printable(byte) ? static_cast<uint32_t>(byte) : code, &result);
  return result;
}

// All 256 bytes as ids 0..255, some merges, and special tokens of every type.
inline Vocab ByteLevel(const std::string& pre) {
  Vocab vocab{"gpt2", pre, {}, {}, false};
  for (int b = 0; b < 256; ++b) vocab.Add(ByteChar(b));
  const char* merges[][2] = {{"a", "b"}, {"b", "a"},  {"ab", "ab"},  {"a", "a"},        {"aa", "aa"},     {"l", "o"},
                             {"h", "e"}, {"l", "lo"}, {"he", "llo"}, {"\xC4\xA0", "a"}, {"aaaa", "aaaa"}, {"ab", "a"}};
  for (const auto& merge : merges) vocab.Merge(merge[0], merge[1]);
  vocab.Add("<|bos|>", TokenType::kControl);
  vocab.Add("<|im_end|>", TokenType::kControl);
  vocab.Add("<tool>", TokenType::kUserDefined);
  vocab.Add("<unk>", TokenType::kUnknown);
  vocab.Add("unused", TokenType::kUnused);
  return vocab;
}

// <unk>, <s>, </s>, 256 byte tokens, then characters and words.
inline Vocab Spm() {
  Vocab vocab{"llama", "", {}, {}, true};
  vocab.Add("<unk>", TokenType::kUnknown);
  vocab.Add("<s>", TokenType::kControl);
  vocab.Add("</s>", TokenType::kControl);
  const char* hex = "0123456789ABCDEF";
  for (int b = 0; b < 256; ++b) {
    vocab.Add(std::string("<0x") + hex[b >> 4] + hex[b & 15] + ">", TokenType::kByte);
  }
  const char* words[] = {"\xE2\x96\x81",
                         "a",
                         "b",
                         "c",
                         "ab",
                         "ba",
                         "\xE2\x96\x81"
                         "a",
                         "aab",
                         "abab",
                         "\xE2\x96\x81\xE2\x96\x81",
                         "\xE2\x96\x81"
                         "ab",
                         "aa",
                         "b\xE2\x96\x81",
                         "cc",
                         "cccc"};
  float score = 0;
  for (const char* word : words) vocab.Add(word, TokenType::kNormal, score -= 1);
  vocab.Add("<tool>", TokenType::kUserDefined);
  vocab.Add("<s", TokenType::kNormal, score -= 1);
  vocab.Add("<", TokenType::kNormal, score -= 1);
  vocab.Add("s", TokenType::kNormal, score -= 1);
  vocab.Add(">", TokenType::kNormal, score -= 1);
  return vocab;
}

inline Vocab WordPiece() {
  Vocab vocab{"bert", "", {}, {}, false};
  vocab.Add("[PAD]", TokenType::kControl);
  while (vocab.tokens.size() < 100) vocab.Add("[unused" + std::to_string(vocab.tokens.size()) + "]");
  vocab.Add("[UNK]", TokenType::kUnknown);
  vocab.Add("[CLS]", TokenType::kControl);
  vocab.Add("[SEP]", TokenType::kControl);
  const char* words[] = {"hello", "wor", "un", "a", ",", "\xE4\xB8\xAD", "e", "\xE1\x84\x80", "1"};
  for (const char* word : words) vocab.Add("\xE2\x96\x81" + std::string(word));
  for (const char* rest : {"ld", "able", "b", "e", "\xE1\x85\xA1"}) vocab.Add(rest);
  return vocab;
}

// The bytes of a GGUF file; empty if the writer refuses.
inline std::string FileOf(const GgufWriter& writer) {
  const auto layout = writer.Finish();
  if (!layout.ok()) return std::string();
  return std::string(layout->header.begin(), layout->header.end());
}

inline Result<std::unique_ptr<Tokenizer>> CreateFrom(std::string_view bytes) {
  std::vector<std::unique_ptr<ByteSource>> parts;
  parts.push_back(CreateMemorySource({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, "memory"));
  MOTE_ASSIGN_OR_RETURN(const std::unique_ptr<GgufFile> file, GgufFile::FromSourcesHeaderOnly(std::move(parts)));
  return Tokenizer::Create(*file);
}

inline Result<std::unique_ptr<Tokenizer>> CreateFrom(const Vocab& vocab) {
  GgufWriter writer;
  vocab.Fill(&writer);
  return CreateFrom(FileOf(writer));
}

}  // namespace mote::samples

#endif  // MOTE_TESTS_TEXT_TOKENIZER_SAMPLES_H_
