// A small model's bytes for tests that use the C++ interface, whose names do not go together with the engine's own.
#ifndef MOTE_TESTS_SERVER_STORM_MODEL_H_
#define MOTE_TESTS_SERVER_STORM_MODEL_H_

#include <stdint.h>

#include <vector>

namespace mote::testing {

// A GGUF file with weights in F32, or in Q8_0.
std::vector<uint8_t> StormModelBytes(bool coarse);

}  // namespace mote::testing

#endif  // MOTE_TESTS_SERVER_STORM_MODEL_H_
