// The most that one request may ask for. Each has a setting of the server; these are the defaults.
#ifndef MOTE_EDGE_SERVER_OPENAI_LIMITS_H_
#define MOTE_EDGE_SERVER_OPENAI_LIMITS_H_

#include <stdint.h>

#include <vector>

#include "edge/server/fetch/image_url.h"
#include "edge/server/openai/json.h"

namespace mote::server {

struct OpenAiLimits {
  JsonBounds json;
  uint32_t max_tokens = 131072;  // that a request may ask for; the context is the service's to hold
  uint32_t answer_tokens = 0;    // of one answer, asked for or not; 0: as many as the context holds
  uint32_t choices = 8;          // n
  uint32_t prompts = 16;         // of /v1/completions
  uint32_t inputs = 256;         // of /v1/embeddings
  uint32_t messages = 4096;
  uint32_t images = 8;
  uint64_t image_bytes = 16 << 20;     // of one file
  uint64_t images_bytes = 18 << 20;    // of all files of a request: in base64, 24 MiB
  std::vector<ImageHost> image_hosts;  // from which images may be fetched; none: data URLs alone
  uint32_t stops = 16;
  uint32_t stop_bytes = 256;   // of one
  uint32_t logit_bias = 1024;  // entries
  uint32_t tools = 128;
  uint32_t constraint_bytes = 64 << 10;  // of a schema or a grammar, and of the schemas of all tools together
  uint32_t template_variables = 32;      // of chat_template_kwargs
  uint32_t template_bytes = 4096;        // of one of them
  double timeout = 3600;                 // seconds that a request may name
};

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_OPENAI_LIMITS_H_
