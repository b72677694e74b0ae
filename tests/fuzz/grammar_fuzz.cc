// Any bytes as a grammar: GBNF, or a JSON schema where the text begins with '{' or '['. What compiles is walked at
// random and masked over a small vocabulary; the two must agree, and what a schema makes must be JSON.
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <memory>
#include <string>
#include <string_view>

#include "engine/text/grammar.h"
#include "engine/text/json_reader.h"
#include "engine/text/token_grammar.h"
#include "tests/fuzz/heap_growth-inl.h"
#include "tests/text/tokenizer_samples.h"
#include "tests/text/walk.h"

namespace mote {
namespace {

void Require(bool condition, const char* what) {
  if (condition) return;
  fprintf(stderr, "grammar_fuzz: %s\n", what);
  abort();
}

const std::shared_ptr<const TokenTrie>& Trie() {
  static const auto* trie = [] {
    const auto tokenizer = samples::CreateFrom(samples::ByteLevel("default"));
    Require(tokenizer.ok(), "the sample vocabulary is refused");
    return new std::shared_ptr<const TokenTrie>(std::make_shared<TokenTrie>(**tokenizer, (*tokenizer)->vocab_size()));
  }();
  return *trie;
}

// Along one random text: the mask has exactly the tokens that the matcher takes.
void CompareMasks(const std::shared_ptr<const Grammar>& grammar, testing::Random* random) {
  const TokenGrammar tokens(grammar, Trie());
  GrammarMatcher matcher(grammar);
  for (int step = 0; step < 4; ++step) {
    TokenMask mask(Trie()->vocab_size());
    if (!tokens.Mask(&matcher, &mask).ok()) return;
    int32_t taken = kNoToken;
    uint32_t count = 0;
    for (int32_t token = 0; token < Trie()->vocab_size(); ++token) {
      const std::string_view piece = Trie()->Piece(token);
      bool fits = false;
      if (!piece.empty()) {
        GrammarSets& sets = matcher.sets();
        uint32_t set = matcher.now();
        for (const char c : piece) set = sets.Step(set, sets.grammar().ClassOf(static_cast<uint8_t>(c)));
        fits = set != GrammarSets::kDead;
      }
      Require(mask.Has(token) == fits, "the mask and the matcher disagree");
      if (fits && random->Below(++count) == 0) taken = token;
    }
    if (taken == kNoToken) return;
    Require(matcher.Accept(Trie()->Piece(taken)), "a token of the mask is refused");
  }
}

void Try(std::string_view input) {
  const bool schema = !input.empty() && (input[0] == '{' || input[0] == '[');
  const int64_t before = StartHeapGrowth();
  const auto grammar = schema ? Grammar::FromJsonSchema(input) : Grammar::FromGbnf(input);
  const uint64_t growth = static_cast<uint64_t>(PeakHeap() - before);
  Require(growth <= uint64_t{192} << 20, "a grammar takes over 192 MiB to compile");
  if (!grammar.ok()) {
    Require(!grammar.status().message().empty(), "an error without a message");
    return;
  }
  Require((*grammar)->num_states() <= kMaxGrammarStates + 1, "more states than the limit");
  testing::Random random = {input.size()};
  std::string text;
  for (int i = 0; i < 3; ++i) {
    const bool ended = testing::RandomText(*grammar, &random, 100, &text);
    GrammarMatcher matcher(*grammar);
    Require(!ended || (matcher.Accept(text) && matcher.MayEnd()), "a text of a walk is refused");
    if (!ended || !schema) continue;
    jinja::Heap heap;
    const auto value = jinja::ReadJson(text, &heap);
    // The reader's own limits are depth and 64 bits.
    Require(value.ok() || value.status().message().find("too deep") != std::string::npos, "a schema made no JSON");
  }
  if ((*grammar)->num_states() < 5000) CompareMasks(*grammar, &random);
}

}  // namespace
}  // namespace mote

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  mote::Try({reinterpret_cast<const char*>(data), size});
  return 0;
}
