#include "engine/tune/altered_file.h"

#include <gtest/gtest.h>
#include <string.h>

#include <memory>
#include <vector>

#include "tests/support/tiny_model.h"

namespace mote::tune {
namespace {

std::unique_ptr<GgufFile> Open(const std::vector<uint8_t>& bytes) {
  std::vector<std::unique_ptr<ByteSource>> parts;
  parts.push_back(CreateMemorySource(bytes, "tiny"));
  return std::move(GgufFile::FromSources(std::move(parts))).value();
}

TEST(AlteredFile, LayersByName) {
  EXPECT_EQ(LayerOf("blk.0.attn_q.weight"), 0);
  EXPECT_EQ(LayerOf("v.blk.17.ffn_up.bias"), 17);
  EXPECT_EQ(LayerOf("blk.123456.x"), 123456);
  for (const char* name : {"blk.1234567.x", "blk.x.weight", "blk.3", "output.weight", "mm.0.weight", "xblk.1.a", ""}) {
    EXPECT_EQ(LayerOf(name), -1) << name;
  }
}

TEST(AlteredFile, ChangesWhatItIsToldAndNothingElse) {
  const std::vector<uint8_t> bytes = testing::MakeTinyModel({.type = DType::kF16});
  const std::unique_ptr<GgufFile> file = Open(bytes);
  const std::string name = "blk.1.attn_k.weight";
  std::map<std::string, std::vector<float>> changes;
  changes[name].assign(static_cast<size_t>(file->FindTensor(name)->values()), 0.25f);
  const auto altered = AlterFile(*file, {&changes, 0});
  ASSERT_TRUE(altered.ok()) << altered.status().message();
  EXPECT_EQ((*altered)->metadata().size(), file->metadata().size());
  ASSERT_EQ((*altered)->tensors().size(), file->tensors().size());
  for (const TensorInfo& tensor : (*altered)->tensors()) {
    const auto now = (*altered)->TensorBytes(tensor);
    ASSERT_TRUE(now.ok());
    if (tensor.name == name) {
      EXPECT_EQ(tensor.type, DType::kF32);
      EXPECT_EQ(memcmp(now->data(), changes[name].data(), now->size()), 0);
      continue;
    }
    const TensorInfo* old = file->FindTensor(tensor.name);
    ASSERT_EQ(tensor.type, old->type);
    EXPECT_EQ(memcmp(now->data(), file->TensorBytes(*old)->data(), old->bytes), 0) << tensor.name;
  }
}

TEST(AlteredFile, CutsLayersOff) {
  const std::vector<uint8_t> bytes = testing::MakeTinyModel({.layers = 3});
  const std::unique_ptr<GgufFile> file = Open(bytes);
  const auto altered = AlterFile(*file, {nullptr, 2});
  ASSERT_TRUE(altered.ok());
  EXPECT_EQ(*(*altered)->RequireUint("llama.block_count"), 2u);
  EXPECT_NE((*altered)->FindTensor("blk.1.attn_q.weight"), nullptr);
  EXPECT_EQ((*altered)->FindTensor("blk.2.attn_q.weight"), nullptr);
  EXPECT_NE((*altered)->FindTensor("token_embd.weight"), nullptr);
}

TEST(AlteredFile, RefusesValuesOfAnotherCount) {
  const std::vector<uint8_t> bytes = testing::MakeTinyModel({});
  const std::unique_ptr<GgufFile> file = Open(bytes);
  const std::map<std::string, std::vector<float>> changes = {{"blk.0.attn_q.weight", std::vector<float>(3)}};
  EXPECT_EQ(AlterFile(*file, {&changes, 0}).status().code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace mote::tune
