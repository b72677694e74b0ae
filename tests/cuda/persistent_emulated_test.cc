// Persistent kernels on emulated GPUs of several sizes, with their threads in several orders.
#include <gtest/gtest.h>

#include "tests/cuda/emulator/emulator.h"
#include "tests/cuda/emulator/runtime.h"
#include "tests/cuda/gpu_models.h"
#include "tests/cuda/kernels.h"

namespace mote::testing {
namespace {

TinyModelOptions Layered() {
  TinyModelOptions options = Options("llama", DType::kQ4_K);
  options.other_types = {{"blk.1.attn_v.weight", DType::kQ6_K}, {"blk.1.ffn_down.weight", DType::kQ6_K}};
  options.width = 512;
  options.layers = 3;
  options.heads = 16;
  options.kv_heads = 2;
  return options;
}

class CudaPersistentEmulated : public ::testing::Test {
 protected:
  ~CudaPersistentEmulated() override {
    const uint64_t used = mote_emulator::Device().used_bytes;
    mote_emulator::Device() = mote_emulator::EmulatedDevice();
    mote_emulator::Device().used_bytes = used;
  }
  // Logits of steps of one row; `few`: by how many kernels. (Of a prompt, it is not asked.)
  std::vector<std::vector<float>> Run(const Where& where, bool few, size_t prefix = 1) {
    const std::unique_ptr<Model> model = LoadOn(MakeTinyModel(Layered()), where);
    if (model == nullptr) return {};
    const std::vector<int32_t> tokens = SomeTokens(prefix + 2, model->vocab_size());
    const uint64_t before = mote_emulator::Device().launches;
    auto logits = LogitsAfter(*model, tokens, prefix, 1);
    // One graph is captured: positions, the embedding, the first layer's heads, what the last layer does of outputs,
    // the logits; and all other layers' launches, or one.
    const uint64_t kernels = mote_emulator::Device().launches - before;
    if (prefix == 1) EXPECT_EQ(kernels <= 16, few) << kernels;
    return logits;
  }
};

TEST_F(CudaPersistentEmulated, OfAnySizeInAnyOrder) {
  const auto plain = Run({}, false), behind_splits = Run({}, false, 530);
  for (const uint32_t multiprocessors : {1, 2, 7}) {
    mote_emulator::Device().multiprocessors = multiprocessors;
    ExpectTheSameInEveryOrder(
        [&] {
          const auto logits = Run({.persistent = true}, true);
          EXPECT_TRUE(SameBits(logits, plain)) << multiprocessors << " multiprocessors";
          return logits;
        },
        "persistent");
  }
  EXPECT_TRUE(SameBits(Run({.persistent = true}, true, 530), behind_splits));
}

// Room for three teams, two, one, and not even for that.
TEST_F(CudaPersistentEmulated, AsManyTeamsAsThereIsRoomFor) {
  mote_emulator::Device().multiprocessors = 2;
  const auto plain = Run({}, false);
  for (const uint32_t kib : {227, 164, 99, 64}) {
    mote_emulator::Device().block_shared_bytes = kib << 10;
    EXPECT_TRUE(SameBits(Run({.persistent = true}, kib > 64), plain)) << kib << " KiB";
  }
}

TEST_F(CudaPersistentEmulated, WhereBlocksCannotStayStepsAreAsEver) {
  const auto plain = Run({}, false);
  mote_emulator::Device().cooperative = false;
  EXPECT_TRUE(SameBits(Run({.persistent = true}, false), plain));
}

}  // namespace
}  // namespace mote::testing
