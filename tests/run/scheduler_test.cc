// Who gets a place in a step when there are more jobs than places.
#include "engine/run/scheduler.h"

#include <gtest/gtest.h>

#include "tests/support/matrix.h"

#ifndef __wasm__
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

namespace mote::testing {
namespace {

class FakeCache : public KvCache {
  void CopyPrefix(const KvCache&, uint32_t) override {}
};

struct FakeClock : Clock {
  double Seconds() const override { return seconds; }
  int64_t UnixSeconds() const override { return 0; }
  double seconds = 0;
};

// Takes a moment, so that whoever has finished is back in the queue before the next step, and counts.
class FakeProgram : public Program {
 public:
  Result<std::unique_ptr<KvCache>> CreateKvCache(uint32_t) override { return std::unique_ptr<KvCache>(new FakeCache); }
  Status RunPart(const Step& step, uint32_t, uint32_t parts) override {
    for (int i = 0; i < 50 && clock_ == nullptr; ++i) sched_yield();
    max_workers_ = step.max_workers;
    ++runs_;
    if (cancel_ != nullptr && runs_ == cancel_in_) *cancel_ = true;
    rows_ = static_cast<uint32_t>(step.tokens.size());
    if (clock_ != nullptr) clock_->seconds += seconds_of_row_ * rows_ / parts;
    std::fill(step.logits, step.logits + step.outputs.size() * kVocab, 0.0f);
    if (++steps_ >= kMaxSteps) out_of_steps_ = true;
    return Status();
  }
  bool out_of_steps() const { return out_of_steps_; }
  int max_workers() const { return max_workers_; }  // of the last step
  // From now on: calls of RunPart; sets `cancel` in that of the number `run`.
  void CancelIn(int run, std::atomic<bool>* cancel) {
    runs_ = 0;
    cancel_in_ = run;
    cancel_ = cancel;
  }
  int runs() const { return runs_; }
  // From now on a row takes so long.
  void Take(FakeClock* clock, double seconds_of_row) {
    clock_ = clock;
    seconds_of_row_ = seconds_of_row;
  }
  uint32_t rows() const { return rows_; }  // of the last step

  static constexpr uint32_t kVocab = 4;
  static constexpr int kMaxSteps = 3000;

 private:
  int steps_ = 0;  // the Scheduler lets one in at a time
  int max_workers_ = -1;
  int runs_ = 0;
  int cancel_in_ = 0;
  std::atomic<bool>* cancel_ = nullptr;
  uint32_t rows_ = 0;
  FakeClock* clock_ = nullptr;
  double seconds_of_row_ = 0;
  std::atomic<bool> out_of_steps_ = false;
};

// Streams that decode for ever fill every step; a prompt, or an evaluation that wants every token's logits, must still
// come through.
void ExpectProgress(uint32_t max_batch, uint32_t max_outputs, bool wants_all_logits) {
  FakeProgram program;
  const std::unique_ptr<Platform> platform = CreatePlatform();
  Scheduler scheduler(program, platform->CreateMonitor(), nullptr, {max_batch, max_outputs, FakeProgram::kVocab, 1});
  std::atomic<bool> prompt_done = false;
  std::vector<std::thread> streams;
  for (int i = 0; i < 12; ++i) {
    streams.emplace_back([&] {
      FakeCache cache;
      const int32_t token = 1;
      float logits[FakeProgram::kVocab];
      while (!prompt_done && !program.out_of_steps()) {
        Job job;
        job.tokens = {&token, 1};
        job.cache = &cache;
        job.last_logits = logits;
        EXPECT_TRUE(scheduler.Run(job).ok());
      }
    });
  }
  FakeCache cache;
  const std::vector<int32_t> tokens(40, 2);
  float logits[FakeProgram::kVocab];
  Job job;
  job.tokens = tokens;
  job.cache = &cache;
  job.last_logits = logits;
  uint32_t rows = 0;
  if (wants_all_logits) {
    job.sink.user = &rows;
    job.sink.row = [](void* user, uint32_t index, std::span<const float>) {
      EXPECT_EQ(index, (*static_cast<uint32_t*>(user))++);
      return true;
    };
  }
  const Status status = scheduler.Run(job);
  const bool in_time = !program.out_of_steps();
  prompt_done = true;
  for (std::thread& stream : streams) stream.join();
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(job.done, tokens.size());
  EXPECT_EQ(rows, wants_all_logits ? tokens.size() : 0);
  EXPECT_TRUE(in_time) << "not done within " << FakeProgram::kMaxSteps << " steps";
}

TEST(Scheduler, StreamsDoNotStarveAPrompt) {
  ExpectProgress(2, 2, false);
  ExpectProgress(1, 1, false);
}

TEST(Scheduler, StreamsDoNotStarveWhoWantsEveryLogit) {
  ExpectProgress(64, 4, true);
}

TEST(Scheduler, StepsAreToldHowManyWorkersToTake) {
  FakeProgram program;
  Scheduler scheduler(program, CreatePlatform()->CreateMonitor(), nullptr, {4, 4, FakeProgram::kVocab, 1});
  FakeCache cache;
  const int32_t token = 1;
  float logits[FakeProgram::kVocab];
  for (const int limit : {0, 3, 1, 0}) {
    scheduler.LimitWorkers(limit);
    Job job;
    job.tokens = {&token, 1};
    job.cache = &cache;
    job.last_logits = logits;
    EXPECT_TRUE(scheduler.Run(job).ok());
    EXPECT_EQ(program.max_workers(), limit);
  }
}

// A row is work enough for a part of its own.
struct LargeModel {
  LargeModel() {
    const ValueId x = graph.Embed(graph.AddWeight(&embed, FakeProgram::kVocab, 40000), 1);
    const ValueId y = graph.MatMul(x, graph.AddWeight(&square, 40000, 40000));
    graph.SetResult(graph.MatMul(graph.SelectOutputs(y), graph.AddWeight(&embed, FakeProgram::kVocab, 40000)));
  }
  const TensorInfo embed = Matrix("embed", FakeProgram::kVocab, 40000);
  const TensorInfo square = Matrix("square", 40000, 40000);
  Graph graph;
};

// A prompt of one step: who leaves in its midst does not wait for its end, and whoever shares the step gets all of it.
TEST(Scheduler, AStepThatNobodyWaitsForEndsInItsMidst) {
  const LargeModel model;
  ASSERT_TRUE(model.graph.status().ok()) << model.graph.status().message();
  FakeProgram program;
  Scheduler scheduler(program, CreatePlatform()->CreateMonitor(), nullptr, {8, 8, FakeProgram::kVocab, 1},
                      StepWork(model.graph));
  FakeCache cache[2];
  const std::vector<int32_t> tokens(4, 2);
  float logits[2][FakeProgram::kVocab];
  std::atomic<bool> cancel = false;
  program.CancelIn(3, &cancel);
  Job job;
  job.tokens = tokens;
  job.cache = &cache[0];
  job.last_logits = logits[0];
  job.cancel = &cancel;
  EXPECT_EQ(scheduler.Run(job).code(), Code::kCancelled);
  EXPECT_EQ(program.runs(), 3) << "of 6 parts";
  EXPECT_EQ(job.done, 0u);

  cancel = false;
  program.CancelIn(3, &cancel);
  Job jobs[2];
  for (int i = 0; i < 2; ++i) {
    jobs[i].tokens = tokens;
    jobs[i].cache = &cache[i];
    jobs[i].last_logits = logits[i];
  }
  jobs[0].cancel = &cancel;
  Job* both[] = {&jobs[0], &jobs[1]};
  scheduler.RunOnce(both);
  EXPECT_EQ(program.runs(), 12) << "the neighbour's step is made whole";
  EXPECT_TRUE(jobs[1].status.ok()) << jobs[1].status.message();
  EXPECT_EQ(jobs[1].done, 4u);
}

// Picks up to two of a row's logits: those of token 3 and 2, which are as high as the row's number.
class PickingProgram : public Program {
 public:
  Result<std::unique_ptr<KvCache>> CreateKvCache(uint32_t) override { return std::unique_ptr<KvCache>(new FakeCache); }
  uint32_t max_best() const override { return 2; }
  Status RunPart(const Step& step, uint32_t, uint32_t) override {
    enough_.assign(step.enough.begin(), step.enough.end());
    for (size_t i = 0; i < step.outputs.size(); ++i) {
      const float value = static_cast<float>(step.tokens[step.outputs[i]]);
      if (step.enough.empty() || step.enough[i] == 0) {
        std::fill_n(step.logits + i * FakeProgram::kVocab, FakeProgram::kVocab, value);
      } else {
        step.best[2 * i] = {3, value};
        step.best[2 * i + 1] = {2, value - 1};
      }
    }
    return Status();
  }
  const std::vector<uint32_t>& enough() const { return enough_; }  // of the last step

 private:
  std::vector<uint32_t> enough_;
};

TEST(Scheduler, WhoNeedsTheBestAloneGetsThemBesideThoseWhoNeedAll) {
  PickingProgram program;
  Scheduler scheduler(program, CreatePlatform()->CreateMonitor(), nullptr, {8, 8, FakeProgram::kVocab, 1});
  FakeCache cache[5];
  const int32_t tokens[5] = {10, 11, 12, 13, 14};
  float logits[5][FakeProgram::kVocab] = {};
  Job jobs[5];
  std::vector<Job*> all;
  for (int i = 0; i < 5; ++i) {
    jobs[i].tokens = {&tokens[i], 1};
    jobs[i].cache = &cache[i];
    jobs[i].last_logits = logits[i];
    all.push_back(&jobs[i]);
  }
  jobs[0].enough = 1;
  jobs[2].enough = 2;
  jobs[3].enough = 3;  // more than are picked
  jobs[4].enough = 2;  // and who wants every row wants all of it
  jobs[4].sink.row = [](void*, uint32_t, std::span<const float> row) {
    EXPECT_EQ(row[0], 14.0f);
    return true;
  };
  scheduler.RunOnce(all);
  EXPECT_EQ(program.enough(), (std::vector<uint32_t>{1, 0, 2, 0, 0}));
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(jobs[i].status.ok() && jobs[i].finished) << i;
    const bool picked = i == 0 || i == 2;
    ASSERT_EQ(jobs[i].best.size(), picked ? jobs[i].enough : 0) << i;
    EXPECT_EQ(logits[i][0], picked ? 0.0f : static_cast<float>(tokens[i])) << i;
    if (picked) EXPECT_EQ(jobs[i].best[0].logit, static_cast<float>(tokens[i]));
  }
  Job* one[] = {&jobs[1]};
  jobs[1].done = 0;
  jobs[1].finished = false;
  scheduler.RunOnce(one);
  EXPECT_TRUE(program.enough().empty()) << "nobody needs the best alone";
}

// Prompts of several sessions, on a machine of a speed that the scheduler has to find out.
class SharedSteps : public ::testing::Test {
 protected:
  static constexpr uint32_t kBatch = 512;
  static constexpr double kLimit = Scheduler::kSharedSeconds;

  SharedSteps()
      : scheduler_(program_, CreatePlatform()->CreateMonitor(), nullptr,
                   {kBatch, kBatch, FakeProgram::kVocab, 1, false, &clock_}, StepWork(model_.graph)),
        tokens_(100000, 2) {}

  Job JobOf(uint32_t count) {
    Job job;
    job.tokens = std::span(tokens_).first(count);
    job.cache = &cache_;
    job.last_logits = logits_;
    return job;
  }
  // The length of one step of all.
  double Step(std::span<Job* const> jobs) {
    const double begin = clock_.seconds;
    scheduler_.RunOnce(jobs);
    return clock_.seconds - begin;
  }

  const LargeModel model_;
  FakeClock clock_;
  FakeProgram program_;
  FakeCache cache_;
  float logits_[FakeProgram::kVocab];
  Scheduler scheduler_;
  const std::vector<int32_t> tokens_;
};

TEST_F(SharedSteps, AreAsLongAsTheSpeedOfTheMachineAllows) {
  Job first = JobOf(50000), second = JobOf(50000);
  Job* both[] = {&first, &second};
  program_.Take(&clock_, 0.00095);
  EXPECT_LE(Step(both), kLimit) << "the first one, of whose speed nothing is known";
  for (int i = 0; i < 20; ++i) EXPECT_LE(Step(both), kLimit * 1.001);
  EXPECT_EQ(program_.rows(), 96u) << "of 126 that take as long as they may";
  program_.Take(&clock_, 0.00048);
  for (int i = 0; i < 20; ++i) EXPECT_LE(Step(both), kLimit * 1.001);
  EXPECT_EQ(program_.rows(), 192u) << "faster: more of them";
  program_.Take(&clock_, 0.00095);  // something else has the processor, too
  for (int i = 0; i < 10; ++i) Step(both);
  EXPECT_LE(Step(both), kLimit * 1.001);
  program_.Take(&clock_, 0.1);
  for (int i = 0; i < 20; ++i) Step(both);
  EXPECT_EQ(program_.rows(), Scheduler::kSharedRows) << "so many, however slow";
  program_.Take(&clock_, 1e-5);
  for (int i = 0; i < 100; ++i) Step(both);
  EXPECT_EQ(program_.rows(), kBatch);
}

TEST_F(SharedSteps, WhoIsAloneHasAllOfIt) {
  program_.Take(&clock_, 0.00095);
  Job first = JobOf(50000), second = JobOf(50000);
  Job* both[] = {&first, &second};
  for (int i = 0; i < 5; ++i) Step(both);
  Step({both, 1});
  EXPECT_EQ(program_.rows(), kBatch);
}

TEST_F(SharedSteps, RowsOfStreamsCount) {
  program_.Take(&clock_, 0.00048);
  Job prompt = JobOf(50000);
  Job* alone = &prompt;
  Step({&alone, 1});
  std::vector<Job> streams(64, JobOf(1));
  std::vector<Job*> all = {&prompt};
  for (Job& stream : streams) all.push_back(&stream);
  EXPECT_LE(Step(all), kLimit);
  EXPECT_EQ(program_.rows(), 192u);
  for (const Job& stream : streams) EXPECT_TRUE(stream.finished);
}

// Who leaves a step that another shares waits for its end, and that comes soon; the other has lost nothing.
TEST_F(SharedSteps, WhoLeavesIsGoneSoonAndTheOthersGoOn) {
  program_.Take(&clock_, 0.0015);
  std::atomic<bool> cancel = false;
  Job leaves = JobOf(20000), stays = JobOf(2000);
  leaves.cancel = &cancel;
  Job* both[] = {&leaves, &stays};
  for (int i = 0; i < 4; ++i) Step(both);
  const uint32_t done = stays.done;
  ASSERT_GT(done, 0u);
  ASSERT_LT(done, 2000u);
  program_.CancelIn(2, &cancel);  // early in the next step
  double waited = Step(both);
  EXPECT_GT(program_.runs(), 2);
  EXPECT_GT(stays.done, done) << "its share of that step";
  EXPECT_FALSE(leaves.finished);
  waited += Step(both);
  EXPECT_TRUE(leaves.finished) << "before the long step of the one who is alone now";
  EXPECT_EQ(leaves.status.code(), Code::kCancelled);
  EXPECT_LT(waited, 0.2);
  Job* other[] = {&stays};
  for (int i = 0; i < 10 && !stays.finished; ++i) Step(other);
  EXPECT_TRUE(stays.finished && stays.status.ok()) << stays.status.message();
  EXPECT_EQ(stays.done, 2000u);
}

void TakeAMoment() {
  for (int i = 0; i < 50; ++i) sched_yield();
}

// A prompt that needs a step for each of its tokens would lead until its end.
TEST(Scheduler, BodiesRunBetweenTheStepsOfALongPrompt) {
  FakeProgram program;
  const std::unique_ptr<Platform> platform = CreatePlatform();
  Scheduler scheduler(program, platform->CreateMonitor(), nullptr, {1, 1, FakeProgram::kVocab, 1});
  std::atomic<bool> cancel = false;
  std::thread prompt([&] {
    FakeCache cache;
    const std::vector<int32_t> tokens(FakeProgram::kMaxSteps, 2);
    float logits[FakeProgram::kVocab];
    Job job;
    job.tokens = tokens;
    job.cache = &cache;
    job.last_logits = logits;
    job.cancel = &cancel;
    EXPECT_EQ(scheduler.Run(job).code(), Code::kCancelled) << "its steps left no turn to bodies";
  });
  for (int bodies = 0; bodies < 20; ++bodies) scheduler.BetweenSteps(TakeAMoment);
  cancel = true;
  prompt.join();
}

TEST(Scheduler, StepsAreMadeBetweenBodies) {
  FakeProgram program;
  const std::unique_ptr<Platform> platform = CreatePlatform();
  Scheduler scheduler(program, platform->CreateMonitor(), nullptr, {8, 8, FakeProgram::kVocab, 1});
  std::atomic<bool> done = false;
  std::thread stream([&] {
    FakeCache cache;
    const int32_t token = 1;
    float logits[FakeProgram::kVocab];
    for (int i = 0; i < 20; ++i) {
      Job job;
      job.tokens = {&token, 1};
      job.cache = &cache;
      job.last_logits = logits;
      EXPECT_TRUE(scheduler.Run(job).ok());
    }
    done = true;
  });
  int bodies = 0;
  while (!done && bodies < FakeProgram::kMaxSteps) {
    scheduler.BetweenSteps(TakeAMoment);
    ++bodies;
  }
  EXPECT_TRUE(done) << "20 steps were not made between " << bodies << " bodies";
  stream.join();
}

// Who asks briefly while a long prompt is read shares its steps, and does not wait for its end.
TEST(Scheduler, AShortPromptDoesNotWaitForALongOne) {
  FakeProgram program;
  const std::unique_ptr<Platform> platform = CreatePlatform();
  Scheduler scheduler(program, platform->CreateMonitor(), nullptr, {16, 4, FakeProgram::kVocab, 1});
  FakeCache cache;
  const std::vector<int32_t> tokens(200, 2);
  float logits[FakeProgram::kVocab];
  Job jobs[3];
  Job* all[3];
  for (int i = 0; i < 3; ++i) {
    jobs[i].tokens = std::span(tokens).first(i == 0 ? 200 : i == 1 ? 60 : 12);
    jobs[i].cache = &cache;
    jobs[i].last_logits = logits;
    all[i] = &jobs[i];
  }
  scheduler.RunOnce(all);
  EXPECT_EQ(jobs[0].done, 8u) << "half for the oldest";
  EXPECT_EQ(jobs[1].done, 0u);
  EXPECT_EQ(jobs[2].done, 8u) << "the rest for the shortest of the others";
  scheduler.RunOnce(all);
  EXPECT_TRUE(jobs[2].finished);
  EXPECT_EQ(jobs[0].done, 20u) << "what the shortest does not need is the oldest's";
  Job* two[] = {&jobs[0], &jobs[1]};
  for (int i = 0; i < 8; ++i) scheduler.RunOnce(two);
  EXPECT_TRUE(jobs[1].finished);
  EXPECT_FALSE(jobs[0].finished);
  EXPECT_GE(jobs[0].done, 20u + 8 * 8);
}

// Jobs that come together, with one that is too long for a step.
TEST(Scheduler, OnceIsOneStepForAll) {
  FakeProgram program;
  const std::unique_ptr<Platform> platform = CreatePlatform();
  Scheduler scheduler(program, platform->CreateMonitor(), nullptr, {16, 2, FakeProgram::kVocab, 1});
  FakeCache cache;
  const std::vector<int32_t> tokens(40, 2);
  float logits[FakeProgram::kVocab];
  std::vector<Job> jobs(4);
  std::vector<Job*> all;
  for (Job& job : jobs) {
    job.tokens = std::span(tokens).first(&job == &jobs[0] ? 40 : 1);
    job.cache = &cache;
    job.last_logits = logits;
    job.max_prefill = 6;
    all.push_back(&job);
  }
  scheduler.RunOnce(all);
  // Two of three streams have room for their logits; the third has it in the next step.
  EXPECT_EQ(jobs[0].done, 6u);
  EXPECT_TRUE(jobs[1].finished && jobs[2].finished && !jobs[3].finished);
  EXPECT_FALSE(jobs[0].finished);
  all = {&jobs[0], &jobs[3]};
  scheduler.RunOnce(all);
  EXPECT_EQ(jobs[0].done, 12u);
  EXPECT_TRUE(jobs[3].finished && jobs[3].status.ok());
}

}  // namespace
}  // namespace mote::testing
#else
TEST(Scheduler, NeedsThreads) {
  GTEST_SKIP() << "no threads here: the scheduler has one job at a time";
}
#endif
