// One loaded model file at work: its queue, its sessions, and the threads that prepare prompts and make steps.
#ifndef MOTE_EDGE_SERVER_SERVING_ENGINE_H_
#define MOTE_EDGE_SERVER_SERVING_ENGINE_H_

#include <stdint.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "edge/server/ops/backoff.h"
#include "edge/server/ops/metrics.h"
#include "edge/server/serving/fair_queue.h"
#include "edge/server/serving/flight.h"
#include "edge/server/serving/slots.h"
#include "edge/server/serving/task.h"

namespace mote::server {

struct EngineOptions {
  std::string name;       // of the model, as requests call it
  std::string path;       // of its file, or "" for the one in the program
  std::string precision;  // of its weights: "q8_0"
  int slots = 8;
  uint32_t context = 0;         // tokens of a session; 0: the model's
  uint32_t batch = 0;           // rows of a step; 0: as the model was loaded with
  uint32_t prefill_budget = 0;  // rows of prompts in a step while streams are running; 0: what the batch holds
  uint32_t queue_length = 256;  // requests that may wait for a session
  double queue_timeout = 30;
  uint64_t max_image_pixels = uint64_t{1} << 24;
  std::shared_ptr<const Backoff> backoff;  // optional: how much of all this is used
};

// What an engine says of itself, at any time.
struct EngineState {
  uint32_t running = 0;    // requests with a session, or with one that is free for them once they are prepared
  uint32_t waiting = 0;    // for a session
  double cache_usage = 0;  // of its sessions' room for tokens
  double drain_rate = 0;   // requests a second that lately came to their end
  uint64_t progress = 0;   // grows with each step, prompt and view of an image
};

// One request at work. Made by the service, run by the engine.
struct Work {
  Task task;
  std::shared_ptr<Flight> flight;
  double arrived = 0;
  double deadline = 0;  // absolute
  bool cacheable = false;
  // Called once, before the flight is told the end; with all that was told, where it is an answer.
  std::function<void(const std::shared_ptr<const Record>& record)> ended;

  // The engine's.
  std::atomic<bool> given_up{false};
  double started = 0;  // taken from the queue, to be prepared
  double ready = 0;    // images read, prompt made
  double placed = 0;   // given a session
  double first = 0;    // token
  Prompt prompt;
  std::vector<Token> tokens;  // of the prompt, -1 for rows of images
  std::shared_ptr<mote_grammar> grammar;
  mote_prompt_info info = {};
  int unfinished = 0;  // choices
  uint32_t cached_tokens = 0;
  uint32_t completion_tokens = 0;
  double prefill_seconds = 0;
  double decode_seconds = 0;
  std::optional<ApiError> error;
  Finish finish = Finish::kStop;
};

// What the log and the account are told of a record.
Outcome OutcomeOf(const RequestRecord& record);

// Threads of its own: one that makes steps, and two that prepare prompts, of which one is for requests with images, so
// that a large picture does not hold up a short question.
class Engine {
 public:
  // `backing`: what the model's weights lie in, kept as long as the model.
  Engine(Model model, EngineOptions options, Metrics* metrics, std::shared_ptr<const void> backing = nullptr);
  ~Engine();  // what still runs is cancelled and told

  // Puts a request into the queue; false with the refusal where that is full. `work->flight` has its receiver.
  bool Submit(std::shared_ptr<Work> work, ApiError* refusal);
  // To be called after work->given_up has become true: the work ends soon.
  void Wake();

  // A text, or tokens where there are any, as one vector. On the caller's thread, together with all else that runs.
  Result<Embedding> Embed(const std::string& text, const std::vector<Token>& tokens);

  EngineState state() const;
  std::vector<SlotState> slots() const;
  Model& model() { return model_; }
  const EngineOptions& options() const { return options_; }

 private:
  struct Run;  // one choice of a work, in a session
  friend struct EngineCallbacks;

  // Grammars that are kept compiled. A grammar is at most some megabytes; programs use a few.
  static constexpr size_t kGrammars = 32;

  // The threads that prepare.
  void PrepareLoop(bool images);
  bool Prepare(Work& work);
  bool CompileGrammar(Work& work);
  ApiError GrammarRefusal(const Task& task, ApiError refusal);
  // The thread that steps.
  void StepLoop();
  void StartReady();
  bool StartRun(std::unique_ptr<Run>& run);
  void Step();
  void BackOff(mote_step_params* params);
  void EndRun(Run& run, mote_status status, const mote_generate_result* result, const char* message);
  void Sweep();
  void EndChoice(const std::shared_ptr<Work>& work);
  void Expire(double now);
  void ExpireQueued(double now);
  void RefuseAll();
  void PublishState();
  // Any of them.
  void Fail(Work& work, ApiError error);
  void Finish(Work& work);
  void Account(const Work& work, const Summary& summary);
  // With mutex_ held.
  double DrainRate() const;
  size_t Unplaced() const;                             // works without a session
  size_t FreeSessions() const;                         // for them
  uint32_t Waiting() const;                            // works for which none is free
  bool HasWaited(const Work& work, double now) const;  // too long
  uint32_t AdmissionLimit() const;

  const std::shared_ptr<const void> backing_;
  Model model_;
  const EngineOptions options_;
  Metrics* const metrics_;

  mutable std::mutex mutex_;
  std::condition_variable work_came_;          // for the threads that prepare
  std::condition_variable ready_came_;         // for the thread that steps
  FairQueue<std::shared_ptr<Work>> queue_[2];  // without, and with images
  uint32_t admitted_ = 0;                      // choices of works taken from the queue and not ended
  // Sessions at work, and for whom: whoever leaves ends a step in its midst where it was made for nobody else.
  std::vector<std::pair<const Work*, mote_session*>> computing_;
  uint32_t works_ = 0;   // and the works themselves
  uint32_t placed_ = 0;  // of which so many have, or had, a session
  std::deque<std::shared_ptr<Work>> ready_;
  bool stop_ = false;
  bool wake_ = false;
  std::vector<SlotState> slot_states_;
  double ended_at_[32] = {};  // when the last requests ended, a ring
  uint32_t ended_ = 0;
  std::shared_ptr<Work> preparing_[2];  // without, and with images
  Session image_guard_;                 // holds nothing: cancelling it stops the reading of images
  std::deque<std::pair<std::string, std::shared_ptr<mote_grammar>>> grammars_;  // latest first

  // Sessions for vectors, made when they are needed; no more than there are threads that ask at once.
  std::mutex embed_mutex_;
  std::vector<Session> embed_sessions_;

  // Of the stepping thread alone.
  Slots slots_;
  std::vector<std::unique_ptr<Run>> runs_;    // in sessions
  std::deque<std::unique_ptr<Run>> wanting_;  // prepared, without a session
  double next_look_ = 0;                      // at those that wait in the queue

  std::atomic<uint64_t> progress_{0};
  double share_ = 1;  // of the model's threads; the stepping thread's
  std::thread threads_[3];
};

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_SERVING_ENGINE_H_
