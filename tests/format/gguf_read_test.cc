// Valid files: what is in them comes out.
#include <gtest/gtest.h>

#include <limits>

#include "engine/format/gguf.h"
#include "tests/format/open.h"
#include "tests/support/gguf_builder.h"

namespace mote {
namespace {

using namespace testing;  // NOLINT: the helpers of this test

TEST(GgufRead, EmptyFileOfBothVersions) {
  for (const uint32_t version : {2u, 3u}) {
    GgufBuilder builder;
    builder.version = version;
    const Bytes bytes = builder.Header();
    ASSERT_EQ(bytes.size(), 24u);
    const GgufResult file = OpenBytes(bytes);
    ASSERT_TRUE(file.ok()) << file.status().message();
    const GgufFile& f = *file.value();
    EXPECT_EQ(f.version(), version);
    EXPECT_EQ(f.alignment(), 32u);
    EXPECT_EQ(f.header_bytes(), 24u);
    EXPECT_EQ(f.file_bytes(), 24u);
    EXPECT_EQ(f.num_parts(), 1u);
    EXPECT_EQ(f.name(), "test.gguf");
    EXPECT_TRUE(f.metadata().empty());
    EXPECT_TRUE(f.tensors().empty());
    EXPECT_EQ(f.Find("x"), nullptr);
    EXPECT_EQ(f.FindTensor("x"), nullptr);
  }
}

struct Expected {
  const char* key;
  GgufType type;
  bool is_uint, is_int, is_float, is_bool;
  uint64_t u;
  int64_t i;
  double f;
  bool b;
};

TEST(GgufRead, ScalarsOfEveryTypeAndTheirConversions) {
  GgufBuilder builder;
  builder.Scalar<uint8_t>("u8", kIdUint8, 255)
      .Scalar<int8_t>("i8", kIdInt8, -128)
      .Scalar<uint16_t>("u16", kIdUint16, 65535)
      .Scalar<int16_t>("i16", kIdInt16, -32768)
      .Scalar<uint32_t>("u32", kIdUint32, 0xFFFFFFFFu)
      .Scalar<int32_t>("i32", kIdInt32, std::numeric_limits<int32_t>::min())
      .Scalar<uint64_t>("u64", kIdUint64, std::numeric_limits<uint64_t>::max())
      .Scalar<int64_t>("i64", kIdInt64, std::numeric_limits<int64_t>::min())
      .Scalar<int64_t>("i64max", kIdInt64, std::numeric_limits<int64_t>::max())
      .Scalar<float>("f32", kIdFloat32, 0.1f)
      .Scalar<double>("f64", kIdFloat64, 0.1)
      .Bool("yes", true)
      .Bool("no", false)
      .Scalar<int8_t>("one", kIdInt8, 1);
  const Bytes bytes = builder.Build();
  const GgufResult file = OpenBytes(bytes);
  ASSERT_TRUE(file.ok()) << file.status().message();
  const double u64max = 18446744073709551616.0;
  const double i64min = -9223372036854775808.0;
  const Expected expected[] = {
      {"u8", GgufType::kUint8, true, true, true, false, 255, 255, 255, false},
      {"i8", GgufType::kInt8, false, true, true, false, 0, -128, -128, false},
      {"u16", GgufType::kUint16, true, true, true, false, 65535, 65535, 65535, false},
      {"i16", GgufType::kInt16, false, true, true, false, 0, -32768, -32768, false},
      {"u32", GgufType::kUint32, true, true, true, false, 4294967295, 4294967295, 4294967295.0, false},
      {"i32", GgufType::kInt32, false, true, true, false, 0, -2147483648LL, -2147483648.0, false},
      {"u64", GgufType::kUint64, true, false, true, false, UINT64_MAX, 0, u64max, false},
      {"i64", GgufType::kInt64, false, true, true, false, 0, INT64_MIN, i64min, false},
      {"i64max", GgufType::kInt64, true, true, true, false, INT64_MAX, INT64_MAX, 9223372036854775808.0, false},
      {"f32", GgufType::kFloat32, false, false, true, false, 0, 0, double{0.1f}, false},
      {"f64", GgufType::kFloat64, false, false, true, false, 0, 0, 0.1, false},
      {"yes", GgufType::kBool, true, true, false, true, 1, 1, 0, true},
      {"no", GgufType::kBool, true, true, false, true, 0, 0, 0, false},
      {"one", GgufType::kInt8, true, true, true, true, 1, 1, 1, true},
  };
  ASSERT_EQ(file.value()->metadata().size(), std::size(expected));
  for (const Expected& e : expected) {
    const GgufValue* value = file.value()->Find(e.key);
    ASSERT_NE(value, nullptr) << e.key;
    EXPECT_EQ(value->type(), e.type) << e.key;
    EXPECT_EQ(value->count(), 1u) << e.key;
    uint64_t u = 77;
    int64_t i = 77;
    double f = 77;
    bool b = !e.b;
    std::string_view s = "untouched";
    EXPECT_EQ(value->GetUint(&u), e.is_uint) << e.key;
    EXPECT_EQ(u, e.is_uint ? e.u : 77) << e.key;
    EXPECT_EQ(value->GetInt(&i), e.is_int) << e.key;
    EXPECT_EQ(i, e.is_int ? e.i : 77) << e.key;
    EXPECT_EQ(value->GetFloat(&f), e.is_float) << e.key;
    EXPECT_EQ(f, e.is_float ? e.f : 77) << e.key;
    EXPECT_EQ(value->GetBool(&b), e.is_bool) << e.key;
    EXPECT_EQ(b, e.is_bool ? e.b : !e.b) << e.key;
    EXPECT_FALSE(value->GetString(&s)) << e.key;
    EXPECT_EQ(s, "untouched") << e.key;
    EXPECT_FALSE(value->UintAt(0, &u)) << e.key;
  }
}

TEST(GgufRead, StringsMayHoldAnyBytes) {
  const std::string nul("a\0b", 3);
  const std::string not_utf8 = "\xFF\xC0\x80";
  GgufBuilder builder;
  builder.String("empty", "").String("nul", nul).Strings("list", {"", nul, not_utf8, std::string(1000, 'x')});
  builder.Strings("none", {});
  const Bytes bytes = builder.Build();
  const GgufResult file = OpenBytes(bytes);
  ASSERT_TRUE(file.ok()) << file.status().message();
  std::string_view s = "untouched";
  EXPECT_TRUE(file.value()->Find("empty")->GetString(&s));
  EXPECT_EQ(s, "");
  EXPECT_TRUE(file.value()->Find("nul")->GetString(&s));
  EXPECT_EQ(s, nul);
  const GgufValue* list = file.value()->Find("list");
  EXPECT_EQ(list->element_type(), GgufType::kString);
  ASSERT_EQ(list->count(), 4u);
  EXPECT_TRUE(list->StringAt(0, &s));
  EXPECT_EQ(s, "");
  EXPECT_TRUE(list->StringAt(1, &s));
  EXPECT_EQ(s, nul);
  EXPECT_TRUE(list->StringAt(2, &s));
  EXPECT_EQ(s, not_utf8);
  EXPECT_TRUE(list->StringAt(3, &s));
  EXPECT_EQ(s, std::string(1000, 'x'));
  EXPECT_FALSE(list->StringAt(4, &s));
  EXPECT_FALSE(list->StringAt(UINT64_MAX, &s));
  EXPECT_EQ(file.value()->Find("none")->count(), 0u);
  EXPECT_FALSE(file.value()->Find("none")->StringAt(0, &s));
}

template <class T>
void ExpectArray(GgufType type, const std::vector<T>& values) {
  GgufBuilder builder;
  builder.String("odd", "shifts what follows");
  builder.Array("a", static_cast<uint32_t>(type), values);
  const Bytes bytes = builder.Build();
  const GgufResult file = OpenBytes(bytes);
  ASSERT_TRUE(file.ok()) << file.status().message();
  const GgufValue* array = file.value()->Find("a");
  ASSERT_NE(array, nullptr);
  EXPECT_EQ(array->type(), GgufType::kArray);
  EXPECT_EQ(array->element_type(), type);
  ASSERT_EQ(array->count(), values.size());
  const bool is_float = type == GgufType::kFloat32 || type == GgufType::kFloat64;
  for (size_t i = 0; i < values.size(); ++i) {
    uint64_t u = 0;
    int64_t s = 0;
    double f = 0;
    EXPECT_EQ(array->UintAt(i, &u), !is_float && values[i] >= T(0));
    EXPECT_EQ(array->IntAt(i, &s), !is_float);
    EXPECT_EQ(array->FloatAt(i, &f), type != GgufType::kBool);
    if (!is_float) {
      EXPECT_EQ(u, values[i] >= T(0) ? static_cast<uint64_t>(values[i]) : 0);
      EXPECT_EQ(s, static_cast<int64_t>(values[i]));
    }
    if (type != GgufType::kBool) {
      EXPECT_EQ(f, static_cast<double>(values[i]));
    }
  }
  uint64_t u = 0;
  EXPECT_FALSE(array->UintAt(values.size(), &u));
  EXPECT_FALSE(array->UintAt(UINT64_MAX / 8 + 1, &u));  // times 8 bytes this wraps
  EXPECT_FALSE(array->GetUint(&u));
}

TEST(GgufRead, ArraysOfEveryType) {
  ExpectArray<uint8_t>(GgufType::kUint8, {0, 1, 255});
  ExpectArray<int8_t>(GgufType::kInt8, {-128, 0, 127});
  ExpectArray<uint16_t>(GgufType::kUint16, {0, 65535});
  ExpectArray<int16_t>(GgufType::kInt16, {-32768, 32767});
  ExpectArray<uint32_t>(GgufType::kUint32, {0, 0xFFFFFFFFu});
  ExpectArray<int32_t>(GgufType::kInt32, {INT32_MIN, -1, INT32_MAX});
  ExpectArray<float>(GgufType::kFloat32, {-1.5f, 0.0f, 3.25f});
  ExpectArray<uint8_t>(GgufType::kBool, {0, 1, 1, 0});
  ExpectArray<uint64_t>(GgufType::kUint64, {0, uint64_t{1} << 62});
  ExpectArray<int64_t>(GgufType::kInt64, {INT64_MIN, -1, INT64_MAX});
  ExpectArray<double>(GgufType::kFloat64, {1e300, -0.5});
  ExpectArray<uint32_t>(GgufType::kUint32, {});
}

TEST(GgufRead, ExpectedTensors) {
  for (const uint32_t alignment : {8u, 32u, 64u, 4096u, 65536u}) {
    GgufBuilder builder;
    builder.SetAlignment(alignment);
    const Bytes first = PatternBytes(7 * 5 * 4, 3);
    const Bytes second = PatternBytes(64 / 32 * 18 * 3, 9);
    builder.Tensor("a.weight", {7, 5}, 0, first).Tensor("b", {64, 1, 3, 1}, 2, second).Tensor("c", {1}, 30, {1, 2});
    const Bytes bytes = builder.Build();
    const GgufResult file = OpenBytes(bytes);
    ASSERT_TRUE(file.ok()) << file.status().message();
    EXPECT_EQ(file.value()->alignment(), alignment);
    ASSERT_EQ(file.value()->tensors().size(), 3u);
    const TensorInfo* a = file.value()->FindTensor("a.weight");
    const TensorInfo* b = file.value()->FindTensor("b");
    ASSERT_NE(a, nullptr);
    ASSERT_NE(b, nullptr);
    EXPECT_EQ(a, &file.value()->tensors()[0]);
    EXPECT_EQ(a->name, "a.weight");
    EXPECT_EQ(a->type, DType::kF32);
    EXPECT_EQ(a->num_dims, 2);
    EXPECT_EQ(a->shape, (std::array<uint64_t, 4>{7, 5, 1, 1}));
    EXPECT_EQ(a->offset % alignment, 0u);
    EXPECT_EQ(b->type, DType::kQ4_0);
    EXPECT_EQ(b->num_dims, 4);
    EXPECT_EQ(b->rows(), 3u);
    const auto a_bytes = file.value()->TensorBytes(*a);
    const auto b_bytes = file.value()->TensorBytes(*b);
    ASSERT_TRUE(a_bytes.ok() && b_bytes.ok());
    EXPECT_EQ(Bytes(a_bytes->begin(), a_bytes->end()), first);
    EXPECT_EQ(Bytes(b_bytes->begin(), b_bytes->end()), second);
    file.value()->ReleaseTensor(*a);
    EXPECT_EQ(file.value()->FindTensor("a.weigh"), nullptr);
    EXPECT_EQ(file.value()->FindTensor(""), nullptr);
    TensorInfo foreign = *a;
    foreign.part = 1;
    EXPECT_EQ(file.value()->TensorBytes(foreign).status().code(), Code::kInvalidArgument);
  }
}

// Block sizes as ggml's documentation gives them, repeated here so that a slip in quant/ shows.
TEST(GgufRead, BytesOfEveryNumberFormat) {
  const struct {
    uint32_t id;
    uint64_t block_values;
    uint64_t block_bytes;
  } formats[] = {{0, 1, 4},    {1, 1, 2},      {2, 32, 18},    {3, 32, 20},    {6, 32, 22},    {7, 32, 24},
                 {8, 32, 34},  {10, 256, 84},  {11, 256, 110}, {12, 256, 144}, {13, 256, 176}, {14, 256, 210},
                 {20, 32, 18}, {23, 256, 136}, {24, 1, 1},     {25, 1, 2},     {26, 1, 4},     {27, 1, 8},
                 {28, 1, 8},   {30, 1, 2},     {39, 32, 17}};
  for (const auto& format : formats) {
    GgufBuilder builder;
    const uint64_t bytes = 2 * format.block_bytes * 3;
    builder.Tensor("t", {2 * format.block_values, 3}, format.id, PatternBytes(bytes));
    const Bytes whole = builder.Build();
    const GgufResult file = OpenBytes(whole);
    ASSERT_TRUE(file.ok()) << format.id << ": " << file.status().message();
    EXPECT_EQ(file.value()->tensors()[0].bytes, bytes) << format.id;
    EXPECT_EQ(static_cast<uint32_t>(file.value()->tensors()[0].type), format.id);
  }
}

TEST(GgufRead, TensorsMayLieInAnyOrderAndLeaveGaps) {
  GgufBuilder builder;
  builder.TensorEntry("late", 1, {4}, 0, 256).TensorEntry("early", 1, {4}, 0, 32);
  builder.Data(PatternBytes(300));
  const Bytes bytes = builder.Build();
  const GgufResult file = OpenBytes(bytes);
  ASSERT_TRUE(file.ok()) << file.status().message();
  EXPECT_EQ((*file.value()->TensorBytes(file.value()->tensors()[0]))[0], PatternBytes(300)[256]);
  EXPECT_EQ((*file.value()->TensorBytes(file.value()->tensors()[1]))[0], PatternBytes(300)[32]);
}

TEST(GgufRead, TypedLookUpsSayWhatIsWrong) {
  GgufBuilder builder;
  builder.Uint32("n", 7).Scalar<int32_t>("minus", kIdInt32, -5).String("s", "text").Float32("f", 0.5f).Bool("b", true);
  builder.Array<uint32_t>("a", kIdUint32, {1, 2, 3});
  const Bytes bytes = builder.Build();
  const GgufResult opened = OpenBytes(bytes);
  ASSERT_TRUE(opened.ok());
  const GgufFile& file = *opened.value();
  EXPECT_EQ(file.RequireUint("n").value(), 7u);
  EXPECT_EQ(file.RequireFloat("f").value(), 0.5);
  EXPECT_EQ(file.RequireFloat("n").value(), 7.0);
  EXPECT_EQ(file.RequireString("s").value(), "text");
  EXPECT_EQ(file.UintOr("n", 1).value(), 7u);
  EXPECT_EQ(file.UintOr("absent", 1).value(), 1u);
  EXPECT_EQ(file.FloatOr("absent", 1.5).value(), 1.5);
  EXPECT_EQ(file.BoolOr("b", false).value(), true);
  EXPECT_EQ(file.BoolOr("absent", true).value(), true);
  EXPECT_EQ(file.StringOr("s", "x").value(), "text");
  EXPECT_EQ(file.StringOr("absent", "x").value(), "x");

  const Status missing = file.RequireUint("absent").status();
  EXPECT_EQ(missing.code(), Code::kNotFound);
  EXPECT_EQ(missing.message(), "test.gguf: metadata key \"absent\" is missing");
  EXPECT_EQ(file.RequireFloat("absent").status().code(), Code::kNotFound);
  EXPECT_EQ(file.RequireString("absent").status().code(), Code::kNotFound);
  const Status negative = file.RequireUint("minus").status();
  EXPECT_EQ(negative.code(), Code::kMalformed);
  EXPECT_EQ(negative.message(), "test.gguf: metadata key \"minus\" is int32 -5; a non-negative integer is right");
  EXPECT_EQ(file.UintOr("a", 1).status().message(),
            "test.gguf: metadata key \"a\" is array of 3 uint32; a non-negative integer is right");
  EXPECT_EQ(file.UintOr("f", 1).status().code(), Code::kMalformed);
  EXPECT_EQ(file.FloatOr("s", 1).status().code(), Code::kMalformed);
  EXPECT_EQ(file.BoolOr("n", false).status().code(), Code::kMalformed);
  EXPECT_EQ(file.StringOr("n", "").status().code(), Code::kMalformed);
}

TEST(GgufRead, HeaderOnlyNeedsNoData) {
  GgufBuilder builder;
  builder.Uint32("n", 1).Tensor("t", {1024}, 0, PatternBytes(4096));
  const Bytes header = builder.Header();
  EXPECT_FALSE(OpenBytes(header).ok());
  const GgufResult file = OpenHeader(header);
  ASSERT_TRUE(file.ok()) << file.status().message();
  ASSERT_EQ(file.value()->tensors().size(), 1u);
  EXPECT_EQ(file.value()->tensors()[0].bytes, 4096u);
  EXPECT_EQ(file.value()->header_bytes(), header.size());
  const auto bytes = file.value()->TensorBytes(file.value()->tensors()[0]);
  ASSERT_FALSE(bytes.ok());
  EXPECT_EQ(bytes.status().code(), Code::kIo);
  EXPECT_NE(bytes.status().message().find("tensor \"t\""), std::string::npos) << bytes.status().message();
}

// For mote show: what other engines wrote can be listed, and still not be loaded.
TEST(GgufRead, HeaderOnlyListsForeignFormats) {
  GgufBuilder builder;
  builder.Tensor("a", {256}, 16, PatternBytes(66));        // IQ2_XXS
  builder.Tensor("b", {256, 2}, 0, PatternBytes(2048));    // F32
  builder.Tensor("c", {100, 3}, 137, PatternBytes(1000));  // another engine's
  const Bytes bytes = builder.Build();
  EXPECT_FALSE(OpenBytes(bytes).ok());
  const GgufResult file = OpenHeader(bytes);
  ASSERT_TRUE(file.ok()) << file.status().message();
  const std::span<const TensorInfo> tensors = file.value()->tensors();
  ASSERT_EQ(tensors.size(), 3u);
  EXPECT_EQ(tensors[0].bytes, 96u);  // to the next multiple of the alignment
  EXPECT_EQ(tensors[1].bytes, 2048u);
  EXPECT_EQ(tensors[2].bytes, 1024u);
  EXPECT_EQ(tensors[2].values(), 300u);
  const Bytes header = builder.Header();  // nothing behind it: the last size cannot be told
  const GgufResult cut = OpenHeader(header);
  ASSERT_TRUE(cut.ok()) << cut.status().message();
  EXPECT_EQ(cut.value()->tensors()[0].bytes, 96u);
  EXPECT_EQ(cut.value()->tensors()[2].bytes, 0u);
  const auto only = [](uint32_t type, uint64_t columns) {
    GgufBuilder one;
    one.Tensor("t", {columns}, type, PatternBytes(64));
    return OpenHeader(one.Build()).status().message();
  };
  EXPECT_EQ(only(16, 256), "");
  EXPECT_NE(only(77, 256).find("not known"), std::string::npos) << only(77, 256);
  EXPECT_NE(only(16, 0).find("dimension 0 is 0"), std::string::npos) << only(16, 0);
}

TEST(GgufRead, RealModel) {
  const Bytes bytes = ReadWholeFile("../shared/data/stories260K.gguf");
  if (bytes.empty()) GTEST_SKIP() << "../shared/data/stories260K.gguf is absent";
  const GgufResult opened = OpenBytes(bytes);
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  const GgufFile& file = *opened.value();
  EXPECT_EQ(file.version(), 3u);
  EXPECT_EQ(file.tensors().size(), 48u);
  EXPECT_EQ(file.metadata().size(), 22u);
  EXPECT_EQ(file.RequireString("general.architecture").value(), "llama");
  const uint64_t width = file.RequireUint("llama.embedding_length").value();
  const TensorInfo* embedding = file.FindTensor("token_embd.weight");
  ASSERT_NE(embedding, nullptr);
  EXPECT_EQ(embedding->shape[0], width);
  EXPECT_EQ(embedding->rows(), file.Find("tokenizer.ggml.tokens")->count());
  EXPECT_NE(TouchAll(file, true), 0u);
}

TEST(GgufRead, RealVocabularies) {
  const struct {
    const char* name;
    uint64_t tokens;
  } files[] = {{"bert-bge", 30522},  {"deepseek-llm", 102400}, {"falcon", 65024}, {"gpt-2", 50257},
               {"llama-spm", 32000}, {"mpt", 50432},           {"phi-3", 32064},  {"starcoder", 49152}};
  for (const auto& vocabulary : files) {
    const Bytes bytes = ReadWholeFile(std::string("../shared/data/tokenizers/ggml-vocab-") + vocabulary.name + ".gguf");
    if (bytes.empty()) GTEST_SKIP() << "../shared/data/tokenizers is absent";
    const GgufResult file = OpenBytes(bytes);
    ASSERT_TRUE(file.ok()) << file.status().message();
    const GgufValue* tokens = file.value()->Find("tokenizer.ggml.tokens");
    ASSERT_NE(tokens, nullptr) << vocabulary.name;
    EXPECT_EQ(tokens->count(), vocabulary.tokens) << vocabulary.name;
    EXPECT_NE(TouchAll(*file.value(), true), 0u);
  }
}

}  // namespace
}  // namespace mote
