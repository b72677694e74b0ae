// The seam between the engine and the machines it runs on. targets/cpu and targets/cuda implement it.
#ifndef MOTE_ENGINE_GRAPH_BACKEND_H_
#define MOTE_ENGINE_GRAPH_BACKEND_H_

#include <stdint.h>

#include <array>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/core/context.h"
#include "engine/core/status.h"
#include "engine/format/gguf.h"
#include "engine/graph/plan.h"

namespace mote {

struct PixelKernels;  // engine/graph/pixel_kernels.h

// The keys and values of one session, in the backend's own layout and memory. Belongs to one Program.
class KvCache {
 public:
  virtual ~KvCache() = default;
  uint32_t context() const { return context_; }  // positions it holds
  uint64_t bytes() const { return bytes_; }
  // Takes over the first `length` positions of another cache of the same program, which both have room for. Neither may
  // be in a step that runs.
  virtual void CopyPrefix(const KvCache& source, uint32_t length) = 0;

 protected:
  uint32_t context_ = 0;
  uint64_t bytes_ = 0;
};

// Where a row stands for its rotations.
using RopePosition = std::array<int32_t, kRopeAxes>;

// What the rows of a step see, as positions of their cache: [begins[row], ends[row]). Both grow from row to row of a
// session or stay, and what is seen has been in the cache before the step or is written by it.
struct Sight {
  std::span<const uint32_t> begins;  // empty: what the node's window says
  std::span<const uint32_t> ends;    // empty: up to the row's own position
};

// A token and its logit.
struct TokenLogit {
  int32_t token;
  float logit;
};

// One pass over the graph for some rows of some sessions. All spans but `outputs`, `hidden_rows` and `caches` have one
// element per row, or none where that is said. Rows of one session stand in the order of their positions, without gaps,
// and directly after what its cache holds.
struct Step {
  std::span<const int32_t> tokens;      // checked: in [0, vocab)
  std::span<const int32_t> positions;   // checked: below the cache's context
  std::span<const uint32_t> sequences;  // index into caches
  std::span<KvCache* const> caches;
  std::span<const uint32_t> outputs;  // rows that go on to the result; for logits, ascending
  float* logits = nullptr;            // the result, (outputs, vocab) or (outputs / merge, cols), row-major
  // Rows whose state after the last norm is wanted, and not their logits; with the outputs no more than a plan's. Of a
  // decoder alone.
  std::span<const uint32_t> hidden_rows;
  float* hidden = nullptr;  // (hidden_rows, width)
  // How many of an output's highest logits would do, up to Program::max_best(); 0: it needs all. One for each output,
  // or empty: all need all. The others get theirs in `best`, highest first and of equals the lowest token, and their
  // row of `logits` is not written. NaN counts as -infinity; what lies behind the vocabulary is token -1 with that.
  std::span<const uint32_t> enough;
  TokenLogit* best = nullptr;  // (outputs, max_best()); of a row, what lies behind `enough` is not specified

  std::span<const float* const> inputs;  // Graph::input_cols() floats each; null: a row by its token. May be empty
  std::span<const RopePosition> ropes;   // empty: a row's position on every axis
  Sight sights[2];                       // AttentionParams::sight chooses
  // Rows from this on are read, those before it generated one by one: it matters where the plan has fast_prompts alone.
  uint32_t read_from = UINT32_MAX;
  int max_workers = 0;  // of the CPU's that take part; 0: all
};

// Sees the float activations that matrix products multiply weights with: what importance matrices are made of. Costs a
// pass over the activations; a backend that would not form them otherwise (fused, or rounded on the way) must, for it.
struct ActivationObserver {
  // `count` rows of weight.cols floats, `rows[i]` each, for matrix `matrix` of the tensor (an expert; else 0). From one
  // thread at a time, in an order that depends on the graph and the step alone.
  void (*observe)(void* user, const Weight& weight, uint32_t matrix, std::span<const float* const> rows) = nullptr;
  void* user = nullptr;
};

// A graph ready to run, with its weights. Run is not reentrant: the Scheduler calls it from one thread at a time.
class Program {
 public:
  virtual ~Program() = default;
  virtual Result<std::unique_ptr<KvCache>> CreateKvCache(uint32_t context) = 0;
  // A row's results depend on its own session alone: bit-identical for any number of workers, any batch, any
  // neighbours.
  Status Run(const Step& step) { return RunPart(step, 0, 1); }
  // The part at `part` of the step, cut into `parts` of about the same length (some may be empty). All parts of a step,
  // in their order and with no other step of the program between them, are what Run does.
  virtual Status RunPart(const Step& step, uint32_t part, uint32_t parts) = 0;
  // Run in two, for whoever has other work meanwhile: behind Begin the step may still be under way, and what it points
  // to must stay; its results are there behind End. Nothing else is asked of the program in between.
  virtual Status Begin(const Step& step) { return Run(step); }
  // Also for who breaks off behind a part that was not a step's last: nothing of it is under way any more.
  virtual Status End() { return Status(); }
  // How many of a row's highest logits it can pick by itself; 0: it does not. Where logits have a way to go before they
  // are here, a few of them are there sooner.
  virtual uint32_t max_best() const { return 0; }
  // Of dynamic sparsity (Plan::activations), in all steps of one row so far: steps of the products' inputs (a value of
  // floats, four of 8 bits), and those whose activations were all zero. From any thread.
  struct LiveCount {
    uint64_t met = 0;
    uint64_t zero = 0;
  };
  virtual LiveCount live_count() const { return {}; }
  // Lines for Tuning::known: what was tried out, or known. Empty: nothing.
  virtual std::string tuning() const { return {}; }
  // From the next Run on; a null function ends it.
  void Observe(const ActivationObserver& observer) { observer_ = observer; }

 protected:
  ActivationObserver observer_;
};

// What a program will take, before anything is loaded.
struct MemoryNeed {
  uint64_t weight_bytes = 0;   // resident; mapped file pages count
  uint64_t scratch_bytes = 0;  // arena and per-worker scratch
  uint64_t cache_bytes = 0;    // of one session
  uint64_t total() const { return weight_bytes + scratch_bytes + cache_bytes; }
};

struct LoadProgress {
  void (*report)(void* user, uint64_t done_bytes, uint64_t total_bytes) = nullptr;  // from the loading thread
  void* user = nullptr;
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual const char* name() const = 0;         // "cpu"
  virtual std::string description() const = 0;  // "avx512_vnni, 2 workers": for people
  // kUnsupported names the first weight (and its type) or op that this backend does not run. `context`: positions of a
  // session.
  virtual Result<MemoryNeed> Measure(const Plan& plan, uint32_t context) const = 0;
  // `plan`, its graph and `file` must outlive the program.
  virtual Result<std::unique_ptr<Program>> Compile(const Plan& plan, const GgufFile& file, const Context& context,
                                                   const LoadProgress& progress) = 0;
  // True if it would compute rows that are read in a faster way: see Plan::fast_prompts, which must be set.
  virtual bool has_fast_prompts(const Plan& /*plan*/) const { return false; }
  // For pictures, on this machine's CPU; they live as long as the backend.
  virtual const PixelKernels& pixel_kernels() const = 0;
};

// How block-sparse matrices are multiplied with: as they are, or made dense while they are loaded. Results are the same
// to the bit, but on a GPU (gpu.h). kAuto: each as it is faster on this machine.
enum class SparsePath : uint8_t { kAuto, kSparse, kDense };

// What is fastest on this very machine, tried out while a model is loaded (targets/cpu/fetch_choice.h). Of speed alone:
// results do not depend on it.
struct Tuning {
  bool measure = false;  // what `known` does not say
  // Of a token's matrices together, from which trying pays, and a 512th of it of each; 0: all are tried, in tests.
  uint64_t least_bytes = uint64_t{256} << 20;
  std::string known;  // lines of Program::tuning(), of any machine and model; others are passed over
};

// Implemented by targets/cpu. `isa`: a row of the kernel table by name, or empty for the best that the CPU has (the
// caller passes MOTE_ISA through). kInvalidArgument lists the rows that would have been accepted.
Result<std::unique_ptr<Backend>> CreateCpuBackend(const Context& context, const std::string& isa,
                                                  SparsePath path = SparsePath::kAuto, const Tuning& tuning = {});

// What such a backend does with a block-sparse matrix, for telling people.
struct SparseDecision {
  const TensorInfo* tensor = nullptr;
  double density = 1;     // blocks kept of all
  double break_even = 1;  // the density up to which the sparse product is faster here
  bool sparse = false;    // multiplied with as it is
};
// Of all of a file, in its order.
Result<std::vector<SparseDecision>> DecideSparse(const GgufFile& file, const Context& context, const std::string& isa,
                                                 SparsePath path);

// A row of the CPU's kernel table, for choosing one and for telling people.
struct CpuIsa {
  const char* name;
  bool can_run;  // by this CPU
};
// All rows in this build, best first; the first that can run is the one that an empty `isa` means.
std::vector<CpuIsa> ListCpuIsas();

}  // namespace mote

#endif  // MOTE_ENGINE_GRAPH_BACKEND_H_
