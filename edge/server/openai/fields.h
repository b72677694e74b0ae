// The fields of a request: one table for each kind of object says what each may be, and reading goes by the table.
#ifndef MOTE_EDGE_SERVER_OPENAI_FIELDS_H_
#define MOTE_EDGE_SERVER_OPENAI_FIELDS_H_

#include <stdint.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "edge/server/openai/json.h"
#include "edge/server/serving/error.h"

namespace mote::server {

enum class Kind {
  kAny,  // looked at by whoever reads it
  kBool,
  kInteger,  // 4 and 4.0; min to max
  kNumber,   // finite; min to max
  kString,   // min to max bytes; one of `values`, where there are any
  kArray,    // min to max items
  kObject,   // min to max members
  kIgnored,  // accepted, whatever it is: it has no meaning here, and clients send it
  kRefused,  // not null, false, empty or `min`: 400, because ignoring it would give the wrong answer; `values` says why
};

struct Field {
  const char* name;
  Kind kind;
  double min = 0;
  double max = 0;
  const char* values = "";  // "auto|none"
};

using Table = std::vector<Field>;

// 400, invalid_request_error, code "invalid_value".
ApiError BadField(std::string param, std::string message);

// "messages[2].content"
std::string Join(std::string_view path, std::string_view name);
std::string Join(std::string_view path, size_t index);

// Holds the members of `object` against the table. Null counts as absent; names that the table does not know are
// ignored, as other servers of this protocol do. `path` stands before the names in errors; "" for the body.
std::optional<ApiError> CheckFields(const Json& object, const Table& table, std::string_view path);

// The member, or null where there is none or it is JSON's null.
const Json* Find(const Json& object, std::string_view name);

// After CheckFields, of a field of that kind; `otherwise` where it is absent.
bool GetBool(const Json& object, std::string_view name, bool otherwise);
int64_t GetInteger(const Json& object, std::string_view name, int64_t otherwise);
double GetNumber(const Json& object, std::string_view name, double otherwise);
std::string GetString(const Json& object, std::string_view name, std::string_view otherwise = "");

// "a number", "an object": what came, for messages.
std::string Describe(const Json& json);

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_OPENAI_FIELDS_H_
