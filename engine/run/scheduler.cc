#include "engine/run/scheduler.h"

#include <algorithm>

#include "engine/run/prompt.h"

namespace mote {
namespace {

// Steps in a row that may pass a job over. Decoding streams alone can take every row or every output of every step;
// after this many the oldest of those passed over gets its share before them.
constexpr uint32_t kPatience = 8;
// So that what the streams lose is small: an eighth of one step in kPatience.
uint32_t ShareOf(uint32_t room) {
  return std::max(1u, room / 8);
}

}  // namespace

struct Scheduler::Entry {
  Job* job = nullptr;
  // The leader works on entries without the lock: what the owner waits for is set with the lock held, and only then may
  // the entry, which lives on the owner's stack, go away.
  bool finished = false;
  bool over = false;  // the leader's own note that it will be finished
  Status status;
  // Of the step being made: this job's rows are [first_row, first_row + rows), its outputs start at first_output.
  uint32_t rows = 0;
  uint32_t first_row = 0;
  uint32_t first_output = 0;
  uint32_t outputs = 0;
  uint32_t passed_over = 0;  // steps in a row without a row of this job

  // Rows that the next one cannot be parted from: up to the last that it sees.
  uint32_t Together(uint32_t index) const {
    return job->ends.empty() ? 1 : std::max(job->ends[index] - job->start - index, 1u);
  }
  uint32_t left() const { return static_cast<uint32_t>(job->tokens.size()) - job->done; }
  void Finish(Status s) {
    over = true;
    status = std::move(s);
  }
};

// The arrays that a Step points to.
struct Scheduler::Batch {
  std::vector<int32_t> tokens;
  std::vector<int32_t> positions;
  std::vector<uint32_t> sequences;
  std::vector<KvCache*> caches;
  std::vector<uint32_t> outputs;
  std::vector<const float*> inputs;
  std::vector<RopePosition> ropes;
  std::vector<uint32_t> ends;
  bool has_images = false;

  void AddRow(const Job& job, uint32_t index) {
    const int32_t position = static_cast<int32_t>(job.start + index);
    tokens.push_back(job.tokens[index]);
    positions.push_back(position);
    sequences.push_back(static_cast<uint32_t>(caches.size()));
    inputs.push_back(job.inputs.empty() ? nullptr : job.inputs[index]);
    ropes.push_back(job.ropes.empty() ? RopePosition{position, position, position} : job.ropes[index]);
    ends.push_back(job.ends.empty() ? job.start + index + 1 : job.ends[index]);
    has_images = has_images || !job.inputs.empty();
  }

  // Takes up to `limit` of the entry's rows, as long as there is room for the outputs that they need.
  void Take(Entry& entry, uint32_t limit, uint32_t max_outputs) {
    const Job& job = *entry.job;
    entry.first_output = static_cast<uint32_t>(outputs.size());
    entry.first_row = static_cast<uint32_t>(tokens.size());
    for (entry.rows = 0; entry.rows < std::min(limit, entry.left()); ++entry.rows) {
      const uint32_t index = job.done + entry.rows;
      const bool wanted =
          (job.sink.row != nullptr && job.tokens[index] != kImageToken) || index + 1 == job.tokens.size();
      if (wanted && outputs.size() == max_outputs) break;
      // Rows that see each other: all of them now, or none. (They are an image's and want no outputs.)
      if (entry.rows + entry.Together(index) > limit) break;
      if (wanted) outputs.push_back(static_cast<uint32_t>(tokens.size()));
      AddRow(job, index);
    }
    entry.outputs = static_cast<uint32_t>(outputs.size()) - entry.first_output;
    if (entry.rows > 0) caches.push_back(job.cache);
  }
};

Scheduler::Scheduler(Program& program, std::unique_ptr<Monitor> monitor, uint32_t max_batch, uint32_t max_outputs,
                     uint32_t vocab_size)
    : program_(program),
      monitor_(std::move(monitor)),
      max_batch_(max_batch),
      max_outputs_(max_outputs),
      vocab_size_(vocab_size) {}

Scheduler::~Scheduler() = default;

Status Scheduler::Run(Job& job) {
  Entry entry;
  entry.job = &job;
  MonitorLock lock(*monitor_);
  entries_.push_back(&entry);
  while (!entry.finished) {
    if (leading_) {
      monitor_->Wait();
      continue;
    }
    leading_ = true;
    std::vector<Entry*> present = entries_;
    monitor_->Unlock();
    StepOnce(present);
    monitor_->Lock();
    leading_ = false;
    std::erase_if(entries_, [](const Entry* e) { return e->over; });
    for (Entry* e : present) e->finished = e->over;
    monitor_->NotifyAll();
  }
  return entry.status;
}

void Scheduler::RunBetweenSteps(void (*body)(void* user), void* user) {
  MonitorLock lock(*monitor_);
  while (leading_) monitor_->Wait();
  leading_ = true;
  monitor_->Unlock();
  body(user);
  monitor_->Lock();
  leading_ = false;
  monitor_->NotifyAll();
}

void Scheduler::StepOnce(const std::vector<Entry*>& present) {
  Batch batch;
  for (Entry* entry : present) {
    entry->rows = entry->outputs = 0;
    if (entry->job->cancel != nullptr && entry->job->cancel->load(std::memory_order_relaxed)) {
      entry->Finish(
          Error(Code::kCancelled, "cancelled after %u of %zu tokens", entry->job->done, entry->job->tokens.size()));
    }
  }
  const auto waited = std::find_if(present.begin(), present.end(),
                                   [](const Entry* e) { return !e->over && e->passed_over >= kPatience; });
  if (waited != present.end()) {
    const uint32_t together = (*waited)->Together((*waited)->job->done);
    batch.Take(**waited, std::max(ShareOf(max_batch_), std::min(together, max_batch_)), ShareOf(max_outputs_));
  }
  // Running streams first, so that a long prompt never stalls them; then prompts, oldest first.
  for (const bool decodes : {true, false}) {
    for (Entry* entry : present) {
      const uint32_t room = max_batch_ - static_cast<uint32_t>(batch.tokens.size());
      if (entry->over || entry->rows > 0 || room == 0 || (entry->left() == 1) != decodes) continue;
      batch.Take(*entry, room, max_outputs_);
    }
  }
  for (Entry* entry : present) entry->passed_over = entry->rows > 0 ? 0 : entry->passed_over + 1;
  if (batch.tokens.empty()) return;

  if (logits_.size() == 0) {
    Result<Buffer> logits = Buffer::Create(uint64_t{max_outputs_} * vocab_size_ * sizeof(float), "logits of a step");
    if (!logits.ok()) {
      for (Entry* entry : present) entry->Finish(logits.status());
      return;
    }
    logits_ = std::move(logits).value();
  }
  Step step;
  step.tokens = batch.tokens;
  step.positions = batch.positions;
  step.sequences = batch.sequences;
  step.caches = batch.caches;
  step.outputs = batch.outputs;
  step.logits = logits_.As<float>();
  if (batch.has_images) {
    step.inputs = batch.inputs;
    step.ropes = batch.ropes;
    step.sights[0].ends = batch.ends;
  }
  const Status status = program_.Run(step);
  for (Entry* entry : present) {
    if (entry->rows == 0) continue;
    if (status.ok()) {
      Deliver(*entry, batch);
    } else {
      entry->Finish(status);
    }
  }
}

void Scheduler::Deliver(Entry& entry, const Batch& batch) {
  Job& job = *entry.job;
  const float* logits = logits_.As<float>() + uint64_t{entry.first_output} * vocab_size_;
  const uint32_t before = job.done;
  job.done += entry.rows;
  if (job.sink.row != nullptr) {
    for (uint32_t i = 0; i < entry.outputs; ++i) {
      const uint32_t index = before + batch.outputs[entry.first_output + i] - entry.first_row;
      if (!job.sink.row(job.sink.user, index, {logits + uint64_t{i} * vocab_size_, vocab_size_})) {
        return entry.Finish(Error(Code::kCancelled, "stopped by the receiver of logits after %u tokens", index + 1));
      }
    }
  }
  if (job.progress != nullptr) job.progress(job.progress_user, job.done, static_cast<uint32_t>(job.tokens.size()));
  if (entry.left() > 0) return;
  const float* last = logits + uint64_t{entry.outputs - 1} * vocab_size_;
  std::copy(last, last + vocab_size_, job.last_logits.begin());
  entry.Finish(Status());
}

}  // namespace mote
