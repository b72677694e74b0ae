#include "engine/run/stepper.h"

#include <utility>

#include "engine/run/generation.h"
#include "engine/run/scheduler.h"

namespace mote {

struct Stepper::Running {
  std::unique_ptr<Generation> generation;
  Done done = nullptr;
  void* user = nullptr;
  bool removed = false;
  uint32_t computed = 0;  // of the job, before the step
};

Stepper::Stepper(Scheduler& scheduler, std::unique_ptr<Monitor> monitor)
    : scheduler_(scheduler), monitor_(std::move(monitor)) {}

Stepper::~Stepper() = default;

void Stepper::Add(std::unique_ptr<Generation> generation, Done done, void* user) {
  auto running = std::make_shared<Running>();
  running->generation = std::move(generation);
  running->done = done;
  running->user = user;
  MonitorLock lock(*monitor_);
  running_.push_back(std::move(running));
}

void Stepper::Remove(const Session& session) {
  MonitorLock lock(*monitor_);
  std::erase_if(running_, [&](const std::shared_ptr<Running>& r) {
    if (&r->generation->session() != &session) return false;
    r->removed = true;
    return true;
  });
}

Result<StepReport> Stepper::Step(uint32_t max_prefill) {
  std::vector<std::shared_ptr<Running>> present;
  {
    MonitorLock lock(*monitor_);
    if (stepping_)
      return Error(Code::kInvalidArgument, "a step is being made already; one thread at a time makes them");
    stepping_ = true;
    present = running_;
  }
  std::vector<Job*> jobs;
  for (const std::shared_ptr<Running>& r : present) {
    Job& job = r->generation->job();
    job.max_prefill = max_prefill;
    r->computed = job.done;
    jobs.push_back(&job);
  }
  scheduler_.RunOnce(jobs);
  StepReport report;
  for (const std::shared_ptr<Running>& r : present) {
    if (!r->removed) Advance(*r, &report);
  }
  MonitorLock lock(*monitor_);
  stepping_ = false;
  report.running = static_cast<uint32_t>(running_.size());
  return report;
}

void Stepper::Advance(Running& running, StepReport* report) {
  Generation& generation = *running.generation;
  const Job& job = generation.job();
  if (job.done == running.computed && !job.finished) return;  // there was no room
  (generation.decoding() ? report->decode_rows : report->prefill_rows) += job.done - running.computed;
  if (job.progress != nullptr && job.done != running.computed) {
    job.progress(job.progress_user, job.done, static_cast<uint32_t>(job.tokens.size()));
  }
  generation.Advance();
  if (!generation.finished()) return;
  {
    MonitorLock lock(*monitor_);
    std::erase_if(running_, [&](const std::shared_ptr<Running>& r) { return r.get() == &running; });
  }
  Result<GenerateResult> result = generation.TakeResult();
  running.generation.reset();
  running.done(running.user, std::move(result));
}

}  // namespace mote
