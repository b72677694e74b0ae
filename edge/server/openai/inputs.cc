#include "edge/server/openai/inputs.h"

#include <limits>
#include <utility>

namespace mote::server {

std::optional<ApiError> ReadTokens(const Json& array, const std::string& path, std::vector<Token>* tokens) {
  tokens->reserve(array.size());
  for (size_t i = 0; i < array.size(); ++i) {
    const bool whole = array[i].is_number_integer();
    const int64_t id = whole ? array[i].get<int64_t>() : -1;
    if (!whole || id < 0 || id > std::numeric_limits<Token>::max()) {
      const std::string at = Join(path, i);
      return BadField(at, at + " must be the id of a token, not " + Describe(array[i]));
    }
    tokens->push_back(static_cast<Token>(id));
  }
  return std::nullopt;
}

std::optional<ApiError> ReadTextInputs(const Json& body, const char* name, size_t most,
                                       std::vector<TextInput>* inputs) {
  const std::string path = name;
  const std::string wanted = path +
                             " must be a string, an array of strings, an array of ids of tokens, or an array of "
                             "such arrays";
  const Json* json = Find(body, name);
  if (json == nullptr) return BadField(path, wanted + ", and is missing");
  if (json->is_string()) {
    inputs->push_back({json->get<std::string>(), {}});
    if (inputs->back().text.empty()) return BadField(path, path + " must not be empty");
    return std::nullopt;
  }
  if (!json->is_array()) return BadField(path, wanted + ", not " + Describe(*json));
  if (json->empty()) return BadField(path, path + " must not be empty");
  if ((*json)[0].is_number()) {
    inputs->emplace_back();
    return ReadTokens(*json, path, &inputs->back().tokens);
  }
  if (json->size() > most) {
    return BadField(
        path, path + " must have at most " + std::to_string(most) + " items, not " + std::to_string(json->size()));
  }
  for (size_t i = 0; i < json->size(); ++i) {
    const Json& item = (*json)[i];
    const std::string at = Join(path, i);
    inputs->emplace_back();
    if (item.is_string()) {
      inputs->back().text = item.get<std::string>();
    } else if (item.is_array()) {
      if (auto error = ReadTokens(item, at, &inputs->back().tokens)) return error;
    } else {
      return BadField(at, wanted + "; " + at + " is " + Describe(item));
    }
    if (item.empty() || (item.is_string() && inputs->back().text.empty())) {
      return BadField(at, at + " must not be empty");
    }
  }
  return std::nullopt;
}

}  // namespace mote::server
