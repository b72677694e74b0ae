// The persistent kernel of these types.
#define MOTE_TEAMS 1
#include "targets/cuda/persistent.cuh"

namespace mote::cuda {
PersistentLauncher PersistentOf_q8_0() {
  return PersistentLauncherOf<DType::kQ8_0, DType::kQ8_0>();
}
}  // namespace mote::cuda
