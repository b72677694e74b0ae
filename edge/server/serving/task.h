// What a request asks of a model, free of any protocol, and what it is told while it is served.
#ifndef MOTE_EDGE_SERVER_SERVING_TASK_H_
#define MOTE_EDGE_SERVER_SERVING_TASK_H_

#include <stdint.h>

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "edge/server/http/message.h"
#include "edge/server/serving/error.h"
#include "engine/api/mote.hpp"

namespace mote::server {

// What the text must be. Anything but kNone is enforced token by token, or the request is refused.
enum class Constraint {
  kNone,
  kJson,     // any JSON object
  kSchema,   // JSON that the schema in `constraint_text` allows
  kGrammar,  // GBNF in `constraint_text`
};

// An image that is on another host.
struct RemoteImage {
  size_t index = 0;   // in Task::images, where its file belongs
  std::string url;    // http or https
  std::string field;  // of the request, for errors
};

struct Task {
  // Which model, and on whose account.
  std::string model;    // name as asked for; "": the default
  std::string tenant;   // the key's name, or "" without keys: fairness, quotas and salts of caches go by it
  std::string quality;  // the lowest precision that the request accepts ("q4_0", "q8_0", "f16"), or "": any

  // The prompt: messages, or text, or tokens. Images are files (JPEG, PNG, WebP, PPM), one for each MOTE_IMAGE_MARK.
  bool chat = true;
  std::vector<ChatMessage> messages;
  std::string tools_json;     // a JSON array, or ""
  std::string template_json;  // a JSON object of further variables for the template, or ""
  std::string text;           // without `chat`; special tokens are those that the vocabulary adds
  std::vector<Token> tokens;  // without `chat`, and without text
  std::vector<std::string> images;
  std::vector<RemoteImage> remote_images;  // those of them that are still to be fetched: fetch/

  // How to go on from there.
  SamplingOptions sampling;
  bool seeded = false;  // the request gave a seed
  int max_tokens = -1;  // -1: until the context is full
  int choices = 1;      // n
  bool ignore_eos = false;
  std::vector<std::string> stop;
  int logprobs = -1;  // alternatives told with each token; -1: no logprobs
  Constraint constraint = Constraint::kNone;
  std::string constraint_text;
  std::string constraint_trigger;  // the constraint begins after this text appears; "": at once
  std::string constraint_field;    // the field of the request that it comes from, for errors; "": by its kind
  // Schemas inside the constraint, each with the field that it comes from: one that cannot be compiled is told alone.
  struct Part {
    std::string field;
    std::string schema;
  };
  std::vector<Part> constraint_parts;

  double deadline = 0;  // seconds from now in which the answer must be complete; 0: the server's limit
  bool cache = true;    // the request cache may answer, where sampling makes the answer certain
  std::function<void(const Outcome& outcome)> ended;  // told before the answer ends; may be empty
  std::string conversation;                           // "": none; requests of one conversation prefer the same session
};

// Tells whoever accounts for the task that it came to no work.
inline void TellRefused(const Task& task, const std::string& model, const ApiError& refusal) {
  if (!task.ended) return;
  Outcome outcome;
  outcome.model = model;
  outcome.finish = "error";
  outcome.error = refusal.code;
  task.ended(outcome);
}

struct TokenDetail {
  Token token = -1;
  std::string bytes;
  float logprob = 0;
  std::vector<TokenDetail> top;  // the likeliest, best first
};

enum class Stage { kQueued, kImageDecoded, kImageEncoded, kPrefill, kFirstToken };

struct Usage {
  uint32_t prompt_tokens = 0;
  uint32_t cached_tokens = 0;  // of these, known from before
  uint32_t image_tokens = 0;   // of these
  uint32_t completion_tokens = 0;
};

// Seconds.
struct Timings {
  double queued = 0;
  double images = 0;  // decoding, resizing, encoding
  double prefill = 0;
  double first_token = 0;  // from the arrival of the request
  double decode = 0;
  double total = 0;
};

enum class Finish { kStop, kLength, kCancelled };

struct Summary {
  Usage usage;
  Timings timings;
  std::string model;          // what answered
  std::string precision;      // of its weights: "Q8_0"
  const char* cache = "off";  // of the request cache: "hit", "miss", "joined", "off"
};

// Told in this order: Precision, Accepted; stages; Text and Finished for each choice (interleaved); then Done or
// Failed, once. From threads of the server, one call at a time; must not block.
class Receiver {
 public:
  virtual ~Receiver() = default;
  // Before Accepted, and before a byte of the answer: the precision of the weights that will answer.
  virtual void OnPrecision(std::string_view precision) { (void)precision; }
  // The request will be served, or waits to be. `cache`: see Summary; known before the first byte of an answer.
  virtual void OnAccepted(std::string_view model, std::string_view cache) { (void)model, (void)cache; }
  virtual void OnStage(Stage stage, double fraction) { (void)stage, (void)fraction; }  // fraction: of kPrefill
  virtual void OnText(int choice, std::string_view text, std::span<const TokenDetail> tokens) = 0;
  virtual void OnFinished(int choice, Finish reason) = 0;
  virtual void OnDone(const Summary& summary) = 0;
  virtual void OnFailed(const ApiError& error) = 0;
};

// A request on its way. Letting go of it does not cancel it.
class Ticket {
 public:
  virtual ~Ticket() = default;
  virtual void Cancel() = 0;  // any thread; OnFailed or OnDone may still come, once
};

struct Embedding {
  std::vector<float> values;
  uint32_t tokens = 0;
};

struct ServedModel {
  std::string name;
  std::string path;
  int64_t created = 0;  // Unix seconds
  mote_model_info info = {};
  bool vision = false;
  std::vector<std::string> precisions;  // of its loaded files
};

struct SlotState {
  int id = 0;
  bool busy = false;
  std::string tenant;
  uint32_t tokens = 0;  // held
  uint32_t context = 0;
};

// What the protocols are written against; serving/service.h is it, tests have their own.
class Service {
 public:
  virtual ~Service() = default;
  // Never blocks: refusals come through OnFailed, perhaps before this returns.
  virtual std::shared_ptr<Ticket> Submit(Task task, std::shared_ptr<Receiver> receiver) = 0;
  // These compute at once, on the caller's thread; short but for Embed.
  virtual std::vector<ServedModel> Models() const = 0;
  virtual Result<std::vector<Token>> Tokenize(const std::string& model, std::string_view text, bool special,
                                              bool parse_special) = 0;
  virtual Result<std::string> Detokenize(const std::string& model, const std::vector<Token>& tokens) = 0;
  virtual Result<std::string> ApplyTemplate(const std::string& model, const Task& task) = 0;
  virtual Result<Embedding> Embed(const std::string& model, const std::string& text,
                                  const std::vector<Token>& tokens) = 0;
  virtual std::vector<SlotState> Slots() const = 0;
};

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_SERVING_TASK_H_
