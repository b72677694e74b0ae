// Joins the sessions of one model into batches.
//
// There is no thread of its own: whoever waits for tokens drives the engine for everybody (one leader at a time; the
// others sleep until their rows are done). A session alone costs nothing extra; a hundred share every step.
#ifndef MOTE_ENGINE_RUN_SCHEDULER_H_
#define MOTE_ENGINE_RUN_SCHEDULER_H_

#include <stdint.h>

#include <atomic>
#include <memory>
#include <span>
#include <vector>

#include "engine/core/buffer.h"
#include "engine/core/context.h"
#include "engine/core/status.h"
#include "engine/graph/backend.h"

namespace mote {

// Called with each token's logits as they come, in order (rows of images have none); false stops the evaluation with
// kCancelled. May be called from the thread of another session that leads the step: keep it short.
struct LogitsSink {
  bool (*row)(void* user, uint32_t index, std::span<const float> logits) = nullptr;
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
  KvCache* cache = nullptr;
  std::span<float> last_logits;               // (vocab): filled with the last token's logits
  LogitsSink sink;                            // optional: every token's logits
  const std::atomic<bool>* cancel = nullptr;  // optional: looked at between steps
  void (*progress)(void* user, uint32_t done, uint32_t total) = nullptr;  // optional, after each step
  void* progress_user = nullptr;

  uint32_t done = 0;  // tokens that are in the cache, also after a cancelled or failed job
};

class Scheduler {
 public:
  Scheduler(Program& program, std::unique_ptr<Monitor> monitor, uint32_t max_batch, uint32_t max_outputs,
            uint32_t vocab_size);
  ~Scheduler();
  // Blocks until the job is done, cancelled or failed. From any thread; one job per session at a time.
  Status Run(Job& job);
  // Runs `body` between two steps: what else wants the engine's workers. Blocks until it has returned.
  void RunBetweenSteps(void (*body)(void* user), void* user);

 private:
  struct Entry;
  struct Batch;
  void StepOnce(const std::vector<Entry*>& present);
  void Deliver(Entry& entry, const Batch& batch);

  Program& program_;
  std::unique_ptr<Monitor> monitor_;
  const uint32_t max_batch_;
  const uint32_t max_outputs_;
  const uint32_t vocab_size_;
  bool leading_ = false;
  std::vector<Entry*> entries_;  // waiting jobs, oldest first; guarded by monitor_
  Buffer logits_;                // (max_outputs, vocab) float32: the leader's; made with the first step
};

}  // namespace mote

#endif  // MOTE_ENGINE_RUN_SCHEDULER_H_
