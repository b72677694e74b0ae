// GGUF files of any size with random values, written in passing: speed depends on shapes and types, not on values.
#ifndef MOTE_BENCH_PEERS_RANDOM_FILE_H_
#define MOTE_BENCH_PEERS_RANDOM_FILE_H_

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "engine/format/gguf_writer.h"
#include "quant/codec.h"
#include "quant/dtype.h"

namespace mote::bench {

// About normal (the sum of four uniform numbers), of variance 1; the same everywhere.
class Random {
 public:
  float Next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    const uint64_t bits = state_ * 0x2545F4914F6CDD1Du;
    int32_t sum = 0;
    for (int i = 0; i < 4; ++i) sum += static_cast<int16_t>(bits >> (16 * i));
    return static_cast<float>(sum) * 2.64e-5f;  // 1 / (2^15 * sqrt(4 / 3))
  }

 private:
  uint64_t state_ = 0x9E3779B97F4A7C15u;
};

class RandomFile {
 public:
  // `repeat`: a tensor of two dimensions is so many rows again and again, written as fast as the disk is. 0: it is not.
  explicit RandomFile(uint64_t repeat = 0) : repeat_(repeat) {}
  GgufWriter& writer() { return writer_; }

  // `shape`: columns first. A quantised type becomes F16 where its blocks do not divide the columns.
  void Add(const std::string& name, DType type, const std::vector<uint64_t>& shape) {
    TensorInfo info;
    info.name = name;
    info.type = shape[0] % DTypeInfoOf(type)->block_values == 0 ? type : DType::kF16;
    info.num_dims = static_cast<int>(shape.size());
    std::copy(shape.begin(), shape.end(), info.shape.begin());
    writer_.AddTensor(info);
  }

  // What stops it goes to stderr.
  bool Write(const char* path) {
    const auto layout = writer_.Finish();
    if (!layout.ok()) {
      fprintf(stderr, "%s\n", layout.status().message().c_str());
      return false;
    }
    FILE* file = fopen(path, "wb");
    bool ok = file != nullptr && fwrite(layout->header.data(), 1, layout->header.size(), file) == layout->header.size();
    for (const TensorInfo& tensor : layout->tensors) ok = ok && WriteValues(tensor, file);
    if (file != nullptr) ok = fclose(file) == 0 && ok;
    if (!ok) perror(path);
    return ok;
  }

 private:
  bool WriteValues(const TensorInfo& tensor, FILE* file) {
    const bool norm =
        tensor.num_dims == 1 && (tensor.name.find("norm") != std::string::npos || EndsWith(tensor.name, "weight"));
    const float mean = norm ? 1.0f : 0.0f;
    const float scale = tensor.num_dims == 1 ? 0.02f : 1 / sqrtf(static_cast<float>(tensor.cols()));
    std::vector<float> row(tensor.cols());
    const size_t row_bytes = RowBytes(tensor.type, tensor.cols());
    const uint64_t kept = repeat_ != 0 && tensor.num_dims > 1 ? std::min(repeat_, tensor.rows()) : 1;
    std::vector<uint8_t> bytes(kept * row_bytes);
    for (uint64_t i = 0; i < tensor.rows(); ++i) {
      uint8_t* own = bytes.data() + i % kept * row_bytes;
      if (kept == 1 || i < kept) {
        for (float& value : row) value = mean + scale * random_.Next();
        EncodeRow(tensor.type, row.data(), own, row.size());
      }
      if (fwrite(own, 1, row_bytes, file) != row_bytes) return false;
    }
    const uint8_t zeros[GgufWriter::alignment()] = {};
    const size_t padding = (GgufWriter::alignment() - tensor.bytes % GgufWriter::alignment()) % GgufWriter::alignment();
    return fwrite(zeros, 1, padding, file) == padding;
  }
  static bool EndsWith(std::string_view text, std::string_view end) {
    return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
  }

  const uint64_t repeat_;
  GgufWriter writer_;
  Random random_;
};

}  // namespace mote::bench

#endif  // MOTE_BENCH_PEERS_RANDOM_FILE_H_
