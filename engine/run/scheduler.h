// Joins the sessions of one model into batches.
//
// There is no thread of its own: whoever waits for tokens drives the engine for everybody (one leader at a time; the
// others sleep until their rows are done). A session alone costs nothing extra; a hundred share every step. One thread
// may bring many jobs and take them step by step (RunOnce).
#ifndef MOTE_ENGINE_RUN_SCHEDULER_H_
#define MOTE_ENGINE_RUN_SCHEDULER_H_

#include <stdint.h>

#include <atomic>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/core/buffer.h"
#include "engine/core/context.h"
#include "engine/core/status.h"
#include "engine/graph/backend.h"
#include "engine/graph/work.h"

namespace mote {

// Called with each token's logits as they come, in order (rows of images have none); false stops the evaluation with
// kCancelled. May be called from the thread of another session that leads the step: keep it short.
struct LogitsSink {
  bool (*row)(void* user, uint32_t index, std::span<const float> logits) = nullptr;
  void* user = nullptr;
};

// The same with what the model knows of the row: its state after the last norm, (width). Every token in its order, rows
// of images too.
struct HiddenSink {
  bool (*row)(void* user, uint32_t index, std::span<const float> hidden) = nullptr;
  void* user = nullptr;
};

// One evaluation: some tokens of one session, to be computed after what its cache holds.
struct Job {
  std::span<const int32_t> tokens;  // at least one
  uint32_t start = 0;               // position of tokens[0]
  // One for each token, or empty; see Step. Rows that see what comes after them go into one step with it: no more such
  // rows than a batch has.
  std::span<const float* const> inputs;
  std::span<const RopePosition> ropes;
  std::span<const uint32_t> ends;
  bool reads = false;  // of a prompt: see Step::read_from
  KvCache* cache = nullptr;
  std::span<float> last_logits;  // (vocab): filled with the last token's logits; empty: nobody wants them
  // How many of the highest of the last logits would do; 0: all. Where the program picks so many (Program::max_best)
  // they come as `best`, and last_logits stay as they are.
  uint32_t enough = 0;
  std::vector<TokenLogit> best;  // see Step::best; else empty
  // Optional, once: the job is done and last_logits or `best` are there. From a worker of the engine, beside those of
  // other jobs (where there is one, see the Scheduler): for what each can compute by itself.
  void (*ready)(void* user) = nullptr;
  void* ready_user = nullptr;
  LogitsSink sink;                            // optional: every token's logits
  HiddenSink hidden;                          // optional: every token's hidden state, and no logits at all
  const std::atomic<bool>* cancel = nullptr;  // optional: looked at between steps
  void (*progress)(void* user, uint32_t done, uint32_t total) = nullptr;  // optional, after each step of Run
  void* progress_user = nullptr;
  uint32_t max_prefill = 0;  // rows of prompts in a step that this job takes part in; 0: what the batch holds

  uint32_t done = 0;      // tokens that are in the cache, also after a cancelled or failed job
  bool finished = false;  // done, cancelled or failed: see status
  Status status;
  uint64_t age = 0;          // the scheduler's: the lower, the older; 0: not seen yet
  uint32_t passed_over = 0;  // the scheduler's: steps in a row without a row of this job
};

class Scheduler {
 public:
  struct Limits {
    uint32_t max_batch = 0;    // rows of a step
    uint32_t max_outputs = 0;  // of them, with logits
    uint32_t vocab_size = 0;
    uint32_t width = 0;        // of a hidden state
    bool few_workers = false;  // no step wakes more workers than its work is worth; only with a StepWork
    // Optional, only with a StepWork: a step that several jobs wait for has no more rows of prompts than take
    // kSharedSeconds by the speed of the steps before it, but kSharedRows at least.
    const Clock* clock = nullptr;
  };
  // Whoever leaves (see Job::cancel) waits for the step that others share: this, and what lies around it, stays below a
  // fifth of a second.
  static constexpr double kSharedSeconds = 0.12;
  // With fewer the products read the weights for too little: two cores of an x86 server, 135 million int8 weights, a
  // prompt read in steps of 512 rows at 1.5 to 1.6 thousand tokens a second, 128 at 1.3 to 1.5, 64 at 1.15, 32 at
  // 0.9 to 1.2, 16 at 0.4. (2026-11)
  static constexpr uint32_t kSharedRows = 64;
  // `pool`: of the program, for what jobs have to do when they are ready; null: the leader does it.
  // `work`: of the program's graph. Where it is given, a long step looks on its way whether anybody still waits for it.
  Scheduler(Program& program, std::unique_ptr<Monitor> monitor, ThreadPool* pool, const Limits& limits,
            const std::optional<StepWork>& work = std::nullopt);
  ~Scheduler();
  // Blocks until the job is done, cancelled or failed. From any thread; one job per session at a time.
  Status Run(Job& job);
  // Takes part in one step with all of the jobs, and with whoever else is there. Blocks until it is made. Afterwards
  // each has gone on by its share of it (none, where there was no room, or where one of the jobs was cancelled: it is
  // told before the next step is made), and some are finished.
  void RunOnce(std::span<Job* const> jobs);
  // From the next step on, at most so many of the CPU's workers take part; 0: all. Any thread.
  void LimitWorkers(int workers) { max_workers_.store(workers, std::memory_order_relaxed); }
  int max_workers() const { return max_workers_.load(std::memory_order_relaxed); }
  // Runs `body` between two steps: what else wants the engine's workers. Blocks until it has returned. Bodies and steps
  // take turns where both are waiting.
  void RunBetweenSteps(void (*body)(void* user), void* user);
  template <class Body>
  void BetweenSteps(Body body) {
    RunBetweenSteps([](void* user) { (*static_cast<Body*>(user))(); }, &body);
  }

 private:
  struct Entry;
  struct Batch;
  void Enter(Entry& entry);
  void Lead(const Entry& until);
  void StepOnce(std::vector<Entry*> present);
  void Fill(const std::vector<Entry*>& present, Batch* batch);
  void ReadLast(const std::vector<Entry*>& present, Batch* batch) const;
  uint32_t PromptRows(const std::vector<Entry*>& present) const;
  void FillPrompts(std::vector<Entry*> prompts, uint32_t rows, bool alone, Batch* batch);
  static bool Abandoned(const std::vector<Entry*>& present);
  Status Compute(const std::vector<Entry*>& present, const Batch& batch);
  void TakeSpeed(uint32_t rows, uint64_t work, double seconds);
  void Deliver(Entry& entry, const Batch& batch);
  void HandOut(const Entry& entry, const Batch& batch) const;
  void MakeReady(const std::vector<Entry*>& done, const Batch& batch);

  Program& program_;
  std::unique_ptr<Monitor> monitor_;
  ThreadPool* pool_;
  const Limits limits_;
  const std::optional<StepWork> work_;
  std::atomic<int> max_workers_{0};
  bool leading_ = false;
  uint32_t between_ = 0;         // bodies that wait for their turn
  bool steps_turn_ = false;      // the last turn was a body's
  uint64_t next_age_ = 1;        // all of these, and entries_, guarded by monitor_
  std::vector<Entry*> entries_;  // waiting jobs
  double speed_ = 0;             // of steps of many rows, work a second; 0: there was none yet. The leader's
  Buffer logits_;                // (max_outputs, vocab) float32: the leader's; made with the first step that wants them
  Buffer hidden_;                // (max_batch, width) float32: the same
  Buffer best_;                  // (max_outputs, max_best) TokenLogit: the same
};

}  // namespace mote

#endif  // MOTE_ENGINE_RUN_SCHEDULER_H_
