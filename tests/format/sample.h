// A small valid file with something of everything, and where its numbers stand.
#ifndef MOTE_TESTS_FORMAT_SAMPLE_H_
#define MOTE_TESTS_FORMAT_SAMPLE_H_

#include <stdint.h>
#include <string.h>

#include <string>
#include <vector>

#include "tests/support/gguf_builder.h"

namespace mote {
namespace testing {

// Every type of value, alone and in an array, and several tensors. About 1.5 KiB.
inline GgufBuilder SampleBuilder() {
  GgufBuilder builder;
  builder.String("general.architecture", "llama").SetAlignment(32).String("general.name", "");
  builder.Scalar<uint8_t>("u8", kIdUint8, 8).Scalar<int8_t>("i8", kIdInt8, -8);
  builder.Scalar<uint16_t>("u16", kIdUint16, 16).Scalar<int16_t>("i16", kIdInt16, -16);
  builder.Uint32("u32", 32).Scalar<int32_t>("i32", kIdInt32, -32);
  builder.Scalar<uint64_t>("u64", kIdUint64, 64).Scalar<int64_t>("i64", kIdInt64, -64);
  builder.Float32("f32", 0.5f).Scalar<double>("f64", kIdFloat64, 0.25).Bool("bool", true);
  builder.Array<uint8_t>("au8", kIdUint8, {1, 2, 3}).Array<int8_t>("ai8", kIdInt8, {-1, 1});
  builder.Array<uint16_t>("au16", kIdUint16, {1, 2}).Array<int16_t>("ai16", kIdInt16, {-1});
  builder.Array<uint32_t>("au32", kIdUint32, {1, 2, 3}).Array<int32_t>("ai32", kIdInt32, {-1, 0});
  builder.Array<uint64_t>("au64", kIdUint64, {1, 2}).Array<int64_t>("ai64", kIdInt64, {-1});
  builder.Array<float>("af32", kIdFloat32, {0.5f, 1.5f}).Array<double>("af64", kIdFloat64, {0.25});
  builder.Array<uint8_t>("abool", kIdBool, {0, 1, 1}).Array<uint32_t>("none", kIdUint32, {});
  builder.Strings("tokens", {"<s>", "", "hello", "\xE2\x96\x81world", std::string(40, 'x')}).Strings("no strings", {});
  builder.Tensor("token_embd.weight", {8, 5}, 0, PatternBytes(160, 1));
  builder.Tensor("blk.0.attn_q.weight", {32, 2}, 8, PatternBytes(68, 2));
  builder.Tensor("blk.0.attn_norm.weight", {3}, 1, PatternBytes(6, 3));
  builder.Tensor("output.weight", {32, 1, 1, 2}, 2, PatternBytes(36, 4));
  return builder;
}
inline GgufBuilder::Bytes SampleFile() {
  return SampleBuilder().Build();
}

// Positions of all 64-bit counts and lengths of a valid file, found by a walk of its own.
inline std::vector<size_t> LengthFields(const GgufBuilder::Bytes& file) {
  std::vector<size_t> fields = {8, 16};
  size_t at = 24;
  const auto number = [&file](size_t from, size_t bytes) {
    uint64_t value = 0;
    memcpy(&value, &file[from], bytes);
    return value;
  };
  const auto length = [&] {
    fields.push_back(at);
    at += 8;
    return static_cast<size_t>(number(at - 8, 8));
  };
  const auto string = [&] { at += length(); };
  static const size_t kBytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  const uint64_t tensors = number(8, 8);
  const uint64_t entries = number(16, 8);
  for (uint64_t i = 0; i < entries; ++i) {
    string();
    const uint64_t type = number(at, 4);
    at += 4;
    if (type == kIdString) {
      string();
    } else if (type == kIdArray) {
      const uint64_t element = number(at, 4);
      at += 4;
      const size_t count = length();
      if (element == kIdString) {
        for (size_t j = 0; j < count; ++j) string();
      } else {
        at += count * kBytes[element];
      }
    } else {
      at += kBytes[type];
    }
  }
  for (uint64_t i = 0; i < tensors; ++i) {
    string();
    at += 4 + 8 * static_cast<size_t>(number(at, 4)) + 4 + 8;
  }
  return fields;
}

}  // namespace testing
}  // namespace mote

#endif  // MOTE_TESTS_FORMAT_SAMPLE_H_
