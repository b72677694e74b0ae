// Generation of many streams at once, with the choice of each token, in turns with all logits handed over and with no
// more than the choice needs (Job::enough): what that is worth on this device.
//
//   stream_speed MODEL.gguf [DEVICE [TOKENS]]
//
// DEVICE as for `mote run --device` (auto); TOKENS of each stream (64). For 1, 8 and 32 streams a line: tokens a second
// of all streams together, medians of five rounds, and whether the tokens were the same.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/run/model.h"
#include "engine/run/sampler.h"
#include "engine/run/session.h"

namespace {

using namespace mote;  // NOLINT: a small program

template <class T>
T OrExit(Result<T> result) {
  if (!result.ok()) {
    fprintf(stderr, "stream_speed: %s\n", result.status().message().c_str());
    exit(1);
  }
  return std::move(result).value();
}

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// One stream: chooses when its job is ready, as a Generation does, and never ends.
struct Stream {
  std::unique_ptr<Session> session;
  std::unique_ptr<Sampler> sampler;
  Evaluation evaluation;
  bool best_alone = false;
  int32_t token = 0;
  int32_t evaluated = 0;
  std::vector<int32_t> chosen;

  void Begin() {
    evaluated = token;
    const Status status = session->Begin(std::span<const int32_t>(&evaluated, 1), 0, true, &evaluation);
    if (!status.ok()) OrExit<int>(status);
    Job& job = evaluation.job;
    job.enough = best_alone ? sampler->Enough() : 0;
    job.ready_user = this;
    job.ready = [](void* user) { static_cast<Stream*>(user)->Choose(); };
  }
  void Choose() {
    const Job& job = evaluation.job;
    token = OrExit(job.best.empty() ? sampler->Sample(job.last_logits) : sampler->SampleBest(job.best));
  }
};

struct Round {
  double tokens_per_second = 0;
  std::vector<std::vector<int32_t>> chosen;  // of each stream
};

Round Run(Model& model, std::vector<Stream>& streams, int tokens, bool best_alone) {
  std::vector<Job*> jobs;
  for (size_t i = 0; i < streams.size(); ++i) {
    Stream& s = streams[i];
    SamplerParams params;
    params.seed = i;
    s.sampler = std::make_unique<Sampler>(OrExit(Sampler::Create(params, static_cast<int32_t>(model.vocab_size()))));
    s.session->Truncate(0);
    s.best_alone = best_alone;
    s.token = static_cast<int32_t>(i + 1);
    s.chosen.clear();
    jobs.push_back(&s.evaluation.job);
  }
  const double start = Now();
  for (int step = 0; step < tokens; ++step) {
    for (Stream& s : streams) s.Begin();
    model.scheduler().RunOnce(jobs);
    for (Stream& s : streams) {
      if (!s.evaluation.job.status.ok()) OrExit<int>(s.evaluation.job.status);
      s.session->Keep(s.evaluation);
      s.chosen.push_back(s.token);
    }
  }
  Round round;
  round.tokens_per_second = static_cast<double>(streams.size()) * tokens / (Now() - start);
  for (const Stream& s : streams) round.chosen.push_back(s.chosen);
  return round;
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  const int tokens = argc > 3 ? atoi(argv[3]) : 64;
  if (argc < 2 || argc > 4 || tokens < 1) {
    fprintf(stderr, "usage: stream_speed MODEL.gguf [DEVICE [TOKENS]]\n");
    return 2;
  }
  const std::unique_ptr<Platform> platform = CreatePlatform();
  std::unique_ptr<GgufFile> file = OrExit(GgufFile::Open(platform->files(), argv[1]));
  ModelParams params;
  params.context = static_cast<uint32_t>(tokens + 1);
  if (argc > 2) params.device.device = argv[2];
  const std::unique_ptr<Model> model = OrExit(Model::Load(std::move(file), params));
  printf("%s, %u tokens in the vocabulary\n\n", model->backend_description().c_str(), model->vocab_size());
  printf("| streams | all logits, tokens/s | the best alone, tokens/s | times | the same tokens |\n");
  printf("|---:|---:|---:|---:|---|\n");
  for (const size_t count : {1u, 8u, 32u}) {
    std::vector<Stream> streams(count);
    for (Stream& s : streams) s.session = OrExit(Session::Create(*model, 0));
    std::vector<double> all, best;
    bool same = true;
    for (int round = 0; round < 6; ++round) {  // the first makes graphs and wakes everybody
      const Round a = Run(*model, streams, tokens, false), b = Run(*model, streams, tokens, true);
      same = same && a.chosen == b.chosen;
      if (round == 0) continue;
      all.push_back(a.tokens_per_second);
      best.push_back(b.tokens_per_second);
    }
    printf("| %zu | %.0f | %.0f | %.2f | %s |\n", count, Median(all), Median(best), Median(best) / Median(all),
           same ? "yes" : "NO");
    fflush(stdout);
    if (!same) return 1;
  }
  return 0;
}
