#include "tests/server/storm_model.h"

#include <gtest/gtest.h>

#include "tests/support/tiny_model.h"

namespace mote::testing {

std::vector<uint8_t> StormModelBytes(bool coarse) {
  return MakeTinyModel(
      {.type = coarse ? DType::kQ8_0 : DType::kF32, .width = 64, .heads = 4, .kv_heads = 2, .head_dim = 16, .ff = 64});
}

namespace {

TEST(StormModel, TheCoarserFileIsSmaller) {
  EXPECT_GT(StormModelBytes(true).size(), 1000u);
  EXPECT_LT(StormModelBytes(true).size(), StormModelBytes(false).size());
}

}  // namespace
}  // namespace mote::testing
