// A model over several ranks, in one process and without threads: what rank 0 sends is handled when it asks for
// answers.
#include "engine/graph/chain.h"

#include <gtest/gtest.h>
#include <string.h>

#include <algorithm>
#include <deque>

#include "engine/graph/chunks.h"
#include "engine/graph/cut.h"
#include "engine/run/chain_share.h"
#include "tests/run/run_support.h"
#include "tests/support/effort.h"
#include "tests/support/tiny_model.h"

namespace mote::testing {
namespace {

using Message = std::vector<uint8_t>;

// The wires between the ranks of a test; each end is a Transport.
class Wires {
 public:
  explicit Wires(int ranks) : ranks_(ranks) {
    for (int rank = 0; rank < ranks; ++rank) ends_.push_back(End(this, rank));
  }
  Transport& end(int rank) { return ends_[static_cast<size_t>(rank)]; }
  void Attach(ChainStage* stage) { stages_.push_back(stage); }

  size_t waiting() const { return queues_.size(); }  // sent and not handled yet
  size_t most_waiting() const { return most_waiting_; }
  uint64_t step_bytes() const { return step_bytes_; }
  // The next message of rank 1's is told as lost.
  void Lose() { lost_ = true; }
  // Steps come to rank 1 with their first `bytes` alone.
  void KeepOfSteps(size_t bytes) { keep_ = bytes; }

 private:
  struct Post {
    int from, to;
    Message bytes;
  };
  class End : public Transport {
   public:
    End(Wires* wires, int rank) : wires_(*wires), rank_(rank) {}
    int rank() const override { return rank_; }
    int ranks() const override { return wires_.ranks_; }
    Status Send(int to, std::span<const uint8_t> bytes) override { return wires_.Send(rank_, to, bytes); }
    Result<std::span<const uint8_t>> Receive(int from) override { return wires_.Receive(rank_, from); }

   private:
    Wires& wires_;
    int rank_;
  };

  Status Send(int from, int to, std::span<const uint8_t> bytes) {
    if (lost_) return Error(Code::kIo, "rank 1 is lost");
    queues_.push_back({from, to, Message(bytes.begin(), bytes.end())});
    most_waiting_ = std::max(most_waiting_, queues_.size());
    WireReader reader(bytes);
    if (reader.Word() == ChainWord::kStep) step_bytes_ += bytes.size();
    return Status();
  }

  // Lets the ranks behind the lead work until there is something for it.
  Result<std::span<const uint8_t>> Receive(int rank, int from) {
    EXPECT_EQ(rank, 0);
    while (!queues_.empty() && !lost_) {
      Post post = std::move(queues_.front());
      queues_.pop_front();
      if (post.to == 0) {
        EXPECT_EQ(post.from, from);
        current_ = std::move(post.bytes);
        return std::span<const uint8_t>(current_);
      }
      if (WireReader(post.bytes).Word() == ChainWord::kStep) post.bytes.resize(std::min(keep_, post.bytes.size()));
      MOTE_RETURN_IF_ERROR(stages_[static_cast<size_t>(post.to - 1)]->Handle(post.bytes).status());
    }
    return Error(Code::kIo, "rank 1 is lost");
  }

  const int ranks_;
  std::deque<End> ends_;
  std::vector<ChainStage*> stages_;
  std::deque<Post> queues_;
  size_t most_waiting_ = 0;
  uint64_t step_bytes_ = 0;
  Message current_;
  size_t keep_ = SIZE_MAX;
  bool lost_ = false;
};

// A tiny model on one backend, whole and cut into layers.
struct Machine {
  std::vector<uint8_t> bytes;
  std::unique_ptr<GgufFile> file;
  std::unique_ptr<Platform> platform = CreatePlatform();
  std::unique_ptr<ThreadPool> pool;
  Context context;
  HyperParams hyper;
  Graph graph;
  Plan plan;
  std::unique_ptr<Backend> cpu;

  Machine(const char* family, uint32_t layers) {
    TinyModelOptions options;
    options.architecture = family;
    options.type = DType::kQ8_0;
    options.layers = layers;
    options.ff = 256;
    options.experts = 4;
    bytes = MakeTinyModel(options);
    std::vector<std::unique_ptr<ByteSource>> sources;
    sources.push_back(CreateMemorySource(bytes, "memory"));
    file = std::move(GgufFile::FromSources(std::move(sources))).value();
    pool = std::move(platform->CreateThreadPool(2)).value();
    context.platform = platform.get();
    context.pool = pool.get();
    hyper = *ReadHyperParams(*file);
    EXPECT_TRUE(BuildGraph({*file, hyper, 128, false}, &graph).ok());
    plan = *MakePlan(graph, 96, 96);
    cpu = std::move(CreateCpuBackend(context, IsaUnderTest())).value();
  }
};

// The lead's own layers.
struct Front {
  GraphHalves graphs;
  Plan plan;
  Front(const Machine& machine, uint32_t layers) : graphs(*CutGraph(machine.graph, layers)) {
    plan = *MakePlan(graphs.front, machine.plan.max_tokens, machine.plan.max_tokens);
  }
};

// The ranks behind the lead, which has `layers[0]`.
struct Followers {
  std::deque<Graph> graphs;
  std::deque<Plan> plans;
  std::vector<std::unique_ptr<Program>> programs;
  std::vector<std::unique_ptr<ChainStage>> stages;

  Followers(Machine& machine, const std::vector<uint32_t>& layers, Wires* wires) {
    uint32_t first = layers[0];
    for (size_t rank = 1; rank < layers.size(); ++rank) {
      GraphHalves halves = *CutGraph(machine.graph, first);
      const bool last = rank + 1 == layers.size();
      graphs.push_back(last ? std::move(halves.back) : std::move(CutGraph(halves.back, layers[rank])->front));
      plans.push_back(*MakePlan(graphs.back(), machine.plan.max_tokens, machine.plan.max_outputs));
      programs.push_back(std::move(machine.cpu->Compile(plans.back(), *machine.file, machine.context, {})).value());
      ChainStage::Shape shape;
      shape.max_tokens = shape.max_outputs = 96;
      shape.width = graphs.back().input_cols();
      shape.result_cols = graphs.back().value(graphs.back().result()).cols;
      shape.context = 128;
      stages.push_back(
          std::move(ChainStage::Create(*programs.back(), shape, wires->end(static_cast<int>(rank)))).value());
      wires->Attach(stages.back().get());
      first += layers[rank];
    }
  }
};

// Two sessions, prompts of 90 and 5 tokens in one step each, then both side by side; one is copied on the way. Logits
// and hidden states of all that is asked for.
std::vector<float> Talk(Machine& machine, Program& program, Status* failed = nullptr) {
  const std::vector<int32_t> tokens = SomeTokens(96, machine.hyper.vocab_size);
  std::unique_ptr<KvCache> caches[2];
  for (auto& cache : caches) cache = std::move(program.CreateKvCache(128)).value();
  KvCache* both[] = {caches[0].get(), caches[1].get()};
  std::vector<float> all;
  const auto run = [&](std::vector<int32_t> positions, std::vector<uint32_t> sequences, std::vector<uint32_t> outputs,
                       std::vector<uint32_t> hidden) {
    std::vector<int32_t> own;
    for (const int32_t position : positions) own.push_back(tokens[static_cast<size_t>(position)]);
    std::vector<float> logits(outputs.size() * machine.hyper.vocab_size), states(hidden.size() * machine.hyper.width);
    Step step;
    step.tokens = own;
    step.positions = positions;
    step.sequences = sequences;
    step.caches = both;
    step.outputs = outputs;
    step.logits = logits.data();
    step.hidden_rows = hidden;
    step.hidden = states.data();
    const Status status = program.Run(step);
    if (failed != nullptr) {
      *failed = status;
    } else {
      EXPECT_TRUE(status.ok()) << status.message();
    }
    all.insert(all.end(), logits.begin(), logits.end());
    all.insert(all.end(), states.begin(), states.end());
  };
  const auto count = [](int32_t begin, int32_t end) {
    std::vector<int32_t> positions;
    for (int32_t i = begin; i < end; ++i) positions.push_back(i);
    return positions;
  };
  run(count(0, 40), std::vector<uint32_t>(40, 0), {}, {});
  run(count(40, 90), std::vector<uint32_t>(50, 0), {}, {});
  run(count(0, 5), std::vector<uint32_t>(5, 1), {2, 4}, {1, 3});
  run({90, 5}, {0, 1}, {0, 1}, {});
  caches[1]->CopyPrefix(*caches[0], 91);
  run({91, 91}, {0, 1}, {0}, {1});
  std::vector<int32_t> many = count(0, 92);  // a step in several chunks, with a result in each
  run(many, std::vector<uint32_t>(92, 1), {1, 50, 91}, {0, 49});
  return all;
}

TEST(Chain, TheBitsOfOneMachine) {
  for (const char* family : {"llama", "gemma3", "qwen3moe", "phi3"}) {
    if (kSlowTests && family[0] != 'g') continue;
    Machine machine(family, 4);
    const std::unique_ptr<Program> whole =
        std::move(machine.cpu->Compile(machine.plan, *machine.file, machine.context, {})).value();
    const std::vector<float> want = Talk(machine, *whole);
    for (const std::vector<uint32_t>& layers : std::vector<std::vector<uint32_t>>{{1, 3}, {3, 1}, {1, 2, 1}}) {
      if (kSlowTests && layers.size() == 2 && layers[0] == 3) continue;
      Wires wires(static_cast<int>(layers.size()));
      Followers followers(machine, layers, &wires);
      const Front front(machine, layers[0]);
      ChainLeadParams params;
      params.front = &front.plan;
      const std::unique_ptr<Backend> chain = CreateChainBackend(*machine.cpu, wires.end(0), params);
      const std::unique_ptr<Program> program =
          std::move(chain->Compile(machine.plan, *machine.file, machine.context, {})).value();
      const std::vector<float> got = Talk(machine, *program);
      ASSERT_EQ(got.size(), want.size());
      EXPECT_EQ(memcmp(got.data(), want.data(), want.size() * sizeof(float)), 0)
          << family << " over " << layers.size() << " ranks, " << layers[0] << " layers on the first";
    }
  }
}

// What nobody waits for is sent ahead: the first two steps of Talk, one chunk each, wait with the caches and the third.
TEST(Chain, TheLeadRunsAhead) {
  Machine machine("llama", 2);
  Wires wires(2);
  Followers followers(machine, {1, 1}, &wires);
  const Front front(machine, 1);
  ChainLeadParams params;
  params.front = &front.plan;
  const std::unique_ptr<Backend> chain = CreateChainBackend(*machine.cpu, wires.end(0), params);
  const std::unique_ptr<Program> program =
      std::move(chain->Compile(machine.plan, *machine.file, machine.context, {})).value();
  Talk(machine, *program);
  EXPECT_GE(wires.most_waiting(), 5u);
  // One row of floats for each token, and little beside.
  const uint64_t rows = 40 + 50 + 5 + 2 + 2 + 92;
  EXPECT_GE(wires.step_bytes(), rows * machine.hyper.width * sizeof(float));
  EXPECT_LE(wires.step_bytes(), rows * (machine.hyper.width * sizeof(float) + 64));
  EXPECT_EQ(ChunkRows(1), 1u);
  EXPECT_EQ(ChunkRows(63), 63u);
  EXPECT_EQ(ChunkRows(64), 32u);
  EXPECT_EQ(ChunkRows(512), 128u);
}

TEST(Chain, ALostRankIsAnErrorForGood) {
  Machine machine("llama", 2);
  Wires wires(2);
  Followers followers(machine, {1, 1}, &wires);
  const Front front(machine, 1);
  ChainLeadParams params;
  params.front = &front.plan;
  const std::unique_ptr<Backend> chain = CreateChainBackend(*machine.cpu, wires.end(0), params);
  const std::unique_ptr<Program> program =
      std::move(chain->Compile(machine.plan, *machine.file, machine.context, {})).value();
  std::unique_ptr<KvCache> cache = std::move(program->CreateKvCache(16)).value();
  KvCache* caches[] = {cache.get()};
  const int32_t token[] = {1}, position[] = {0};
  const uint32_t zero[] = {0};
  std::vector<float> logits(machine.hyper.vocab_size);
  Step step;
  step.tokens = token;
  step.positions = position;
  step.sequences = zero;
  step.caches = caches;
  step.outputs = zero;
  step.logits = logits.data();
  EXPECT_TRUE(program->Run(step).ok());
  wires.Lose();
  for (int i = 0; i < 2; ++i) {
    const Status status = program->Run(step);
    EXPECT_EQ(status.code(), Code::kIo);
    EXPECT_EQ(status.message(), "rank 1 is lost");
  }
}

// Half a step, of any length, is refused and read no further than it goes.
TEST(Chain, CutMessagesAreRefused) {
  Machine machine("llama", 2);
  for (size_t keep = 4; keep < 600; keep += 52) {
    Wires wires(2);
    Followers followers(machine, {1, 1}, &wires);
    const Front front(machine, 1);
    ChainLeadParams params;
    params.front = &front.plan;
    const std::unique_ptr<Backend> chain = CreateChainBackend(*machine.cpu, wires.end(0), params);
    const std::unique_ptr<Program> program =
        std::move(chain->Compile(machine.plan, *machine.file, machine.context, {})).value();
    wires.KeepOfSteps(keep);
    Status status;
    Talk(machine, *program, &status);
    EXPECT_EQ(status.code(), Code::kMalformed) << keep << ": " << status.message();
  }
}

std::vector<uint32_t> Shares(const std::string& split, std::vector<ChainAbility> ranks, const ChainLoad& load) {
  const Result<std::vector<uint32_t>> layers = ShareLayers(split, ranks, load);
  EXPECT_TRUE(layers.ok()) << layers.status().message();
  return layers.ok() ? *layers : std::vector<uint32_t>();
}

TEST(ChainShare, BySpeedAndByMemory) {
  constexpr uint64_t kMiB = 1 << 20;
  ChainLoad load;
  load.layers = 32;
  load.layer_bytes = 100 * kMiB;
  using Layers = std::vector<uint32_t>;
  EXPECT_EQ(Shares("auto", {{1e9, 0, ""}, {1e9, 0, ""}}, load), (Layers{16, 16}));
  EXPECT_EQ(Shares("auto", {{3e9, 0, ""}, {1e9, 0, ""}}, load), (Layers{24, 8}));
  EXPECT_EQ(Shares("auto", {{1e12, 0, ""}, {1, 0, ""}}, load), (Layers{31, 1}));
  EXPECT_EQ(Shares("auto", {{0, 0, ""}, {0, 0, ""}}, load), (Layers{16, 16}));
  EXPECT_EQ(Shares("auto", {{3e9, 1000 * kMiB, ""}, {1e9, 0, ""}}, load), (Layers{10, 22}));
  EXPECT_EQ(Shares("auto", {{2e9, 0, ""}, {1e9, 0, ""}, {1e9, 0, ""}}, load), (Layers{16, 8, 8}));
  load.last_bytes = 400 * kMiB;  // as long as four layers
  EXPECT_EQ(Shares("auto", {{1e9, 0, ""}, {1e9, 0, ""}}, load), (Layers{18, 14}));
  EXPECT_EQ(Shares("5", {{1, 0, ""}, {1, 0, ""}}, load), (Layers{5, 27}));
  EXPECT_EQ(Shares("3:1", {{1, 0, ""}, {1, 0, ""}}, load), (Layers{24, 8}));
  EXPECT_EQ(Shares("1:999999", {{1, 0, ""}, {1, 0, ""}}, load), (Layers{1, 31}));
  EXPECT_EQ(Shares("2:1:1", {{1, 0, ""}, {1, 0, ""}, {1, 0, ""}}, load), (Layers{16, 8, 8}));
}

TEST(ChainShare, RefusesWhatCannotBe) {
  const std::vector<ChainAbility> two = {{1, 0, ""}, {1, 0, ""}};
  ChainLoad load;
  load.layers = 4;
  load.layer_bytes = 1 << 20;
  for (const char* wrong : {"", "0", "4", "99", "x", "1:", ":1", "1:1:1", "0:1", "-1", "1.5", "9999999"}) {
    EXPECT_EQ(ShareLayers(wrong, two, load).status().code(), Code::kInvalidArgument) << wrong;
  }
  const std::vector<ChainAbility> five(5);
  EXPECT_EQ(ShareLayers("auto", five, load).status().code(), Code::kInvalidArgument);
  const std::vector<ChainAbility> full = {{1, 1 << 20, ""}, {1, 2 << 20, ""}};
  const Status status = ShareLayers("auto", full, load).status();
  EXPECT_EQ(status.code(), Code::kOutOfMemory);
  EXPECT_NE(status.message().find("rank 1 has 2 MiB free"), std::string::npos) << status.message();
}

}  // namespace
}  // namespace mote::testing
