// What fits the GPU, what is said where it does not, and what a program does with the driver: on the emulated one.
#include <gtest/gtest.h>

#include "engine/graph/gpu.h"
#include "tests/cuda/emulator/runtime.h"
#include "tests/run/run_support.h"
#include "tests/support/tiny_model.h"

namespace mote::testing {
namespace {

using mote_emulator::Device;

constexpr uint64_t kReserve = uint64_t{256} << 20;

std::vector<uint8_t> Bytes(uint32_t layers = 4) {
  TinyModelOptions options;
  options.type = DType::kQ8_0;
  options.layers = layers;
  return MakeTinyModel(options);
}

Result<std::unique_ptr<Model>> Load(std::span<const uint8_t> bytes, const std::string& device,
                                    int32_t layers = kLayersThatFit) {
  std::vector<std::unique_ptr<ByteSource>> parts;
  parts.push_back(CreateMemorySource(bytes, "memory"));
  ModelParams params;
  params.threads = 1;
  params.context = 256;
  params.max_batch = 32;
  params.device = {device, layers};
  return Model::Load(std::move(GgufFile::FromSources(std::move(parts))).value(), params);
}

class CudaMemory : public ::testing::Test {
 protected:
  void SetUp() override { Device() = {}; }
  void TearDown() override {
    EXPECT_EQ(Device().used_bytes, 0u) << "memory was left behind";
    Device() = {};
  }
};

TEST_F(CudaMemory, AGpuWithoutKernelsIsLeftAlone) {
  Device().has_kernels = false;
  const std::vector<uint8_t> bytes = Bytes();
  const auto on_cpu = Load(bytes, "auto");
  ASSERT_TRUE(on_cpu.ok()) << on_cpu.status().message();
  EXPECT_EQ((*on_cpu)->device().gpu_layers, 0u);
  EXPECT_NE((*on_cpu)->device().reason.find("kernels for sm_80 90 and none that an sm_87 runs"), std::string::npos)
      << (*on_cpu)->device().reason;
  EXPECT_EQ(Load(bytes, "cuda").status().code(), Code::kUnsupported);
}

TEST_F(CudaMemory, WithoutADriverAutoIsTheCpuAndCudaIsAnError) {
  Device().no_driver = "no NVIDIA driver (libcuda.so.1) was found";
  Device().devices = 0;
  const std::vector<uint8_t> bytes = Bytes();
  const auto on_cpu = Load(bytes, "auto");
  ASSERT_TRUE(on_cpu.ok()) << on_cpu.status().message();
  EXPECT_EQ((*on_cpu)->device().gpu_layers, 0u);
  EXPECT_NE((*on_cpu)->device().reason.find("libcuda"), std::string::npos);
  const auto on_gpu = Load(bytes, "cuda");
  ASSERT_FALSE(on_gpu.ok());
  EXPECT_EQ(on_gpu.status().code(), Code::kUnsupported);
  EXPECT_NE(on_gpu.status().message().find("libcuda"), std::string::npos);
  EXPECT_EQ(Load(bytes, "cuda:1").status().code(), Code::kUnsupported);
  for (const char* wrong : {"gpu", "cuda:", "cuda:x", "cuda:64", ""}) {
    EXPECT_EQ(Load(bytes, wrong).status().code(), Code::kInvalidArgument) << wrong;
  }
}

TEST_F(CudaMemory, LayersThatFit) {
  const std::vector<uint8_t> bytes = Bytes(6);
  const auto all = Load(bytes, "cuda");
  ASSERT_TRUE(all.ok()) << all.status().message();
  EXPECT_EQ((*all)->device().gpu_layers, 6u);
  const MemoryNeed need = (*all)->device().gpu_need;
  const uint64_t total = need.weight_bytes + need.scratch_bytes + need.cache_bytes;
  // What was measured is what is taken, but for what is made when it is first needed.
  EXPECT_LE(Device().used_bytes, total);
  EXPECT_GE(Device().used_bytes + need.cache_bytes + (1 << 20), total);

  Device().total_bytes = Device().used_bytes + kReserve + total - need.weight_bytes / 3;
  const auto some = Load(bytes, "auto");
  ASSERT_TRUE(some.ok()) << some.status().message();
  EXPECT_GT((*some)->device().gpu_layers, 0u);
  EXPECT_LT((*some)->device().gpu_layers, 6u);
  const auto refused = Load(bytes, "cuda", kAllLayers);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), Code::kOutOfMemory);
  for (const char* word : {"weights", "scratch", "cache", "together", "are free", "would fit"}) {
    EXPECT_NE(refused.status().message().find(word), std::string::npos) << refused.status().message();
  }
}

// Qwen3-VL's first layers read pictures' features, so that all layers are possible where all but one are not.
TEST_F(CudaMemory, AllLayersThatFitWhereNotEveryCutIsPossible) {
  TinyModelOptions options;
  options.architecture = "qwen3vl";
  options.type = DType::kQ8_0;
  options.rope_sections = {4, 2, 2, 0};
  options.layers = 4;
  options.deepstack = 2;
  const auto model = Load(MakeTinyModel(options), "cuda");
  ASSERT_TRUE(model.ok()) << model.status().message();
  EXPECT_EQ((*model)->device().gpu_layers, 4u);
}

TEST_F(CudaMemory, NoRoomAtAll) {
  Device().total_bytes = kReserve;
  const std::vector<uint8_t> bytes = Bytes();
  const auto on_cpu = Load(bytes, "auto");
  ASSERT_TRUE(on_cpu.ok()) << on_cpu.status().message();
  EXPECT_EQ((*on_cpu)->device().gpu_layers, 0u);
  EXPECT_NE((*on_cpu)->device().reason.find("not even one layer"), std::string::npos) << (*on_cpu)->device().reason;
  EXPECT_EQ(Load(bytes, "cuda").status().code(), Code::kOutOfMemory);
  const auto none = Load(bytes, "cuda", 0);
  ASSERT_TRUE(none.ok()) << none.status().message();
  EXPECT_EQ((*none)->device().gpu_layers, 0u);
}

TEST_F(CudaMemory, AnAllocationThatFailsSaysWhatItWasFor) {
  const std::vector<uint8_t> bytes = Bytes();
  const auto model = Load(bytes, "cuda");
  ASSERT_TRUE(model.ok());
  Device().total_bytes = Device().used_bytes + 1000;
  const auto session = Session::Create(**model, 0);
  ASSERT_FALSE(session.ok());
  EXPECT_EQ(session.status().code(), Code::kOutOfMemory);
  for (const char* word : {"Emulated GPU", "a session's cache", "are free"}) {
    EXPECT_NE(session.status().message().find(word), std::string::npos) << session.status().message();
  }
}

// Steps of few rows are one launch after the first time, and the same bits.
TEST_F(CudaMemory, StepsBecomeGraphs) {
  const std::vector<uint8_t> bytes = Bytes(2);
  const auto model = Load(bytes, "cuda");
  ASSERT_TRUE(model.ok());
  const std::vector<int32_t> tokens = SomeTokens(12, (*model)->vocab_size());
  const auto first = AllLogits(**model, tokens, 1);
  const uint64_t launches = Device().launches, graphs = Device().graph_launches;
  EXPECT_EQ(graphs, 12u);
  const auto again = AllLogits(**model, tokens, 1);
  EXPECT_EQ(Device().launches, launches) << "nothing is launched kernel by kernel any more";
  EXPECT_EQ(Device().graph_launches, 2 * graphs);
  EXPECT_EQ(first, again);
  const auto three = AllLogits(**model, tokens, 3);  // in the graph for four rows
  EXPECT_EQ(three, first);
}

// A launch that was refused while a step was captured leaves no graph behind: the next step of its size is whole.
TEST_F(CudaMemory, AGraphThatLacksAKernelIsNotKept) {
  const std::vector<uint8_t> bytes = Bytes(2);
  const auto model = Load(bytes, "cuda");
  ASSERT_TRUE(model.ok());
  const std::vector<int32_t> tokens = SomeTokens(9, (*model)->vocab_size());
  const auto first = AllLogits(**model, tokens);  // the graph for 16 rows
  const uint64_t graphs = Device().graph_launches;
  const std::unique_ptr<Session> session = std::move(Session::Create(**model, 0)).value();
  Device().refusal = "too many resources requested for launch";
  const Status status = session->Eval(std::span(tokens).subspan(0, 1), {});
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.message().find("too many resources"), std::string::npos) << status.message();
  EXPECT_EQ(Device().graph_launches, graphs);
  EXPECT_EQ(AllLogits(**model, tokens, 1), first);
  EXPECT_EQ(Device().graph_launches, graphs + tokens.size());
}

// One memory for both: the weights are packed into place, nothing is staged, and what is packed becomes the device's.
TEST_F(CudaMemory, BoardsThatShareTheirMemory) {
  const std::vector<uint8_t> bytes = Bytes(2);
  const auto apart = Load(bytes, "cuda");
  ASSERT_TRUE(apart.ok());
  const std::vector<int32_t> tokens = SomeTokens(5, (*apart)->vocab_size());
  Device().integrated = true;
  const auto shared = Load(bytes, "cuda");
  ASSERT_TRUE(shared.ok());
  EXPECT_EQ(Device().of_host, 0u);
  EXPECT_EQ(AllLogits(**apart, tokens), AllLogits(**shared, tokens));
}

}  // namespace
}  // namespace mote::testing
