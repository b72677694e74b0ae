// Template source to tokens, with jinja2's whitespace rules under trim_blocks and lstrip_blocks, the settings that
// models' templates are written for.
#ifndef MOTE_ENGINE_TEXT_JINJA_LEXER_H_
#define MOTE_ENGINE_TEXT_JINJA_LEXER_H_

#include <stdint.h>

#include <string>
#include <string_view>
#include <vector>

#include "engine/core/status.h"

namespace mote::jinja {

enum class TokenKind : uint8_t {
  kEnd,
  kData,
  kVariableBegin,
  kVariableEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,  // with its quotes
  kInteger,
  kFloat,
  kOperator,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  uint32_t begin = 0;  // bytes of the source
  uint32_t size = 0;
};

// \r\n and \r become \n, and one newline at the very end goes, as jinja2 does it.
std::string NormalizeSource(std::string_view source);

// `source` as NormalizeSource gives it. The last token is kEnd. kMalformed with line and column.
Result<std::vector<Token>> Tokenize(std::string_view source);

// kMalformed: "line L, column C: text".
Status SyntaxError(std::string_view source, uint32_t position, const std::string& text);

// A source excerpt for messages: printable, at most 40 bytes.
std::string Excerpt(std::string_view text);

}  // namespace mote::jinja

#endif  // MOTE_ENGINE_TEXT_JINJA_LEXER_H_
