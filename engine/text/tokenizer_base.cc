#include "engine/text/tokenizer_base.h"

#include <algorithm>

namespace mote {

namespace {

// Offsets are 32 bits wide; where addresses are too, the work of one call must fit beside everything else.
constexpr size_t kMaxTextBytes = sizeof(size_t) == 4 ? size_t{1} << 27 : 0x7FFFFFFF;

bool IsAsciiSpace(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

bool Contains(const std::vector<int32_t>& sorted, int32_t id) {
  return std::binary_search(sorted.begin(), sorted.end(), id);
}

bool NameHas(std::string_view name, std::string_view part) {
  return name.find(part) != std::string_view::npos;
}

}  // namespace

std::string UnmarkSpaces(std::string_view text) {
  std::string result;
  for (size_t at = 0; at < text.size();) {
    if (text.substr(at, kSpaceMark.size()) == kSpaceMark) {
      result += ' ';
      at += kSpaceMark.size();
    } else {
      result += text[at++];
    }
  }
  return result;
}

Status BaseTokenizer::Finish(const GgufFile& file, const SpecialTokens& defaults) {
  MOTE_ASSIGN_OR_RETURN(special_, LoadSpecialTokens(file, defaults, &vocab_));
  vocab_size_ = vocab_.size();
  bos_ = special_.bos;
  eos_ = special_.eos;
  add_bos_ = special_.add_bos;
  end_of_generation_ = special_.end_of_generation;
  types_ = vocab_.types();
  SetStripping(file);
  return matcher_.Build(vocab_);
}

// GGUF has no field for it, but some vocabularies' special tokens swallow the white space beside them (lstrip and
// rstrip in tokenizer.json). llama.cpp tells them by these names.
void BaseTokenizer::SetStripping(const GgufFile& file) {
  const auto lower_string = [&file](const char* key) {
    const GgufValue* value = file.Find(key);
    std::string_view text;
    if (value != nullptr) (void)value->GetString(&text);
    std::string result(text);
    for (char& c : result) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    return result;
  };
  const std::string name = lower_string("general.name");
  const std::string arch = lower_string("general.architecture");
  const char* swallows_left = nullptr;
  if (NameHas(pre_, "jina-v2-de") || NameHas(pre_, "jina-v2-es") || NameHas(pre_, "jina-v2-code") ||
      NameHas(arch, "nomic-bert-moe") || NameHas(arch, "jina-bert-v3")) {
    swallows_left = "<mask>";
  } else if (NameHas(name, "phi-3") || NameHas(name, "phi3")) {
    for (int32_t id = 0; id < vocab_.size(); ++id) {
      const std::string_view text = vocab_.text(id);
      if (text == "<unk>" || text == "<s>" || text == "<|endoftext|>") continue;
      const TokenType type = vocab_.type(id);
      const bool special =
          type == TokenType::kControl || type == TokenType::kUserDefined || type == TokenType::kUnknown;
      if (special || text == "</s>") strips_right_.push_back(id);
    }
  } else if (NameHas(name, "modern-bert")) {
    swallows_left = "[MASK]";
  }
  if (swallows_left != nullptr && vocab_.Find(swallows_left) != kNoToken) {
    strips_left_.push_back(vocab_.Find(swallows_left));
  }
}

Result<std::vector<int32_t>> BaseTokenizer::Encode(std::string_view text, EncodeOptions options) const {
  if (text.size() > kMaxTextBytes) {
    return Status(Code::kInvalidArgument, "the text has " + std::to_string(text.size()) + " bytes; up to " +
                                              std::to_string(kMaxTextBytes) + " can be tokenized at once");
  }
  std::vector<int32_t> out;
  if (options.add_special && special_.add_bos) out.push_back(special_.bos);
  size_t at = 0;  // start of what has no token yet
  bool first = true;
  for (const TokenMatcher::Match& match : matcher_.FindAll(text, options.parse_special)) {
    if (match.offset < at) continue;
    size_t end = match.offset;
    if (Contains(strips_left_, match.token)) {
      while (end > at && IsAsciiSpace(text[end - 1])) --end;
    }
    if (end > at) EncodeFragment(text.substr(at, end - at), first, &out);
    out.push_back(match.token);
    first = true;
    at = match.offset + vocab_.text(match.token).size();
    if (Contains(strips_right_, match.token)) {
      while (at < text.size() && IsAsciiSpace(text[at])) ++at;
    }
  }
  if (at < text.size()) EncodeFragment(text.substr(at), first, &out);
  if (options.add_special && special_.add_separator) out.push_back(special_.separator);
  if (options.add_special && special_.add_eos) out.push_back(special_.eos);
  return out;
}

std::string BaseTokenizer::Piece(int32_t token, bool with_special) const {
  if (token < 0 || token >= vocab_size_) return std::string();
  switch (vocab_.type(token)) {
    case TokenType::kControl:
    case TokenType::kUnknown:
      return with_special ? std::string(vocab_.text(token)) : std::string();
    case TokenType::kUserDefined:
      return UnmarkSpaces(vocab_.text(token));
    case TokenType::kByte: {
      const int byte = vocab_.ByteOf(token);
      if (byte >= 0) return std::string(1, static_cast<char>(byte));
      break;
    }
    case TokenType::kNormal:
    case TokenType::kUnused:
      break;
  }
  return PlainPiece(token);
}

std::string BaseTokenizer::Decode(const std::vector<int32_t>& tokens, bool with_special) const {
  std::string result;
  bool may_strip = strip_leading_space_;
  for (const int32_t token : tokens) {
    const std::string piece = Piece(token, with_special);
    if (piece.empty()) continue;
    // User-defined and control tokens were cut out before the space was added.
    const bool strip = may_strip && piece[0] == ' ' && vocab_.type(token) != TokenType::kUserDefined;
    result.append(piece, strip ? 1 : 0);
    may_strip = false;
  }
  return result;
}

}  // namespace mote
