// The types that llama.cpp's quantizer gives the tensors of many kinds of model: tests/golden/llama_cpp_types.txt,
// written by tests/peers/quantize.py.
#include <gtest/gtest.h>
#include <stdio.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "engine/format/convert.h"
#include "tests/format/open.h"
#include "tests/support/gguf_builder.h"

namespace mote {
namespace {

using testing::Bytes;
using testing::GgufBuilder;

std::vector<std::string> Words(const std::string& line) {
  std::vector<std::string> words(1);
  for (const char c : line) {
    if (c != ' ') {
      words.back() += c;
    } else if (!words.back().empty()) {
      words.emplace_back();
    }
  }
  if (words.back().empty()) words.pop_back();
  return words;
}

std::vector<std::string> Lines(const char* path) {
  std::vector<std::string> lines;
  FILE* file = fopen(path, "rb");
  if (file == nullptr) return lines;
  std::string line;
  for (int c = fgetc(file); c != EOF; c = fgetc(file)) {
    if (c != '\n') {
      line += static_cast<char>(c);
      continue;
    }
    lines.push_back(std::move(line));
    line.clear();
  }
  fclose(file);
  return lines;
}

bool EndsWith(const std::string& text, const std::string& end) {
  return text.ends_with(end);
}

// "model NAME ARCHITECTURE LAYERS HEADS KV_HEADS EXPERTS COLUMNS", and the names outside layers, in each, in every
// other.
struct Shape {
  std::vector<std::string> model;
  std::vector<std::string> outside;
  std::vector<std::string> each;
  std::vector<std::string> other;
};

void AddTensor(const Shape& shape, const std::string& prefix, const std::string& word, GgufBuilder* builder) {
  const size_t colon = word.find(':');
  const std::string stem = word.substr(0, colon);
  const uint64_t cols = std::stoull(colon == std::string::npos ? shape.model[7] : word.substr(colon + 1));
  std::vector<uint64_t> dims = {cols, 2};
  if (EndsWith(stem, "_norm")) dims = {cols};
  if (EndsWith(stem, "_exps")) dims = {cols, 2, 3};
  uint64_t bytes = 4;
  for (const uint64_t dim : dims) bytes *= dim;
  builder->Tensor(prefix + stem + ".weight", dims, 0, Bytes(static_cast<size_t>(bytes)));
}

Bytes BuildModel(const Shape& shape) {
  const std::string& arch = shape.model[2];
  const auto number = [&](size_t i) { return static_cast<uint32_t>(std::stoul(shape.model[i])); };
  GgufBuilder builder;
  builder.String("general.architecture", arch).Uint32(arch + ".block_count", number(3));
  builder.Uint32(arch + ".attention.head_count", number(4)).Uint32(arch + ".attention.head_count_kv", number(5));
  if (number(6) != 0) builder.Uint32(arch + ".expert_count", number(6));
  for (const std::string& word : shape.outside) AddTensor(shape, "", word, &builder);
  for (uint32_t layer = 0; layer < number(3); ++layer) {
    const std::string prefix = "blk." + std::to_string(layer) + ".";
    for (const std::string& word : shape.each) AddTensor(shape, prefix, word, &builder);
    for (size_t i = 0; layer % 2 == 1 && i < shape.other.size(); ++i)
      AddTensor(shape, prefix, shape.other[i], &builder);
  }
  return builder.Build();
}

// Every tensor alike.
Imatrix FlatImatrix(const GgufFile& in) {
  Imatrix imatrix;
  for (const TensorInfo& tensor : in.tensors()) {
    if (tensor.num_dims < 2) continue;
    const std::vector<double> squares(static_cast<size_t>(tensor.cols()), 1.0);
    for (uint64_t m = 0; m < tensor.shape[2]; ++m) {
      EXPECT_TRUE(imatrix.Add(tensor.name, m, tensor.shape[2], squares, 1).ok());
    }
  }
  return imatrix;
}

// A line "types NAME WHICH NUMBER*COUNT ...". Returns how many tensors were compared.
size_t Compare(const Shape& shape, const GgufFile& in, const std::vector<std::string>& words, const Imatrix* imatrix) {
  QuantizeOptions options;
  options.type = words[1];
  options.imatrix = imatrix;
  const auto plan = PlanQuantization(in, options);
  EXPECT_TRUE(plan.ok()) << shape.model[1] << " " << words[1] << ": " << plan.status().message();
  if (!plan.ok()) return 0;
  size_t tensor = 0;
  for (size_t i = 3; i < words.size(); ++i) {
    const size_t star = words[i].find('*');
    const size_t count = star == std::string::npos ? 1 : std::stoul(words[i].substr(star + 1));
    for (size_t n = 0; n < count && tensor < plan->tensors.size(); ++n, ++tensor) {
      EXPECT_EQ(static_cast<uint32_t>(plan->tensors[tensor].type), std::stoul(words[i].substr(0, star)))
          << shape.model[1] << " " << words[1] << ", importances " << (imatrix != nullptr) << ": "
          << plan->tensors[tensor].name;
    }
  }
  EXPECT_EQ(tensor, plan->tensors.size()) << shape.model[1];
  return tensor;
}

TEST(QuantizeGolden, TypesAreLlamaCpps) {
  const std::vector<std::string> lines = Lines("tests/golden/llama_cpp_types.txt");
  ASSERT_FALSE(lines.empty()) << "run from the root of the repository";
  Shape shape;
  Bytes bytes;
  std::unique_ptr<GgufFile> in;
  Imatrix flat;
  size_t compared = 0;
  for (const std::string& line : lines) {
    std::vector<std::string> words = Words(line);
    if (words.empty() || words[0] == "#") continue;
    if (words[0] == "model") {
      shape = {words, {}, {}, {}};
      continue;
    }
    if (words[0] != "types") {
      std::vector<std::string>& names = words[0] == "outside" ? shape.outside
                                        : words[0] == "each"  ? shape.each
                                                              : shape.other;
      names.assign(words.begin() + 1, words.end());
      if (words[0] != "other") continue;
      bytes = BuildModel(shape);
      auto opened = testing::OpenBytes(bytes);
      ASSERT_TRUE(opened.ok()) << opened.status().message();
      in = std::move(opened).value();
      flat = FlatImatrix(*in);
      continue;
    }
    for (const char importances : words[2])
      compared += Compare(shape, *in, words, importances == '1' ? &flat : nullptr);
  }
  EXPECT_GT(compared, 50000u);
}

}  // namespace
}  // namespace mote
