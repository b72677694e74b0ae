// What an answer depends on, as one digest.
#include <openssl/evp.h>

#include <stdexcept>

#include "edge/server/serving/request_cache.h"

namespace mote::server {
namespace {

// SHA-256 over fields that each say how long they are, so that no two tasks run together into one text.
class Digest {
 public:
  Digest() : context_(EVP_MD_CTX_new()) {
    if (context_ == nullptr || EVP_DigestInit_ex(context_, EVP_sha256(), nullptr) != 1) throw std::bad_alloc();
  }
  ~Digest() { EVP_MD_CTX_free(context_); }
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;

  void Add(std::string_view text) {
    Add(static_cast<uint64_t>(text.size()));
    Update(text.data(), text.size());
  }
  template <class T>
  void Add(T value) requires std::is_arithmetic_v<T> {
    Update(&value, sizeof(value));
  }
  std::string Finish() {
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    if (EVP_DigestFinal_ex(context_, bytes, &size) != 1) throw std::runtime_error("SHA-256 failed");
    return std::string(reinterpret_cast<const char*>(bytes), size);
  }

 private:
  void Update(const void* data, size_t size) {
    if (EVP_DigestUpdate(context_, data, size) != 1) throw std::runtime_error("SHA-256 failed");
  }
  EVP_MD_CTX* context_;
};

void AddSampling(const SamplingOptions& sampling, Digest* digest) {
  digest->Add(sampling.temperature);
  digest->Add(sampling.top_k);
  digest->Add(sampling.top_p);
  digest->Add(sampling.min_p);
  digest->Add(sampling.repeat_penalty);
  digest->Add(sampling.presence_penalty);
  digest->Add(sampling.frequency_penalty);
  digest->Add(sampling.penalty_window);
  digest->Add(sampling.seed);
  digest->Add(static_cast<uint64_t>(sampling.logit_bias.size()));
  for (const mote_logit_bias& bias : sampling.logit_bias) {
    digest->Add(bias.token);
    digest->Add(bias.bias);
  }
}

}  // namespace

bool IsCertain(const Task& task) {
  return task.cache && (task.sampling.temperature == 0 || task.seeded);
}

std::string CacheKey(const Task& task, const std::string& model) {
  Digest digest;
  digest.Add(std::string_view("mote request 1"));
  digest.Add(model);
  digest.Add(task.tenant);
  digest.Add(static_cast<int>(task.chat));
  digest.Add(static_cast<uint64_t>(task.messages.size()));
  for (const ChatMessage& message : task.messages) {
    digest.Add(message.role);
    digest.Add(message.content);
    digest.Add(message.extra_json);
  }
  digest.Add(task.tools_json);
  digest.Add(task.template_json);
  digest.Add(task.text);
  digest.Add(static_cast<uint64_t>(task.tokens.size()));
  for (const Token token : task.tokens) digest.Add(token);
  digest.Add(static_cast<uint64_t>(task.images.size()));
  for (const std::string& image : task.images) digest.Add(image);
  AddSampling(task.sampling, &digest);
  digest.Add(task.max_tokens);
  digest.Add(task.choices);
  digest.Add(static_cast<int>(task.ignore_eos));
  digest.Add(static_cast<uint64_t>(task.stop.size()));
  for (const std::string& stop : task.stop) digest.Add(stop);
  digest.Add(task.logprobs);
  digest.Add(static_cast<int>(task.constraint));
  digest.Add(task.constraint_text);
  digest.Add(task.constraint_trigger);
  return digest.Finish();
}

}  // namespace mote::server
