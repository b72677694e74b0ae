// Pre-tokenizers of byte-level BPE: text is cut into words before any merging, by the patterns that the models'
// authors published (tokenizer.json) under the names that GGUF files carry in tokenizer.ggml.pre.
//
// A pre-tokenizer is a list of stages. Each stage cuts every piece of the stage before it: what its pattern matches
// stands alone, and so does each stretch between matches. Patterns are compiled at creation into ordered alternatives
// of repeated sets of code points; matching is greedy, first alternative first, as the models' own tools do it.
// Backtracking only ever gives back characters of one run to the set that follows it, so that each character is looked
// at a bounded number of times: Split() counts, and tests hold the bound for every pattern here.
#ifndef MOTE_ENGINE_TEXT_PRETOKENIZE_H_
#define MOTE_ENGINE_TEXT_PRETOKENIZE_H_

#include <stddef.h>
#include <stdint.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/status.h"
#include "engine/text/pretokenize_pattern.h"

namespace mote {

// One family of pre-tokenizers, and what its models expect besides.
struct PretokenizerSpec {
  const char* names;           // separated by spaces: the values of tokenizer.ggml.pre that mean this one
  bool ignore_merges = false;  // a word that is a token as a whole becomes it, whatever the merges say
  bool add_bos = false;        // default where tokenizer.ggml.add_bos_token is absent
  bool no_bos = false;         // the vocabulary has no default BOS
  // Merges run on UTF-8 characters with U+2581 for each space and <0xHH> for unknown bytes, instead of GPT-2's bytes.
  bool raw_utf8 = false;
  StageSpec stages[6];
};

// All families; the first is "default".
std::span<const PretokenizerSpec> Pretokenizers();
// Null if no family has this name.
const PretokenizerSpec* FindPretokenizer(std::string_view name);
// All names, separated by ", ", for messages.
std::string PretokenizerNames();

class Pretokenizer {
 public:
  // kInternal if a pattern of the table does not compile: a bug, and a test compiles all of them.
  static Result<Pretokenizer> Create(const PretokenizerSpec& spec);

  // Appends to `pieces` the byte length of each piece; they add up to text.size(). Invalid bytes count as U+FFFD.
  // Returns the number of steps taken, at most a constant times the number of characters.
  uint64_t Split(std::string_view text, std::vector<uint32_t>* pieces) const;

 private:
  SetTable sets_;
  std::vector<Stage> stages_;
};

}  // namespace mote

#endif  // MOTE_ENGINE_TEXT_PRETOKENIZE_H_
