// What metrics.cc tells without counting it: gauges read on demand, and the names that other servers have for ours.
#ifndef MOTE_EDGE_SERVER_OPS_METRIC_FAMILIES_H_
#define MOTE_EDGE_SERVER_OPS_METRIC_FAMILIES_H_

#include <prometheus/metric_family.h>

#include <string>
#include <vector>

#include "edge/server/ops/machine.h"
#include "edge/server/ops/metrics.h"

namespace mote::server {

using Families = std::vector<prometheus::MetricFamily>;

// `model`: the label of service-wide gauges, where one model is served; "": none.
void AddServiceFamilies(const ServiceGauges& gauges, const std::string& model, Families* families);
void AddFrontFamilies(const FrontGauges& gauges, Families* families);
// Of what is absent, nothing.
void AddMachineFamilies(const MachineFacts& facts, Families* families);
void AddBuildFamilies(const MetricsOptions& options, Families* families);

// Sums over all models, for llama-server, which has no labels.
struct EngineTotals {
  double prompt_tokens = 0;   // computed: without those known from before
  double prompt_seconds = 0;  // prefill
  double tokens = 0;          // generated
  double token_seconds = 0;   // decode
  double steps = 0;
  double most_tokens = 0;  // of one request, prompt and answer
};
// In place: "mote:" becomes "vllm:", or what llama-server counts too gets its name and meaning; the rest stays.
void RenameFamilies(MetricsCompat names, const EngineTotals& totals, Families* families);

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_OPS_METRIC_FAMILIES_H_
