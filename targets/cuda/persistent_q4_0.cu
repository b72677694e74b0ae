// The persistent kernel of these types.
#define MOTE_TEAMS 1
#include "targets/cuda/persistent.cuh"

namespace mote::cuda {
PersistentLauncher PersistentOf_q4_0() {
  return PersistentLauncherOf<DType::kQ4_0, DType::kQ4_0>();
}
}  // namespace mote::cuda
