// JSON from outside and back: parsed with bounds on what a body may cost, written without building a tree.
#ifndef MOTE_EDGE_SERVER_OPENAI_JSON_H_
#define MOTE_EDGE_SERVER_OPENAI_JSON_H_

#include <stddef.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "edge/server/serving/error.h"

namespace mote::server {

// Members stay in the order of the text: models read the schemas of tools as they were written.
using Json = nlohmann::ordered_json;

// What one body may hold. A value costs up to 64 bytes, however short its text; so `values` bounds the memory.
struct JsonBounds {
  size_t depth = 64;
  size_t values = size_t{1} << 18;
};

// A whole JSON text into *json. An error (400, code "invalid_json") where it is not JSON, names a member twice, has
// invalid UTF-8 or numbers that no double holds, or passes the bounds. Strings are moved, not copied.
std::optional<ApiError> ParseJson(std::string_view text, Json* json, const JsonBounds& bounds = {});

// True where `text` is one JSON value within the bounds.
bool IsJson(std::string_view text, const JsonBounds& bounds = {});

// Compact; bytes that are not UTF-8 become U+FFFD.
std::string Dump(const Json& json);

// Appends `text` as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD.
void AppendQuoted(std::string* out, std::string_view text);

// How many bytes at the end of `text` begin a UTF-8 sequence that is not complete: 0 to 3.
size_t IncompleteUtf8(std::string_view text);

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_OPENAI_JSON_H_
