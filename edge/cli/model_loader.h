// Loading a model for a command, with progress on stderr.
#ifndef MOTE_EDGE_CLI_MODEL_LOADER_H_
#define MOTE_EDGE_CLI_MODEL_LOADER_H_

#include <stdint.h>

#include <string>

#include "edge/cli/options.h"
#include "engine/api/mote.hpp"

namespace mote::cli {

Model LoadModel(const ModelOptions& options, const char* command);
// Without a word: a model that a server loads while it runs. The second from bytes that the caller keeps for it alone,
// as it overwrites them.
Model LoadModelQuietly(const ModelOptions& options);
Model LoadModelInPlace(const ModelOptions& options, void* bytes, uint64_t size);
// Only the vocabulary: no tensors are needed.
Model LoadVocabulary(const ModelOptions& options, const char* command);
Session CreateSession(const Model& model);

// The value, or the Failure.
template <class T>
T Take(Result<T> result) {
  if (!result.ok()) FailWith(result.error().code, result.error().message);
  return std::move(result.value());
}

SamplingOptions ConvertSampling(const SamplingFlags& flags);

}  // namespace mote::cli

#endif  // MOTE_EDGE_CLI_MODEL_LOADER_H_
