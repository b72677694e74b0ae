// The model that stands in the program itself, where it was built with one.
#ifndef MOTE_EDGE_CLI_BUILTIN_H_
#define MOTE_EDGE_CLI_BUILTIN_H_

#include <stdint.h>

namespace mote::cli {

// A file, read-only and as long-lived as the program.
struct BuiltinFile {
  const char* name = nullptr;
  const uint8_t* bytes = nullptr;
  uint64_t size = 0;
};

struct Builtin {
  BuiltinFile model;
  BuiltinFile vision;
};

// Null where the build has none.
const Builtin* BuiltinModel();

}  // namespace mote::cli

#endif  // MOTE_EDGE_CLI_BUILTIN_H_
