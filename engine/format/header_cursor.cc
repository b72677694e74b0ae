#include "engine/format/header_cursor.h"

namespace mote {

Status HeaderCursor::Ended(const char* what) const {
  if (capped_) {
    return Error(Code::kUnsupported, "the header is longer than %llu MiB, the most that is accepted (inside %s)",
                 static_cast<unsigned long long>(kGgufMaxHeaderBytes >> 20), what);
  }
  return Error(Code::kMalformed, "the file ends at byte %zu, inside %s: it is cut off or damaged", bytes_.size(), what);
}

Status HeaderCursor::ReadString(const char* what, std::string_view* out) {
  uint64_t length = 0;
  MOTE_RETURN_IF_ERROR(Read(what, &length));
  MOTE_RETURN_IF_ERROR(CheckCount(what, length, 1));
  *out = std::string_view(reinterpret_cast<const char*>(here()), static_cast<size_t>(length));
  position_ += static_cast<size_t>(length);
  return Status();
}

Status HeaderCursor::CheckCount(const char* what, uint64_t count, uint64_t least_bytes) const {
  if (count <= remaining() / least_bytes) return Status();
  if (capped_ && count <= UINT32_MAX) return Ended(what);
  return Error(Code::kMalformed,
               "%s at byte %zu: a count of %llu needs at least %llu byte(s) each, but %llu remain: the file "
               "is cut off or damaged",
               what, position_, static_cast<unsigned long long>(count), static_cast<unsigned long long>(least_bytes),
               static_cast<unsigned long long>(remaining()));
}

}  // namespace mote
