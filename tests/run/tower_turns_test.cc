// A vision tower and the streams of its model take turns.
#include <gtest/gtest.h>

#ifndef __wasm__
#include <string.h>

#include <atomic>
#include <thread>
#include <vector>

#include "engine/run/generate.h"
#include "tests/run/vision_support.h"

namespace mote::testing {
namespace {

// A tower's program that knows whether a step of it is under way.
class WatchedProgram : public Program {
 public:
  WatchedProgram(std::unique_ptr<Program> program, std::atomic<int>* under_way)
      : program_(std::move(program)), under_way_(*under_way) {}
  Result<std::unique_ptr<KvCache>> CreateKvCache(uint32_t context) override { return program_->CreateKvCache(context); }
  Status RunPart(const Step& step, uint32_t part, uint32_t parts) override {
    if (part == 0) {
      EXPECT_EQ(under_way_.fetch_add(1), 0) << "two steps of one tower at once";
    }
    const Status status = program_->RunPart(step, part, parts);
    if (part + 1 == parts) --under_way_;
    return status;
  }

 private:
  const std::unique_ptr<Program> program_;
  std::atomic<int>& under_way_;
};

class WatchedBackend : public Backend {
 public:
  explicit WatchedBackend(std::unique_ptr<Backend> backend) : backend_(std::move(backend)) {}
  const char* name() const override { return backend_->name(); }
  std::string description() const override { return backend_->description(); }
  Result<MemoryNeed> Measure(const Plan& plan, uint32_t context) const override {
    return backend_->Measure(plan, context);
  }
  Result<std::unique_ptr<Program>> Compile(const Plan& plan, const GgufFile& file, const Context& context,
                                           const LoadProgress& progress) override {
    MOTE_ASSIGN_OR_RETURN(std::unique_ptr<Program> program, backend_->Compile(plan, file, context, progress));
    return std::unique_ptr<Program>(new WatchedProgram(std::move(program), &under_way));
  }
  const PixelKernels& pixel_kernels() const override { return backend_->pixel_kernels(); }

  std::atomic<int> under_way = 0;

 private:
  const std::unique_ptr<Backend> backend_;
};

struct Watch {
  const std::atomic<int>& under_way;
  std::atomic<int> steps_within = 0;
};

// Tokens are chosen at the end of a step, before anybody else has a turn: while a step of the tower is under way, then,
// only between two of its parts.
class WatchingFilter : public TokenFilter {
 public:
  explicit WatchingFilter(Watch* watch) : watch_(*watch) {}
  Status Apply(std::span<float>) override {
    if (watch_.under_way > 0) ++watch_.steps_within;
    return {};
  }
  Status Accept(int32_t) override { return {}; }

 private:
  Watch& watch_;
};

void ExpectSameRows(const EncodedImage& a, const EncodedImage& b) {
  ASSERT_EQ(a.parts.size(), b.parts.size());
  for (size_t i = 0; i < a.parts.size(); ++i) {
    const Buffer& left = a.parts[i].rows->values;
    const Buffer& right = b.parts[i].rows->values;
    ASSERT_EQ(left.size(), right.size());
    EXPECT_EQ(memcmp(left.data(), right.data(), left.size()), 0);
  }
}

// Two threads read pictures with one tower while an answer is written; the answer takes its steps while a step of the
// tower is under way, and nobody's bits change.
TEST(TowerTurns, StreamsStepWhileATowerIsUnderWay) {
  SeeingModel seeing("idefics3", {.threads = 2, .context = 256});
  ASSERT_NE(seeing.model, nullptr);
  Model& model = *seeing.model;
  const std::unique_ptr<Platform> platform = CreatePlatform();
  // The decoder's steps and the tower's parts may use different workers here: they take turns all the same.
  const std::unique_ptr<ThreadPool> pool = std::move(platform->CreateThreadPool(2)).value();
  Vision::Host host;
  host.context.platform = platform.get();
  host.context.pool = pool.get();
  WatchedBackend backend(std::move(CreateCpuBackend(host.context, IsaUnderTest())).value());
  host.backend = &backend;
  host.scheduler = &model.scheduler();
  host.tokenizer = &model.tokenizer();
  host.image_cols = model.image_cols();
  const std::unique_ptr<Vision> vision =
      std::move(Vision::Load(OpenBytes(seeing.vision_bytes, "mmproj"), host, {.cache_bytes = 0})).value();

  std::vector<std::vector<Image>> images(2);
  std::vector<EncodedImage> want;
  for (uint32_t t = 0; t < 2; ++t) {
    images[t].push_back(Picture(t + 1, 200, 170));
    want.push_back(std::move(EncodeAll(model, images[t])[0]));
  }
  const std::vector<int32_t> prompt = SomeTokens(20, 256);
  GenerateParams params;
  params.max_tokens = 100;
  params.ignore_eos = true;
  const auto generate = [&] {
    const std::unique_ptr<Session> session = std::move(Session::Create(model, 0)).value();
    Result<GenerateResult> result = Generate(*session, prompt, params);
    EXPECT_TRUE(result.ok());
    return result.ok() ? result->tokens : std::vector<int32_t>();
  };
  const std::vector<int32_t> alone = generate();

  Watch watch{backend.under_way};
  params.filter = std::make_shared<WatchingFilter>(&watch);
  std::atomic<bool> enough = false;
  std::thread stream([&] {
    while (!enough) EXPECT_EQ(generate(), alone);
  });
  const auto read = [&](uint32_t t) {
    for (int i = 0; i < 500 && watch.steps_within < 10; ++i) {
      const ImageView view = images[t][0].view();
      const Result<std::vector<EncodedImage>> encoded = vision->Encode({&view, 1}, {}, nullptr);
      ASSERT_TRUE(encoded.ok()) << encoded.status().message();
      ExpectSameRows((*encoded)[0], want[t]);
    }
  };
  std::thread other([&] { read(1); });
  read(0);
  other.join();
  enough = true;
  stream.join();
  EXPECT_GE(watch.steps_within, 10);
}

TEST(TowerTurns, CancellingStopsAStepOfTheTowerInTheMidst) {
  SeeingModel seeing("idefics3", {.threads = 1});
  ASSERT_NE(seeing.model, nullptr);
  Model& model = *seeing.model;
  const std::vector<EncodedImage> want = EncodeAll(model, [] {
    std::vector<Image> images;
    images.push_back(Picture(5, 90, 33));
    return images;
  }());
  const Image image = Picture(1, 200, 170);
  std::atomic<bool> cancel = true;
  ReadOptions options;
  options.cancel = &cancel;
  const ImageView view = image.view();
  EXPECT_EQ(model.vision()->Encode({&view, 1}, options, nullptr).status().code(), Code::kCancelled);
  // Nobody holds the tower any more, and what comes next is right.
  cancel = false;
  ASSERT_TRUE(model.vision()->Encode({&view, 1}, options, nullptr).ok());
  std::vector<Image> again;
  again.push_back(Picture(5, 90, 33));
  ExpectSameRows(EncodeAll(model, again)[0], want[0]);
}

}  // namespace
}  // namespace mote::testing
#else
TEST(TowerTurns, NeedThreads) {
  GTEST_SKIP() << "no threads here";
}
#endif
