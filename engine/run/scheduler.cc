#include "engine/run/scheduler.h"

#include <algorithm>
#include <utility>

#include "engine/run/prompt.h"
#include "engine/run/workers.h"

namespace mote {
namespace {

// Steps in a row that may pass a job over. Decoding streams alone can take every row or every output of every step;
// after this many the oldest of those passed over gets its share before them.
constexpr uint32_t kPatience = 8;
// Multiplications between two looks at who has left, of a long step: 10 to 60 ms of two to one cores of Zen 3, against
// which waking the workers anew is nothing. More looks than a graph has phases would be of no use.
constexpr uint64_t kPartWork = 1'000'000'000;
constexpr uint64_t kParts = 256;
// Rows that products take at a time, about: a cut between them costs.
constexpr uint32_t kRowTile = 16;
// Steps of one length differ by so much, on a machine that does other things as well.
constexpr double kMargin = 0.8;
// So that what the streams lose is small: an eighth of one step in kPatience.
uint32_t ShareOf(uint32_t room) {
  return std::max(1u, room / 8);
}

}  // namespace

struct Scheduler::Entry {
  Job* job = nullptr;
  bool once = false;  // leaves after one step, whatever came of it
  // The leader works on entries without the lock: what the owner waits for is set with the lock held, and only then may
  // the entry, which lives on the owner's stack, go away.
  bool left = false;
  // Of the step being made: this job's rows are [first_row, first_row + rows), its outputs start at first_output.
  uint32_t rows = 0;
  uint32_t first_row = 0;
  uint32_t first_output = 0;
  uint32_t outputs = 0;

  // Rows that the next one cannot be parted from: up to the last that it sees.
  uint32_t Together(uint32_t index) const {
    return job->ends.empty() ? 1 : std::max(job->ends[index] - job->start - index, 1u);
  }
  uint32_t todo() const { return static_cast<uint32_t>(job->tokens.size()) - job->done; }
  bool leaves() const { return once || job->finished; }
  void Finish(Status s) {
    job->finished = true;
    job->status = std::move(s);
  }
};

// The arrays that a Step points to.
struct Scheduler::Batch {
  std::vector<int32_t> tokens;
  std::vector<int32_t> positions;
  std::vector<uint32_t> sequences;
  std::vector<KvCache*> caches;
  std::vector<uint32_t> outputs;
  std::vector<uint32_t> enough;  // of each output
  std::vector<uint32_t> hidden_rows;
  std::vector<const float*> inputs;
  std::vector<RopePosition> ropes;
  std::vector<uint32_t> ends;
  bool has_images = false;
  uint32_t read_from = UINT32_MAX;

  uint32_t rows() const { return static_cast<uint32_t>(tokens.size()); }

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

  bool NeedsAllOfSome() const { return std::find(enough.begin(), enough.end(), 0u) != enough.end(); }
  bool NeedsBestOfSome() const {
    return std::any_of(enough.begin(), enough.end(), [](uint32_t count) { return count > 0; });
  }

  // Takes up to `limit` of the entry's rows, as long as there is room for the outputs that they need.
  void Take(Entry& entry, uint32_t limit, uint32_t max_outputs, uint32_t max_best) {
    const Job& job = *entry.job;
    const bool hidden = job.hidden.row != nullptr;
    entry.first_output = static_cast<uint32_t>(hidden ? hidden_rows.size() : outputs.size());
    entry.first_row = rows();
    const uint32_t todo = entry.todo();
    for (entry.rows = 0; entry.rows < std::min(limit, todo); ++entry.rows) {
      const uint32_t index = job.done + entry.rows;
      const bool last = !job.last_logits.empty() && index + 1 == job.tokens.size();
      const bool wanted = !hidden && ((job.sink.row != nullptr && job.tokens[index] != kImageToken) || last);
      if (wanted && outputs.size() == max_outputs) break;
      // Rows that see each other: all of them now, or none. (They are an image's and want no logits.)
      if (entry.rows + entry.Together(index) > limit) break;
      if (wanted) {
        outputs.push_back(rows());
        enough.push_back(job.sink.row == nullptr && job.enough <= max_best ? job.enough : 0);
      }
      if (hidden) hidden_rows.push_back(rows());
      AddRow(job, index);
    }
    entry.outputs = static_cast<uint32_t>(hidden ? hidden_rows.size() : outputs.size()) - entry.first_output;
    if (entry.rows > 0) caches.push_back(job.cache);
  }
};

Scheduler::Scheduler(Program& program, std::unique_ptr<Monitor> monitor, ThreadPool* pool, const Limits& limits,
                     const std::optional<StepWork>& work)
    : program_(program), monitor_(std::move(monitor)), pool_(pool), limits_(limits), work_(work) {}

Scheduler::~Scheduler() = default;

void Scheduler::Enter(Entry& entry) {
  if (entry.job->age == 0) entry.job->age = next_age_++;
  entries_.push_back(&entry);
}

// Makes steps, or waits for others to make them, until the entry has left. With the lock held.
void Scheduler::Lead(const Entry& until) {
  while (!until.left) {
    if (leading_ || (between_ > 0 && !steps_turn_)) {
      monitor_->Wait();
      continue;
    }
    leading_ = true;
    const std::vector<Entry*> present = entries_;
    monitor_->Unlock();
    StepOnce(present);
    monitor_->Lock();
    leading_ = false;
    steps_turn_ = false;
    std::erase_if(entries_, [&](const Entry* e) {
      return e->leaves() && std::find(present.begin(), present.end(), e) != present.end();
    });
    for (Entry* e : present) e->left = e->leaves();
    monitor_->NotifyAll();
  }
}

Status Scheduler::Run(Job& job) {
  Entry entry;
  entry.job = &job;
  if (Status status = CheckWorkers(pool_); !status.ok()) {
    entry.Finish(std::move(status));
    return job.status;
  }
  MonitorLock lock(*monitor_);
  Enter(entry);
  Lead(entry);
  return job.status;
}

void Scheduler::RunOnce(std::span<Job* const> jobs) {
  if (jobs.empty()) return;
  std::vector<Entry> entries(jobs.size());
  const Status workers = CheckWorkers(pool_);
  for (size_t i = 0; i < jobs.size(); ++i) {
    entries[i].job = jobs[i];
    entries[i].once = true;
    if (!workers.ok()) entries[i].Finish(workers);
  }
  if (!workers.ok()) return;
  MonitorLock lock(*monitor_);
  for (Entry& entry : entries) Enter(entry);
  Lead(entries[0]);  // they came together and leave together
}

void Scheduler::RunBetweenSteps(void (*body)(void* user), void* user) {
  MonitorLock lock(*monitor_);
  ++between_;
  while (leading_ || (steps_turn_ && !entries_.empty())) monitor_->Wait();
  --between_;
  leading_ = true;
  monitor_->Unlock();
  body(user);
  monitor_->Lock();
  leading_ = false;
  steps_turn_ = true;
  monitor_->NotifyAll();
}

// The oldest of the prompts goes first, but leaves up to half of `rows` to the shortest of the others, and then come
// these, shortest first: who asks briefly while a book is being read does not wait for its end. Nobody starves: see
// kPatience.
void Scheduler::FillPrompts(std::vector<Entry*> prompts, uint32_t rows, bool alone, Batch* batch) {
  if (prompts.empty()) return;
  std::stable_sort(prompts.begin() + 1, prompts.end(),
                   [](const Entry* a, const Entry* b) { return a->todo() < b->todo(); });
  uint32_t left = std::min(rows, limits_.max_batch - batch->rows());
  bool none = alone;
  for (size_t i = 0; i < prompts.size() && left > 0; ++i) {
    Entry& entry = *prompts[i];
    const uint32_t together = entry.Together(entry.job->done);
    uint32_t limit = left;
    if (i == 0 && prompts.size() > 1 && prompts[1]->todo() < entry.todo()) {
      limit = std::max(left - std::min(prompts[1]->todo(), left / 2), std::min(together, left));
    }
    // Rows that cannot be parted come in a step of their own, however many.
    if (none) limit = std::max(limit, std::min(together, limits_.max_batch - batch->rows()));
    batch->Take(entry, limit, limits_.max_outputs, program_.max_best());
    left -= std::min(left, entry.rows);
    none = none && entry.rows == 0;
  }
}

// Rows of prompts that the step may have. Alone a prompt takes what there is room for: who leaves ends it in its midst.
uint32_t Scheduler::PromptRows(const std::vector<Entry*>& present) const {
  if (limits_.clock == nullptr || !work_) return limits_.max_batch;
  uint32_t jobs = 0;
  uint32_t streams = 0;
  uint32_t deepest = 0;
  for (const Entry* entry : present) {
    if (entry->job->finished) continue;
    ++jobs;
    streams += entry->todo() == 1;
    deepest = std::max(deepest, entry->job->start + entry->job->done);
  }
  if (jobs < 2) return limits_.max_batch;
  const double rows =
      kMargin * kSharedSeconds * speed_ / static_cast<double>(std::max<uint64_t>(work_->OfRow(deepest), 1));
  if (rows >= static_cast<double>(limits_.max_batch)) return limits_.max_batch;
  const uint32_t whole = static_cast<uint32_t>(rows) / kRowTile * kRowTile;
  return std::min(std::max(whole - std::min(whole, streams), kSharedRows), limits_.max_batch);
}

// Of steps that are not too short to tell: a few rows wait for the weights. Whatever else the machine does makes speeds
// differ from step to step; faster is believed more slowly.
void Scheduler::TakeSpeed(uint32_t rows, uint64_t work, double seconds) {
  if (rows < kSharedRows || seconds <= 0) return;
  const double speed = static_cast<double>(work) / seconds;
  speed_ = speed_ == 0 ? speed : speed_ + (speed - speed_) / (speed < speed_ ? 2 : 4);
}

// Running streams first, so that a long prompt never stalls them, those that waited longest before the others; then
// prompts.
void Scheduler::Fill(const std::vector<Entry*>& present, Batch* batch) {
  uint32_t max_prefill = PromptRows(present);
  for (const Entry* entry : present) {
    if (entry->job->max_prefill > 0) max_prefill = std::min(max_prefill, entry->job->max_prefill);
  }
  uint32_t prefill = 0;  // rows taken of prompts
  const auto waited = std::find_if(present.begin(), present.end(), [](const Entry* e) {
    return !e->job->finished && e->job->passed_over >= kPatience;
  });
  if (waited != present.end()) {
    Entry& entry = **waited;
    const bool decodes = entry.todo() == 1;
    const uint32_t together = std::min(entry.Together(entry.job->done), limits_.max_batch);
    const uint32_t share = decodes ? 1 : std::min(ShareOf(limits_.max_batch), max_prefill);
    batch->Take(entry, std::max(share, together), ShareOf(limits_.max_outputs), program_.max_best());
    prefill += decodes ? 0 : entry.rows;
  }
  std::vector<Entry*> streams = present;
  std::stable_sort(streams.begin(), streams.end(),
                   [](const Entry* a, const Entry* b) { return a->job->passed_over > b->job->passed_over; });
  for (Entry* entry : streams) {
    const uint32_t room = limits_.max_batch - batch->rows();
    if (entry->job->finished || entry->rows > 0 || room == 0 || entry->todo() != 1) continue;
    batch->Take(*entry, room, limits_.max_outputs, program_.max_best());
  }
  std::vector<Entry*> prompts;
  for (Entry* entry : present) {
    if (!entry->job->finished && entry->rows == 0 && entry->todo() != 1) prompts.push_back(entry);
  }
  FillPrompts(std::move(prompts), max_prefill - std::min(prefill, max_prefill), prefill == 0, batch);
  ReadLast(present, batch);
}

// The same rows, those that are read behind the others: a step has its kinds of rows side by side.
void Scheduler::ReadLast(const std::vector<Entry*>& present, Batch* batch) const {
  if (std::none_of(present.begin(), present.end(), [](const Entry* e) { return e->rows > 0 && e->job->reads; })) return;
  std::vector<Entry*> taken;
  for (Entry* entry : present) {
    if (entry->rows > 0) taken.push_back(entry);
  }
  std::sort(taken.begin(), taken.end(), [](const Entry* a, const Entry* b) {
    return a->job->reads != b->job->reads ? b->job->reads : a->first_row < b->first_row;
  });
  Batch ordered;
  for (Entry* entry : taken) {
    if (entry->job->reads) ordered.read_from = std::min(ordered.read_from, ordered.rows());
    ordered.Take(*entry, entry->rows, limits_.max_outputs, program_.max_best());
  }
  *batch = std::move(ordered);
}

// Everybody whose rows are in the step has left.
bool Scheduler::Abandoned(const std::vector<Entry*>& present) {
  return std::all_of(present.begin(), present.end(), [](const Entry* e) {
    return e->rows == 0 || (e->job->cancel != nullptr && e->job->cancel->load(std::memory_order_relaxed));
  });
}

Status Scheduler::Compute(const std::vector<Entry*>& present, const Batch& batch) {
  if (batch.NeedsAllOfSome() && logits_.size() == 0) {
    const uint64_t bytes = uint64_t{limits_.max_outputs} * limits_.vocab_size * sizeof(float);
    MOTE_ASSIGN_OR_RETURN(logits_, Buffer::Create(bytes, "logits of a step"));
  }
  if (batch.NeedsBestOfSome() && best_.size() == 0) {
    const uint64_t bytes = uint64_t{limits_.max_outputs} * program_.max_best() * sizeof(TokenLogit);
    MOTE_ASSIGN_OR_RETURN(best_, Buffer::Create(bytes, "best logits of a step"));
  }
  if (!batch.hidden_rows.empty() && hidden_.size() == 0) {
    const uint64_t bytes = uint64_t{limits_.max_batch} * limits_.width * sizeof(float);
    MOTE_ASSIGN_OR_RETURN(hidden_, Buffer::Create(bytes, "hidden states of a step"));
  }
  Step step;
  step.tokens = batch.tokens;
  step.positions = batch.positions;
  step.sequences = batch.sequences;
  step.caches = batch.caches;
  step.outputs = batch.outputs;
  step.logits = logits_.As<float>();
  step.hidden_rows = batch.hidden_rows;
  step.hidden = hidden_.As<float>();
  if (batch.NeedsBestOfSome()) {
    step.enough = batch.enough;
    step.best = best_.As<TokenLogit>();
  }
  if (batch.has_images) {
    step.inputs = batch.inputs;
    step.ropes = batch.ropes;
    step.sights[0].ends = batch.ends;
  }
  step.read_from = batch.read_from;
  step.max_workers = max_workers();
  const uint64_t work = work_ ? work_->Of(step) : 0;
  if (work_ && limits_.few_workers) {
    const int worth = StepWork::Workers(work);
    step.max_workers = step.max_workers > 0 ? std::min(step.max_workers, worth) : worth;
  }
  const uint32_t parts = static_cast<uint32_t>(std::clamp<uint64_t>(work / kPartWork, 1, kParts));
  const double begin = limits_.clock != nullptr ? limits_.clock->Seconds() : 0;
  for (uint32_t part = 0; part < parts; ++part) {
    // What it has written into the caches lies behind what they hold.
    if (part > 0 && Abandoned(present)) {
      static_cast<void>(program_.End());  // whatever came of it
      return Error(Code::kCancelled, "cancelled in the midst of a step");
    }
    MOTE_RETURN_IF_ERROR(program_.RunPart(step, part, parts));
  }
  if (limits_.clock != nullptr) TakeSpeed(batch.rows(), work, limits_.clock->Seconds() - begin);
  return Status();
}

void Scheduler::StepOnce(std::vector<Entry*> present) {
  std::stable_sort(present.begin(), present.end(),
                   [](const Entry* a, const Entry* b) { return a->job->age < b->job->age; });
  bool left = false;
  for (Entry* entry : present) {
    Job& job = *entry->job;
    entry->rows = entry->outputs = 0;
    if (job.cancel != nullptr && job.cancel->load(std::memory_order_relaxed)) {
      entry->Finish(Error(Code::kCancelled, "cancelled after %u of %zu tokens", job.done, job.tokens.size()));
      left = true;
    }
  }
  // They are told first: whoever stays may be alone now, with a long step.
  if (left) return;
  Batch batch;
  Fill(present, &batch);
  for (Entry* entry : present) entry->job->passed_over = entry->rows > 0 ? 0 : entry->job->passed_over + 1;
  if (batch.tokens.empty()) return;
  const Status status = Compute(present, batch);
  std::vector<Entry*> done;
  for (Entry* entry : present) {
    if (entry->rows == 0) continue;
    if (!status.ok()) {
      entry->Finish(status);
      continue;
    }
    Deliver(*entry, batch);
    if (entry->job->finished || entry->todo() > 0) continue;
    entry->Finish(Status());
    done.push_back(entry);
  }
  MakeReady(done, batch);
}

// What must come in order, and from one thread.
void Scheduler::Deliver(Entry& entry, const Batch& batch) {
  Job& job = *entry.job;
  const uint32_t before = job.done;
  job.done += entry.rows;
  const bool hidden = job.hidden.row != nullptr;
  if (hidden || job.sink.row != nullptr) {
    const size_t cols = static_cast<size_t>(hidden ? limits_.width : limits_.vocab_size);
    const float* values = (hidden ? hidden_ : logits_).As<float>() + entry.first_output * cols;
    const std::vector<uint32_t>& rows = hidden ? batch.hidden_rows : batch.outputs;
    for (uint32_t i = 0; i < entry.outputs; ++i, values += cols) {
      const uint32_t index = before + rows[entry.first_output + i] - entry.first_row;
      const bool more = hidden ? job.hidden.row(job.hidden.user, index, {values, cols})
                               : job.sink.row(job.sink.user, index, {values, cols});
      if (!more) return entry.Finish(Error(Code::kCancelled, "stopped by the receiver after %u tokens", index + 1));
    }
  }
  if (job.progress != nullptr && !entry.once) {
    job.progress(job.progress_user, job.done, static_cast<uint32_t>(job.tokens.size()));
  }
}

void Scheduler::HandOut(const Entry& entry, const Batch& batch) const {
  Job& job = *entry.job;
  if (job.last_logits.empty()) return;
  const uint64_t output = entry.first_output + entry.outputs - 1;
  if (const uint32_t enough = batch.enough[output]; enough > 0) {
    const TokenLogit* best = best_.As<TokenLogit>() + output * program_.max_best();
    job.best.assign(best, best + enough);
  } else {
    const float* last = logits_.As<float>() + output * limits_.vocab_size;
    std::copy(last, last + limits_.vocab_size, job.last_logits.begin());
  }
  if (job.ready != nullptr) job.ready(job.ready_user);
}

// Hands out last logits. A step of many streams ends with as many samplings, each over the whole vocabulary: work for
// all.
void Scheduler::MakeReady(const std::vector<Entry*>& done, const Batch& batch) {
  struct Work {
    const Scheduler* scheduler;
    const std::vector<Entry*>& done;
    const Batch& batch;
    std::atomic<size_t> next = 0;
    static void Run(void* self, int) {
      Work& w = *static_cast<Work*>(self);
      for (size_t i = w.next.fetch_add(1); i < w.done.size(); i = w.next.fetch_add(1)) {
        w.scheduler->HandOut(*w.done[i], w.batch);
      }
    }
  } work{this, done, batch};
  if (pool_ != nullptr && done.size() > 1) return pool_->Run(Work::Run, &work);
  Work::Run(&work, 0);
}

}  // namespace mote
