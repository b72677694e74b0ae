// From messages to tokens, so that nobody but the template can open or close a turn.
//
// Control tokens are written as text by the template, and a message may hold the same words. Before rendering, a mark
// is put into every such word of the messages; after it, what the words still hold the mark is known to come from a
// message. The mark is a noncharacter, which no text may contain for interchange (The Unicode Standard, section 23.7).
#include "engine/run/chat.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mote {
namespace {

constexpr std::string_view kMark = "\xEF\xB7\x90";         // U+FDD0
constexpr std::string_view kImagePlace = "\xEF\xB7\x91";   // U+FDD1: an image, from its mark to its tokens
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// True for the token that stands for the unknown: written out, it counts as a control token does.
bool IsUnknown(const GgufValue* types, int32_t token) {
  int64_t type = 0;
  return types != nullptr && types->IntAt(static_cast<uint64_t>(token), &type) &&
         type == static_cast<int64_t>(TokenType::kUnknown);
}

// The control tokens as they are written, longest first among those that begin with the same byte.
class ControlWords {
 public:
  ControlWords(const Tokenizer& tokenizer, const GgufFile& file) {
    const GgufValue* types = file.Find("tokenizer.ggml.token_type");
    for (int32_t token = 0; token < tokenizer.vocab_size(); ++token) {
      if (!tokenizer.IsControl(token) && !IsUnknown(types, token)) continue;
      std::string text = tokenizer.Piece(token, /*with_special=*/true);
      if (!text.empty()) by_first_byte_[static_cast<uint8_t>(text[0])].push_back({std::move(text), token});
    }
    for (auto& words : by_first_byte_) {
      std::stable_sort(words.begin(), words.end(),
                       [](const Word& a, const Word& b) { return a.text.size() > b.text.size(); });
    }
  }

  struct Word {
    std::string text;
    int32_t token;
  };
  // The longest one that `text` begins with, or null.
  const Word* At(std::string_view text) const {
    if (text.empty()) return nullptr;
    for (const Word& word : by_first_byte_[static_cast<uint8_t>(text[0])]) {
      if (text.substr(0, word.text.size()) == word.text) return &word;
    }
    return nullptr;
  }

  // Puts the mark behind the first character of every control word, overlapping ones included.
  std::string Mark(std::string_view text) const {
    std::string marked;
    for (size_t i = 0; i < text.size();) {
      if (text.substr(i, kMark.size()) == kMark) {
        marked += kReplacement;
        i += kMark.size();
        continue;
      }
      const bool control = At(text.substr(i)) != nullptr;
      do {
        marked += text[i++];
      } while (i < text.size() && (static_cast<uint8_t>(text[i]) & 0xC0) == 0x80);
      if (control) marked += kMark;
    }
    return marked;
  }

 private:
  std::array<std::vector<Word>, 256> by_first_byte_;
};

void AppendUtf8(uint32_t code, std::string* out) {
  if (code < 0x80) {
    *out += static_cast<char>(code);
  } else if (code < 0x800) {
    *out += {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 0x3F))};
  } else if (code < 0x10000) {
    *out += {static_cast<char>(0xE0 | code >> 12), static_cast<char>(0x80 | (code >> 6 & 0x3F)),
             static_cast<char>(0x80 | (code & 0x3F))};
  } else {
    *out += {static_cast<char>(0xF0 | code >> 18), static_cast<char>(0x80 | (code >> 12 & 0x3F)),
             static_cast<char>(0x80 | (code >> 6 & 0x3F)), static_cast<char>(0x80 | (code & 0x3F))};
  }
}

// The four hexadecimal digits of \uXXXX that `text` begins with; false if it does not.
bool ReadUnicodeEscape(std::string_view text, uint32_t* code) {
  if (text.size() < 6 || text[0] != '\\' || text[1] != 'u') return false;
  *code = 0;
  for (const char c : text.substr(2, 4)) {
    uint32_t digit = 0;
    if (c >= '0' && c <= '9') {
      digit = static_cast<uint32_t>(c - '0');
    } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
      digit = static_cast<uint32_t>((c | 0x20) - 'a' + 10);
    } else {
      return false;
    }
    *code = *code * 16 + digit;
  }
  return true;
}

// JSON with its characters written plainly where JSON allows it, so that no control word hides behind escapes. Text
// that is not JSON stays as wrong as it was.
std::string UnescapeJson(std::string_view json) {
  std::string plain;
  for (size_t i = 0; i < json.size();) {
    uint32_t code = 0;
    uint32_t low = 0;
    if (ReadUnicodeEscape(json.substr(i), &code)) {
      size_t bytes = 6;
      if (code >= 0xD800 && code < 0xDC00 && ReadUnicodeEscape(json.substr(i + 6), &low) && low >= 0xDC00 &&
          low < 0xE000) {
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        bytes = 12;
      }
      const bool must_stay = code < 0x20 || code == '"' || code == '\\' || (code >= 0xD800 && code < 0xE000);
      if (must_stay) {
        plain += json.substr(i, bytes);
      } else {
        AppendUtf8(code, &plain);
      }
      i += bytes;
    } else if (json[i] == '\\' && i + 1 < json.size()) {
      if (json[i + 1] != '/') plain += '\\';
      plain += json[i + 1];
      i += 2;
    } else {
      plain += json[i++];
    }
  }
  return plain;
}

ChatInput MarkInput(const ChatInput& input, const ControlWords& words) {
  ChatInput marked = input;
  for (ChatMessage& message : marked.messages) {
    message.role = words.Mark(message.role);
    message.content = words.Mark(message.content);
    message.extra_json = words.Mark(UnescapeJson(message.extra_json));
  }
  marked.tools_json = words.Mark(UnescapeJson(input.tools_json));
  marked.extra_json = words.Mark(UnescapeJson(input.extra_json));
  return marked;
}

std::string WithoutMarks(std::string_view text) {
  std::string clean;
  for (size_t at = 0; at < text.size();) {
    const size_t mark = std::min(text.find(kMark, at), text.size());
    clean += text.substr(at, mark - at);
    at = mark + kMark.size();
  }
  return clean;
}

// Text with marks: its unmarked control words become tokens; what stands between them is plain text.
Result<std::vector<int32_t>> EncodeMarked(std::string_view text, const ControlWords& words,
                                          const Tokenizer& tokenizer) {
  std::vector<int32_t> tokens;
  const auto append_plain = [&](std::string_view part) -> Status {
    if (part.empty()) return {};
    EncodeOptions plain;
    plain.add_special = false;
    MOTE_ASSIGN_OR_RETURN(const std::vector<int32_t> more, tokenizer.Encode(WithoutMarks(part), plain));
    tokens.insert(tokens.end(), more.begin(), more.end());
    return {};
  };
  size_t begin = 0;
  for (size_t i = 0; i < text.size();) {
    const ControlWords::Word* word = words.At(text.substr(i));
    // A mark behind its last character: that character comes from a message (words of one character are marked so).
    if (word == nullptr || text.substr(i + word->text.size(), kMark.size()) == kMark) {
      ++i;
      continue;
    }
    MOTE_RETURN_IF_ERROR(append_plain(text.substr(begin, i - begin)));
    tokens.push_back(word->token);
    i += word->text.size();
    begin = i;
  }
  MOTE_RETURN_IF_ERROR(append_plain(text.substr(begin)));
  return tokens;
}

void ReplaceAll(std::string* text, std::string_view from, std::string_view to) {
  for (size_t at = text->find(from); at != std::string::npos; at = text->find(from, at + to.size())) {
    text->replace(at, from.size(), to);
  }
}

// Puts kImagePlace where the messages have image marks, or before the last message of the user.
Status PlaceImages(size_t images, ChatInput* input) {
  size_t marks = 0;
  ChatMessage* last = nullptr;
  for (ChatMessage& message : input->messages) {
    ReplaceAll(&message.content, kImagePlace, kReplacement);
    if (message.role == "user") last = &message;
    for (size_t at = 0; (at = message.content.find(kImageMark, at)) != std::string::npos; at += kImageMark.size()) {
      ++marks;
    }
  }
  if (images == 0) return {};
  if (marks != 0 && marks != images) {
    return Error(Code::kInvalidArgument, "the messages have %zu marks %s for %zu images", marks,
                 std::string(kImageMark).c_str(), images);
  }
  if (marks == 0) {
    if (last == nullptr)
      return Error(Code::kInvalidArgument, "%zu images and no message of a user to put them in", images);
    for (size_t i = 0; i < images; ++i) last->content.insert(0, kImagePlace);
  }
  for (ChatMessage& message : input->messages) ReplaceAll(&message.content, kImageMark, kImagePlace);
  return {};
}

std::vector<std::string_view> Cut(std::string_view text, std::string_view at) {
  std::vector<std::string_view> pieces;
  for (;;) {
    const size_t end = text.find(at);
    pieces.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return pieces;
    text.remove_prefix(end + at.size());
  }
}

}  // namespace

Result<std::vector<std::string_view>> CutAtImages(std::string_view text, size_t images) {
  if (images == 0) return std::vector<std::string_view>{text};
  std::vector<std::string_view> pieces = Cut(text, kImageMark);
  if (pieces.size() == images + 1) return pieces;
  return Error(Code::kInvalidArgument, "the text has %zu marks %s for %zu images", pieces.size() - 1,
               std::string(kImageMark).c_str(), images);
}

Result<std::vector<std::vector<int32_t>>> EncodeChatPieces(const GgufFile& file, const Tokenizer& tokenizer,
                                                           const ChatTemplate* chat_template, const ChatInput& input,
                                                           size_t images) {
  const ControlWords words(tokenizer, file);
  ChatInput marked = input;
  MOTE_RETURN_IF_ERROR(PlaceImages(images, &marked));
  marked = MarkInput(marked, words);
  marked.bos_token = tokenizer.Piece(tokenizer.bos(), /*with_special=*/true);
  marked.eos_token = tokenizer.Piece(tokenizer.eos(), /*with_special=*/true);

  std::unique_ptr<ChatTemplate> chatml;
  if (chat_template == nullptr) {
    MOTE_ASSIGN_OR_RETURN(chatml, ChatTemplate::Parse(DefaultChatTemplate()));
    chat_template = chatml.get();
  }
  MOTE_ASSIGN_OR_RETURN(const std::string text, chat_template->RenderChat(marked));

  std::vector<std::vector<int32_t>> pieces;
  for (const std::string_view piece : Cut(text, kImagePlace)) {
    if (piece.find(kMark) == std::string_view::npos) {
      EncodeOptions options;
      options.add_special = false;
      options.parse_special = true;
      MOTE_ASSIGN_OR_RETURN(std::vector<int32_t> tokens, tokenizer.Encode(piece, options));
      pieces.push_back(std::move(tokens));
    } else {
      MOTE_ASSIGN_OR_RETURN(std::vector<int32_t> tokens, EncodeMarked(piece, words, tokenizer));
      pieces.push_back(std::move(tokens));
    }
  }
  if (pieces.size() != images + 1) {
    return Error(Code::kMalformed, "the chat template shows %zu of %zu images", pieces.size() - 1, images);
  }
  // Most templates write BOS themselves; it must stand there once.
  std::vector<int32_t>& first = pieces[0];
  if (tokenizer.add_bos() && tokenizer.bos() != kNoToken && (first.empty() || first[0] != tokenizer.bos())) {
    first.insert(first.begin(), tokenizer.bos());
  }
  return pieces;
}

Result<std::vector<int32_t>> EncodeChat(const GgufFile& file, const Tokenizer& tokenizer,
                                        const ChatTemplate* chat_template, const ChatInput& input) {
  MOTE_ASSIGN_OR_RETURN(std::vector<std::vector<int32_t>> pieces,
                        EncodeChatPieces(file, tokenizer, chat_template, input, 0));
  return std::move(pieces[0]);
}

}  // namespace mote
