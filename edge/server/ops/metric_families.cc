#include "edge/server/ops/metric_families.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace mote::server {
namespace {

using Labels = std::vector<prometheus::ClientMetric::Label>;

constexpr std::string_view kPrefix = "mote:";

prometheus::MetricFamily& Begin(const char* name, const char* help, prometheus::MetricType type, Families* families) {
  families->push_back({name, help, type, {}});
  return families->back();
}

void AddValue(double value, Labels labels, prometheus::MetricFamily* family) {
  prometheus::ClientMetric metric;
  metric.label = std::move(labels);
  (family->type == prometheus::MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
  family->metric.push_back(std::move(metric));
}

void AddGauge(const char* name, const char* help, double value, Labels labels, Families* families) {
  AddValue(value, std::move(labels), &Begin(name, help, prometheus::MetricType::Gauge, families));
}

void AddCounter(const char* name, const char* help, double value, Families* families) {
  AddValue(value, {}, &Begin(name, help, prometheus::MetricType::Counter, families));
}

void AddSensors(const char* name, const char* help, const std::vector<Sensor>& sensors, Families* families) {
  if (sensors.empty()) return;
  prometheus::MetricFamily& family = Begin(name, help, prometheus::MetricType::Gauge, families);
  for (const Sensor& sensor : sensors) AddValue(sensor.value, {{"id", sensor.id}, {"name", sensor.name}}, &family);
}

void Drop(const char* name, Families* families) {
  std::erase_if(*families, [&](const prometheus::MetricFamily& family) { return family.name == name; });
}

void Rename(const char* from, const char* to, Families* families) {
  for (prometheus::MetricFamily& family : *families) {
    if (family.name == from) family.name = to;
  }
}

// Names and meanings as llama-server's /metrics has them.
void RenameToLlamaCpp(const EngineTotals& totals, Families* families) {
  for (const char* name : {"mote:prompt_tokens_total", "mote:generation_tokens_total"}) Drop(name, families);
  Rename("mote:num_requests_running", "llamacpp:requests_processing", families);
  Rename("mote:num_requests_waiting", "llamacpp:requests_deferred", families);
  Rename("mote:kv_cache_usage_perc", "llamacpp:kv_cache_usage_ratio", families);
  AddCounter("llamacpp:prompt_tokens_total", "Prompt tokens computed", totals.prompt_tokens, families);
  AddCounter("llamacpp:prompt_seconds_total", "Seconds of computing prompts", totals.prompt_seconds, families);
  AddCounter("llamacpp:tokens_predicted_total", "Tokens generated", totals.tokens, families);
  AddCounter("llamacpp:tokens_predicted_seconds_total", "Seconds of generating", totals.token_seconds, families);
  AddCounter("llamacpp:n_decode_total", "Steps of the engine", totals.steps, families);
  AddGauge("llamacpp:n_tokens_max", "Most tokens of one request, prompt and answer", totals.most_tokens, {}, families);
  const auto rate = [](double count, double seconds) { return seconds > 0 ? count / seconds : 0; };
  AddGauge("llamacpp:prompt_tokens_seconds", "Prompt tokens per second, on average",
           rate(totals.prompt_tokens, totals.prompt_seconds), {}, families);
  AddGauge("llamacpp:predicted_tokens_seconds", "Tokens generated per second, on average",
           rate(totals.tokens, totals.token_seconds), {}, families);
}

}  // namespace

void AddServiceFamilies(const ServiceGauges& gauges, const std::string& model, Families* families) {
  const Labels labels = model.empty() ? Labels() : Labels{{"model_name", model}};
  AddGauge("mote:num_requests_running", "Requests with a session", gauges.running, labels, families);
  AddGauge("mote:num_requests_waiting", "Requests in the queue", gauges.waiting, labels, families);
  AddGauge("mote:kv_cache_usage_perc", "Keys and values held, of what fits: 0 to 1", gauges.cache_usage, labels,
           families);
  AddGauge("mote:request_cache_bytes", "Bytes that the request cache holds",
           static_cast<double>(gauges.request_cache_bytes), {}, families);
  AddGauge("mote:request_cache_entries", "Answers that the request cache holds",
           static_cast<double>(gauges.request_cache_entries), {}, families);
  AddGauge("mote:workers", "Threads that prepare requests", gauges.workers, {}, families);
  AddGauge("mote:compute_share", "Share of threads and steps in use; below 1 while heat or power lowers the clocks",
           gauges.share, {}, families);
}

void AddFrontFamilies(const FrontGauges& gauges, Families* families) {
  AddGauge("mote:http_connections", "Open connections", gauges.connections, {}, families);
  AddGauge("mote:http_streams", "Answers being streamed", gauges.streams, {}, families);
}

void AddMachineFamilies(const MachineFacts& facts, Families* families) {
  const auto gauge = [&](const char* name, const char* help, const auto& value) {
    if (value) AddGauge(name, help, static_cast<double>(*value), {}, families);
  };
  const ProcessFacts& process = facts.process;
  gauge("process_resident_memory_bytes", "Resident memory", process.resident_bytes);
  gauge("process_virtual_memory_bytes", "Virtual memory", process.virtual_bytes);
  gauge("process_open_fds", "Open file descriptors", process.open_files);
  gauge("process_max_fds", "Most file descriptors allowed", process.max_files);
  gauge("process_threads", "Threads", process.threads);
  gauge("process_start_time_seconds", "When the process began, in Unix seconds", process.start_time);
  if (process.cpu_seconds) {
    AddCounter("process_cpu_seconds_total", "User and system time", *process.cpu_seconds, families);
  }
  gauge("mote:machine_memory_bytes", "Memory of the machine or its control group", facts.memory_total);
  gauge("mote:machine_memory_available_bytes", "Memory that can be had without swapping", facts.memory_available);
  AddSensors("mote:temperature_celsius", "Thermal zones", facts.temperatures, families);
  AddSensors("mote:power_watts", "Power meters", facts.power, families);
  std::vector<Sensor> clocks;
  for (const ClockSensor& clock : facts.clocks) clocks.push_back({clock.id, clock.id, clock.hertz});
  AddSensors("mote:clock_hertz", "Clocks of CPUs and of a board's GPU", clocks, families);
  AddGauge("mote:throttling", "Brakes that heat or power have put on", static_cast<double>(facts.throttling.size()), {},
           families);
}

void AddBuildFamilies(const MetricsOptions& options, Families* families) {
  if (!options.isa.empty()) {
    AddGauge("mote:cpu_info", "The instruction set that the models run on", 1, {{"isa", options.isa}}, families);
  }
  if (!options.version.empty()) {
    AddGauge("mote:build_info", "The program", 1, {{"version", options.version}}, families);
  }
}

void RenameFamilies(MetricsCompat names, const EngineTotals& totals, Families* families) {
  if (names == MetricsCompat::kLlamaCpp) RenameToLlamaCpp(totals, families);
  if (names != MetricsCompat::kVllm) return;
  for (prometheus::MetricFamily& family : *families) {
    if (family.name.starts_with(kPrefix)) family.name.replace(0, kPrefix.size(), "vllm:");
  }
}

}  // namespace mote::server
