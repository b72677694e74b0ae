// Reads a header front to back and cannot leave it.
#ifndef MOTE_ENGINE_FORMAT_HEADER_CURSOR_H_
#define MOTE_ENGINE_FORMAT_HEADER_CURSOR_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <algorithm>
#include <span>
#include <string_view>

#include "engine/core/status.h"
#include "engine/format/gguf.h"

namespace mote {

// Every read names what it reads, for the message where the bytes end too early.
class HeaderCursor {
 public:
  explicit HeaderCursor(std::span<const uint8_t> file)
      : bytes_(file.first(static_cast<size_t>(std::min<uint64_t>(file.size(), kGgufMaxHeaderBytes)))),
        capped_(bytes_.size() < file.size()) {}

  uint64_t position() const { return position_; }
  uint64_t remaining() const { return bytes_.size() - position_; }
  const uint8_t* here() const { return bytes_.data() + position_; }

  template <class T>
  Status Read(const char* what, T* out) {
    if (remaining() < sizeof(T)) return Ended(what);
    memcpy(out, here(), sizeof(T));
    position_ += sizeof(T);
    return Status();
  }

  Status Skip(const char* what, uint64_t bytes) {
    if (bytes > remaining()) return Ended(what);
    position_ += static_cast<size_t>(bytes);
    return Status();
  }

  // A length of 64 bits and as many bytes. `out` is a view into the header.
  Status ReadString(const char* what, std::string_view* out);

  // Whether `count` things of at least `least_bytes` each can still come.
  Status CheckCount(const char* what, uint64_t count, uint64_t least_bytes) const;

 private:
  Status Ended(const char* what) const;

  std::span<const uint8_t> bytes_;
  bool capped_;
  size_t position_ = 0;
};

}  // namespace mote

#endif  // MOTE_ENGINE_FORMAT_HEADER_CURSOR_H_
