#include "engine/core/status.h"

#include <stdarg.h>
#include <stdio.h>

namespace mote {

const char* CodeName(Code code) {
  switch (code) {
    case Code::kOk:
      return "ok";
    case Code::kInvalidArgument:
      return "invalid argument";
    case Code::kMalformed:
      return "malformed";
    case Code::kUnsupported:
      return "unsupported";
    case Code::kNotFound:
      return "not found";
    case Code::kOutOfMemory:
      return "out of memory";
    case Code::kContextFull:
      return "context full";
    case Code::kCancelled:
      return "cancelled";
    case Code::kIo:
      return "input/output error";
    case Code::kInternal:
      return "internal error";
  }
  return "unknown";
}

Status Error(Code code, const char* format, ...) {
  char text[1024];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof(text), format, args);
  va_end(args);
  return Status(code, text);
}

}  // namespace mote
