#include "edge/server/openai/shapes.h"

#include <stdio.h>
#include <time.h>

#include <atomic>
#include <cmath>
#include <utility>

#include "edge/random.h"
#include "edge/server/openai/json.h"
#include "edge/server/serving/status.h"

namespace mote::server {
namespace {

// Finite, short, JSON.
void AppendNumber(std::string* out, double value) {
  char text[32];
  snprintf(text, sizeof(text), "%.9g", std::isfinite(value) ? value : 0);
  *out += text;
}

void AppendMember(std::string* out, const char* name, double value) {
  out->append(",\"").append(name).append("\":");
  AppendNumber(out, value);
}

uint64_t Mix(uint64_t x) {  // splitmix64
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

}  // namespace

void SendJson(Reply& reply, std::string json) {
  Response response;
  response.body = std::move(json);
  reply.Send(std::move(response));
}

void SendError(Reply& reply, const ApiError& error) {
  Response response;
  response.status = error.status;
  if (error.retry_after > 0) {
    const auto seconds = static_cast<int64_t>(std::ceil(error.retry_after));
    response.headers.emplace_back("Retry-After", std::to_string(seconds));
  }
  response.body = ErrorJson(error);
  response.error = error.code;
  reply.Send(std::move(response));
}

ApiError ErrorOf(const Error& error, std::string param) {
  if (error.code == MOTE_NOT_FOUND) return {404, "invalid_request_error", "model_not_found", "model", error.message};
  ApiError answer = ToApiError(error.code, error.message);
  if (answer.status == 400) answer.param = std::move(param);
  return answer;
}

void SendAnswer(Reply& reply, std::string json, const Summary& summary) {
  Response response;
  response.headers.emplace_back("X-Mote-Cache", summary.cache);
  if (!summary.precision.empty()) response.headers.emplace_back("X-Mote-Precision", summary.precision);
  response.body = std::move(json);
  reply.Send(std::move(response));
}

std::string NewId(std::string_view prefix) {
  static const uint64_t seed = edge::RandomBits();
  static std::atomic<uint64_t> count{0};
  constexpr char kLetters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  const uint64_t number = count.fetch_add(1, std::memory_order_relaxed);
  std::string id(prefix);
  // Two words of twelve letters each; the first alone is different for every number.
  for (uint64_t word : {Mix(seed + number), Mix(~seed ^ Mix(number))}) {
    for (int i = 0; i < 12; ++i, word /= 62) id += kLetters[word % 62];
  }
  return id;
}

int64_t UnixTime() {
  return static_cast<int64_t>(time(nullptr));
}

const std::string& Fingerprint() {
  static const std::string* fingerprint = new std::string(std::string("mote-") + mote_version());
  return *fingerprint;
}

const char* FinishName(Finish reason) {
  switch (reason) {
    case Finish::kStop:
      return "stop";
    case Finish::kLength:
      return "length";
    case Finish::kCancelled:
      break;
  }
  return "abort";
}

std::string UsageJson(const Usage& usage) {
  const uint64_t total = uint64_t{usage.prompt_tokens} + usage.completion_tokens;
  return "{\"prompt_tokens\":" + std::to_string(usage.prompt_tokens) +
         ",\"completion_tokens\":" + std::to_string(usage.completion_tokens) +
         ",\"total_tokens\":" + std::to_string(total) +
         ",\"prompt_tokens_details\":{\"cached_tokens\":" + std::to_string(usage.cached_tokens) +
         ",\"image_tokens\":" + std::to_string(usage.image_tokens) +
         ",\"audio_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":0}}";
}

std::string TimingsJson(const Summary& summary) {
  const Usage& usage = summary.usage;
  const Timings& timings = summary.timings;
  const double computed = usage.prompt_tokens > usage.cached_tokens ? usage.prompt_tokens - usage.cached_tokens : 0;
  const double predicted = usage.completion_tokens;
  const auto per = [](double a, double b) { return b > 0 ? a / b : 0; };
  std::string json = "{\"cache_n\":" + std::to_string(usage.cached_tokens);
  AppendMember(&json, "prompt_n", computed);
  AppendMember(&json, "prompt_ms", timings.prefill * 1e3);
  AppendMember(&json, "prompt_per_token_ms", per(timings.prefill * 1e3, computed));
  AppendMember(&json, "prompt_per_second", per(computed, timings.prefill));
  AppendMember(&json, "predicted_n", predicted);
  AppendMember(&json, "predicted_ms", timings.decode * 1e3);
  AppendMember(&json, "predicted_per_token_ms", per(timings.decode * 1e3, predicted));
  AppendMember(&json, "predicted_per_second", per(predicted, timings.decode));
  AppendMember(&json, "queued_ms", timings.queued * 1e3);
  AppendMember(&json, "images_ms", timings.images * 1e3);
  AppendMember(&json, "first_token_ms", timings.first_token * 1e3);
  AppendMember(&json, "total_ms", timings.total * 1e3);
  json += ",\"cache\":\"" + std::string(summary.cache) + "\",\"precision\":";
  AppendQuoted(&json, summary.precision);
  return json + "}";
}

void AppendChatLogprob(std::string* out, const TokenDetail& detail, bool top) {
  *out += "{\"token\":";
  AppendQuoted(out, detail.bytes);
  *out += ",\"logprob\":";
  // Minus infinity has no JSON; OpenAI tells it as -9999.
  AppendNumber(out, std::isfinite(detail.logprob) ? detail.logprob : -9999.0);
  *out += ",\"bytes\":[";
  for (size_t i = 0; i < detail.bytes.size(); ++i) {
    if (i > 0) *out += ',';
    *out += std::to_string(static_cast<unsigned char>(detail.bytes[i]));
  }
  *out += ']';
  if (top) {
    *out += ",\"top_logprobs\":[";
    for (size_t i = 0; i < detail.top.size(); ++i) {
      if (i > 0) *out += ',';
      AppendChatLogprob(out, detail.top[i], false);
    }
    *out += ']';
  }
  *out += '}';
}

std::string ModelName(const Service& service, const std::string& asked) {
  const std::vector<ServedModel> models = service.Models();
  for (const ServedModel& model : models) {
    if (model.name == asked) return asked;
  }
  return models.empty() ? asked : models.front().name;
}

}  // namespace mote::server
