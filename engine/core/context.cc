#include "engine/core/context.h"

#include <stdarg.h>
#include <stdio.h>

namespace mote {

void Log(const Context& context, LogLevel level, const char* format, ...) {
  if (context.log.write == nullptr) return;
  char text[1024];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof(text), format, args);
  va_end(args);
  context.log.write(context.log.user, level, text);
}

}  // namespace mote
