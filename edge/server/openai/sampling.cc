#include "edge/server/openai/sampling.h"

#include <stdlib.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <utility>

#include "edge/random.h"
#include "edge/server/openai/messages.h"

namespace mote::server {
namespace {

// The ends of int64_t; its last value and the double behind it are one here.
constexpr double kMinSeed = -9223372036854775808.0;
constexpr double kMaxSeed = 9223372036854775808.0;
// top_p 0 means the likeliest token alone; the engine's top_p is above 0.
constexpr double kLeastTopP = 1e-6;

std::optional<ApiError> ReadStop(const Json& body, const OpenAiLimits& limits, Task* task) {
  const Json* stop = Find(body, "stop");
  if (stop == nullptr) return std::nullopt;
  const Json one = stop->is_array() ? Json() : Json::array({*stop});
  const Json& list = stop->is_array() ? *stop : one;
  if (list.size() > limits.stops) {
    return BadField("stop", "stop must have at most " + std::to_string(limits.stops) + " strings, not " +
                                std::to_string(list.size()));
  }
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string path = stop->is_array() ? Join("stop", i) : "stop";
    const bool fits = list[i].is_string() && !list[i].get_ref<const std::string&>().empty() &&
                      list[i].get_ref<const std::string&>().size() <= limits.stop_bytes;
    if (!fits) {
      return BadField(path, path + " must be a string of 1 to " + std::to_string(limits.stop_bytes) + " bytes, not " +
                                Describe(list[i]));
    }
    task->stop.push_back(list[i].get<std::string>());
    if (auto error = CheckText(task->stop.back(), path)) return error;
  }
  return std::nullopt;
}

std::optional<ApiError> ReadLogitBias(const Json& body, Task* task) {
  const Json* bias = Find(body, "logit_bias");
  if (bias == nullptr) return std::nullopt;
  for (const auto& [name, value] : bias->get_ref<const Json::object_t&>()) {
    const std::string path = Join("logit_bias", name.substr(0, 32));
    char* end = nullptr;
    const unsigned long token = strtoul(name.c_str(), &end, 10);
    const bool digits = !name.empty() && name.size() <= 10 && name.find_first_not_of("0123456789") == std::string::npos;
    if (!digits || token > static_cast<unsigned long>(std::numeric_limits<int32_t>::max())) {
      return BadField(path, path + ": a name in logit_bias must be the id of a token");
    }
    if (!value.is_number() || !(std::fabs(value.get<double>()) <= 100)) {
      return BadField(path, path + " must be a number from -100 to 100, not " + Describe(value));
    }
    // OpenAI says that -100 bans the token; only minus infinity does.
    const double number = value.get<double>();
    const float amount = number <= -100 ? -std::numeric_limits<float>::infinity() : static_cast<float>(number);
    task->sampling.logit_bias.push_back({static_cast<int32_t>(token), amount});
  }
  return std::nullopt;
}

}  // namespace

SamplingOptions OpenAiSampling() {
  SamplingOptions sampling;
  sampling.temperature = 1;
  sampling.top_p = 1;
  return sampling;
}

void AddSamplingFields(const OpenAiLimits& limits, Table* table) {
  const double tokens = limits.max_tokens;
  const Table fields = {
      {"model", Kind::kString, 0, 256},
      {"max_tokens", Kind::kInteger, -1, tokens},
      {"temperature", Kind::kNumber, 0, 2},
      {"top_p", Kind::kNumber, 0, 1},
      {"top_k", Kind::kInteger, -1, 1 << 20},
      {"min_p", Kind::kNumber, 0, 1},
      {"stop", Kind::kAny},
      {"seed", Kind::kInteger, kMinSeed, kMaxSeed},
      {"logit_bias", Kind::kObject, 0, static_cast<double>(limits.logit_bias)},
      {"presence_penalty", Kind::kNumber, -2, 2},
      {"frequency_penalty", Kind::kNumber, -2, 2},
      {"repeat_penalty", Kind::kNumber, 0.01, 10},
      {"repeat_last_n", Kind::kInteger, -1, 1 << 20},
      {"ignore_eos", Kind::kBool},
      {"stream", Kind::kBool},
      {"stream_options", Kind::kObject, 0, 16},
      {"timeout", Kind::kNumber, 0.001, limits.timeout},
      {"quality", Kind::kString, 1, 16},
      {"conversation", Kind::kString, 1, 256},
      {"cache", Kind::kBool},
      // Sent by clients, and without a meaning here.
      {"user", Kind::kIgnored},
      {"store", Kind::kIgnored},
      {"metadata", Kind::kIgnored},
      {"service_tier", Kind::kIgnored},
      {"safety_identifier", Kind::kIgnored},
      {"prompt_cache_key", Kind::kIgnored},
      {"prompt_cache_retention", Kind::kIgnored},
      {"cache_prompt", Kind::kIgnored},
      {"id_slot", Kind::kIgnored},
      {"n_keep", Kind::kIgnored},
      {"timings_per_token", Kind::kIgnored},
      {"return_progress", Kind::kIgnored},
      // These change the text. Without them, the text would not be what was asked for.
      {"mirostat", Kind::kRefused, 0, 0, "use temperature, top_p, top_k and min_p"},
      {"dry_multiplier", Kind::kRefused, 0, 0, "use repeat_penalty"},
      {"xtc_probability", Kind::kRefused, 0, 0, "use temperature, top_p, top_k and min_p"},
      {"best_of", Kind::kRefused, 1, 1, "use n"},
  };
  table->insert(table->end(), fields.begin(), fields.end());
}

uint64_t AnySeed(const SamplingOptions& sampling) {
  if (sampling.temperature == 0) return sampling.seed;
  static const uint64_t start = edge::RandomBits();
  static std::atomic<uint64_t> count{0};
  // Requests are told apart here, and neighbours by the sampler, which spreads its seed over all bits. An odd step goes
  // through all seeds, and far beyond the choices of a request, whose seeds follow its own one by one.
  return start + count.fetch_add(1, std::memory_order_relaxed) * 0x9E3779B97F4A7C15u;
}

std::optional<ApiError> ReadMaxTokens(const Json& body, const std::string& field, Task* task) {
  task->max_tokens = static_cast<int>(GetInteger(body, field, task->max_tokens));
  if (task->max_tokens == 0) return BadField(field, field + " must be at least 1, or left out");
  return std::nullopt;
}

void LimitAnswer(const OpenAiLimits& limits, Task* task) {
  if (limits.answer_tokens == 0) return;
  const int most = static_cast<int>(limits.answer_tokens);
  task->max_tokens = task->max_tokens < 0 ? most : std::min(task->max_tokens, most);
}

std::optional<ApiError> ReadSampling(const Json& body, const OpenAiLimits& limits, Task* task) {
  task->model = GetString(body, "model");
  task->max_tokens = -1;
  if (auto error = ReadMaxTokens(body, "max_tokens", task)) return error;
  SamplingOptions& sampling = task->sampling;
  sampling.temperature = static_cast<float>(GetNumber(body, "temperature", sampling.temperature));
  sampling.top_p = static_cast<float>(std::max(GetNumber(body, "top_p", sampling.top_p), kLeastTopP));
  sampling.top_k = static_cast<int>(std::max<int64_t>(GetInteger(body, "top_k", sampling.top_k), 0));
  sampling.min_p = static_cast<float>(GetNumber(body, "min_p", sampling.min_p));
  sampling.presence_penalty = static_cast<float>(GetNumber(body, "presence_penalty", sampling.presence_penalty));
  sampling.frequency_penalty = static_cast<float>(GetNumber(body, "frequency_penalty", sampling.frequency_penalty));
  sampling.repeat_penalty = static_cast<float>(GetNumber(body, "repeat_penalty", sampling.repeat_penalty));
  sampling.penalty_window = static_cast<int>(GetInteger(body, "repeat_last_n", sampling.penalty_window));
  // -1 stands for a random seed in other servers.
  const int64_t seed = GetInteger(body, "seed", -1);
  task->seeded = seed != -1;
  sampling.seed = task->seeded ? static_cast<uint64_t>(seed) : AnySeed(sampling);
  task->choices = static_cast<int>(GetInteger(body, "n", 1));
  task->ignore_eos = GetBool(body, "ignore_eos", false);
  task->deadline = GetNumber(body, "timeout", 0);
  task->quality = GetString(body, "quality");
  task->conversation = GetString(body, "conversation", task->conversation);
  task->cache = GetBool(body, "cache", true);
  if (auto error = ReadStop(body, limits, task)) return error;
  return ReadLogitBias(body, task);
}

}  // namespace mote::server
