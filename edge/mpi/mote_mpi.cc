// mote_link over MPI.
//
// One thread makes all calls of MPI, so that any MPI will do; it looks for what comes, sends what is posted, and says
// every half second that this process lives. Another watches the others. A process that is silent for too long is lost,
// also where MPI itself would wait for ever: cables are pulled, and boards lose power, without a farewell.
#include "edge/mpi/mote_mpi.h"

#include <errno.h>
#include <mpi.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <thread>
#include <utility>

#include "edge/mpi/mailbox.h"

namespace mote::mpi {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

enum Tag : int { kLetter = 1, kAlive = 2, kFarewell = 3 };

constexpr milliseconds kHeartbeat{500};
constexpr milliseconds kLookForProcesses{20};
// mpirun kills one second after SIGTERM; by then the reason has to be told.
constexpr milliseconds kBeforeKill{600};
// After this much looking in vain the processor is left to others for as long.
constexpr microseconds kEager{200};
constexpr microseconds kNap{50};
constexpr microseconds kIdle{500};

// A number from the environment, within [low, high].
double Setting(const char* name, double fallback, double low, double high) {
  const char* text = getenv(name);
  if (text == nullptr || *text == '\0') return fallback;
  char* end = nullptr;
  const double value = strtod(text, &end);
  if (*end != '\0') return fallback;
  return std::clamp(value, low, high);
}

struct Peer {
  char host[MPI_MAX_PROCESSOR_NAME] = "";
  int pid = 0;
};

class Speaker {
 public:
  Speaker()
      : silence_(static_cast<int64_t>(1000 * Setting("MOTE_MPI_TIMEOUT", 20, 1, 3600))),
        delay_(static_cast<int64_t>(1000 * Setting("MOTE_MPI_DELAY_MS", 0, 0, 1000))) {}
  bool Open(std::string* why) {
    sigset_t ending;
    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &ending, nullptr);  // inherited by all threads from here on
    thread_ = std::thread([this] { Speak(); });
    std::unique_lock<std::mutex> lock(mutex_);
    while (!opened_) changed_.wait(lock);
    if (failure_.empty()) return true;
    *why = failure_;
    return false;
  }

  // After a loss nothing is waited for: the thread may be inside MPI, which waits for who is lost.
  bool Close() {
    closing_ = true;
    while (!mailbox_->lost() && !done_) std::this_thread::sleep_for(milliseconds(1));
    if (mailbox_->lost()) return false;
    thread_.join();
    watcher_.join();
    return finalized_;
  }

  Mailbox& mailbox() { return *mailbox_; }
  int rank() const { return rank_; }
  int ranks() const { return ranks_; }

 private:
  struct Transfer {
    MPI_Request request;
    Letter letter;
    int tag = kLetter;
  };

  void Opened(const std::string& failure) {
    const std::lock_guard<std::mutex> lock(mutex_);
    failure_ = failure;
    opened_ = true;
    changed_.notify_all();
  }

  void Speak() {
    int level = 0;
    if (MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &level) != MPI_SUCCESS) return Opened("MPI_Init failed");
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks_);
    if (ranks_ < 2) {
      finalized_ = MPI_Finalize() == MPI_SUCCESS;
      return Opened("mpirun started one process; a split needs two or more: mpirun -np 2 mote ...");
    }
    mailbox_ = std::make_unique<Mailbox>(ranks_);
    peers_.resize(static_cast<size_t>(ranks_));
    Peer own;
    int length = 0;
    MPI_Get_processor_name(own.host, &length);
    own.pid = static_cast<int>(getpid());
    MPI_Allgather(&own, sizeof(own), MPI_BYTE, peers_.data(), sizeof(own), MPI_BYTE, MPI_COMM_WORLD);
    heard_ = std::make_unique<std::atomic<Instant>[]>(peers_.size());
    left_ = std::make_unique<std::atomic<bool>[]>(peers_.size());
    for (size_t peer = 0; peer < peers_.size(); ++peer) {
      heard_[peer] = steady_clock::now();
      left_[peer] = false;
    }
    watcher_ = std::thread([this] { Watch(); });
    Opened("");
    while (!closing_ && !mailbox_->lost()) Turn();
    if (!mailbox_->lost()) SayFarewell();
    if (mailbox_->lost()) return;
    finalized_ = MPI_Finalize() == MPI_SUCCESS;
    done_ = true;
  }

  // One look at everything; naps where there is nothing.
  void Turn() {
    const Instant now = steady_clock::now();
    const bool eager = mailbox_->waiting() || !sending_.empty() || !receiving_.empty();
    const bool rest = now - last_event_ > kEager;
    mailbox_->TakePosted(!rest ? microseconds(0) : eager ? kNap : kIdle, &posted_);
    bool event = !posted_.empty();
    for (; !posted_.empty(); posted_.pop_front()) Send(std::move(posted_.front()), kLetter);
    event = Progress() || event;
    if (event) last_event_ = now;
    if (!event && !rest) sched_yield();
    SayAlive(now);
  }

  void Send(Letter letter, int tag) {
    sending_.push_back({});
    Transfer& transfer = sending_.back();
    transfer.letter = std::move(letter);
    transfer.tag = tag;
    Check(MPI_Isend(transfer.letter.words.data(), static_cast<int>(transfer.letter.size), MPI_BYTE,
                    transfer.letter.peer, tag, MPI_COMM_WORLD, &transfer.request),
          transfer.letter.peer);
  }

  bool Progress() {
    bool event = false;
    for (auto t = sending_.begin(); t != sending_.end();) {
      int done = 0;
      Check(MPI_Test(&t->request, &done, MPI_STATUS_IGNORE), t->letter.peer);
      t = done ? sending_.erase(t) : t + 1;
      event = event || done != 0;
    }
    int found = 0;
    MPI_Status status;
    Check(MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &found, &status), -1);
    if (found) {
      int size = 0;
      MPI_Get_count(&status, MPI_BYTE, &size);
      receiving_.push_back({});
      Transfer& transfer = receiving_.back();
      transfer.tag = status.MPI_TAG;
      transfer.letter.peer = status.MPI_SOURCE;
      transfer.letter.size = static_cast<uint64_t>(size);
      transfer.letter.words.resize((static_cast<size_t>(size) + 7) / 8);
      Check(MPI_Irecv(transfer.letter.words.data(), size, MPI_BYTE, status.MPI_SOURCE, status.MPI_TAG, MPI_COMM_WORLD,
                      &transfer.request),
            status.MPI_SOURCE);
      event = true;
    }
    // In the order in which they began: letters of one peer stay in theirs.
    while (!receiving_.empty()) {
      int done = 0;
      Check(MPI_Test(&receiving_.front().request, &done, MPI_STATUS_IGNORE), receiving_.front().letter.peer);
      if (!done) break;
      Transfer transfer = std::move(receiving_.front());
      receiving_.pop_front();
      Arrived(std::move(transfer));
      event = true;
    }
    return event;
  }

  void Arrived(Transfer transfer) {
    const size_t peer = static_cast<size_t>(transfer.letter.peer);
    const Instant now = steady_clock::now();
    heard_[peer] = now;
    if (transfer.tag == kFarewell) {
      left_[peer] = true;
      mailbox_->Leave(transfer.letter.peer, Name(peer) + " has ended");
    } else if (transfer.tag == kLetter) {
      transfer.letter.ready = now + delay_;
      mailbox_->Deliver(std::move(transfer.letter));
    }
  }

  std::string Name(size_t peer) const {
    return "rank " + std::to_string(peer) + " (process " + std::to_string(peers_[peer].pid) + " on " +
           peers_[peer].host + ")";
  }

  void Check(int code, int peer) {
    if (code == MPI_SUCCESS) return;
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;
    MPI_Error_string(code, text, &length);
    mailbox_->Lose((peer >= 0 ? Name(static_cast<size_t>(peer)) : std::string("a rank")) + " is lost: " + text);
  }

  // A rank of this machine whose process is gone; -1: none.
  int GoneProcess() const {
    for (size_t peer = 0; peer < peers_.size(); ++peer) {
      if (left_[peer] || strcmp(peers_[peer].host, peers_[static_cast<size_t>(rank_)].host) != 0) continue;
      if (kill(peers_[peer].pid, 0) != 0 && errno == ESRCH) return static_cast<int>(peer);
    }
    return -1;
  }

  void SayAlive(Instant now) {
    if (now < next_heartbeat_) return;
    next_heartbeat_ = now + kHeartbeat;
    for (int peer = 0; peer < ranks_; ++peer) {
      if (peer == rank_ || left_[static_cast<size_t>(peer)]) continue;
      Letter alive;
      alive.peer = peer;
      Send(std::move(alive), kAlive);
    }
  }

  // In a thread of its own: MPI may wait, for as long as it likes, for a process that has died.
  void Watch() {
    for (; !done_; std::this_thread::sleep_for(kLookForProcesses)) {
      TakeSignal();
      if (mailbox_->lost()) {
        TellInTime();
        continue;
      }
      const int gone = GoneProcess();
      if (gone >= 0) mailbox_->Lose(Name(static_cast<size_t>(gone)) + " is lost: it has died");
      for (size_t peer = 0; peer < peers_.size(); ++peer) {
        const bool expected = static_cast<int>(peer) != rank_ && !left_[peer];
        if (!expected || steady_clock::now() - heard_[peer].load() < silence_) continue;
        const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(silence_).count();
        mailbox_->Lose(Name(peer) + " is lost: nothing was heard of it for " + std::to_string(seconds) + " s");
      }
    }
  }

  void TakeSignal() {
    sigset_t ending;
    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    const timespec at_once = {};
    if (sigtimedwait(&ending, nullptr, &at_once) != SIGTERM) return;
    const int gone = GoneProcess();
    mailbox_->Lose(gone >= 0 ? Name(static_cast<size_t>(gone)) + " is lost: it has died"
                             : "mpirun ends the job: it was told to, or has lost a process of another machine");
    signalled_ = steady_clock::now();
  }

  // After a loss: the program hears of it when it asks. Where it computes for longer than there is time, it is told
  // here.
  void TellInTime() {
    if (signalled_ != Instant() && steady_clock::now() - signalled_ > kBeforeKill && !mailbox_->told()) {
      std::string why;
      mailbox_->Post({}, &why);
      fprintf(stderr, "mote: %s\n", why.c_str());
      _exit(1);
    }
  }

  // Until all have said it, so that nothing that was sent is lost; MPI's own end waits for all as well.
  void SayFarewell() {
    mailbox_->TakePosted(microseconds(0), &posted_);
    for (; !posted_.empty(); posted_.pop_front()) Send(std::move(posted_.front()), kLetter);
    for (int peer = 0; peer < ranks_; ++peer) {
      if (peer == rank_) continue;
      Letter farewell;
      farewell.peer = peer;
      Send(std::move(farewell), kFarewell);
    }
    left_[static_cast<size_t>(rank_)] = true;
    const auto all_left = [&] {
      return std::all_of(&left_[0], &left_[0] + ranks_, [](const auto& l) { return l.load(); });
    };
    while (!mailbox_->lost() && !(all_left() && sending_.empty())) Turn();
  }

  const milliseconds silence_;
  const microseconds delay_;
  std::thread thread_;
  std::thread watcher_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool opened_ = false;
  std::string failure_;
  std::atomic<bool> closing_{false};
  std::atomic<bool> done_{false};
  bool finalized_ = false;
  int rank_ = 0;
  int ranks_ = 0;
  std::unique_ptr<Mailbox> mailbox_;
  std::vector<Peer> peers_;
  std::unique_ptr<std::atomic<Instant>[]> heard_;
  std::unique_ptr<std::atomic<bool>[]> left_;
  std::deque<Letter> posted_;
  std::deque<Transfer> sending_;
  std::deque<Transfer> receiving_;
  Instant last_event_;
  Instant next_heartbeat_;
  Instant signalled_;
};

mote_status Refuse(mote_error* error, const std::string& why) {
  error->code = MOTE_IO;
  snprintf(error->message, sizeof(error->message), "%s", why.c_str());
  return MOTE_IO;
}

mote_status Send(void* user, int32_t to, const void* bytes, uint64_t size, mote_error* error) {
  if (size > INT32_MAX) return Refuse(error, "a message of more than 2 GiB; a smaller batch makes smaller ones");
  Letter letter;
  letter.peer = to;
  letter.size = size;
  letter.words.resize((size + 7) / 8);
  if (size > 0) memcpy(letter.words.data(), bytes, size);
  std::string why;
  if (static_cast<Speaker*>(user)->mailbox().Post(std::move(letter), &why)) return MOTE_OK;
  return Refuse(error, why);
}

mote_status Receive(void* user, int32_t from, const void** bytes, uint64_t* size, mote_error* error) {
  std::string why;
  const Letter* letter = static_cast<Speaker*>(user)->mailbox().Wait(from, &why);
  if (letter == nullptr) return Refuse(error, why);
  *bytes = letter->words.data();
  *size = letter->size;
  return MOTE_OK;
}

uint64_t FreeMemory() {
  FILE* file = fopen("/proc/meminfo", "r");
  if (file == nullptr) return 0;
  char line[256];
  unsigned long long kib = 0;
  while (fgets(line, sizeof(line), file) != nullptr && sscanf(line, "MemAvailable: %llu kB", &kib) != 1) {
  }
  fclose(file);
  return uint64_t{kib} << 10;
}

// Of this process, while it lives. Never freed with the process: its thread may be inside MPI.
Speaker* speaker = nullptr;
mote_link own_link = {};

}  // namespace
}  // namespace mote::mpi

using namespace mote::mpi;  // NOLINT

extern "C" {

const mote_link* mote_mpi_open(char* error, size_t error_bytes) {
  // Open MPI, MPICH and what speaks PMIx. Without one of them MPI would start alone, or stop the program.
  bool started = false;
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK"})
    started = started || getenv(name) != nullptr;
  std::string why = "--split is for processes that mpirun has started: mpirun -np 2 mote ...";
  if (started && speaker == nullptr) {
    speaker = new Speaker();
    if (speaker->Open(&why)) {
      own_link = {sizeof(own_link), speaker->rank(), speaker->ranks(), speaker, Send, Receive, FreeMemory()};
      return &own_link;
    }
  }
  snprintf(error, error_bytes, "%s", why.c_str());
  return nullptr;
}

bool mote_mpi_lost(char* why, size_t why_bytes) {
  if (own_link.struct_size == 0 || !speaker->mailbox().lost()) return false;
  std::string reason;
  speaker->mailbox().Post({}, &reason);
  snprintf(why, why_bytes, "%s", reason.c_str());
  return true;
}

bool mote_mpi_close() {
  return own_link.struct_size == 0 || speaker->Close();
}

}  // extern "C"
