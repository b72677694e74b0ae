// The number formats of tensors, with the ids that GGUF files use.
#ifndef MOTE_QUANT_DTYPE_H_
#define MOTE_QUANT_DTYPE_H_

#include <stddef.h>
#include <stdint.h>

namespace mote {

// Values are the GGUF type ids (ggml-org/ggml, docs/gguf.md). Ids that mote cannot run are known by name all the same:
// see DTypeName.
enum class DType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kIQ4_NL = 20,
  kIQ4_XS = 23,
  kI8 = 24,
  kI16 = 25,
  kI32 = 26,
  kI64 = 27,
  kF64 = 28,
  kBF16 = 30,
  kMXFP4 = 39,
  // Matrices of int8 with a float32 scale for each row (docs/formats.md). No file has this id: there they are kI8, and
  // a metadata key says so.
  kI8Row = 0x80000018,
};

// A row of a tensor is a whole number of blocks, `block_values` values in `block_bytes` bytes, and `tail_bytes`.
struct DTypeInfo {
  const char* name;       // "Q4_K"; lower-case "q4_k" is accepted by DTypeFromName
  uint32_t block_values;  // 1, 4, 32 or 256; 0 where mote knows only the name
  uint32_t block_bytes;
  bool is_weight;           // mote multiplies with it (F32, F16, BF16 and every quantised format below)
  uint32_t tail_bytes = 0;  // what a row has once
};

// Null for an id that nobody uses. Ids that are known but not run (IQ2_XS, TQ1_0, other engines' private ids) have
// block_values 0 and is_weight false.
const DTypeInfo* DTypeInfoOf(uint32_t id);
inline const DTypeInfo* DTypeInfoOf(DType type) {
  return DTypeInfoOf(static_cast<uint32_t>(type));
}
// "Q4_K"; "type 77" style names are the caller's business: unknown ids give "unknown".
const char* DTypeName(uint32_t id);
inline const char* DTypeName(DType type) {
  return DTypeName(static_cast<uint32_t>(type));
}
// Case-insensitive; false if there is no such name or mote cannot run it. "I8" is kI8Row.
bool DTypeFromName(const char* name, DType* type);

// Bytes of a row of `values` values, a multiple of block_values, its tail included. The type must be known with its
// sizes.
size_t RowBytes(DType type, size_t values);

// The most columns of a kI8Row matrix: sums of so many products of codes stay within 32 bits.
inline constexpr size_t kI8RowMostValues = size_t{1} << 17;

}  // namespace mote

#endif  // MOTE_QUANT_DTYPE_H_
