// What fits, and how fast it can be at best: from sizes alone, before anything is loaded or even bought.
//
// Writing a token reads every weight of it once and the session's keys and values; nothing is faster than the memory
// that holds them. Formula and table are one place: `mote doctor --plan` prints them, docs/roofline.md is its output.
#ifndef MOTE_ENGINE_RUN_PLANNER_H_
#define MOTE_ENGINE_RUN_PLANNER_H_

#include <stdint.h>

#include <span>
#include <string>

#include "engine/core/status.h"
#include "quant/dtype.h"

namespace mote {

// A machine to plan for. Bandwidths are the makers' figures, which no program reaches.
struct PlanDevice {
  const char* name;   // "orin-nano-super"
  const char* title;  // "Jetson Orin Nano Super, 8 GB"
  const char* source;
  double bytes_per_second;  // of the memory that the GPU reads; of the CPU's where there is no GPU
  uint64_t memory_bytes;
  bool has_gpu;
  bool shared_memory;            // CPU and GPU read the same memory
  double host_bytes_per_second;  // of the CPU's memory beside a GPU's own
};
std::span<const PlanDevice> PlanDevices();
// kNotFound names those that there are.
Result<PlanDevice> FindPlanDevice(const std::string& name);

// The shape of a decoder, for counting its values.
struct PlanModel {
  const char* name;  // "8B"
  const char* source;
  uint32_t layers, width, ff, heads, kv_heads, head_dim, vocab;
  bool tied;  // the embedding is the output matrix as well
};
std::span<const PlanModel> PlanModels();

// Bytes of a model in one type, and of its cache.
struct PlanBytes {
  uint64_t layer = 0;      // of each layer
  uint64_t embedding = 0;  // looked up row by row; 0 where it is the output as well
  uint64_t output = 0;
  uint64_t cache_position = 0;  // float16 keys and values of one position, of each layer
  uint64_t total(uint32_t layers) const { return layer * layers + embedding + output; }
};
PlanBytes BytesOf(const PlanModel& model, DType type);

// The most tokens a second that bandwidth allows, with the last `gpu_layers` layers (and, with any, the output) on the
// GPU, and `positions` in the cache.
double LimitOf(const PlanDevice& device, const PlanModel& model, DType type, uint32_t gpu_layers, uint32_t positions);

// Layers that fit the device with a session of `positions`, at most all; of a CPU, all or none.
uint32_t PlanLayers(const PlanDevice& device, const PlanModel& model, DType type, uint32_t positions);
// True where it fits the machine at all, GPU and CPU together.
bool FitsMachine(const PlanDevice& device, const PlanModel& model, DType type, uint32_t positions);

// What is known of a model before it is loaded, and what of memory is free.
struct MemoryShape {
  uint64_t weight_bytes = 0;
  uint64_t values = 0;         // of the weights
  uint64_t scratch_bytes = 0;  // for a batch of `batch`
  uint32_t batch = 512;
  uint64_t cache_bytes_position = 0;
  uint32_t context_train = 0;
};
struct MemoryAdvice {
  bool fits = false;      // as it is, with the context and batch below
  std::string precision;  // "as it is", or the type to take instead; "none": not even the smallest
  uint32_t context = 0;   // the longest that fits, at most what it was trained for
  uint32_t batch = 0;
};
// Recommends: first the file as it is, then smaller types; of batches 512 down to 64; then the longest context, from
// 2048 on (or what it was trained for, if that is less).
MemoryAdvice AdviseMemory(const MemoryShape& shape, uint64_t free_bytes);

}  // namespace mote

#endif  // MOTE_ENGINE_RUN_PLANNER_H_
