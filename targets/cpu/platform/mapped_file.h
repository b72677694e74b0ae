// A file, mapped read-only.
#ifndef MOTE_TARGETS_CPU_PLATFORM_MAPPED_FILE_H_
#define MOTE_TARGETS_CPU_PLATFORM_MAPPED_FILE_H_

#include <stddef.h>
#include <stdint.h>

#include <memory>
#include <span>
#include <string>

#include "engine/core/context.h"
#include "engine/core/status.h"

namespace mote::native {

// Regular files only, of at least one byte. Never blocks on a FIFO.
Result<std::unique_ptr<ByteSource>> OpenMappedFile(const std::string& path);

}  // namespace mote::native

#endif  // MOTE_TARGETS_CPU_PLATFORM_MAPPED_FILE_H_
