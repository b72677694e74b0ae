// Any bytes as text for a small vocabulary of each kind, and as a GGUF file that a tokenizer is made from.
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/text/tokenizer.h"
#include "tests/fuzz/heap_growth-inl.h"
#include "tests/text/tokenizer_samples.h"

namespace mote {
namespace {

// A finding: both libFuzzer and the replay program take an abort for one.
void Require(bool condition, const char* what) {
  if (condition) return;
  fprintf(stderr, "tokenizer_fuzz: %s\n", what);
  abort();
}

struct Samples {
  std::vector<std::unique_ptr<Tokenizer>> byte_level;  // one of each way to cut words
  std::unique_ptr<Tokenizer> spm;
  std::unique_ptr<Tokenizer> word_piece;
};

std::unique_ptr<Tokenizer> Make(const samples::Vocab& vocab) {
  auto tokenizer = samples::CreateFrom(vocab);
  Require(tokenizer.ok(), "a sample vocabulary is refused");
  return std::move(*tokenizer);
}

const Samples& AllSamples() {
  static const Samples* all = [] {
    auto* made = new Samples;
    for (const char* pre : {"default", "gpt-2", "llama-bpe", "qwen35", "jais-2", "exaone-moe", "gpt-4o", "kimi-k2",
                            "deepseek-llm", "deepseek-v3", "tiny_aya", "superbpe", "chameleon", "bloom"}) {
      made->byte_level.push_back(Make(samples::ByteLevel(pre)));
    }
    made->spm = Make(samples::Spm());
    made->word_piece = Make(samples::WordPiece());
    return made;
  }();
  return *all;
}

std::vector<int32_t> Encode(const Tokenizer& tokenizer, std::string_view text, bool parse_special) {
  const auto ids = tokenizer.Encode(text, {.add_special = true, .parse_special = parse_special});
  Require(ids.ok(), "text is refused");
  for (const int32_t id : *ids) Require(id >= 0 && id < tokenizer.vocab_size(), "an id outside the vocabulary");
  return *ids;
}

void TryByteLevel(const Tokenizer& tokenizer, std::string_view text) {
  const std::vector<int32_t> plain = Encode(tokenizer, text, false);
  Require(tokenizer.Decode(plain, false) == text, "byte-level text does not come back");
  for (size_t i = tokenizer.add_bos() ? 1 : 0; i < plain.size(); ++i) {
    Require(!tokenizer.IsControl(plain[i]), "a control token came out of plain text");
  }
  Require(tokenizer.Decode(Encode(tokenizer, text, true), true).ends_with(text),
          "text with special tokens does not come back");
}

void TryText(std::string_view text) {
  const Samples& all = AllSamples();
  // Two families for each input, for speed: the first and the last byte say which.
  const size_t first = text.empty() ? 0 : static_cast<uint8_t>(text.front());
  const size_t last = text.empty() ? 1 : static_cast<uint8_t>(text.back());
  TryByteLevel(*all.byte_level[first % all.byte_level.size()], text);
  TryByteLevel(*all.byte_level[last % all.byte_level.size()], text);
  (void)all.spm->Decode(Encode(*all.spm, text, false), false);
  (void)all.spm->Decode(Encode(*all.spm, text, true), true);
  (void)all.word_piece->Decode(Encode(*all.word_piece, text, true), true);
}

void TryFile(std::string_view bytes) {
  const int64_t before = StartHeapGrowth();
  const auto tokenizer = samples::CreateFrom(bytes);
  const uint64_t growth = static_cast<uint64_t>(PeakHeap() - before);
  Require(growth <= 4 * bytes.size() + (uint64_t{16} << 20), "a tokenizer takes over 4 times its file and 16 MiB");
  if (!tokenizer.ok()) {
    Require(!tokenizer.status().message().empty(), "an error without a message");
    return;
  }
  const std::string_view text = bytes.substr(0, 4096);
  (void)(*tokenizer)->Decode(Encode(**tokenizer, text, true), true);
  for (int32_t id = -1; id <= (*tokenizer)->vocab_size(); ++id) {
    (void)(*tokenizer)->Piece(id, true);
    (void)(*tokenizer)->IsControl(id);
    (void)(*tokenizer)->IsEndOfGeneration(id);
  }
}

}  // namespace
}  // namespace mote

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  mote::TryText(input);
  mote::TryFile(input);
  return 0;
}
