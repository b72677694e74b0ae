// Small text files of /proc and /sys.
#ifndef MOTE_TARGETS_CPU_PLATFORM_PROC_FILES_H_
#define MOTE_TARGETS_CPU_PLATFORM_PROC_FILES_H_

#include <stddef.h>
#include <stdint.h>

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace mote::native {

// At most `limit` bytes of the file, without trailing white space; nothing where it cannot be read.
std::optional<std::string> ReadSmallFile(const std::string& path, size_t limit = 256 * 1024);

// The number at the start of `text` after white space; nothing where there is none, or where it does not fit.
std::optional<uint64_t> ParseNumber(std::string_view text);

// The CPUs or nodes of "0-3,8,10-11", how many there are. 0 where the text is no such list.
int CountIdList(std::string_view list);

// Calls `visit` with the folder of each control group that this process is in, innermost first and the mount's root
// last, for one controller ("cpu", "memory"): of version 2 with unified = true, of version 1 otherwise. Folders may not
// exist: inside a container the path is often the host's, while the mount shows the container's own group as its root.
void VisitControlGroups(const std::string& root, std::string_view controller,
                        const std::function<void(const std::string& folder, bool unified)>& visit);

}  // namespace mote::native

#endif  // MOTE_TARGETS_CPU_PLATFORM_PROC_FILES_H_
