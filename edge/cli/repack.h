// A model in another number format, made while a server runs: the work of `mote quantize`, in the background. In
// tools/.
#ifndef MOTE_EDGE_CLI_REPACK_H_
#define MOTE_EDGE_CLI_REPACK_H_

#include <stdint.h>

#include <functional>
#include <string>

namespace mote::cli {

struct RepackJob {
  std::string path;  // of the model; "": the one in the program
  std::string type;  // a name of `mote quantize`, in any case
  std::function<bool()> go_on;
};

// How many bytes the file will have, about: of its tensors. False with the reason where the model cannot be repacked.
bool MeasureRepack(const RepackJob& job, uint64_t* bytes, std::string* why);

// Into memory, or as a file that appears under its name only when it is whole. `bytes`: what MeasureRepack told. False
// with the reason.
bool RepackToMemory(const RepackJob& job, uint64_t bytes, std::string* out, std::string* why);
bool RepackToFile(const RepackJob& job, uint64_t bytes, const std::string& file, std::string* why);

}  // namespace mote::cli

#endif  // MOTE_EDGE_CLI_REPACK_H_
