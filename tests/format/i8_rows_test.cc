// Matrices of int8 with a scale a row: what the metadata key makes of I8 tensors, what is refused, and the way through
// the quantiser.
#include "engine/format/i8_rows.h"

#include <gtest/gtest.h>
#include <string.h>

#include "engine/format/gguf.h"
#include "engine/format/gguf_writer.h"
#include "tests/format/open.h"
#include "tests/support/gguf_builder.h"

namespace mote {
namespace {

using testing::GgufBuilder;
using Bytes = std::vector<uint8_t>;

constexpr uint32_t kI8Id = 24;

GgufBuilder With(uint32_t version, const std::vector<uint64_t>& dims) {
  uint64_t bytes = 1;
  for (const uint64_t dim : dims) bytes *= dim;
  GgufBuilder builder;
  builder.Uint32(kI8RowsKey, version);
  builder.Tensor("m", dims, kI8Id, Bytes(bytes, 7));
  return builder;
}

TEST(I8Rows, TheKeyMakesThemMatrices) {
  GgufBuilder builder = With(1, {12, 5});
  builder.Tensor("list", {13}, kI8Id, Bytes(13, 1));
  builder.Tensor("experts", {132, 2, 3}, kI8Id, Bytes(132 * 6, 1));
  const Bytes bytes = builder.Build();
  const auto file = testing::OpenBytes(bytes);
  ASSERT_TRUE(file.ok()) << file.status().message();
  const TensorInfo* m = (*file)->FindTensor("m");
  EXPECT_EQ(m->type, DType::kI8Row);
  EXPECT_EQ(m->cols(), 8u);
  EXPECT_EQ(m->rows(), 5u);
  EXPECT_EQ(m->bytes, 60u);
  EXPECT_EQ((*file)->TensorBytes(*m)->size(), 60u);
  EXPECT_EQ((*file)->FindTensor("list")->type, DType::kI8);
  EXPECT_EQ((*file)->FindTensor("experts")->cols(), 128u);
}

TEST(I8Rows, WithoutTheKeyTheyAreNumbers) {
  GgufBuilder builder;
  builder.Tensor("m", {12, 5}, kI8Id, Bytes(60, 7));
  const Bytes bytes = builder.Build();
  const auto file = testing::OpenBytes(bytes);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ((*file)->FindTensor("m")->type, DType::kI8);
  EXPECT_EQ((*file)->FindTensor("m")->cols(), 12u);
}

TEST(I8Rows, WhatIsRefused) {
  const auto refused = [](const GgufBuilder& builder, Code code, const char* part) {
    const Bytes bytes = builder.Build();
    const auto file = testing::OpenBytes(bytes);
    ASSERT_FALSE(file.ok()) << "accepted, but expected: " << part;
    EXPECT_EQ(file.status().code(), code);
    EXPECT_NE(file.status().message().find(part), std::string::npos) << file.status().message();
  };
  refused(With(2, {12, 5}), Code::kUnsupported, "reads version 1");
  refused(With(1, {4, 5}), Code::kMalformed, "rows of 4 bytes");
  refused(With(1, {3, 5}), Code::kMalformed, "rows of 3 bytes");
  refused(With(1, {14, 5}), Code::kMalformed, "a multiple of 4 columns");
  refused(With(1, {kI8RowMostValues + 8, 2}), Code::kMalformed, "131072");
  GgufBuilder text;
  text.String(kI8RowsKey, "1");
  refused(text, Code::kUnsupported, "mote.i8_rows.version");
  // Our own id for them is nobody's.
  GgufBuilder own;
  own.Tensor("m", {8, 5}, static_cast<uint32_t>(DType::kI8Row), Bytes(60, 7));
  refused(own, Code::kUnsupported, "not known");
}

TEST(I8Rows, WhatIsWrittenIsRead) {
  TensorInfo tensor;
  tensor.name = "m";
  tensor.type = DType::kI8Row;
  tensor.num_dims = 2;
  tensor.shape = {20, 3, 1, 1};
  GgufWriter writer;
  writer.AddTensor(tensor);
  const auto layout = writer.Finish();
  ASSERT_TRUE(layout.ok()) << layout.status().message();
  EXPECT_EQ(layout->tensors[0].bytes, 72u);
  EXPECT_EQ(layout->tensors[0].cols(), 20u);
  Bytes bytes = layout->header;
  bytes.resize(layout->file_bytes);
  const auto file = testing::OpenBytes(bytes);
  ASSERT_TRUE(file.ok()) << file.status().message();
  EXPECT_EQ((*file)->FindTensor("m")->type, DType::kI8Row);
  EXPECT_EQ((*file)->FindTensor("m")->cols(), 20u);
  // The key says how this file is laid out: another file does not inherit it.
  GgufWriter copy;
  for (const GgufFile::Entry& entry : (*file)->metadata()) copy.Copy(entry);
  const auto empty = copy.Finish();
  ASSERT_TRUE(empty.ok());
  EXPECT_EQ((*testing::OpenBytes(empty->header))->metadata().size(), 0u);

  tensor.num_dims = 1;
  tensor.shape = {20, 1, 1, 1};
  GgufWriter flat;
  flat.AddTensor(tensor);
  EXPECT_FALSE(flat.Finish().ok());
}

}  // namespace
}  // namespace mote
