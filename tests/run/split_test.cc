// A model in two: layer by layer the same arithmetic, so the CPU and the CPU give the bits that the CPU gives.
#include "engine/graph/split.h"

#include <gtest/gtest.h>
#include <string.h>

#include <utility>

#include "engine/graph/cut.h"
#include "tests/run/run_support.h"
#include "tests/support/tiny_model.h"

namespace mote::testing {
namespace {

struct Parts {
  std::unique_ptr<GgufFile> file;
  std::unique_ptr<Platform> platform = CreatePlatform();
  std::unique_ptr<ThreadPool> pool;
  Context context;
  HyperParams hyper;
  Graph graph;
  Plan plan;
  std::unique_ptr<Backend> cpu;

  const uint32_t positions;

  explicit Parts(std::span<const uint8_t> bytes, uint32_t batch = 16, uint32_t context_tokens = 64)
      : positions(context_tokens) {
    std::vector<std::unique_ptr<ByteSource>> sources;
    sources.push_back(CreateMemorySource(bytes, "memory"));
    file = std::move(GgufFile::FromSources(std::move(sources))).value();
    pool = std::move(platform->CreateThreadPool(2)).value();
    context.platform = platform.get();
    context.pool = pool.get();
    hyper = *ReadHyperParams(*file);
    EXPECT_TRUE(BuildGraph({*file, hyper, positions, false}, &graph).ok());
    plan = *MakePlan(graph, batch, batch);
    cpu = std::move(CreateCpuBackend(context, IsaUnderTest())).value();
  }

  // Logits of all tokens and the states of every third, in steps of up to `chunk`.
  // `broken_off`: behind so many parts each step begins anew, once.
  std::vector<float> Run(Backend& backend, const std::vector<int32_t>& tokens, size_t chunk, uint32_t parts,
                         uint32_t broken_off = 0) {
    Result<std::unique_ptr<Program>> program = backend.Compile(plan, *file, context, {});
    EXPECT_TRUE(program.ok()) << program.status().message();
    if (!program.ok()) return {};
    std::unique_ptr<KvCache> cache = std::move((*program)->CreateKvCache(positions)).value();
    KvCache* caches[] = {cache.get()};
    std::vector<float> all;
    for (size_t at = 0; at < tokens.size(); at += chunk) {
      const size_t count = std::min(chunk, tokens.size() - at);
      std::vector<int32_t> positions;
      std::vector<uint32_t> sequences(count, 0), outputs, hidden;
      for (uint32_t i = 0; i < count; ++i) {
        positions.push_back(static_cast<int32_t>(at + i));
        (i % 3 == 2 ? hidden : outputs).push_back(i);
      }
      std::vector<float> logits(outputs.size() * hyper.vocab_size), states(hidden.size() * hyper.width);
      Step step;
      step.tokens = std::span(tokens).subspan(at, count);
      step.positions = positions;
      step.sequences = sequences;
      step.caches = caches;
      step.outputs = outputs;
      step.logits = logits.data();
      step.hidden_rows = hidden;
      step.hidden = states.data();
      for (uint32_t part = 0; part < broken_off; ++part) EXPECT_TRUE((*program)->RunPart(step, part, parts).ok());
      if (broken_off > 0) EXPECT_TRUE((*program)->End().ok());
      for (uint32_t part = 0; part < parts; ++part) EXPECT_TRUE((*program)->RunPart(step, part, parts).ok());
      all.insert(all.end(), logits.begin(), logits.end());
      all.insert(all.end(), states.begin(), states.end());
    }
    return all;
  }
};

TEST(Split, TheSameBitsWhereverTheCutIs) {
  for (const char* family : {"llama", "gemma3", "qwen3moe", "phi3"}) {
    TinyModelOptions options;
    options.architecture = family;
    options.type = DType::kQ8_0;
    options.layers = 3;
    options.ff = 256;
    options.experts = 4;
    const std::vector<uint8_t> bytes = MakeTinyModel(options);
    Parts parts(bytes);
    const std::vector<int32_t> tokens = SomeTokens(23, parts.hyper.vocab_size);
    const std::vector<float> want = parts.Run(*parts.cpu, tokens, 10, 1);
    ASSERT_FALSE(want.empty());
    for (const uint32_t layers : {1u, 2u}) {
      const std::unique_ptr<Backend> split = CreateSplitBackend(*parts.cpu, *parts.cpu, layers);
      for (const uint32_t in : {1u, 4u}) {
        const std::vector<float> got = parts.Run(*split, tokens, 10, in);
        ASSERT_EQ(got.size(), want.size());
        EXPECT_EQ(memcmp(got.data(), want.data(), want.size() * sizeof(float)), 0)
            << family << ", " << layers << " layers in front, in " << in << " parts";
      }
    }
  }
}

// Does what it is told to begin when that must end: the latest that a machine by itself could.
class LateProgram : public Program {
 public:
  LateProgram(std::unique_ptr<Program> program, uint32_t* begun) : program_(std::move(program)), begun_(*begun) {}
  Result<std::unique_ptr<KvCache>> CreateKvCache(uint32_t context) override { return program_->CreateKvCache(context); }
  Status RunPart(const Step& step, uint32_t part, uint32_t parts) override {
    return program_->RunPart(step, part, parts);
  }
  Status Begin(const Step& step) override {
    EXPECT_FALSE(is_under_way_);
    is_under_way_ = true;
    step_ = step;
    ++begun_;
    return Status();
  }
  Status End() override { return std::exchange(is_under_way_, false) ? program_->Run(step_) : Status(); }

 private:
  std::unique_ptr<Program> program_;
  uint32_t& begun_;
  bool is_under_way_ = false;
  Step step_;
};

class LateBackend : public Backend {
 public:
  explicit LateBackend(Backend& backend) : backend_(backend) {}
  const char* name() const override { return "late"; }
  std::string description() const override { return "late"; }
  Result<MemoryNeed> Measure(const Plan& plan, uint32_t context) const override {
    return backend_.Measure(plan, context);
  }
  Result<std::unique_ptr<Program>> Compile(const Plan& plan, const GgufFile& file, const Context& context,
                                           const LoadProgress& progress) override {
    MOTE_ASSIGN_OR_RETURN(std::unique_ptr<Program> program, backend_.Compile(plan, file, context, progress));
    return std::unique_ptr<Program>(new LateProgram(std::move(program), &begun));
  }
  const PixelKernels& pixel_kernels() const override { return backend_.pixel_kernels(); }

  uint32_t begun = 0;  // steps

 private:
  Backend& backend_;
};

// While the back is at a chunk the front is at the next, and neither's rows are in the other's way; also where a step
// is broken off in its midst.
TEST(Split, TheBackMayBeOneChunkBehind) {
  TinyModelOptions options;
  options.layers = 3;
  const std::vector<uint8_t> bytes = MakeTinyModel(options);
  Parts parts(bytes, 160, 256);
  const std::vector<int32_t> tokens = SomeTokens(200, parts.hyper.vocab_size);
  const std::vector<float> want = parts.Run(*parts.cpu, tokens, 140, 1);
  ASSERT_FALSE(want.empty());
  struct Case {
    uint32_t parts, broken_off;
  };
  for (const Case c : {Case{1, 0}, {2, 0}, {3, 0}, {7, 0}, {100, 0}, {100, 60}, {5, 3}, {4, 4}}) {
    LateBackend late(*parts.cpu);
    const std::unique_ptr<Backend> split = CreateSplitBackend(*parts.cpu, late, 1);
    const std::vector<float> got = parts.Run(*split, tokens, 140, c.parts, c.broken_off);
    ASSERT_EQ(got.size(), want.size());
    EXPECT_EQ(memcmp(got.data(), want.data(), want.size() * sizeof(float)), 0)
        << c.parts << " parts, broken off behind " << c.broken_off;
    EXPECT_GE(late.begun, 4u + 1) << "140 rows are four chunks, 60 are one";
  }
}

TEST(Split, EachHalfHasItsOwnWeightsAndCache) {
  TinyModelOptions options;
  options.layers = 4;
  const std::vector<uint8_t> bytes = MakeTinyModel(options);
  Parts parts(bytes);
  const Result<GraphHalves> halves = CutGraph(parts.graph, 3);
  ASSERT_TRUE(halves.ok()) << halves.status().message();
  EXPECT_EQ(halves->front.cache_layers().size(), 3u);
  EXPECT_EQ(halves->back.cache_layers().size(), 1u);
  const MemoryNeed whole = *parts.cpu->Measure(parts.plan, 64);
  const SplitNeed need = *MeasureSplit(*parts.cpu, *parts.cpu, parts.plan, 64, 3);
  EXPECT_EQ(need.front.cache_bytes + need.back.cache_bytes, whole.cache_bytes);
  EXPECT_GT(need.front.weight_bytes, 0u);
  EXPECT_LT(need.back.weight_bytes, whole.weight_bytes);
  for (const uint32_t wrong : {0u, 4u, 9u}) {
    EXPECT_EQ(CutGraph(parts.graph, wrong).status().code(), Code::kInvalidArgument) << wrong;
  }
}

// Qwen3-VL adds a picture's features behind its first layers: a cut is possible right behind the last of them.
TEST(Split, BehindTheLayersThatReadPictures) {
  TinyModelOptions options;
  options.architecture = "qwen3vl";
  options.rope_sections = {4, 2, 2, 0};
  options.layers = 4;
  options.deepstack = 2;
  const std::vector<uint8_t> bytes = MakeTinyModel(options);
  Parts parts(bytes);
  EXPECT_EQ(CutGraph(parts.graph, 1).status().code(), Code::kUnsupported);
  for (const uint32_t layer : {2u, 3u}) {
    const Result<GraphHalves> halves = CutGraph(parts.graph, layer);
    ASSERT_TRUE(halves.ok()) << layer << ": " << halves.status().message();
    EXPECT_EQ(halves->front.cache_layers().size(), layer);
  }
}

}  // namespace
}  // namespace mote::testing
