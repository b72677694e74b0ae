// How to go on from the prompt: the fields that every way of asking for text shares.
#ifndef MOTE_EDGE_SERVER_OPENAI_SAMPLING_H_
#define MOTE_EDGE_SERVER_OPENAI_SAMPLING_H_

#include <optional>

#include "edge/server/openai/fields.h"
#include "edge/server/openai/limits.h"
#include "edge/server/serving/task.h"

namespace mote::server {

// OpenAI's defaults: temperature 1, top_p 1. What OpenAI does not have keeps the engine's: top_k 40, min_p 0.05.
SamplingOptions OpenAiSampling();

// Appends model, sampling, stop, seed, stream, timeout, quality, conversation, ... and what is ignored or refused.
void AddSamplingFields(const OpenAiLimits& limits, Table* table);

// Another one each time, where chance has a say: greedy answers are the same with any, and kept by it.
uint64_t AnySeed(const SamplingOptions& sampling);

// `field`, by one of the names that the protocols have for it; task->max_tokens stays where it is left out.
std::optional<ApiError> ReadMaxTokens(const Json& body, const std::string& field, Task* task);

// Holds the answer to what the server lets one have, whatever the request says or leaves out. After all that reads it.
void LimitAnswer(const OpenAiLimits& limits, Task* task);

// Of a body that was held against its table. task->sampling: what counts where the body says nothing.
std::optional<ApiError> ReadSampling(const Json& body, const OpenAiLimits& limits, Task* task);

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_OPENAI_SAMPLING_H_
