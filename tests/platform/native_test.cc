// What only an operating system has: idle threads, files that change, pipes, signals.
#if !defined(__wasi__)
#include <errno.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "engine/core/context.h"
#include "targets/cpu/platform/float_mode.h"

namespace mote {
namespace {

// A folder of its own for each test, removed at the end with the files named.
class NativeFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string path = ::testing::TempDir() + "mote_platform_XXXXXX";
    ASSERT_NE(mkdtemp(path.data()), nullptr) << strerror(errno);
    folder_ = path;
  }
  void TearDown() override {
    for (const std::string& file : files_) unlink(file.c_str());
    rmdir(folder_.c_str());
  }
  std::string Path(const std::string& name) {
    files_.push_back(folder_ + "/" + name);
    return files_.back();
  }
  std::string Write(const std::string& name, size_t bytes) {
    const std::string path = Path(name);
    FILE* file = fopen(path.c_str(), "wb");
    EXPECT_NE(file, nullptr);
    for (size_t i = 0; i < bytes; ++i) fputc(static_cast<int>(i % 251), file);
    fclose(file);
    return path;
  }
  Result<std::unique_ptr<ByteSource>> Open(const std::string& path) { return platform_->files().Open(path); }

  const std::unique_ptr<Platform> platform_ = CreatePlatform();
  std::string folder_;
  std::vector<std::string> files_;
};

TEST_F(NativeFiles, TruncatedAfterOpening) {
  const std::string path = Write("cut", 100000);
  Result<std::unique_ptr<ByteSource>> source = Open(path);
  ASSERT_TRUE(source.ok());
  ASSERT_EQ(truncate(path.c_str(), 50000), 0);
  const Result<std::span<const uint8_t>> lost = (*source)->View(40000, 20000);
  ASSERT_FALSE(lost.ok());
  EXPECT_EQ(lost.status().code(), Code::kIo);
  EXPECT_NE(lost.status().message().find(path), std::string::npos);
  EXPECT_NE(lost.status().message().find("100000"), std::string::npos) << lost.status().message();
  EXPECT_NE(lost.status().message().find("50000"), std::string::npos) << lost.status().message();
  // What is still there can be read.
  const Result<std::span<const uint8_t>> kept = (*source)->View(40000, 10000);
  ASSERT_TRUE(kept.ok());
  EXPECT_EQ((*kept)[9999], 49999 % 251);
}

TEST_F(NativeFiles, SurvivesDeletion) {
  const std::string path = Write("gone", 5000);
  Result<std::unique_ptr<ByteSource>> source = Open(path);
  ASSERT_TRUE(source.ok());
  unlink(path.c_str());
  const Result<std::span<const uint8_t>> all = (*source)->View(0, 5000);
  ASSERT_TRUE(all.ok());
  EXPECT_EQ((*all)[4999], 4999 % 251);
}

TEST_F(NativeFiles, ReleaseGivesPagesBackAndKeepsNeighbours) {
  constexpr size_t kBytes = 8 << 20;
  const std::string path = Write("large", kBytes);
  Result<std::unique_ptr<ByteSource>> source = Open(path);
  ASSERT_TRUE(source.ok());
  const auto resident = [] {
    long pages = 0;
    long shared = 0;
    FILE* file = fopen("/proc/self/statm", "re");
    if (file == nullptr || fscanf(file, "%*d %ld %ld", &pages, &shared) != 2) pages = 0;
    if (file != nullptr) fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
  };
  const auto sum = [&] {
    const Result<std::span<const uint8_t>> all = (*source)->View(0, kBytes);
    EXPECT_TRUE(all.ok());
    uint64_t total = 0;
    for (const uint8_t byte : *all) total += byte;
    return total;
  };
  const uint64_t before = sum();
  const long mapped = resident();
  if (mapped < static_cast<long>(kBytes)) GTEST_SKIP() << "no resident size from /proc/self/statm";
  (*source)->Release(1000, kBytes - 2000);
  EXPECT_LT(resident(), mapped - static_cast<long>(kBytes / 2));
  EXPECT_EQ(sum(), before);
}

TEST_F(NativeFiles, EmptyFile) {
  const Result<std::unique_ptr<ByteSource>> source = Open(Write("empty", 0));
  ASSERT_FALSE(source.ok());
  EXPECT_EQ(source.status().code(), Code::kMalformed);
  EXPECT_NE(source.status().message().find("empty"), std::string::npos) << source.status().message();
}

TEST_F(NativeFiles, OneByte) {
  Result<std::unique_ptr<ByteSource>> source = Open(Write("one", 1));
  ASSERT_TRUE(source.ok());
  EXPECT_EQ((*source)->size(), 1u);
}

TEST_F(NativeFiles, SparseFileWithHugeOffsets) {
  const std::string path = Write("sparse", 1);
  constexpr uint64_t kBytes = (uint64_t{5} << 30) + 3;  // past 32 bits
  if (truncate(path.c_str(), static_cast<off_t>(kBytes)) != 0) GTEST_SKIP() << "no sparse files: " << strerror(errno);
  Result<std::unique_ptr<ByteSource>> source = Open(path);
  ASSERT_TRUE(source.ok()) << source.status().message();
  EXPECT_EQ((*source)->size(), kBytes);
  const Result<std::span<const uint8_t>> tail = (*source)->View(kBytes - 3, 3);
  ASSERT_TRUE(tail.ok());
  EXPECT_EQ((*tail)[2], 0);
  EXPECT_FALSE((*source)->View(kBytes - 3, 4).ok());
  EXPECT_FALSE((*source)->View(kBytes - 3, UINT64_MAX - 1).ok());
}

TEST_F(NativeFiles, PipeIsRefusedAndDoesNotBlock) {
  const std::string path = Path("pipe");
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  const Result<std::unique_ptr<ByteSource>> source = Open(path);
  ASSERT_FALSE(source.ok());
  EXPECT_NE(source.status().message().find("pipe; a regular file"), std::string::npos) << source.status().message();
}

TEST_F(NativeFiles, DeviceAndSocketAreRefused) {
  const Result<std::unique_ptr<ByteSource>> device = Open("/dev/null");
  ASSERT_FALSE(device.ok());
  EXPECT_NE(device.status().message().find("device"), std::string::npos) << device.status().message();

  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const std::string path = Path("socket");
  if (path.size() >= sizeof(address.sun_path)) GTEST_SKIP() << "temporary folder's path is too long for a socket";
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const int descriptor = socket(AF_UNIX, SOCK_STREAM, 0);
  if (descriptor < 0 || bind(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    GTEST_SKIP() << "no sockets here: " << strerror(errno);
  }
  const Result<std::unique_ptr<ByteSource>> source = Open(path);
  close(descriptor);
  ASSERT_FALSE(source.ok());
  EXPECT_NE(source.status().message().find("socket"), std::string::npos) << source.status().message();
}

TEST_F(NativeFiles, NoPermission) {
  if (geteuid() == 0) GTEST_SKIP() << "root may read everything";
  const std::string path = Write("secret", 10);
  ASSERT_EQ(chmod(path.c_str(), 0), 0);
  const Result<std::unique_ptr<ByteSource>> source = Open(path);
  ASSERT_FALSE(source.ok());
  EXPECT_EQ(source.status().code(), Code::kIo);
  EXPECT_NE(source.status().message().find(path + ": Permission denied"), std::string::npos);
}

TEST_F(NativeFiles, PathWithZeroByteIsRefused) {
  const std::string path = Write("zero", 10);
  EXPECT_FALSE(Open(path + std::string("\0.gguf", 6)).ok());
}

// CPU time that the whole process has used, seconds.
double CpuSeconds() {
  timespec now = {};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

TEST(NativePool, IdlePoolUsesNoCpu) {
  Result<std::unique_ptr<ThreadPool>> pool = CreatePlatform()->CreateThreadPool(8);
  ASSERT_TRUE(pool.ok());
  (*pool)->Run([](void* argument, int) { static_cast<ThreadPool*>(argument)->Sync(); }, pool->get());
  usleep(20000);  // a worker may be on its way to sleep
  const double before = CpuSeconds();
  usleep(200000);
  // Seven workers that spin would take 0.2 s or more on any machine.
  EXPECT_LT(CpuSeconds() - before, 0.05);
}

// A worker that waits for long at a barrier sleeps as well.
TEST(NativePool, LongWaitAtBarrierUsesNoCpu) {
  Result<std::unique_ptr<ThreadPool>> pool = CreatePlatform()->CreateThreadPool(2);
  ASSERT_TRUE(pool.ok());
  const double before = CpuSeconds();
  (*pool)->Run(
      [](void* argument, int worker) {
        if (worker == 1) usleep(200000);
        static_cast<ThreadPool*>(argument)->Sync();
      },
      pool->get());
  (*pool)->Run(
      [](void*, int worker) {
        if (worker == 1) usleep(200000);
      },
      nullptr);
  EXPECT_LT(CpuSeconds() - before, 0.1);
}

TEST(NativePool, SignalsStayWithTheHost) {
  Result<std::unique_ptr<ThreadPool>> pool = CreatePlatform()->CreateThreadPool(4);
  ASSERT_TRUE(pool.ok());
  sigset_t host;
  ASSERT_EQ(pthread_sigmask(SIG_SETMASK, nullptr, &host), 0);
  EXPECT_EQ(sigismember(&host, SIGINT), 0) << "creating a pool changed the caller's mask";
  std::atomic<int> blocked{0};
  (*pool)->Run(
      [](void* argument, int worker) {
        sigset_t mask;
        pthread_sigmask(SIG_SETMASK, nullptr, &mask);
        if (worker != 0 && sigismember(&mask, SIGINT) == 1 && sigismember(&mask, SIGTERM) == 1) {
          ++*static_cast<std::atomic<int>*>(argument);
        }
      },
      &blocked);
  EXPECT_EQ(blocked.load(), 3);
}

TEST(NativePool, ThreadsAreNamed) {
  Result<std::unique_ptr<ThreadPool>> pool = CreatePlatform()->CreateThreadPool(2);
  ASSERT_TRUE(pool.ok());
  char name[32] = "";
  (*pool)->Run(
      [](void* argument, int worker) {
        if (worker == 1) pthread_getname_np(pthread_self(), static_cast<char*>(argument), 32);
      },
      name);
  EXPECT_STREQ(name, "mote-worker");
}

// Threads that cannot be started are an error and no crash. The limit counts the user's threads, and root has none.
TEST(NativePool, NoThreadsIsAnError) {
  rlimit saved = {};
  ASSERT_EQ(getrlimit(RLIMIT_AS, &saved), 0);
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "sanitizers need address space";
#endif
  long pages = 0;
  FILE* file = fopen("/proc/self/statm", "re");
  if (file == nullptr || fscanf(file, "%ld", &pages) != 1) pages = 0;
  if (file != nullptr) fclose(file);
  // Room for a few stacks, not for a thousand.
  rlimit low = saved;
  low.rlim_cur = static_cast<rlim_t>(pages) * static_cast<rlim_t>(sysconf(_SC_PAGESIZE)) + (rlim_t{64} << 20);
  if (pages == 0 || setrlimit(RLIMIT_AS, &low) != 0) GTEST_SKIP() << "cannot limit the address space";
  const Result<std::unique_ptr<ThreadPool>> pool = CreatePlatform()->CreateThreadPool(1024);
  setrlimit(RLIMIT_AS, &saved);
  if (pool.ok()) GTEST_SKIP() << "the system does not hold the limit (emulated)";
  EXPECT_EQ(pool.status().code(), Code::kOutOfMemory);
  EXPECT_NE(pool.status().message().find("of 1023 threads"), std::string::npos) << pool.status().message();
}

#if defined(__SSE2__) || defined(__aarch64__)
// The smallest normal number, halved: zero where subnormals are switched off.
float Subnormal() {
  volatile float smallest = 1.17549435e-38f;
  volatile float half = smallest * 0.5f;
  return half;
}

TEST(NativePool, AllWorkersRoundAlike) {
  // As libraries built with -ffast-math do when they are loaded: flush to zero, in this thread.
#if defined(__SSE2__)
  const uint32_t saved = _mm_getcsr();
  _mm_setcsr(saved | 0x8040);
#else
  uint64_t saved = 0;
  asm volatile("mrs %0, fpcr" : "=r"(saved));
  asm volatile("msr fpcr, %0" : : "r"(saved | (uint64_t{1} << 24)));
#endif
  const float host_before = Subnormal();
  Result<std::unique_ptr<ThreadPool>> pool = CreatePlatform()->CreateThreadPool(3);
  std::atomic<int> kept{0};
  if (pool.ok()) {
    (*pool)->Run(
        [](void* argument, int) {
          if (Subnormal() > 0) ++*static_cast<std::atomic<int>*>(argument);
        },
        &kept);
  }
  const float host_after = Subnormal();
#if defined(__SSE2__)
  _mm_setcsr(saved);
#else
  asm volatile("msr fpcr, %0" : : "r"(saved));
#endif
  ASSERT_TRUE(pool.ok());
  EXPECT_EQ(kept.load(), 3);
  EXPECT_EQ(host_before, 0.0f);
  EXPECT_EQ(host_after, 0.0f) << "Run changed the host's mode";
}
#endif

// Two threads of the host, each with a pool and a session of its own.
struct HostThread {
  int64_t calls = 0;
  pthread_t thread{};
};

TEST(NativePool, TwoPoolsAtOnce) {
  HostThread hosts[2];
  for (HostThread& host : hosts) {
    ASSERT_EQ(pthread_create(
                  &host.thread, nullptr,
                  [](void* argument) -> void* {
                    Result<std::unique_ptr<ThreadPool>> pool = CreatePlatform()->CreateThreadPool(3);
                    if (!pool.ok()) return nullptr;
                    struct State {
                      ThreadPool* pool;
                      std::atomic<int64_t> calls;
                    } state{pool->get(), {0}};
                    for (int run = 0; run < 1000; ++run) {
                      (*pool)->Run(
                          [](void* argument_state, int) {
                            State& s = *static_cast<State*>(argument_state);
                            s.pool->Sync();
                            s.calls.fetch_add(1, std::memory_order_relaxed);
                          },
                          &state);
                    }
                    static_cast<HostThread*>(argument)->calls = state.calls.load();
                    return nullptr;
                  },
                  &host),
              0);
  }
  for (HostThread& host : hosts) {
    pthread_join(host.thread, nullptr);
    EXPECT_EQ(host.calls, 3000);
  }
}

// A queue of one between two threads: each waits for the other, so a lost wake-up hangs.
TEST(NativeMonitor, PassesValuesBetweenThreads) {
  struct Queue {
    std::unique_ptr<Monitor> monitor = CreatePlatform()->CreateMonitor();
    int value = 0;  // 0: empty
  } queue;
  constexpr int kValues = 2000;
  pthread_t producer{};
  ASSERT_EQ(pthread_create(
                &producer, nullptr,
                [](void* argument) -> void* {
                  Queue& q = *static_cast<Queue*>(argument);
                  for (int i = 1; i <= kValues; ++i) {
                    MonitorLock lock(*q.monitor);
                    while (q.value != 0) q.monitor->Wait();
                    q.value = i;
                    q.monitor->NotifyAll();
                  }
                  return nullptr;
                },
                &queue),
            0);
  int expected = 1;
  int wrong = 0;
  for (; expected <= kValues; ++expected) {
    MonitorLock lock(*queue.monitor);
    while (queue.value == 0) queue.monitor->Wait();
    wrong += queue.value != expected;
    queue.value = 0;
    queue.monitor->NotifyAll();
  }
  pthread_join(producer, nullptr);
  EXPECT_EQ(wrong, 0);
}

#if defined(__linux__)
// A worker that wakes on the CPU of its caller leaves it. Here it has nailed itself there before.
TEST(NativePool, AWorkerLeavesItsCallersCpu) {
  cpu_set_t cpus;
  if (sched_getaffinity(0, sizeof(cpus), &cpus) != 0 || CPU_COUNT(&cpus) < 2) GTEST_SKIP() << "one CPU";
  Result<std::unique_ptr<ThreadPool>> pool = CreatePlatform()->CreateThreadPool(2);
  ASSERT_TRUE(pool.ok());
  struct Place {
    int caller = -1;      // the CPU to be nailed to
    bool left = false;    // and may not run there any more
    bool others = false;  // but on all others
    cpu_set_t* cpus;
  } place;
  place.cpus = &cpus;
  // The caller may wander between two Runs, and then nobody stands in its way.
  for (int attempt = 0; attempt < 200 && !place.left; ++attempt) {
    place.caller = sched_getcpu();
    const auto nail = [](void* argument, int worker) {
      if (worker == 0) return;
      cpu_set_t one;
      CPU_ZERO(&one);
      CPU_SET(static_cast<size_t>(static_cast<Place*>(argument)->caller), &one);
      EXPECT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
    };
    const auto look = [](void* argument, int worker) {
      if (worker == 0) return;
      Place& p = *static_cast<Place*>(argument);
      cpu_set_t mine;
      EXPECT_EQ(sched_getaffinity(0, sizeof(mine), &mine), 0);
      p.left = CPU_ISSET(static_cast<size_t>(p.caller), &mine) == 0;
      p.others = CPU_COUNT(&mine) == CPU_COUNT(p.cpus) - 1;
    };
    (*pool)->Run(nail, &place);
    (*pool)->Run(look, &place);
  }
  EXPECT_TRUE(place.left);
  EXPECT_TRUE(place.others);
  cpu_set_t after;
  EXPECT_EQ(sched_getaffinity(0, sizeof(after), &after), 0);
  EXPECT_TRUE(CPU_EQUAL(&after, &cpus)) << "the caller stays as it was";
}
#endif

}  // namespace
}  // namespace mote
#endif  // !defined(__wasi__)
