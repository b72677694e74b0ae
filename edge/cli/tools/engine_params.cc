#include "edge/cli/tools/engine_params.h"

#include "engine/api/mote.h"

namespace mote::cli {

ModelParams EngineParams(const ModelOptions& options) {
  const mote_model_params given = options.Params();
  ModelParams params;
  params.threads = given.threads;
  params.context = given.context;
  params.max_batch = given.max_batch;
  params.cache.keys = given.cache_type_k == MOTE_CACHE_Q8_0 ? DType::kQ8_0 : DType::kF16;
  params.cache.values = given.cache_type_v == MOTE_CACHE_Q8_0 ? DType::kQ8_0 : DType::kF16;
  params.memory_limit = given.memory_limit;
  if (given.isa != nullptr) params.isa = given.isa;
  params.sparse = static_cast<SparsePath>(given.sparse_path);
  params.dynamic_sparsity = given.dynamic_sparsity != 0;
  params.fast_prompts = given.fast_prompts != 0;
  params.persistent_steps = given.persistent_steps != 0;
  params.device = {options.device, given.gpu_layers};
  return params;
}

}  // namespace mote::cli
