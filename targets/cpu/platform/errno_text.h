// The system's words for an error number.
#ifndef MOTE_TARGETS_CPU_PLATFORM_ERRNO_TEXT_H_
#define MOTE_TARGETS_CPU_PLATFORM_ERRNO_TEXT_H_

#include <string.h>

#include <string>

namespace mote::native {

// There are two strerror_r: POSIX's returns a number and fills the buffer, GNU's returns the text.
inline const char* StrerrorText(int, const char* buffer) {
  return buffer;
}
inline const char* StrerrorText(const char* text, const char*) {
  return text;
}

inline std::string ErrnoText(int error) {
  char buffer[256] = "";
  return StrerrorText(strerror_r(error, buffer, sizeof(buffer)), buffer);
}

}  // namespace mote::native

#endif  // MOTE_TARGETS_CPU_PLATFORM_ERRNO_TEXT_H_
