// What was found out about this machine's speed (mote_tuning.h), from one run to the next: a file of lines in the
// user's folder for caches. Nothing depends on it but time, so nothing here fails: what cannot be read is not there,
// and what cannot be written is found out again.
#ifndef MOTE_EDGE_CLI_TUNING_FILE_H_
#define MOTE_EDGE_CLI_TUNING_FILE_H_

#include <string>
#include <string_view>

namespace mote::cli {

// $XDG_CACHE_HOME/mote/tuning, or ~/.cache/mote/tuning; empty where neither variable names a folder.
std::string TuningPath();

// Its lines, those alone that could be some; empty where there is no such file.
std::string ReadTuning(const std::string& path);

// `fresh` and what it does not replace of `old`, the latest last. What does not fit the file goes, oldest first.
std::string MergeTuning(std::string_view old, std::string_view fresh);

// Appears whole or not at all. Empty, or why it could not be written.
std::string WriteTuning(const std::string& path, std::string_view lines);

// For people: "Q8_0 8192x2048 4096+0x4, ...": type, shape, bytes ahead into the first and into the second cache,
// streams.
std::string DescribeTuning(std::string_view lines);

}  // namespace mote::cli

#endif  // MOTE_EDGE_CLI_TUNING_FILE_H_
