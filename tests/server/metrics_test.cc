// What /metrics tells: names and buckets that dashboards know, sums that add up, and no series without bound.
#include "edge/server/ops/metrics.h"

#include <gtest/gtest.h>
#include <stdio.h>
#include <stdlib.h>

#include <map>
#include <string>
#include <thread>
#include <vector>

namespace mote::server {
namespace {

// "name{labels}" to value, as a scraper reads it.
std::map<std::string, double> Parse(const std::string& text) {
  std::map<std::string, double> values;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    const std::string line = text.substr(at, end - at);
    at = end == std::string::npos ? text.size() : end + 1;
    if (line.empty() || line[0] == '#') continue;
    const size_t space = line.rfind(' ');
    const bool is_new = values.emplace(line.substr(0, space), atof(line.c_str() + space)).second;
    EXPECT_TRUE(is_new) << "twice: " << line;
  }
  return values;
}

MetricsOptions Options(MetricsCompat names = MetricsCompat::kNone) {
  // A folder without proc/ and sys/: a machine that tells nothing.
  return {.names = names, .models = {"tiny"}, .isa = "avx2", .version = "1.2.3", .machine_root = "tests/server/none"};
}

RequestRecord Record() {
  RequestRecord record;
  record.model = "tiny";
  record.finish = "stop";
  record.queued = 0.002, record.images = 0.25, record.prefill = 0.25, record.first_token = 0.5, record.decode = 1;
  record.total = 1.5;
  record.prompt_tokens = 100, record.cached_tokens = 60, record.completion_tokens = 20;
  record.images_read = 1, record.images_known = 2;
  record.request_cache = "miss";
  return record;
}

TEST(Metrics, RequestsAddUp) {
  Metrics metrics(Options());
  metrics.AddRequest(Record());
  metrics.AddRequest(Record());
  auto values = Parse(metrics.Text());
  const std::string model = "{model_name=\"tiny\"}";
  EXPECT_EQ(values.at("mote:prompt_tokens_total" + model), 200);
  EXPECT_EQ(values.at("mote:prompt_tokens_cached_total" + model), 120);
  EXPECT_EQ(values.at("mote:generation_tokens_total" + model), 40);
  EXPECT_EQ(values.at("mote:prefix_cache_queries_total" + model), 200);
  EXPECT_EQ(values.at("mote:prefix_cache_hits_total" + model), 120);
  EXPECT_EQ(values.at("mote:mm_cache_queries_total" + model), 6);
  EXPECT_EQ(values.at("mote:mm_cache_hits_total" + model), 4);
  EXPECT_EQ(values.at("mote:request_cache_misses_total" + model), 2);
  EXPECT_EQ(values.at("mote:time_to_first_token_seconds_count" + model), 2);
  EXPECT_DOUBLE_EQ(values.at("mote:time_to_first_token_seconds_sum" + model), 1);
  EXPECT_DOUBLE_EQ(values.at("mote:request_inference_time_seconds_sum" + model), 2.5);
  EXPECT_DOUBLE_EQ(values.at("mote:e2e_request_latency_seconds_sum" + model), 3);
  EXPECT_EQ(values.at("mote:time_to_first_token_seconds_bucket{model_name=\"tiny\",le=\"0.25\"}"), 0);
  EXPECT_EQ(values.at("mote:time_to_first_token_seconds_bucket{model_name=\"tiny\",le=\"0.5\"}"), 2);
}

TEST(Metrics, EveryBucketOfVllmIsThere) {
  Metrics metrics(Options(MetricsCompat::kVllm));
  const std::string text = metrics.Text();
  const std::map<std::string, std::vector<const char*>> buckets = {
      {"time_to_first_token_seconds",
       {"0.001", "0.005", "0.01", "0.02", "0.04", "0.06", "0.08", "0.1", "0.25", "0.5", "0.75",
        "1",     "2.5",   "5",    "7.5",  "10",   "20",   "40",   "80",  "160",  "640", "2560"}},
      {"inter_token_latency_seconds",
       {"0.01", "0.025", "0.05", "0.075", "0.1", "0.15", "0.2", "0.3", "0.4", "0.5", "0.75", "1", "2.5", "5", "7.5",
        "10", "20", "40", "80"}},
      {"e2e_request_latency_seconds", {"0.3", "0.5", "0.8", "1",  "1.5", "2",   "2.5", "5",   "10",   "15",  "20",
                                       "30",  "40",  "50",  "60", "120", "240", "480", "960", "1920", "7680"}},
      {"iteration_tokens_total",
       {"1", "8", "16", "32", "64", "128", "256", "512", "1024", "2048", "4096", "8192", "16384"}}};
  for (const auto& [name, bounds] : buckets) {
    for (const char* bound : bounds) {
      const std::string line = "vllm:" + name + "_bucket{model_name=\"tiny\",le=\"" + bound + "\"} 0\n";
      EXPECT_NE(text.find(line), std::string::npos) << line;
    }
  }
}

TEST(Metrics, WhatTheCacheAnsweredComputedNothing) {
  Metrics metrics(Options());
  for (const char* cache : {"hit", "joined"}) {
    RequestRecord record = Record();
    record.request_cache = cache;
    record.saved = 2;
    metrics.AddRequest(record);
  }
  auto values = Parse(metrics.Text());
  const std::string model = "{model_name=\"tiny\"}";
  EXPECT_EQ(values.at("mote:request_cache_hits_total" + model), 1);
  EXPECT_EQ(values.at("mote:request_cache_joined_total" + model), 1);
  EXPECT_EQ(values.at("mote:request_cache_saved_seconds_total" + model), 4);
  EXPECT_EQ(values.at("mote:prompt_tokens_total" + model), 0);
  EXPECT_EQ(values.at("mote:time_to_first_token_seconds_count" + model), 0);
  EXPECT_EQ(values.at("mote:e2e_request_latency_seconds_count" + model), 2);
  EXPECT_EQ(values.at("mote:request_success_total{finished_reason=\"stop\",model_name=\"tiny\"}"), 2);
}

TEST(Metrics, FailuresAreCountedByTheirCode) {
  Metrics metrics(Options());
  RequestRecord record = Record();
  record.finish = "error";
  record.error = "deadline_exceeded";
  record.first_token = 0;
  metrics.AddRequest(record);
  record.finish = "cancelled";
  record.error = "";
  metrics.AddRequest(record);
  metrics.AddRefusal("queue_full");
  auto values = Parse(metrics.Text());
  EXPECT_EQ(values.at("mote:request_errors_total{code=\"deadline_exceeded\"}"), 1);
  EXPECT_EQ(values.at("mote:request_refusals_total{code=\"queue_full\"}"), 1);
  EXPECT_EQ(values.at("mote:request_success_total{finished_reason=\"error\",model_name=\"tiny\"}"), 1);
  EXPECT_EQ(values.at("mote:request_success_total{finished_reason=\"abort\",model_name=\"tiny\"}"), 1);
  EXPECT_EQ(values.at("mote:time_to_first_token_seconds_count{model_name=\"tiny\"}"), 0);
  EXPECT_EQ(values.at("mote:e2e_request_latency_seconds_count{model_name=\"tiny\"}"), 1);
}

TEST(Metrics, NamesFromOutsideDoNotGrowWithoutBound) {
  Metrics metrics(Options());
  Metrics open({.machine_root = "tests/server/none"});
  for (int i = 0; i < 2000; ++i) {
    const std::string name = "n" + std::to_string(i);
    RequestRecord record = Record();
    record.model = name;
    record.error = name;
    metrics.AddRequest(record);
    open.AddRequest(record);
    metrics.AddInterToken(name, 0.01);
    metrics.AddHttp("/" + name, name, i, 0.01);
    metrics.AddRefusal(name);
  }
  auto values = Parse(metrics.Text());
  EXPECT_EQ(values.at("mote:prompt_tokens_total{model_name=\"other\"}"), 200000);
  EXPECT_EQ(values.count("mote:prompt_tokens_total{model_name=\"n1\"}"), 0u);
  const auto count = [](const std::map<std::string, double>& of, const std::string& prefix) {
    size_t matching = 0;
    for (const auto& [name, value] : of) matching += name.starts_with(prefix);
    return matching;
  };
  EXPECT_LE(count(values, "mote:request_refusals_total"), 65u);
  EXPECT_LE(count(values, "mote:request_errors_total"), 65u);
  // Each status comes once here: 500 codes and "other", with one handler each.
  EXPECT_LE(count(values, "http_requests_total"), 130u + 501u);
  EXPECT_LE(count(Parse(open.Text()), "mote:prompt_tokens_total"), 33u);
}

TEST(Metrics, HttpByRouteMethodAndStatus) {
  Metrics metrics(Options());
  metrics.AddHttp("/v1/models/{id}", "GET", 200, 0.002);
  metrics.AddHttp("/v1/models/{id}", "GET", 404, 0.002);
  metrics.AddHttp("/v1/models/{id}", "BREW", 405, 0.002);
  auto values = Parse(metrics.Text());
  const std::string handler = "handler=\"/v1/models/{id}\"";
  EXPECT_EQ(values.at("http_requests_total{" + handler + ",method=\"GET\",status=\"200\"}"), 1);
  EXPECT_EQ(values.at("http_requests_total{" + handler + ",method=\"GET\",status=\"404\"}"), 1);
  EXPECT_EQ(values.at("http_requests_total{" + handler + ",method=\"other\",status=\"405\"}"), 1);
  EXPECT_EQ(values.at("http_request_duration_seconds_count{" + handler + ",method=\"GET\"}"), 2);
}

TEST(Metrics, GaugesAreReadWhenAsked) {
  Metrics metrics(Options());
  EXPECT_EQ(Parse(metrics.Text()).count("mote:num_requests_running{model_name=\"tiny\"}"), 0u);
  uint32_t running = 3;
  metrics.SetGauges([&] { return ServiceGauges{.running = running, .waiting = 7, .cache_usage = 0.5}; },
                    [] { return FrontGauges{.connections = 9, .streams = 4}; });
  EXPECT_EQ(Parse(metrics.Text()).at("mote:num_requests_running{model_name=\"tiny\"}"), 3);
  running = 5;
  auto values = Parse(metrics.Text());
  EXPECT_EQ(values.at("mote:num_requests_running{model_name=\"tiny\"}"), 5);
  EXPECT_EQ(values.at("mote:num_requests_waiting{model_name=\"tiny\"}"), 7);
  EXPECT_EQ(values.at("mote:kv_cache_usage_perc{model_name=\"tiny\"}"), 0.5);
  EXPECT_EQ(values.at("mote:http_connections"), 9);
  EXPECT_EQ(values.at("mote:cpu_info{isa=\"avx2\"}"), 1);
  metrics.SetGauges({}, {});
  EXPECT_EQ(Parse(metrics.Text()).count("mote:http_connections"), 0u);
}

TEST(Metrics, VllmsDashboardsFindTheirPrefix) {
  Metrics metrics(Options(MetricsCompat::kVllm));
  metrics.AddRequest(Record());
  metrics.AddHttp("/x", "GET", 200, 0.1);
  const std::string text = metrics.Text();
  EXPECT_EQ(text.find("mote:"), std::string::npos);
  EXPECT_EQ(Parse(text).at("vllm:generation_tokens_total{model_name=\"tiny\"}"), 20);
  EXPECT_EQ(Parse(text).at("http_requests_total{handler=\"/x\",method=\"GET\",status=\"200\"}"), 1);
}

TEST(Metrics, LlamaServersNamesHaveItsMeanings) {
  Metrics metrics(Options(MetricsCompat::kLlamaCpp));
  metrics.AddRequest(Record());
  metrics.AddStep("tiny", 32);
  metrics.SetGauges([] { return ServiceGauges{.running = 2, .waiting = 1, .cache_usage = 0.25}; }, {});
  auto values = Parse(metrics.Text());
  EXPECT_EQ(values.at("llamacpp:prompt_tokens_total"), 40);  // those that were computed
  EXPECT_DOUBLE_EQ(values.at("llamacpp:prompt_tokens_seconds"), 40 / 0.25);
  EXPECT_EQ(values.at("llamacpp:tokens_predicted_total"), 20);
  EXPECT_EQ(values.at("llamacpp:predicted_tokens_seconds"), 20);
  EXPECT_EQ(values.at("llamacpp:n_tokens_max"), 120);
  EXPECT_EQ(values.at("llamacpp:n_decode_total"), 1);
  EXPECT_EQ(values.at("llamacpp:requests_processing{model_name=\"tiny\"}"), 2);
  EXPECT_EQ(values.at("llamacpp:requests_deferred{model_name=\"tiny\"}"), 1);
  EXPECT_EQ(values.count("mote:generation_tokens_total{model_name=\"tiny\"}"), 0u);
  EXPECT_EQ(values.at("mote:time_to_first_token_seconds_count{model_name=\"tiny\"}"), 1);
}

TEST(Metrics, CountsFromManyThreadsAreAllThere) {
  Metrics metrics(Options());
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&metrics, t] {
      for (int i = 0; i < 200; ++i) {
        metrics.AddRequest(Record());
        metrics.AddHttp("/" + std::to_string(i % 7), "GET", 200, 0.01);
        metrics.AddInterToken(i % 2 == 0 ? "tiny" : "strange", 0.01);
        if (i % 50 == t) metrics.Text();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  auto values = Parse(metrics.Text());
  EXPECT_EQ(values.at("mote:prompt_tokens_total{model_name=\"tiny\"}"), 160000);
  EXPECT_EQ(values.at("mote:inter_token_latency_seconds_count{model_name=\"tiny\"}"), 800);
  EXPECT_EQ(values.at("mote:inter_token_latency_seconds_count{model_name=\"other\"}"), 800);
}

}  // namespace
}  // namespace mote::server
