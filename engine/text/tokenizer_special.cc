// Which tokens begin, end and separate texts, and which end an answer.
#include <algorithm>
#include <initializer_list>
#include <string>

#include "engine/text/tokenizer_vocab.h"

namespace mote {

namespace {

// Tokens that end an answer wherever they occur, by how they are written: files name at most EOS, EOT and EOM, and
// often wrongly. The list is llama.cpp's, as are the two exceptions below.
constexpr const char* kEndsByName[] = {
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<\xEF\xBD\x9C\x65nd\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>",  // DeepSeek; U+FF5C and U+2581 inside
    "[e~[",
};

// Fill-in-the-middle tokens that end the filling; each by its key, or by the first of its usual names.
struct NamedEnd {
  const char* key;
  std::initializer_list<const char*> names;
};

Result<int32_t> ReadId(const GgufFile& file, const char* key, int32_t fallback, int32_t vocab_size) {
  const GgufValue* value = file.Find(key);
  if (value == nullptr) return fallback >= 0 && fallback < vocab_size ? fallback : kNoToken;
  uint64_t id = 0;
  if (!value->GetUint(&id)) {
    return Status(Code::kMalformed, std::string(key) + " is of type " + GgufTypeName(value->type()) +
                                        " or negative; a token id is needed");
  }
  if (id >= static_cast<uint64_t>(vocab_size)) {
    return Status(Code::kMalformed, std::string(key) + " is " + std::to_string(id) + "; the vocabulary has " +
                                        std::to_string(vocab_size) + " tokens");
  }
  return static_cast<int32_t>(id);
}

// A switch that asks for a token: kMalformed if the file turns it on and the token is not there, off if only the
// default does.
Result<bool> ReadAdd(const GgufFile& file, const char* key, bool fallback, int32_t id, const char* id_key) {
  MOTE_ASSIGN_OR_RETURN(const bool add, file.BoolOr(key, fallback));
  if (!add || id != kNoToken) return add;
  if (file.Find(key) == nullptr) return false;
  return Status(Code::kMalformed, std::string(key) + " is true, but " + id_key + " is not set");
}

}  // namespace

Result<SpecialTokens> LoadSpecialTokens(const GgufFile& file, const SpecialTokens& defaults, Vocabulary* vocab) {
  constexpr char kBos[] = "tokenizer.ggml.bos_token_id";
  constexpr char kEos[] = "tokenizer.ggml.eos_token_id";
  constexpr char kSeparator[] = "tokenizer.ggml.seperator_token_id";  // the key's spelling in the format
  const int32_t n = vocab->size();
  SpecialTokens result;
  MOTE_ASSIGN_OR_RETURN(result.bos, ReadId(file, kBos, defaults.bos, n));
  MOTE_ASSIGN_OR_RETURN(result.eos, ReadId(file, kEos, defaults.eos, n));
  MOTE_ASSIGN_OR_RETURN(result.unknown, ReadId(file, "tokenizer.ggml.unknown_token_id", defaults.unknown, n));
  MOTE_ASSIGN_OR_RETURN(result.separator, ReadId(file, kSeparator, defaults.separator, n));
  MOTE_ASSIGN_OR_RETURN(result.add_bos,
                        ReadAdd(file, "tokenizer.ggml.add_bos_token", defaults.add_bos, result.bos, kBos));
  MOTE_ASSIGN_OR_RETURN(result.add_eos,
                        ReadAdd(file, "tokenizer.ggml.add_eos_token", defaults.add_eos, result.eos, kEos));
  MOTE_ASSIGN_OR_RETURN(result.add_separator, ReadAdd(file, "tokenizer.ggml.add_sep_token", defaults.add_separator,
                                                      result.separator, kSeparator));

  std::vector<int32_t>& ends = result.end_of_generation;
  const auto end = [&](int32_t id, bool by_name) {
    if (id == kNoToken) return;
    ends.push_back(id);
    // Written like a control token, but of another type: a slip of some converters.
    if (by_name) vocab->set_type(id, TokenType::kControl);
  };
  for (const char* key : {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}) {
    MOTE_ASSIGN_OR_RETURN(const int32_t id, ReadId(file, key, kNoToken, n));
    end(id, false);
  }
  for (const char* name : kEndsByName) end(vocab->Find(name), true);
  const NamedEnd fills[] = {
      {"tokenizer.ggml.fim_pad_token_id", {"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"}},
      {"tokenizer.ggml.fim_rep_token_id", {"<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"}},
      {"tokenizer.ggml.fim_sep_token_id", {"<|file_sep|>"}},
  };
  for (const NamedEnd& fill : fills) {
    MOTE_ASSIGN_OR_RETURN(int32_t id, ReadId(file, fill.key, kNoToken, n));
    const bool by_name = id == kNoToken;
    for (const char* name : fill.names) {
      if (id == kNoToken) id = vocab->Find(name);
    }
    end(id, by_name);
  }
  const auto has = [&](const char* name) { return vocab->Find(name) != kNoToken; };
  const auto spare = [&](const char* name) { std::erase(ends, vocab->Find(name)); };
  end(result.eos, false);
  // Vocabularies in which <|end|> closes a message, not the answer; and one in which </s> is an HTML tag.
  const bool has_call = has("<|call|>") || has("<|calls|>");
  if (has_call && (has("<|return|>") || has("<|flush|>"))) spare("<|end|>");
  if (has("<|tool_response>")) spare("</s>");
  std::sort(ends.begin(), ends.end());
  ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
  return result;
}

}  // namespace mote
