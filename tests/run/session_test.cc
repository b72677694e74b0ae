#include "engine/run/session.h"

#include <gtest/gtest.h>

#include <atomic>

#include "tests/run/run_support.h"
#include "tests/support/tiny_model.h"

namespace mote::testing {
namespace {

class SessionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    bytes_ = MakeTinyModel({});
    model_ = LoadModel(bytes_, {.threads = 2, .context = 64, .max_batch = 16});
    ASSERT_NE(model_, nullptr);
    session_ = std::move(Session::Create(*model_, 0)).value();
  }
  std::vector<uint8_t> bytes_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<Session> session_;
};

TEST_F(SessionTest, RefusesWhatDoesNotFitAndStaysUsable) {
  const std::vector<int32_t> tokens = SomeTokens(64, model_->vocab_size());
  ASSERT_TRUE(session_->Eval(std::span(tokens).first(60), {}).ok());
  const Status full = session_->Eval(std::span(tokens).first(5), {});
  EXPECT_EQ(full.code(), Code::kContextFull);
  EXPECT_NE(full.message().find("60"), std::string::npos) << full.message();
  EXPECT_EQ(session_->length(), 60u);
  EXPECT_TRUE(session_->Eval(std::span(tokens).first(4), {}).ok());
  EXPECT_EQ(session_->length(), 64u);
}

// Nobody may do that; if somebody does, the room that is left must not come out as four thousand million.
TEST_F(SessionTest, HasNoRoomLeftWhereItHoldsMoreThanItsContext) {
  const std::vector<int32_t> tokens = SomeTokens(60, model_->vocab_size());
  const std::unique_ptr<Session> full = std::move(Session::Create(*model_, 0)).value();
  ASSERT_TRUE(full->Eval(tokens, {}).ok());
  struct Meddler {
    Session* session;
    const Session* full;
  } meddler{session_.get(), full.get()};
  EvalOptions options;
  options.progress = [](void* user, uint32_t done, uint32_t total) {
    const Meddler& m = *static_cast<Meddler*>(user);
    if (done == total) m.session->CopyPrefix(*m.full, 60);
  };
  options.progress_user = &meddler;
  ASSERT_TRUE(session_->Eval(std::span(tokens).first(20), options).ok());
  ASSERT_GT(session_->length(), session_->context());
  EXPECT_EQ(session_->Eval(std::span(tokens).first(1), {}).code(), Code::kContextFull);
}

TEST_F(SessionTest, RefusesTokensOutsideTheVocabulary) {
  for (const int32_t bad : {-1, static_cast<int32_t>(model_->vocab_size()), INT32_MAX, INT32_MIN}) {
    const int32_t tokens[] = {1, bad};
    EXPECT_EQ(session_->Eval(tokens, {}).code(), Code::kInvalidArgument) << bad;
  }
  EXPECT_EQ(session_->Eval({}, {}).code(), Code::kInvalidArgument);
  EXPECT_EQ(session_->length(), 0u);
}

TEST_F(SessionTest, KeptPrefixGivesTheSameLogits) {
  std::vector<int32_t> tokens = SomeTokens(40, model_->vocab_size());
  ASSERT_TRUE(session_->Eval(tokens, {}).ok());
  tokens[25] = (tokens[25] + 1) % static_cast<int32_t>(model_->vocab_size());
  EXPECT_EQ(session_->KeepPrefix(tokens), 25u);
  EXPECT_TRUE(session_->logits().empty());
  ASSERT_TRUE(session_->Eval(std::span(tokens).subspan(25), {}).ok());
  const std::vector<std::vector<float>> fresh = AllLogits(*model_, tokens);
  EXPECT_TRUE(std::equal(session_->logits().begin(), session_->logits().end(), fresh.back().begin()));
  // The same prompt again: its last token is computed again, for its logits.
  EXPECT_EQ(session_->KeepPrefix(tokens), 39u);
  EXPECT_EQ(session_->KeepPrefix({}), 0u);
}

TEST_F(SessionTest, CancelKeepsWhatIsDone) {
  std::atomic<bool> cancel = false;
  EvalOptions options;
  options.cancel = &cancel;
  options.progress = [](void* user, uint32_t done, uint32_t) {
    if (done >= 32) static_cast<std::atomic<bool>*>(user)->store(true);
  };
  options.progress_user = &cancel;
  const std::vector<int32_t> tokens = SomeTokens(60, model_->vocab_size());
  EXPECT_EQ(session_->Eval(tokens, options).code(), Code::kCancelled);
  EXPECT_EQ(session_->length(), 32u);  // two steps of 16
  cancel = false;
  options.progress = nullptr;
  ASSERT_TRUE(session_->Eval(std::span(tokens).subspan(32), options).ok());
  const std::vector<std::vector<float>> fresh = AllLogits(*model_, tokens);
  EXPECT_TRUE(std::equal(session_->logits().begin(), session_->logits().end(), fresh.back().begin()));
}

TEST_F(SessionTest, ReceiverOfLogitsCanStop) {
  EvalOptions options;
  uint32_t seen = 0;
  options.sink.user = &seen;
  options.sink.row = [](void* user, uint32_t index, std::span<const float>) {
    *static_cast<uint32_t*>(user) = index + 1;
    return index < 4;
  };
  const std::vector<int32_t> tokens = SomeTokens(30, model_->vocab_size());
  EXPECT_EQ(session_->Eval(tokens, options).code(), Code::kCancelled);
  EXPECT_EQ(seen, 5u);
}

TEST(ModelParamsTest, RefusedWithTheRange) {
  const std::vector<uint8_t> bytes = MakeTinyModel({});
  for (const LoadOptions& bad : {LoadOptions{.threads = -1}, LoadOptions{.threads = 1025}, LoadOptions{.max_batch = 0},
                                 LoadOptions{.max_batch = 8193}, LoadOptions{.context = (1u << 24) + 1}}) {
    EXPECT_EQ(TryLoad(bytes, bad).status().code(), Code::kInvalidArgument);
  }
  const std::unique_ptr<Model> model = LoadModel(bytes, {.context = 32});
  EXPECT_EQ(Session::Create(*model, 33).status().code(), Code::kInvalidArgument);
}

TEST(ModelParamsTest, MemoryLimitIsHeldBeforeLoading) {
  const std::vector<uint8_t> bytes = MakeTinyModel({});
  const auto load = [&](uint64_t limit, CacheTypes cache = {}, uint32_t context = 512) {
    std::vector<std::unique_ptr<ByteSource>> parts;
    parts.push_back(CreateMemorySource(bytes, "memory"));
    ModelParams params;
    params.threads = 1;
    params.context = context;
    params.cache = cache;
    params.memory_limit = limit;
    params.isa = IsaUnderTest();
    return Model::Load(std::move(GgufFile::FromSources(std::move(parts))).value(), params);
  };
  const auto loaded = load(0);
  ASSERT_TRUE(loaded.ok());
  const MemoryReport& need = (*loaded)->memory();
  EXPECT_GT(need.weight_bytes, 1u << 20);
  // Layers, key/value heads, head size: keys and values.
  constexpr uint64_t kValues = 512u * 2 * 4 * 32 * 2;
  EXPECT_EQ(need.cache_bytes, kValues * 2);
  const auto cache_bytes = [&](CacheTypes cache, uint32_t context) {
    const auto model = load(0, cache, context);
    return model.ok() ? (*model)->memory().cache_bytes : 0;
  };
  EXPECT_EQ(cache_bytes({DType::kQ8_0, DType::kQ8_0}, 512), kValues * 34 / 32);
  EXPECT_EQ(cache_bytes({DType::kQ8_0, DType::kF16}, 512), kValues / 2 * 34 / 32 + kValues);
  EXPECT_EQ(cache_bytes({}, 449), need.cache_bytes);  // whole blocks of 64 positions
  // From two splits of 512 on, their results: for 8 tokens, 8 heads, head size and two numbers each.
  EXPECT_EQ(cache_bytes({}, 1024), need.cache_bytes * 2 + 2 * 8 * 8 * (32 + 2) * 4);
  const auto session = Session::Create(**loaded, 0);
  ASSERT_TRUE(session.ok());
  EXPECT_EQ((*session)->cache_bytes(), need.cache_bytes);
  EXPECT_EQ(load(0, {DType::kQ4_0, DType::kF16}).status().code(), Code::kUnsupported);
  EXPECT_TRUE(load(need.total()).ok());
  const Status refused = load(need.total() - 1).status();
  EXPECT_EQ(refused.code(), Code::kOutOfMemory);
  EXPECT_NE(refused.message().find("weights"), std::string::npos) << refused.message();
}

Result<MemoryReport> Measure(std::span<const uint8_t> header, const ModelParams& params) {
  std::vector<std::unique_ptr<ByteSource>> parts;
  parts.push_back(CreateMemorySource(header, "memory"));
  MOTE_ASSIGN_OR_RETURN(std::unique_ptr<GgufFile> file, GgufFile::FromSourcesHeaderOnly(std::move(parts)));
  return Model::Estimate(std::move(file), params);
}

// Rotary factors are tensors: where only the header is there, they are not.
TEST(ModelParamsTest, AHeaderIsEnoughToMeasure) {
  for (const char* scaling : {"", "llama3", "longrope"}) {
    TinyModelOptions options;
    options.rope_scaling = scaling;
    const std::vector<uint8_t> bytes = MakeTinyModel(options);
    std::vector<std::unique_ptr<ByteSource>> parts;
    parts.push_back(CreateMemorySource(bytes, "memory"));
    const uint64_t header_bytes = (*GgufFile::FromSources(std::move(parts)))->header_bytes();
    ModelParams params;
    params.threads = 1;
    params.context = 512;
    params.isa = IsaUnderTest();
    const Result<MemoryReport> report = Measure(std::span(bytes).first(header_bytes), params);
    ASSERT_TRUE(report.ok()) << scaling << ": " << report.status().message();
    const std::unique_ptr<Model> model = LoadModel(bytes, {.context = 512});
    ASSERT_NE(model, nullptr);
    EXPECT_EQ(report->total(), model->memory().total()) << scaling;
  }
}

// One step gives up to 32 rows of logits, which with a vocabulary of 512 are 64 KiB beside the backend's own scratch,
// or the hidden states of all its rows.
TEST(ModelParamsTest, TheResultsOfAStepAreCounted) {
  const std::vector<uint8_t> bytes = MakeTinyModel({});
  const std::unique_ptr<Model> model = LoadModel(bytes, {.context = 512});
  ASSERT_NE(model, nullptr);
  Graph graph;
  ASSERT_TRUE(BuildGraph({model->file(), model->hyper(), 512}, &graph).ok());
  const Result<Plan> plan = MakePlan(graph, 512, 512);
  ASSERT_TRUE(plan.ok());
  const std::unique_ptr<Platform> platform = CreatePlatform();
  const std::unique_ptr<ThreadPool> pool = std::move(platform->CreateThreadPool(1)).value();
  Context context;
  context.platform = platform.get();
  context.pool = pool.get();
  const Result<MemoryNeed> need = (*CreateCpuBackend(context, IsaUnderTest()))->Measure(*plan, 64);
  ASSERT_TRUE(need.ok());
  EXPECT_EQ(model->memory().scratch_bytes,
            need->scratch_bytes + (32 * 512 + 512 * model->hyper().width) * sizeof(float));
}

}  // namespace
}  // namespace mote::testing
