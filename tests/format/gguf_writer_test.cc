// What is written can be read again, by the reader and by a walk that shares nothing with it.
#include "engine/format/gguf_writer.h"

#include <gtest/gtest.h>

#include <limits>

#include "tests/format/open.h"
#include "tests/format/sample.h"
#include "tests/support/gguf_builder.h"

namespace mote {
namespace {

using namespace testing;  // NOLINT: the helpers of this test

TensorInfo Describe(const std::string& name, DType type, const std::vector<uint64_t>& dims) {
  TensorInfo tensor;
  tensor.name = name;
  tensor.type = type;
  tensor.num_dims = static_cast<int>(dims.size());
  for (size_t i = 0; i < dims.size(); ++i) tensor.shape[i] = dims[i];
  return tensor;
}

// The file that the header promises, with each tensor filled with its own pattern.
Bytes WriteOut(const GgufWriter::Layout& layout) {
  Bytes file = layout.header;
  uint8_t seed = 0;
  for (const TensorInfo& tensor : layout.tensors) {
    EXPECT_EQ(tensor.offset, file.size());
    const Bytes data = PatternBytes(tensor.bytes, ++seed);
    file.insert(file.end(), data.begin(), data.end());
    while (file.size() % GgufWriter::alignment() != 0) file.push_back(0);
  }
  EXPECT_EQ(file.size(), layout.file_bytes);
  return file;
}

// Byte for byte what the builder writes.
TEST(GgufWriter, AgreesWithTheBuilder) {
  GgufWriter writer;
  writer.SetUint32("a", 7);
  writer.SetUint64("b", UINT64_MAX);
  writer.SetInt32("c", -7);
  writer.SetFloat32("d", 0.1f);
  writer.SetBool("e", true);
  writer.SetString("f", std::string("x\0y", 3));
  const std::vector<std::string> strings = {"", "one", "two"};
  writer.SetStrings("g", strings);
  const std::vector<float> floats = {1.5f, -2.5f};
  writer.SetFloats("h", floats);
  const std::vector<int32_t> ints = {-1, 1};
  writer.SetInt32s("i", ints);
  const std::vector<uint32_t> uints = {1, 2, UINT32_MAX};
  writer.SetUint32s("j", uints);
  writer.AddTensor(Describe("t", DType::kQ8_0, {64, 3}));
  writer.AddTensor(Describe("u", DType::kF32, {3}));
  const auto layout = writer.Finish();
  ASSERT_TRUE(layout.ok()) << layout.status().message();

  GgufBuilder builder;
  builder.Uint32("a", 7).Scalar<uint64_t>("b", kIdUint64, UINT64_MAX).Scalar<int32_t>("c", kIdInt32, -7);
  builder.Float32("d", 0.1f).Bool("e", true).String("f", std::string("x\0y", 3)).Strings("g", strings);
  builder.Array("h", kIdFloat32, floats).Array("i", kIdInt32, ints).Array("j", kIdUint32, uints);
  builder.Tensor("t", {64, 3}, 8, PatternBytes(2 * 34 * 3, 1)).Tensor("u", {3}, 0, PatternBytes(12, 2));
  EXPECT_EQ(WriteOut(*layout), builder.Build());
}

TEST(GgufWriter, CopiesEveryType) {
  const Bytes original = SampleFile();
  const GgufResult from = OpenBytes(original);
  ASSERT_TRUE(from.ok());
  GgufWriter writer;
  for (const GgufFile::Entry& entry : from.value()->metadata()) writer.Copy(entry);
  for (const TensorInfo& tensor : from.value()->tensors()) writer.AddTensor(tensor);
  const auto layout = writer.Finish();
  ASSERT_TRUE(layout.ok()) << layout.status().message();
  const Bytes copy = WriteOut(*layout);
  const GgufResult to = OpenBytes(copy);
  ASSERT_TRUE(to.ok()) << to.status().message();
  // Everything but general.alignment, in order.
  ASSERT_EQ(to.value()->metadata().size() + 1, from.value()->metadata().size());
  size_t at = 0;
  for (const GgufFile::Entry& entry : from.value()->metadata()) {
    if (entry.key == "general.alignment") continue;
    const GgufFile::Entry& copied = to.value()->metadata()[at++];
    EXPECT_EQ(copied.key, entry.key);
    EXPECT_EQ(copied.value.type(), entry.value.type()) << entry.key;
    EXPECT_EQ(copied.value.element_type(), entry.value.element_type()) << entry.key;
    ASSERT_EQ(copied.value.count(), entry.value.count()) << entry.key;
    double a = 0, b = 0;
    bool p = false, q = false;
    std::string_view s, t;
    EXPECT_EQ(copied.value.GetFloat(&a), entry.value.GetFloat(&b));
    EXPECT_EQ(a, b) << entry.key;
    EXPECT_EQ(copied.value.GetBool(&p), entry.value.GetBool(&q));
    EXPECT_EQ(p, q) << entry.key;
    EXPECT_EQ(copied.value.GetString(&s), entry.value.GetString(&t));
    EXPECT_EQ(s, t) << entry.key;
    for (uint64_t i = 0; entry.value.type() == GgufType::kArray && i < entry.value.count(); ++i) {
      uint64_t u = 0, v = 0;
      EXPECT_EQ(copied.value.FloatAt(i, &a), entry.value.FloatAt(i, &b));
      EXPECT_EQ(a, b) << entry.key;
      EXPECT_EQ(copied.value.UintAt(i, &u), entry.value.UintAt(i, &v));
      EXPECT_EQ(u, v) << entry.key;
      EXPECT_EQ(copied.value.StringAt(i, &s), entry.value.StringAt(i, &t));
      EXPECT_EQ(s, t) << entry.key;
    }
  }
  ASSERT_EQ(to.value()->tensors().size(), from.value()->tensors().size());
  for (size_t i = 0; i < to.value()->tensors().size(); ++i) {
    EXPECT_EQ(to.value()->tensors()[i].name, from.value()->tensors()[i].name);
    EXPECT_EQ(to.value()->tensors()[i].shape, from.value()->tensors()[i].shape);
    EXPECT_EQ(to.value()->tensors()[i].bytes, from.value()->tensors()[i].bytes);
  }
}

TEST(GgufWriter, EveryNumberFormat) {
  const DType types[] = {DType::kF32,  DType::kF16,  DType::kQ4_0,   DType::kQ4_1,   DType::kQ5_0, DType::kQ5_1,
                         DType::kQ8_0, DType::kQ2_K, DType::kQ3_K,   DType::kQ4_K,   DType::kQ5_K, DType::kQ6_K,
                         DType::kI8,   DType::kI16,  DType::kIQ4_NL, DType::kIQ4_XS, DType::kI32,  DType::kI64,
                         DType::kF64,  DType::kBF16, DType::kMXFP4};
  GgufWriter writer;
  for (const DType type : types) writer.AddTensor(Describe(std::string("t.") + DTypeName(type), type, {256, 3}));
  const auto layout = writer.Finish();
  ASSERT_TRUE(layout.ok()) << layout.status().message();
  const Bytes bytes = WriteOut(*layout);
  const GgufResult file = OpenBytes(bytes);
  ASSERT_TRUE(file.ok()) << file.status().message();
  ASSERT_EQ(file.value()->tensors().size(), std::size(types));
  for (size_t i = 0; i < std::size(types); ++i) {
    const TensorInfo& tensor = file.value()->tensors()[i];
    EXPECT_EQ(tensor.type, types[i]);
    EXPECT_EQ(tensor.offset, layout->tensors[i].offset);
    EXPECT_EQ(tensor.bytes, layout->tensors[i].bytes);
    EXPECT_EQ(tensor.bytes, RowBytes(types[i], 256) * 3);
  }
}

TEST(GgufWriter, LaterValuesReplaceEarlierOnes) {
  const Bytes original = SampleFile();
  const GgufResult from = OpenBytes(original);
  ASSERT_TRUE(from.ok());
  GgufWriter writer;
  writer.SetString("u32", "was a string");
  writer.SetUint32("last", 1);
  for (const GgufFile::Entry& entry : from.value()->metadata()) {
    if (entry.key == "u32") writer.Copy(entry);
  }
  writer.SetUint32("last", 2);
  const Bytes bytes = writer.Finish()->header;
  const GgufResult file = OpenBytes(bytes);
  ASSERT_TRUE(file.ok());
  ASSERT_EQ(file.value()->metadata().size(), 2u);
  EXPECT_EQ(file.value()->metadata()[0].key, "u32");
  EXPECT_EQ(file.value()->RequireUint("u32").value(), 32u);
  EXPECT_EQ(file.value()->RequireUint("last").value(), 2u);
}

TEST(GgufWriter, LayoutOfTheOtherFileIsLeftOut) {
  GgufBuilder builder;
  builder.SetAlignment(64).Uint32("split.no", 0).Uint32("split.count", 1).Uint32("n", 5);
  const Bytes original = builder.Build();
  const GgufResult from = OpenBytes(original);
  ASSERT_TRUE(from.ok()) << from.status().message();
  GgufWriter writer;
  for (const GgufFile::Entry& entry : from.value()->metadata()) writer.Copy(entry);
  const Bytes bytes = writer.Finish()->header;
  const GgufResult file = OpenBytes(bytes);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file.value()->metadata().size(), 1u);
  EXPECT_EQ(file.value()->alignment(), 32u);
}

TEST(GgufWriter, RefusesWhatNoReaderTakes) {
  const auto with_key = [](std::string_view key) {
    GgufWriter writer;
    writer.SetBool(key, true);
    return writer.Finish().status();
  };
  EXPECT_TRUE(with_key("fine").ok());
  EXPECT_EQ(with_key("").code(), Code::kInvalidArgument);
  EXPECT_EQ(with_key("a\n").code(), Code::kInvalidArgument);
  EXPECT_EQ(with_key(std::string(65536, 'a')).code(), Code::kInvalidArgument);
  EXPECT_EQ(with_key("general.alignment").code(), Code::kInvalidArgument);

  const auto with_tensor = [](const TensorInfo& tensor) {
    GgufWriter writer;
    writer.AddTensor(tensor);
    return writer.Finish().status();
  };
  const uint64_t huge = uint64_t{1} << 62;
  EXPECT_TRUE(with_tensor(Describe("t", DType::kF32, {1})).ok());
  EXPECT_EQ(with_tensor(Describe("", DType::kF32, {1})).code(), Code::kInvalidArgument);
  EXPECT_EQ(with_tensor(Describe("t", DType::kF32, {0})).code(), Code::kInvalidArgument);
  EXPECT_EQ(with_tensor(Describe("t", DType::kF32, {})).code(), Code::kInvalidArgument);
  EXPECT_EQ(with_tensor(Describe("t", DType::kF32, {huge, 4})).code(), Code::kInvalidArgument);
  EXPECT_EQ(with_tensor(Describe("t", DType::kF32, {huge})).code(), Code::kInvalidArgument);
  EXPECT_EQ(with_tensor(Describe("t", DType::kQ4_0, {33})).code(), Code::kInvalidArgument);
  EXPECT_EQ(with_tensor(Describe("t", static_cast<DType>(16), {256})).code(), Code::kInvalidArgument);
  EXPECT_EQ(with_tensor(Describe("t", static_cast<DType>(1000), {256})).code(), Code::kInvalidArgument);
  TensorInfo sloppy = Describe("t", DType::kF32, {4});
  sloppy.shape[2] = 3;
  EXPECT_EQ(with_tensor(sloppy).code(), Code::kInvalidArgument);
  sloppy = Describe("t", DType::kF32, {4});
  sloppy.num_dims = -1;
  EXPECT_EQ(with_tensor(sloppy).code(), Code::kInvalidArgument);
  sloppy.num_dims = 5;
  EXPECT_EQ(with_tensor(sloppy).code(), Code::kInvalidArgument);

  GgufWriter twice;
  twice.AddTensor(Describe("t", DType::kF32, {1}));
  twice.AddTensor(Describe("t", DType::kF32, {1}));
  EXPECT_NE(twice.Finish().status().message().find("\"t\" is added twice"), std::string::npos);
  GgufWriter sum;
  for (const char* name : {"a", "b", "c"}) sum.AddTensor(Describe(name, DType::kI8, {huge}));
  EXPECT_EQ(sum.Finish().status().code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace mote
