// JSON text (RFC 8259) to template values: strict, no recursion past a limit, dicts in the order of the text.
#ifndef MOTE_ENGINE_TEXT_JSON_READER_H_
#define MOTE_ENGINE_TEXT_JSON_READER_H_

#include <stdint.h>

#include <string>
#include <string_view>

#include "engine/core/status.h"
#include "engine/text/jinja_value.h"

namespace mote::jinja {

inline constexpr int kMaxJsonDepth = 64;

// kInvalidArgument with the byte offset: syntax, nesting past kMaxJsonDepth, integers past 64 bits, broken surrogates.
// Integers without fraction and exponent become integers, as in Python. Of equal keys the last wins. Memory is bounded
// by 40 times the text. Strings without escapes are views of `text`, which must outlive the heap.
Result<Value> ReadJson(std::string_view text, Heap* heap);

}  // namespace mote::jinja

#endif  // MOTE_ENGINE_TEXT_JSON_READER_H_
