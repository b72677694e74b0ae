// Generations without threads of their own: one thread makes steps for all that were started.
#ifndef MOTE_ENGINE_RUN_STEPPER_H_
#define MOTE_ENGINE_RUN_STEPPER_H_

#include <stdint.h>

#include <memory>
#include <vector>

#include "engine/core/context.h"
#include "engine/core/status.h"

namespace mote {

class Generation;
class Scheduler;
class Session;
struct GenerateResult;

struct StepReport {
  uint32_t running = 0;      // generations after the step
  uint32_t decode_rows = 0;  // of these generations
  uint32_t prefill_rows = 0;
};

class Stepper {
 public:
  using Done = void (*)(void* user, Result<GenerateResult> result);

  Stepper(Scheduler& scheduler, std::unique_ptr<Monitor> monitor);
  ~Stepper();

  // From any thread, callbacks included. `done` comes once, from Step, when the generation is gone and its session free
  // for anything.
  void Add(std::unique_ptr<Generation> generation, Done done, void* user);
  // Drops the session's generation; there will be no `done`. Not while a step is made, but for callbacks of other
  // generations.
  void Remove(const Session& session);
  // One step of all, in the order in which they were added; max_prefill as in Job. kInvalidArgument: a step is being
  // made.
  Result<StepReport> Step(uint32_t max_prefill);

 private:
  struct Running;
  void Advance(Running& running, StepReport* report);

  Scheduler& scheduler_;
  std::unique_ptr<Monitor> monitor_;
  bool stepping_ = false;
  std::vector<std::shared_ptr<Running>> running_;  // both guarded by monitor_
};

}  // namespace mote

#endif  // MOTE_ENGINE_RUN_STEPPER_H_
