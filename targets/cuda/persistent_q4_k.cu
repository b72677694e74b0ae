// The persistent kernel of these types.
#define MOTE_TEAMS 1
#include "targets/cuda/persistent.cuh"

namespace mote::cuda {
PersistentLauncher PersistentOf_q4_k() {
  return PersistentLauncherOf<DType::kQ4_K, DType::kQ6_K>();
}
}  // namespace mote::cuda
