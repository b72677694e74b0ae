// The pieces that the answers of this protocol are made of.
#ifndef MOTE_EDGE_SERVER_OPENAI_SHAPES_H_
#define MOTE_EDGE_SERVER_OPENAI_SHAPES_H_

#include <stdint.h>

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "edge/server/http/message.h"
#include "edge/server/serving/task.h"

namespace mote::server {

void SendJson(Reply& reply, std::string json);
// With Retry-After, where the error has it.
void SendError(Reply& reply, const ApiError& error);
// What the engine says of a call; `param`: what is at fault where the request is. Not found: the model.
ApiError ErrorOf(const Error& error, std::string param);
// An answer of a task: what is known about it is in the headers X-Mote-Cache and X-Mote-Precision.
void SendAnswer(Reply& reply, std::string json, const Summary& summary);

// "chatcmpl-" and 24 letters and digits that no other answer has.
std::string NewId(std::string_view prefix);
int64_t UnixTime();
// "mote-0.1.0"
const std::string& Fingerprint();
// "stop", "length"; vLLM's "abort" where it was cut short.
const char* FinishName(Finish reason);

// {"prompt_tokens":...,"completion_tokens":...,"total_tokens":...,"prompt_tokens_details":{...}}
std::string UsageJson(const Usage& usage);
// llama.cpp's names, in milliseconds, and with them cache, precision, queued_ms, images_ms, first_token_ms, total_ms.
std::string TimingsJson(const Summary& summary);

// One item of logprobs.content of a chat: {"token","logprob","bytes","top_logprobs"}.
void AppendChatLogprob(std::string* out, const TokenDetail& detail, bool top);

// The name that an answer gives its model: the one asked for where it is served, else the first.
std::string ModelName(const Service& service, const std::string& asked);

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_OPENAI_SHAPES_H_
