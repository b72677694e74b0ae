// The emulated device, for tests to set up and to look at.
#ifndef MOTE_TESTS_CUDA_EMULATOR_RUNTIME_H_
#define MOTE_TESTS_CUDA_EMULATOR_RUNTIME_H_

#include <stdint.h>

namespace mote_emulator {

struct EmulatedDevice {
  const char* no_driver = nullptr;  // what every call says where there is no driver
  int devices = 1;
  bool has_groups = true;
  bool has_kernels = true;
  bool integrated = false;
  bool cooperative = true;  // has room for kernels whose blocks stay
  // Kernels' blocks are chosen by these (DeviceShape).
  uint32_t multiprocessors = 1;
  bool overlaps = true;
  uint32_t block_shared_bytes = 227 << 10;
  uint64_t total_bytes = uint64_t{8} << 30;
  uint64_t used_bytes = 0;
  uint32_t of_host = 0;  // pieces of shared memory that the device may not use yet
  // What is said of the next launch, which is not done; told when the stream is waited for, or its capture ends.
  const char* refusal = nullptr;
  uint64_t launches = 0;  // kernels, those of graphs once
  uint64_t graph_launches = 0;
};
EmulatedDevice& Device();

}  // namespace mote_emulator

#endif  // MOTE_TESTS_CUDA_EMULATOR_RUNTIME_H_
