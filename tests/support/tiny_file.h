// What the makers of small random files share: a writer, numbers that are the same everywhere, and tensors of them.
#ifndef MOTE_TESTS_SUPPORT_TINY_FILE_H_
#define MOTE_TESTS_SUPPORT_TINY_FILE_H_

#include <math.h>
#include <stdint.h>
#include <string.h>

#include <string>
#include <utility>
#include <vector>

#include "engine/format/gguf_writer.h"
#include "quant/codec.h"
#include "quant/dtype.h"

namespace mote::testing {

// Uniform in [-1, 1), the same everywhere.
class TinyRandom {
 public:
  explicit TinyRandom(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u + 1) {}
  float Next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<float>(static_cast<int32_t>(state_ >> 32)) * (1.0f / 2147483648.0f);
  }

 private:
  uint64_t state_;
};

class TinyFile {
 public:
  // Matrices are of `type` where nothing else is said: `other_types`, of those whose names end so.
  TinyFile(DType type, uint64_t seed, std::vector<std::pair<std::string, DType>> other_types = {})
      : random_(seed), type_(type), other_types_(std::move(other_types)) {}

 protected:
  // The whole file; empty if a type's block does not divide a matrix's columns.
  std::vector<uint8_t> Bytes() {
    const auto layout = writer_.Finish();
    if (!layout.ok()) return {};
    std::vector<uint8_t> out = layout->header;
    out.resize(layout->file_bytes);
    for (size_t i = 0; i < data_.size(); ++i) {
      if (data_[i].size() != layout->tensors[i].bytes) return {};
      memcpy(out.data() + layout->tensors[i].offset, data_[i].data(), data_[i].size());
    }
    return out;
  }

  void Add(const std::string& name, DType type, std::vector<uint64_t> shape, const std::vector<float>& values) {
    TensorInfo info;
    info.name = name;
    info.type = type;
    info.num_dims = static_cast<int>(shape.size());
    for (size_t i = 0; i < shape.size(); ++i) info.shape[i] = shape[i];
    writer_.AddTensor(info);
    std::vector<uint8_t> bytes(RowBytes(type, info.cols()) * info.rows());
    for (uint64_t row = 0; row < info.rows(); ++row) {
      EncodeRow(type, values.data() + row * info.cols(), bytes.data() + row * RowBytes(type, info.cols()), info.cols());
    }
    data_.push_back(std::move(bytes));
  }
  void Matrix(const std::string& name, uint64_t rows, uint64_t cols, uint64_t experts = 1) {
    for (const auto& [end, type] : other_types_) {
      if (name.ends_with(end)) return Matrix(name, rows, cols, experts, type);
    }
    Matrix(name, rows, cols, experts, type_);
  }
  void Matrix(const std::string& name, uint64_t rows, uint64_t cols, uint64_t experts, DType type) {
    std::vector<float> values(rows * cols * experts);
    const float scale = 1.7f / sqrtf(static_cast<float>(cols));
    for (float& v : values) v = random_.Next() * scale;
    std::vector<uint64_t> shape = {cols, rows};
    if (experts > 1) shape.push_back(experts);
    Add(name, type, shape, values);
  }
  void Vector(const std::string& name, uint64_t size, float mean, float spread) {
    std::vector<float> values(size);
    for (float& v : values) v = mean + spread * random_.Next();
    Add(name, DType::kF32, {size}, values);
  }
  void Norm(const std::string& name, uint64_t size) { Vector(name, size, 1.0f, 0.2f); }

  TinyRandom random_;
  GgufWriter writer_;

 private:
  DType type_;
  std::vector<std::pair<std::string, DType>> other_types_;
  std::vector<std::vector<uint8_t>> data_;
};

}  // namespace mote::testing

#endif  // MOTE_TESTS_SUPPORT_TINY_FILE_H_
