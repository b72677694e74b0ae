// Text or tokens, one or many: the prompt of /v1/completions and the input of /v1/embeddings.
#ifndef MOTE_EDGE_SERVER_OPENAI_INPUTS_H_
#define MOTE_EDGE_SERVER_OPENAI_INPUTS_H_

#include <optional>
#include <string>
#include <vector>

#include "edge/server/openai/fields.h"
#include "edge/server/serving/task.h"

namespace mote::server {

struct TextInput {
  std::string text;
  std::vector<Token> tokens;  // without text
};

// An array of ids of tokens.
std::optional<ApiError> ReadTokens(const Json& array, const std::string& path, std::vector<Token>* tokens);

// The member `name`: a string, an array of strings, an array of ids of tokens, or an array of such arrays; of none may
// be more than `most`, none may be empty.
std::optional<ApiError> ReadTextInputs(const Json& body, const char* name, size_t most, std::vector<TextInput>* inputs);

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_OPENAI_INPUTS_H_
