// Real vocabularies against ids that the models' own tokenizers gave (llama.cpp's test vectors).
#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/format/gguf.h"
#include "engine/text/tokenizer.h"
#include "gtest/gtest.h"

namespace mote {
namespace {

constexpr char kFolder[] = "../shared/data/tokenizers/ggml-vocab-";

bool ReadFile(const std::string& path, std::string* out) {
  FILE* file = fopen(path.c_str(), "rb");
  if (file == nullptr) return false;
  char buffer[65536];
  for (size_t n; (n = fread(buffer, 1, sizeof(buffer), file)) > 0;) out->append(buffer, n);
  fclose(file);
  return true;
}

std::vector<std::string> SplitBy(const std::string& text, const std::string& separator) {
  std::vector<std::string> parts;
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = std::min(text.find(separator, at), text.size());
    parts.push_back(text.substr(at, end - at));
    at = end + separator.size();
  }
  return parts;
}

std::vector<int32_t> ParseIds(const std::string& line) {
  std::vector<int32_t> ids;
  const char* p = line.c_str();
  for (char* end = nullptr;; p = end) {
    const long id = strtol(p, &end, 10);
    if (end == p) return ids;
    ids.push_back(static_cast<int32_t>(id));
  }
}

struct LoadedVocabulary {
  std::string bytes;
  std::unique_ptr<Tokenizer> tokenizer;
};

// Null tokenizer if the file is absent.
LoadedVocabulary LoadVocabulary(const std::string& name) {
  LoadedVocabulary loaded;
  if (!ReadFile(kFolder + name + ".gguf", &loaded.bytes)) return loaded;
  std::vector<std::unique_ptr<ByteSource>> parts;
  parts.push_back(
      CreateMemorySource({reinterpret_cast<const uint8_t*>(loaded.bytes.data()), loaded.bytes.size()}, name));
  auto file = GgufFile::FromSourcesHeaderOnly(std::move(parts));
  EXPECT_TRUE(file.ok()) << file.status().message();
  if (!file.ok()) return loaded;
  auto tokenizer = Tokenizer::Create(**file);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  if (tokenizer.ok()) loaded.tokenizer = std::move(*tokenizer);
  return loaded;
}

class TokenizerVectors : public testing::TestWithParam<const char*> {};

TEST_P(TokenizerVectors, IdsAreThoseOfTheModelsOwnTokenizer) {
  const std::string name = GetParam();
  const LoadedVocabulary loaded = LoadVocabulary(name);
  if (loaded.bytes.empty()) GTEST_SKIP() << "no " << kFolder << name << ".gguf";
  ASSERT_NE(loaded.tokenizer, nullptr);
  std::string inputs;
  std::string outputs;
  ASSERT_TRUE(ReadFile(kFolder + name + ".gguf.inp", &inputs));
  ASSERT_TRUE(ReadFile(kFolder + name + ".gguf.out", &outputs));
  const std::vector<std::string> texts = SplitBy(inputs, "\n__ggml_vocab_test__\n");
  const std::vector<std::string> lines = SplitBy(outputs, "\n");
  ASSERT_EQ(texts.size(), lines.size());
  ASSERT_GE(texts.size(), 40u);
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto ids = loaded.tokenizer->Encode(texts[i], {.add_special = false, .parse_special = false});
    ASSERT_TRUE(ids.ok());
    EXPECT_EQ(*ids, ParseIds(lines[i])) << "text " << i << ": " << texts[i];
  }
}

TEST_P(TokenizerVectors, TextComesBack) {
  const std::string name = GetParam();
  const LoadedVocabulary loaded = LoadVocabulary(name);
  if (loaded.bytes.empty()) GTEST_SKIP() << "no " << kFolder << name << ".gguf";
  ASSERT_NE(loaded.tokenizer, nullptr);
  if (loaded.tokenizer->model() == "bert") return;  // drops case and accents
  std::string inputs;
  ASSERT_TRUE(ReadFile(kFolder + name + ".gguf.inp", &inputs));
  std::vector<std::string> texts = SplitBy(inputs, "\n__ggml_vocab_test__\n");
  // Invalid UTF-8 of bytes that valid UTF-8 is made of too; most vocabularies lack the others.
  texts.push_back(std::string("\0\x01\xC3(\xE2\x96\xF0\x9F\x98 end", 13));
  for (const std::string& text : texts) {
    const auto ids = loaded.tokenizer->Encode(text, {.add_special = true, .parse_special = false});
    ASSERT_TRUE(ids.ok());
    EXPECT_EQ(loaded.tokenizer->Decode(*ids, false), text);
  }
}

INSTANTIATE_TEST_SUITE_P(All, TokenizerVectors,
                         testing::Values("bert-bge", "deepseek-llm", "falcon", "gpt-2", "llama-spm", "mpt", "phi-3",
                                         "starcoder"),
                         [](const testing::TestParamInfo<const char*>& test) {
                           std::string name = test.param;
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

}  // namespace
}  // namespace mote
