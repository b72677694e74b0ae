// The team of workers, as every platform has to provide it. WebAssembly has as many as it was started with.
#include <gtest/gtest.h>
#include <stdint.h>
#include <stdlib.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <vector>

#include "engine/core/context.h"

namespace mote {
namespace {

std::unique_ptr<ThreadPool> NewPool(int workers) {
  Result<std::unique_ptr<ThreadPool>> pool = CreatePlatform()->CreateThreadPool(workers);
  EXPECT_TRUE(pool.ok()) << pool.status().message();
  return pool.ok() ? std::move(pool).value() : nullptr;
}

// Run for lambdas.
template <class Body>
void RunOn(ThreadPool& pool, const Body& body) {
  pool.Run([](void* argument, int worker) { (*static_cast<const Body*>(argument))(worker); }, const_cast<Body*>(&body));
}

class ThreadPoolTest : public ::testing::TestWithParam<int> {};

bool OnWasm() {
  return std::string(CreatePlatform()->name()) == "wasm";
}

TEST_P(ThreadPoolTest, HasTheWorkersAskedForOrAllThatThereAre) {
  const std::unique_ptr<ThreadPool> pool = NewPool(GetParam());
  ASSERT_NE(pool, nullptr);
  int expected = GetParam();
  if (OnWasm()) {
    const char* threads = getenv("MOTE_WASM_THREADS");  // tests/support/wasm_runner.mjs has started so many
    expected = std::min(expected, threads == nullptr ? 1 : atoi(threads));
  }
  EXPECT_EQ(pool->num_workers(), expected);
}

TEST_P(ThreadPoolTest, EveryWorkerRunsOncePerRun) {
  const std::unique_ptr<ThreadPool> pool = NewPool(GetParam());
  ASSERT_NE(pool, nullptr);
  // Plain integers: Run itself must order the workers' writes before the caller's reads, and the other way round.
  std::vector<int> calls(static_cast<size_t>(pool->num_workers()), 0);
  for (int run = 1; run <= 200; ++run) {
    RunOn(*pool, [&](int worker) { ++calls.at(static_cast<size_t>(worker)); });
    for (size_t worker = 0; worker < calls.size(); ++worker) ASSERT_EQ(calls[worker], run) << "worker " << worker;
  }
}

TEST_P(ThreadPoolTest, CallerIsWorkerZero) {
  const std::unique_ptr<ThreadPool> pool = NewPool(GetParam());
  ASSERT_NE(pool, nullptr);
  static thread_local int marker = 0;
  marker = 77;
  std::atomic<int> seen{-1};
  RunOn(*pool, [&](int worker) {
    if (marker == 77) seen = worker;
  });
  EXPECT_EQ(seen.load(), 0);
}

// Each phase, every worker writes its own slot and, past the barrier, checks that all others wrote theirs. Slots are
// plain integers, so a barrier that lets memory through unordered is a data race for the thread sanitizer.
TEST_P(ThreadPoolTest, BarrierSeparatesPhases) {
  const std::unique_ptr<ThreadPool> pool = NewPool(GetParam());
  ASSERT_NE(pool, nullptr);
  const size_t workers = static_cast<size_t>(pool->num_workers());
  const int phases = workers <= 4 ? 5000 : 200;
  std::vector<int> slots(workers, -1);
  std::atomic<int> wrong{0};
  RunOn(*pool, [&](int worker) {
    for (int phase = 0; phase < phases; ++phase) {
      slots[static_cast<size_t>(worker)] = phase;
      pool->Sync();
      for (const int slot : slots) wrong += slot != phase;
      pool->Sync();
    }
  });
  EXPECT_EQ(wrong.load(), 0);
}

// One worker is late by far more than any spin, a different one each phase, so that the others fall asleep at the
// barrier and must be woken.
TEST_P(ThreadPoolTest, BarrierWakesSleepers) {
  const std::unique_ptr<Platform> platform = CreatePlatform();
  const std::unique_ptr<ThreadPool> pool = NewPool(GetParam());
  ASSERT_NE(pool, nullptr);
  const int workers = pool->num_workers();
  std::vector<int> slots(static_cast<size_t>(workers), -1);
  std::atomic<int> wrong{0};
  RunOn(*pool, [&](int worker) {
    for (int phase = 0; phase < 20; ++phase) {
      if (phase % workers == worker) {
        const double until = platform->clock().Seconds() + 0.002;
        while (platform->clock().Seconds() < until) {
        }
      }
      slots[static_cast<size_t>(worker)] = phase;
      pool->Sync();
      for (const int slot : slots) wrong += slot != phase;
      pool->Sync();
    }
  });
  EXPECT_EQ(wrong.load(), 0);
}

TEST_P(ThreadPoolTest, RunAfterRun) {
  const std::unique_ptr<ThreadPool> pool = NewPool(GetParam());
  ASSERT_NE(pool, nullptr);
  const int runs = pool->num_workers() <= 4 ? 10000 : 500;
  std::atomic<int64_t> total{0};
  for (int run = 0; run < runs; ++run) {
    RunOn(*pool, [&](int) { total.fetch_add(1, std::memory_order_relaxed); });
  }
  EXPECT_EQ(total.load(), int64_t{runs} * pool->num_workers());
}

// Those that are left out of a Run come in with the next, and the barrier is of those that are there.
TEST_P(ThreadPoolTest, SomeWorkersRunAndTheOthersSleepOn) {
  const std::unique_ptr<ThreadPool> pool = NewPool(GetParam());
  ASSERT_NE(pool, nullptr);
  const int workers = pool->num_workers();
  struct Body {
    ThreadPool* pool;
    std::vector<int> calls;
    std::atomic<int> arrived{0};
    std::atomic<int> early{0};
    int expected = 0;
  } body{pool.get(), std::vector<int>(static_cast<size_t>(workers), 0)};
  std::vector<int> want(static_cast<size_t>(workers), 0);
  for (int run = 0; run < 200; ++run) {
    body.expected = run % 3 == 2 ? workers : 1 + run * 7 % workers;
    body.arrived = 0;
    for (int worker = 0; worker < body.expected; ++worker) ++want[static_cast<size_t>(worker)];
    pool->RunSome(
        body.expected,
        [](void* argument, int worker) {
          Body& b = *static_cast<Body*>(argument);
          ++b.calls[static_cast<size_t>(worker)];
          ++b.arrived;
          b.pool->Sync();
          b.early += b.arrived != b.expected;
        },
        &body);
  }
  EXPECT_EQ(body.calls, want);
  EXPECT_EQ(body.early.load(), 0);
}

TEST_P(ThreadPoolTest, RunsWithAndWithoutBarriersAlternate) {
  const std::unique_ptr<ThreadPool> pool = NewPool(GetParam());
  ASSERT_NE(pool, nullptr);
  const int workers = pool->num_workers();
  int64_t sum = 0;
  for (int run = 0; run < 100; ++run) {
    std::vector<int64_t> part(static_cast<size_t>(workers), 0);
    RunOn(*pool, [&](int worker) {
      part[static_cast<size_t>(worker)] = run;
      for (int i = 0; i < run % 3; ++i) pool->Sync();
      // After a barrier, worker 0 may read what the others wrote.
      if (run % 3 > 0 && worker == 0) {
        for (const int64_t value : part) sum += value == run;
      }
    });
    if (run % 3 == 0) {
      for (const int64_t value : part) sum += value == run;
    }
  }
  EXPECT_EQ(sum, int64_t{100} * workers);
}

TEST_P(ThreadPoolTest, UnusedPoolEnds) {
  for (int i = 0; i < 20; ++i) ASSERT_NE(NewPool(GetParam()), nullptr);
}

// Workers take memory and give it back at the same time, each from the others' too; none may get what another holds.
TEST_P(ThreadPoolTest, WorkersShareTheHeap) {
  const std::unique_ptr<ThreadPool> pool = NewPool(GetParam());
  ASSERT_NE(pool, nullptr);
  const size_t workers = static_cast<size_t>(pool->num_workers());
  if (workers > 9) GTEST_SKIP() << "as with 9";
  constexpr size_t kBlocks = 64;
  std::vector<std::vector<uint8_t>> blocks(workers * kBlocks);
  std::atomic<int> wrong{0};
  RunOn(*pool, [&](int worker) {
    const size_t self = static_cast<size_t>(worker);
    for (size_t round = 0; round < 50; ++round) {
      for (size_t i = 0; i < kBlocks; ++i) {
        std::vector<uint8_t>& block = blocks[self * kBlocks + i];
        for (const uint8_t byte : block) wrong += byte != block[0];
        block = std::vector<uint8_t>(1 + (i * 97 + round * 31 + self) % 3000, static_cast<uint8_t>(self + 1));
      }
      pool->Sync();
      std::vector<uint8_t>& other = blocks[(self + 1) % workers * kBlocks + round % kBlocks];
      for (const uint8_t byte : other) wrong += byte != static_cast<uint8_t>((self + 1) % workers + 1);
      other = {};
      pool->Sync();
    }
  });
  EXPECT_EQ(wrong.load(), 0);
}

INSTANTIATE_TEST_SUITE_P(Workers, ThreadPoolTest, ::testing::Values(1, 2, 3, 9, 64));

TEST(ThreadPoolLimits, DefaultIsAtLeastOne) {
  for (const int workers : {0, -1, INT32_MIN}) {
    const std::unique_ptr<ThreadPool> pool = NewPool(workers);
    ASSERT_NE(pool, nullptr);
    EXPECT_GE(pool->num_workers(), 1);
    EXPECT_LE(pool->num_workers(), 1024);
  }
}

TEST(ThreadPoolLimits, TooManyWorkersAreRefused) {
  for (const int workers : {1025, INT32_MAX}) {
    const Result<std::unique_ptr<ThreadPool>> pool = CreatePlatform()->CreateThreadPool(workers);
    ASSERT_FALSE(pool.ok());
    EXPECT_EQ(pool.status().code(), Code::kInvalidArgument);
    EXPECT_NE(pool.status().message().find("1024"), std::string::npos) << pool.status().message();
  }
}

TEST(ThreadPoolLimits, TwoPoolsInOneThread) {
  const std::unique_ptr<ThreadPool> outer = NewPool(2);
  const std::unique_ptr<ThreadPool> inner = NewPool(3);
  ASSERT_NE(outer, nullptr);
  ASSERT_NE(inner, nullptr);
  if (OnWasm() && inner->num_workers() > 1) GTEST_SKIP() << "all pools of a module share its threads, a Run at a time";
  std::atomic<int> calls{0};
  RunOn(*outer, [&](int worker) {
    if (worker == 0) {
      RunOn(*inner, [&](int) {
        inner->Sync();
        ++calls;
      });
    }
    outer->Sync();
  });
  EXPECT_EQ(calls.load(), inner->num_workers());
}

}  // namespace
}  // namespace mote
