// Models with block-sparse matrices: the same logits, to the bit, as they are, made dense at load, and from a dense
// file.
#include <gtest/gtest.h>
#include <string.h>

#include <string>
#include <vector>

#include "engine/run/session.h"
#include "tests/run/rewrite.h"
#include "tests/run/run_support.h"
#include "tests/support/sparse_file.h"
#include "tests/support/tiny_model.h"

namespace mote::testing {
namespace {

using Logits = std::vector<std::vector<float>>;

bool SameLogits(const Logits& a, const Logits& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].size() != b[i].size() || memcmp(a[i].data(), b[i].data(), a[i].size() * sizeof(float)) != 0) return false;
  }
  return true;
}

Result<std::unique_ptr<Model>> TryLoadSparse(const std::vector<uint8_t>& bytes, SparsePath path, int threads) {
  std::vector<std::unique_ptr<ByteSource>> parts;
  parts.push_back(CreateMemorySource(bytes, "memory"));
  MOTE_ASSIGN_OR_RETURN(std::unique_ptr<GgufFile> file, GgufFile::FromSources(std::move(parts)));
  ModelParams params;
  params.threads = threads;
  params.isa = IsaUnderTest();
  params.sparse = path;
  return Model::Load(std::move(file), params);
}

Logits LogitsOf(const std::vector<uint8_t>& bytes, SparsePath path, int threads = 1, size_t chunk = 0) {
  Result<std::unique_ptr<Model>> model = TryLoadSparse(bytes, path, threads);
  EXPECT_TRUE(model.ok()) << model.status().message();
  if (!model.ok()) return {};
  return AllLogits(**model, SomeTokens(21, (*model)->vocab_size()), chunk);
}

// Columns that are no whole stretches.
TinyModelOptions RaggedOptions(const char* architecture) {
  TinyModelOptions options;
  options.architecture = architecture;
  options.width = 288;
  options.heads = 6;
  options.kv_heads = 3;
  options.ff = 416;
  return options;
}

const DType kTypes[] = {DType::kI8, DType::kF16, DType::kBF16, DType::kQ4_0};

TEST(SparseModel, SparseAndDensePathsGiveTheSameBits) {
  // Biases, one tensor for queries, keys and values, and an embedding that is scaled and also the output.
  for (const char* architecture : {"llama", "qwen2", "phi3", "gemma3"}) {
    const std::vector<uint8_t> floats = MakeTinyModel(RaggedOptions(architecture));
    for (const DType type : kTypes) {
      for (const double density : {0.5, 0.0, 0.99}) {
        if (density != 0.5 && std::string(architecture) != "phi3") continue;
        SCOPED_TRACE(std::string(architecture) + " " + DTypeName(type) + " " + std::to_string(density));
        const std::vector<uint8_t> sparse = MakeSparseFile(floats, {.type = type, .density = density});
        ASSERT_FALSE(sparse.empty());
        const Logits wanted = LogitsOf(sparse, SparsePath::kSparse);
        ASSERT_EQ(wanted.size(), 21u);
        EXPECT_TRUE(SameLogits(wanted, LogitsOf(sparse, SparsePath::kDense)));
        EXPECT_TRUE(SameLogits(wanted, LogitsOf(sparse, SparsePath::kAuto, 2)));
        // An int8 file is of Q8_0 when it is dense, whose activations are rounded in another way.
        if (type == DType::kI8) continue;
        const std::vector<uint8_t> dense = MakeSparseFile(floats, {.type = type, .density = density, .dense = true});
        EXPECT_TRUE(SameLogits(wanted, LogitsOf(dense, SparsePath::kAuto)));
      }
    }
  }
}

TEST(SparseModel, DenseInt8IsNearToTheSame) {
  const std::vector<uint8_t> floats = MakeTinyModel(RaggedOptions("llama"));
  const Logits sparse = LogitsOf(MakeSparseFile(floats, {.type = DType::kI8}), SparsePath::kSparse);
  const Logits dense = LogitsOf(MakeSparseFile(floats, {.type = DType::kI8, .dense = true}), SparsePath::kAuto);
  ASSERT_EQ(sparse.size(), dense.size());
  double difference = 0, size = 0;
  for (size_t t = 0; t < sparse.size(); ++t) {
    for (size_t i = 0; i < sparse[t].size(); ++i) {
      difference += (sparse[t][i] - dense[t][i]) * (sparse[t][i] - dense[t][i]);
      size += dense[t][i] * dense[t][i];
    }
  }
  // Activations of 8 bits, their scales over 256 values in one and over 32 in the other.
  EXPECT_LT(difference, size * 0.03 * 0.03);
}

TEST(SparseModel, ThreadsAndBatchesDoNotShow) {
  const std::vector<uint8_t> floats = MakeTinyModel(RaggedOptions("llama"));
  for (const DType type : kTypes) {
    const std::vector<uint8_t> sparse = MakeSparseFile(floats, {.type = type});
    const Logits wanted = LogitsOf(sparse, SparsePath::kSparse);
    for (const int threads : {1, 2, 3, 7}) {
      for (const size_t chunk : {1u, 5u, 0u}) {
        EXPECT_TRUE(SameLogits(wanted, LogitsOf(sparse, SparsePath::kSparse, threads, chunk)))
            << DTypeName(type) << ", threads " << threads << ", chunk " << chunk;
      }
    }
  }
}

TEST(SparseModel, TakesTheMemoryThatItSays) {
  const std::vector<uint8_t> floats = MakeTinyModel(RaggedOptions("llama"));
  const std::vector<uint8_t> sparse = MakeSparseFile(floats, {.type = DType::kF16, .density = 0.25});
  const auto as_is = TryLoadSparse(sparse, SparsePath::kSparse, 1);
  const auto dense = TryLoadSparse(sparse, SparsePath::kDense, 1);
  ASSERT_TRUE(as_is.ok() && dense.ok());
  const double ratio =
      static_cast<double>((*as_is)->memory().weight_bytes) / static_cast<double>((*dense)->memory().weight_bytes);
  EXPECT_GT(ratio, 0.2);
  EXPECT_LT(ratio, 0.3);
}

// What a load says of a file of which byte `at` of tensor `name` was changed to `value`.
std::string RefusalOf(const std::string& name, size_t at, uint8_t value) {
  const std::vector<uint8_t> floats = MakeTinyModel({});
  std::vector<uint8_t> bytes = MakeSparseFile(floats, {.type = DType::kI8});
  const std::unique_ptr<GgufFile> file = Parse(bytes);
  const TensorInfo* tensor = file->FindTensor(name);
  if (tensor == nullptr) return "no tensor " + name;
  bytes[tensor->offset + at] = value;
  const auto model = TryLoadSparse(bytes, SparsePath::kAuto, 1);
  if (model.ok()) return "";
  return std::string(CodeName(model.status().code())) + ": " + model.status().message();
}

TEST(SparseModel, RefusesAFalseIndex) {
  const std::string matrix = "blk.0.ffn_up.weight";
  EXPECT_NE(RefusalOf(matrix + ".sparse_index", 3, 64).find("malformed: block-sparse matrix \"blk.0.ffn_up.weight\""),
            std::string::npos)
      << RefusalOf(matrix + ".sparse_index", 3, 64);
  EXPECT_NE(RefusalOf(matrix + ".sparse_index", 3, 0).find("not above the one before"), std::string::npos);
  EXPECT_NE(RefusalOf(matrix + ".sparse_counts", 0, 255).find("a count is wrong"), std::string::npos);
  EXPECT_NE(RefusalOf(matrix + ".sparse_counts", 0, 0).find("wrong"), std::string::npos);
  // A value may be anything.
  EXPECT_EQ(RefusalOf(matrix + ".sparse_values", 3, 77), "");
}

TEST(SparseModel, RefusesAPartOfAGroup) {
  TinyModelOptions options = RaggedOptions("phi3");
  options.heads = 6;
  options.kv_heads = 1;
  options.head_dim = 8;
  const std::vector<uint8_t> sparse = MakeSparseFile(MakeTinyModel(options), {.type = DType::kF16});
  const auto model = TryLoadSparse(sparse, SparsePath::kAuto, 1);
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.status().code(), Code::kUnsupported);
  EXPECT_NE(model.status().message().find("no whole groups of 16"), std::string::npos) << model.status().message();
}

}  // namespace
}  // namespace mote::testing
