// mote_gpu.h
#include "engine/graph/gpu.h"

#include <stdio.h>

#include "engine/api/internal.h"
#include "engine/api/mote_gpu.h"

using namespace mote;       // NOLINT: the functions below must stand outside
using namespace mote::api;  // NOLINT

extern "C" {

size_t mote_gpu_count(mote_error* error) {
  const Result<int> count = CountGpus();
  if (count.ok()) return static_cast<size_t>(*count);
  Report(count.status(), error);
  return 0;
}

mote_status mote_gpu_get(size_t index, mote_gpu* gpu, mote_error* error) {
  if (const Status status = CheckResultStruct(gpu, "mote_gpu"); !status.ok()) return Report(status, error);
  const Result<int> count = CountGpus();
  if (!count.ok()) return Report(count.status(), error);
  if (index >= static_cast<size_t>(*count)) {
    return Report(Error(Code::kNotFound, "there is no GPU %zu; this machine has %d", index, *count), error);
  }
  const Result<GpuInfo> gpu_info = ReadGpu(static_cast<int>(index));
  if (!gpu_info.ok()) return Report(gpu_info.status(), error);
  const GpuInfo& info = *gpu_info;
  mote_gpu filled = {};
  snprintf(filled.name, sizeof(filled.name), "%s", info.name.c_str());
  snprintf(filled.unusable, sizeof(filled.unusable), "%s", info.unusable.c_str());
  filled.major = info.major;
  filled.minor = info.minor;
  filled.memory_total = info.total_bytes;
  filled.memory_free = info.free_bytes;
  filled.shared_memory = info.shared_memory ? 1 : 0;
  filled.multiprocessors = info.multiprocessors;
  filled.bytes_per_second = info.bytes_per_second;
  filled.driver = info.driver;
  WriteResult(filled, gpu);
  return MOTE_OK;
}

}  // extern "C"
