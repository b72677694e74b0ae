// Matrix products of every weight type on every row against a sum in double, and to the bit against themselves.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "simd/kernels.h"
#include "tests/simd/rows.h"
#include "tests/support/closeness.h"
#include "tests/support/effort.h"
#include "tests/support/guarded.h"

namespace mote::testing {
namespace {

// Exactly `bytes` on the heap, `misalign` past an aligned address: the address sanitizer sees any read past the end.
class Bytes {
 public:
  Bytes(size_t bytes, size_t misalign) : storage_(new uint8_t[bytes + misalign]), data_(storage_.get() + misalign) {}
  uint8_t* data() { return data_; }

 private:
  std::unique_ptr<uint8_t[]> storage_;
  uint8_t* data_;
};

// A table row's packed copy of a matrix, and scratch memory, exactly as large as promised.
struct alignas(64) Scratch {
  uint8_t bytes[simd::kMatMulScratchBytes];
};
struct Packed {
  const simd::KernelTable& table;
  DType type;
  size_t k;
  Bytes panels;
  std::unique_ptr<Scratch> scratch;

  Packed(const simd::KernelTable& table_arg, DType type_arg, const uint8_t* rows, size_t num_rows, size_t k_arg,
         size_t misalign)
      : table(table_arg),
        type(type_arg),
        k(k_arg),
        panels(simd::PackedBytes(table, type, num_rows, k), misalign),
        scratch(new Scratch) {
    memset(panels.data(), 0xa5, simd::PackedBytes(table, type, num_rows, k));
    table.pack({type, rows, num_rows, k, panels.data()});
  }

  void Multiply(simd::MatMulArgs args, size_t first_row = 0) {
    args.panels = panels.data() + first_row * RowBytes(type, k);
    args.scratch = scratch->bytes;
    simd::MatMulOf(table, type)(args);
  }
};

// A product with its inputs; weights and acts lie unaligned where `misalign` is not 0.
struct Product {
  DType type;
  size_t k, rows, m;
  size_t row_bytes, act_stride;
  Bytes weights, acts;
  std::vector<float> decoded;  // (rows, k)
  std::vector<float> addends;  // (rows, k): the part of each weight that is its min
  std::vector<float> values;   // (m, k): the activations that the kernel sees

  Product(DType type_arg, size_t k_arg, size_t rows_arg, size_t m_arg, size_t misalign, Random& random,
          float amplitude = 0.05f)
      : type(type_arg),
        k(k_arg),
        rows(rows_arg),
        m(m_arg),
        row_bytes(RowBytes(type, k)),
        act_stride(simd::UsesA8(type) ? simd::A8RowBytes(k) : k * sizeof(float)),
        weights(row_bytes * rows, misalign),
        // Floats are aligned as floats, A8 rows as bytes. The last row is as short as the format allows.
        acts(ActBytes(), simd::UsesA8(type) ? misalign : misalign * 4),
        decoded(rows * k),
        addends(rows * k),
        values(m * k) {
    for (size_t r = 0; r < rows; ++r) SetRow(r, RandomWeights(type, k, random, amplitude));
    for (size_t t = 0; t < m; ++t) SetActs(t, random.Floats(k, 2.0f));
  }

  size_t ActBytes() const {
    const size_t last = simd::UsesA8(type) ? simd::A8Bytes(k) : act_stride;
    return (m - 1) * act_stride + last;
  }

  void SetRow(size_t r, const std::vector<uint8_t>& row) {
    memcpy(weights.data() + r * row_bytes, row.data(), row_bytes);
    DecodeRow(type, row.data(), &decoded[r * k], k);
    std::vector<uint8_t> without_codes = row;
    const ScaleFields fields = FieldsOf(type);
    if (fields.min != ScaleFields::kNone) {
      // Scale zero: what remains is the min.
      const DTypeInfo& info = *DTypeInfoOf(type);
      for (size_t b = 0; b < row.size(); b += info.block_bytes) Put16(&without_codes[b + fields.scale], 0);
      DecodeRow(type, without_codes.data(), &addends[r * k], k);
    }
  }

  void SetActs(size_t t, const std::vector<float>& x) {
    uint8_t* row = acts.data() + t * act_stride;
    if (!simd::UsesA8(type)) {
      memcpy(row, x.data(), k * sizeof(float));
      memcpy(&values[t * k], x.data(), k * sizeof(float));
      return;
    }
    std::vector<uint8_t> a8(simd::A8RowBytes(k));
    simd::Tables().back()->quantize_a8(x.data(), k, simd::ActGroup(type), a8.data());
    memcpy(row, a8.data(), simd::A8Bytes(k));
    for (size_t i = 0; i < k; ++i) {
      simd::A8Block block;
      memcpy(&block, a8.data() + i / 32 * sizeof(block), sizeof(block));
      values[t * k + i] = block.scale * static_cast<float>(block.codes[i % 32]);
    }
  }

  simd::MatMulArgs Args(float* out, size_t out_stride) {
    simd::MatMulArgs args;
    args.rows = rows;
    args.k = k;
    args.acts = acts.data();
    args.act_stride_bytes = act_stride;
    args.m = m;
    args.out = out;
    args.out_stride = out_stride;
    return args;
  }

  Packed PackFor(const simd::KernelTable& table) {
    return Packed(table, type, weights.data(), rows, k, simd::UsesA8(type) ? rows % 4 : 0);
  }
  void Multiply(const simd::KernelTable& table, float* out, size_t out_stride) {
    PackFor(table).Multiply(Args(out, out_stride));
  }

  // The min is added as a product of its own with the sum of the acts, so that a small weight may be the difference of
  // two large terms: their magnitudes enter the bound. Beyond the additions there are up to four roundings of factors.
  Expected Want(size_t r, size_t t) const {
    DotReference sum;
    double magnitudes = 0;
    for (size_t i = 0; i < k; ++i) {
      const double a = values[t * k + i];
      sum.Add(a, decoded[r * k + i]);
      magnitudes += std::abs(a) * (std::abs(decoded[r * k + i]) + 2 * std::abs(addends[r * k + i]));
    }
    const Expected plain = sum.Expect(kEpsilonF32);
    const double n = static_cast<double>(k);
    const double additions = std::min(n, DotReference::kLambda * std::sqrt(n));
    return {plain.value, plain.bound + (additions + 4) * kEpsilonF32 / 2 * magnitudes};
  }

  // (m, rows)
  std::vector<Expected> WantAll() const {
    std::vector<Expected> all;
    for (size_t t = 0; t < m; ++t) {
      for (size_t r = 0; r < rows; ++r) all.push_back(Want(r, t));
    }
    return all;
  }
};

std::string Label(const simd::KernelTable& table, const Product& p) {
  char text[160];
  snprintf(text, sizeof(text), "%s %s k=%zu rows=%zu m=%zu", DTypeName(p.type), table.name, p.k, p.rows, p.m);
  return text;
}

std::vector<size_t> Lengths(DType type) {
  switch (DTypeInfoOf(type)->block_values) {
    case 1:
      return {1, 2, 3, 7, 15, 16, 17, 31, 33, 64, 100, 255, 1000};
    case 32:
      return {32, 64, 96, 224, 256, 288, 576, 960};
    default:
      return {256, 512, 1280};
  }
}

class MatMul : public ::testing::TestWithParam<DType> {};
class QuantisedMatMul : public ::testing::TestWithParam<DType> {};

TEST_P(MatMul, AgreesWithDouble) {
  const DType type = GetParam();
  Random random(static_cast<uint64_t>(type) + 1);
  for (size_t k : Lengths(type)) {
    for (size_t m : {1, 2, 3, 4, 8, 15}) {
      const size_t rows = 1 + random.Below(9);
      const size_t misalign = random.Below(4);
      Product product(type, k, rows, m, misalign, random);
      const std::vector<Expected> want = product.WantAll();
      for (const simd::KernelTable* table : RunnableRows()) {
        Guarded<float> out(rows * m, misalign);
        product.Multiply(*table, out.data(), rows);
        EXPECT_TRUE(AllClose(out.span(), want, Label(*table, product)));
        EXPECT_TRUE(out.GuardsIntact()) << Label(*table, product);
      }
    }
  }
}

// Panels that are passed side by side, and those that are left over: of several panels, and so many bytes that streams
// are worth while.
TEST_P(MatMul, DoesNotDependOnStreams) {
  const DType type = GetParam();
  Random random(static_cast<uint64_t>(type) + 150);
  for (const size_t rows : {75, 203, 330}) {
    for (const size_t m : {1, 2, 3, 4, 5, 6}) {
      if (kSlowTests && (rows != 203 || m % 3 != 1)) continue;
      Product product(type, 1280, rows, m, 1, random);
      for (const simd::KernelTable* table : RunnableRows()) {
        Packed packed = product.PackFor(*table);
        std::vector<float> one(m * rows);
        packed.Multiply(product.Args(one.data(), rows));
        for (const uint32_t streams : {2u, 4u}) {
          std::vector<float> several(m * rows);
          simd::MatMulArgs args = product.Args(several.data(), rows);
          args.ahead.streams = streams;
          packed.Multiply(args);
          ASSERT_EQ(memcmp(one.data(), several.data(), m * rows * sizeof(float)), 0)
              << Label(*table, product) << ", " << streams << " streams";
        }
      }
    }
  }
}

// Each (row, token) alone gives the same bits as in any company, however far ahead weights are fetched: callers may
// split the work as they like.
TEST_P(MatMul, DoesNotDependOnTheSplit) {
  const DType type = GetParam();
  Random random(static_cast<uint64_t>(type) + 100);
  const size_t k = Lengths(type).back();
  for (size_t m : {1, 2, 3, 6, 7, 9, 23}) {
    Product product(type, k, 75, m, 1, random);
    for (const simd::KernelTable* table : RunnableRows()) {
      Packed packed = product.PackFor(*table);
      std::vector<float> all(m * product.rows);
      packed.Multiply(product.Args(all.data(), product.rows));
      const size_t panel = simd::PanelRows(*table, type);
      for (size_t t = 0; t < m; ++t) {
        for (size_t first = 0; first < product.rows; first += panel) {
          const size_t rows = std::min(panel, product.rows - first);
          std::vector<float> alone(rows);
          simd::MatMulArgs args = product.Args(alone.data(), rows);
          args.rows = rows;
          args.acts = product.acts.data() + t * product.act_stride;
          args.m = 1;
          args.ahead.near = 64;
          args.ahead.far = t % 2 * 8192;
          packed.Multiply(args, first);
          ASSERT_EQ(memcmp(alone.data(), &all[t * product.rows + first], rows * sizeof(float)), 0)
              << Label(*table, product) << " from row " << first << " token " << t << ": " << alone[0] << " alone, "
              << all[t * product.rows + first] << " together";
        }
      }
    }
  }
}

// Many rows and tokens, and K in more than one part.
TEST_P(MatMul, WalksManyRows) {
  const DType type = GetParam();
  Random random(static_cast<uint64_t>(type) + 200);
  const size_t k = 2048 + 256;
  const size_t rows = 64 + 32 + 16 + 7;
  Product product(type, k, rows, 9, 0, random);
  const std::vector<Expected> want = product.WantAll();
  for (const simd::KernelTable* table : RunnableRows()) {
    Guarded<float> out(rows * 9);
    product.Multiply(*table, out.data(), rows);
    EXPECT_TRUE(AllClose(out.span(), want, Label(*table, product)));
    EXPECT_TRUE(out.GuardsIntact());
  }
}

TEST_P(MatMul, WritesOnlyItsColumns) {
  const DType type = GetParam();
  Random random(static_cast<uint64_t>(type) + 300);
  Product product(type, 256, 3, 5, 0, random);
  for (const simd::KernelTable* table : RunnableRows()) {
    Guarded<float> out(5 * 7);
    product.Multiply(*table, out.data(), 7);
    for (size_t t = 0; t < 5; ++t) {
      for (size_t r = 0; r < 7; ++r) {
        EXPECT_EQ(out.IsPoison(t * 7 + r), r >= 3) << table->name << " token " << t << " column " << r;
      }
    }
  }
}

// Weights that are exactly zero give exactly zero, whatever the codes' offset.
TEST_P(MatMul, ZeroWeightsGiveZero) {
  const DType type = GetParam();
  Random random(static_cast<uint64_t>(type) + 400);
  const size_t k = 768;
  Product product(type, k, 5, 3, 0, random);
  std::vector<uint8_t> zeros(product.row_bytes);
  const std::vector<float> nothing(k, 0.0f);
  ASSERT_TRUE(EncodeRow(type, nothing.data(), zeros.data(), k));
  std::vector<std::vector<uint8_t>> kinds = {zeros};
  if (type == DType::kQ4_0 || type == DType::kQ5_0 || type == DType::kQ8_0) {
    // A scale that is not zero under codes that all mean zero.
    const DTypeInfo& info = *DTypeInfoOf(type);
    std::vector<uint8_t> row(product.row_bytes, type == DType::kQ4_0 ? 0x88 : 0);
    for (size_t b = 0; b < row.size(); b += info.block_bytes) {
      Put16(&row[b], F32ToF16(0.37f));
      if (type == DType::kQ5_0) memset(&row[b + 2], 0xff, 4);
    }
    kinds.push_back(row);
  }
  for (const std::vector<uint8_t>& row : kinds) {
    for (size_t r = 0; r < 5; ++r) product.SetRow(r, row);
    for (float weight : product.decoded) ASSERT_EQ(weight, 0.0f);
    for (const simd::KernelTable* table : RunnableRows()) {
      std::vector<float> out(15, 1.0f);
      product.Multiply(*table, out.data(), 5);
      for (float value : out) EXPECT_EQ(value, 0.0f) << Label(*table, product);
    }
  }
}

// Every float16 as a weight is exactly its value, with one token and with enough of them to be converted once for all.
TEST(FloatMatMul, EveryHalfIsExact) {
  const size_t rows = 65536;
  std::vector<uint16_t> halves(rows);
  for (size_t r = 0; r < rows; ++r) halves[r] = static_cast<uint16_t>(r);
  const std::vector<float> ones(5, 1.0f);
  for (const simd::KernelTable* table : RunnableRows()) {
    Packed packed(*table, DType::kF16, reinterpret_cast<const uint8_t*>(halves.data()), rows, 1, 0);
    for (size_t m : {1, 5}) {
      std::vector<float> out(m * rows);
      simd::MatMulArgs args;
      args.rows = rows;
      args.k = 1;
      args.acts = ones.data();
      args.act_stride_bytes = sizeof(float);
      args.m = m;
      args.out = out.data();
      args.out_stride = rows;
      packed.Multiply(args);
      for (size_t i = 0; i < m * rows; ++i) {
        const float want = F16ToF32(halves[i % rows]);
        ASSERT_TRUE(std::isnan(want) ? std::isnan(out[i]) : out[i] == want)
            << table->name << " m=" << m << " bits " << i % rows << ": " << out[i] << ", not " << want;
      }
    }
  }
}

// Rows too long for a copy of their activations in scratch memory.
TEST_P(QuantisedMatMul, LongRows) {
  const DType type = GetParam();
  Random random(static_cast<uint64_t>(type) + 700);
  for (auto [k, m] : {std::pair<size_t, size_t>{65536 + 256, 1}, {32768 + 256, 2}, {21760 + 256, 3}}) {
    Product product(type, k, 5, m, 0, random);
    const std::vector<Expected> want = product.WantAll();
    for (const simd::KernelTable* table : RunnableRows()) {
      Guarded<float> out(5 * m);
      product.Multiply(*table, out.data(), 5);
      EXPECT_TRUE(AllClose(out.span(), want, Label(*table, product)));
    }
  }
}

// Codes at their ends times activations at theirs: where 16-bit partial sums would overflow.
TEST_P(QuantisedMatMul, ExtremeCodes) {
  const DType type = GetParam();
  Random random(static_cast<uint64_t>(type) + 500);
  const DTypeInfo& info = *DTypeInfoOf(type);
  const ScaleFields fields = FieldsOf(type);
  const size_t k = 512;
  for (int pattern : {0x00, 0xff, 0x80, 0x7f, 0x81, 0x77, 0x88, 0xf0, 0x0f}) {
    Product product(type, k, 5, 9, 0, random);
    for (size_t r = 0; r < 5; ++r) {
      std::vector<uint8_t> row(product.row_bytes, static_cast<uint8_t>(pattern));
      for (size_t b = 0; b < row.size(); b += info.block_bytes) {
        if (type == DType::kMXFP4) row[b] = 127;
        if (fields.scale != ScaleFields::kNone) Put16(&row[b + fields.scale], F32ToF16(0.5f));
        if (fields.min != ScaleFields::kNone) Put16(&row[b + fields.min], F32ToF16(-0.25f));
      }
      product.SetRow(r, row);
    }
    for (size_t t = 0; t < product.m; ++t) {
      std::vector<float> x(k);
      const size_t kind = t % 4;
      for (size_t i = 0; i < k; ++i) x[i] = (kind == 0 || (kind == 1 && i % 2) || (kind == 2 && i % 3)) ? 1.0f : -1.0f;
      product.SetActs(t, x);
    }
    // One, two, four and eight tokens at a time, and many.
    for (size_t m : {1, 2, 3, 4, 8, 9}) {
      product.m = m;
      const std::vector<Expected> want = product.WantAll();
      for (const simd::KernelTable* table : RunnableRows()) {
        Guarded<float> out(m * 5);
        product.Multiply(*table, out.data(), 5);
        EXPECT_TRUE(AllClose(out.span(), want, Label(*table, product) + " bytes " + std::to_string(pattern)));
      }
    }
  }
}

// Scales at the ends of float16 (and all exponents of MXFP4), subnormal ones included.
TEST_P(QuantisedMatMul, ExtremeScales) {
  const DType type = GetParam();
  Random random(static_cast<uint64_t>(type) + 600);
  const DTypeInfo& info = *DTypeInfoOf(type);
  const ScaleFields fields = FieldsOf(type);
  for (uint16_t bits : {0x0000, 0x8000, 0x0001, 0x83ff, 0x0400, 0x7bff, 0xfbff}) {
    Product product(type, 512, 5, 3, 0, random);
    for (size_t r = 0; r < 5; ++r) {
      std::vector<uint8_t> row = RandomWeights(type, 512, random);
      for (size_t b = 0; b < row.size(); b += info.block_bytes) {
        // 2^-127 to 2^88: products stay finite.
        if (type == DType::kMXFP4) row[b] = static_cast<uint8_t>(bits & 1 ? bits % 2 + r : 40 * r + b % 7);
        if (fields.scale != ScaleFields::kNone) Put16(&row[b + fields.scale], bits);
        if (fields.min != ScaleFields::kNone) Put16(&row[b + fields.min], bits ^ (r & 1 ? 0x8000 : 0));
      }
      product.SetRow(r, row);
    }
    const std::vector<Expected> want = product.WantAll();
    for (const simd::KernelTable* table : RunnableRows()) {
      Guarded<float> out(15);
      product.Multiply(*table, out.data(), 5);
      EXPECT_TRUE(AllClose(out.span(), want, Label(*table, product) + " scale bits " + std::to_string(bits)));
    }
  }
}

std::string TypeName(const ::testing::TestParamInfo<DType>& info) {
  return DTypeName(info.param);
}
std::vector<DType> QuantisedTypes() {
  std::vector<DType> types;
  for (DType type : WeightTypes()) {
    if (simd::UsesA8(type)) types.push_back(type);
  }
  return types;
}
INSTANTIATE_TEST_SUITE_P(AllTypes, QuantisedMatMul, ::testing::ValuesIn(QuantisedTypes()), TypeName);
INSTANTIATE_TEST_SUITE_P(AllTypes, MatMul, ::testing::ValuesIn(WeightTypes()), TypeName);

}  // namespace
}  // namespace mote::testing
