#include "engine/text/tokenizer.h"

#include <algorithm>

#include "engine/text/tokenizer_base.h"

namespace mote {

Result<std::unique_ptr<Tokenizer>> Tokenizer::Create(const GgufFile& file) {
  MOTE_ASSIGN_OR_RETURN(const std::string model, file.RequireString("tokenizer.ggml.model"));
  if (model == "llama") return CreateSpmTokenizer(file);
  if (model == "bert") return CreateWordPieceTokenizer(file);
  if (model == "gemma4") return CreateBpeTokenizer(file, "gemma4");
  if (model == "gpt2") {
    MOTE_ASSIGN_OR_RETURN(const std::string pre, file.StringOr("tokenizer.ggml.pre", "default"));
    return CreateBpeTokenizer(file, pre.empty() ? "default" : pre);
  }
  return Status(Code::kUnsupported, "tokenizer.ggml.model is \"" + model + "\"; known are llama, gpt2, bert, gemma4");
}

bool Tokenizer::IsEndOfGeneration(int32_t token) const {
  return std::binary_search(end_of_generation_.begin(), end_of_generation_.end(), token);
}

bool Tokenizer::IsControl(int32_t token) const {
  return token >= 0 && token < vocab_size_ && types_[static_cast<size_t>(token)] == TokenType::kControl;
}

}  // namespace mote
