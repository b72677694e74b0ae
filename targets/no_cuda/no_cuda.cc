// The twin of targets/cuda in builds that have no kernels for GPUs.
#include "engine/graph/gpu.h"

namespace mote {
namespace {

Status NoGpu() {
  return Error(Code::kUnsupported, "this build of mote has no CUDA in it (CMake: MOTE_CUDA)");
}

}  // namespace

Result<int> CountGpus() {
  return NoGpu();
}

Result<GpuInfo> ReadGpu(int) {
  return NoGpu();
}

Result<std::unique_ptr<Backend>> CreateGpuBackend(const GpuInfo&, const PixelKernels&, SparsePath) {
  return NoGpu();
}

}  // namespace mote
