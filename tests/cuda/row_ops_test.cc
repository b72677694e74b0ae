// Row operations: each against doubles or the CPU's own code; tracks of many against the same operations one by one.
#include <algorithm>

#include "quant/codec.h"
#include "simd/ref/reference.h"
#include "tests/cuda/kernels.h"

namespace mote::testing {
namespace {

using cuda::Acts;
using cuda::RowOp;
using cuda::RowOpKind;
using cuda::RowShape;

constexpr uint32_t kRows = 3;
// In registers: pieces of columns, whole rows of one, two and four times 8 columns a thread; 257: from memory.
constexpr uint32_t kWidths[] = {8, 24, 192, 200, 257, 4096, 4104, 14336};

// Rows of floats on the device.
class Values {
 public:
  Values(uint32_t cols, uint32_t seed, uint32_t rows = kRows) : cols_(cols), bytes_(uint64_t{rows} * cols * 4) {
    const std::vector<float> values = RandomFloats(uint64_t{rows} * cols, seed);
    memcpy(bytes_.data(), values.data(), bytes_.size());
  }
  float* data() { return bytes_.As<float>(); }
  float at(uint32_t row, uint32_t c) { return data()[uint64_t{row} * cols_ + c]; }
  std::vector<float> all() { return {data(), data() + bytes_.size() / 4}; }

 private:
  uint32_t cols_;
  DeviceBytes bytes_;
};

RowOp Op(RowOpKind kind, uint32_t cols, Values* in0, Values* out, Values* in1 = nullptr) {
  RowOp op = {};
  op.kind = kind;
  op.cols = op.in_cols = op.group = cols;
  op.value = kind == RowOpKind::kSoftcap ? 0.7f : 1e-5f;
  op.in0 = in0 == nullptr ? nullptr : in0->data();
  op.in1 = in1 == nullptr ? nullptr : in1->data();
  op.out = out->data();
  return op;
}
RowOp Norm(RowOpKind kind, uint32_t cols, Values* in0, Values* out, Values* weight, Values* bias = nullptr) {
  RowOp op = Op(kind, cols, in0, out);
  op.weight = weight->data();
  op.bias = bias == nullptr ? nullptr : bias->data();
  return op;
}

double Activated(uint8_t activation, double x) {
  switch (activation) {
    case cuda::kSilu:
      return x / (1 + exp(-x));
    case cuda::kGelu:
      return x * 0.5 * erfc(-x / sqrt(2.0));
    case cuda::kGeluTanh:
      return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case cuda::kRelu:
      return std::max(x, 0.0);
    default:
      return x / (1 + exp(-1.702 * x));
  }
}

// What is computed column by column or over the row, in double; errors relative to the largest result of the row.
TEST(CudaRows, OperationsAgreeWithDoubles) {
  for (const uint32_t cols : kWidths) {
    Values x(cols, 1), y(cols, 2), w(cols, 3, 1), b(cols, 4, 1), out(cols, 5);
    double mean[kRows] = {}, squares[kRows] = {}, variance[kRows] = {};
    for (uint32_t row = 0; row < kRows; ++row) {
      for (uint32_t c = 0; c < cols; ++c) mean[row] += double{x.at(row, c)} / cols;
      for (uint32_t c = 0; c < cols; ++c) {
        squares[row] += double{x.at(row, c)} * x.at(row, c) / cols;
        variance[row] += (x.at(row, c) - mean[row]) * (x.at(row, c) - mean[row]) / cols;
      }
    }
    const auto check = [&](const char* what, const RowOp& op, auto want) {
      RunRows({op}, kRows);
      for (uint32_t row = 0; row < kRows; ++row) {
        double largest = 1e-6;
        for (uint32_t c = 0; c < cols; ++c) largest = std::max(largest, std::abs(double{want(row, c)}));
        for (uint32_t c = 0; c < cols; ++c) {
          ASSERT_NEAR(out.at(row, c), want(row, c), 2e-6 * largest) << what << ", " << cols << ": " << row << ", " << c;
        }
      }
    };
    using Kind = RowOpKind;
    check("add", Op(Kind::kAdd, cols, &x, &out, &y), [&](auto r, auto c) { return double{x.at(r, c)} + y.at(r, c); });
    check("mul", Norm(Kind::kMulVector, cols, &x, &out, &w),
          [&](auto r, auto c) { return double{x.at(r, c)} * w.at(0, c); });
    check("softcap", Op(Kind::kSoftcap, cols, &x, &out), [&](auto r, auto c) { return 0.7 * tanh(x.at(r, c) / 0.7); });
    check("rms", Norm(Kind::kRmsNorm, cols, &x, &out, &w),
          [&](auto r, auto c) { return x.at(r, c) / sqrt(squares[r] + 1e-5) * w.at(0, c); });
    check("layer", Norm(Kind::kLayerNorm, cols, &x, &out, &w, &b),
          [&](auto r, auto c) { return (x.at(r, c) - mean[r]) / sqrt(variance[r] + 1e-5) * w.at(0, c) + b.at(0, c); });
    check("layer without bias", Norm(Kind::kLayerNorm, cols, &x, &out, &w),
          [&](auto r, auto c) { return (x.at(r, c) - mean[r]) / sqrt(variance[r] + 1e-5) * w.at(0, c); });
    for (uint8_t activation = 0; activation <= cuda::kGeluQuick; ++activation) {
      RowOp op = Op(Kind::kGate, cols, &x, &out, &y);
      op.activation = activation;
      check("gate", op, [&](auto r, auto c) { return Activated(activation, x.at(r, c)) * y.at(r, c); });
      op.kind = Kind::kActivation;
      check("activation", op, [&](auto r, auto c) { return Activated(activation, x.at(r, c)); });
    }
  }
}

// Heads' norms in neighbouring lanes (8 to 256 columns), or from memory.
TEST(CudaRows, HeadsHaveNormsOfTheirOwn) {
  for (const uint32_t group : {8u, 24u, 64u, 80u, 128u, 256u, 512u}) {
    const uint32_t cols = group * 5;
    Values x(cols, 1), w(group, 2, 1), out(cols, 3);
    RowOp op = Norm(RowOpKind::kRmsNorm, cols, &x, &out, &w);
    op.group = group;
    RunRows({op}, kRows);
    for (uint32_t i = 0; i < kRows * 5; ++i) {
      std::vector<float> want(group);
      simd::ref::RmsNorm(x.data() + i * group, w.data(), group, 1e-5f, want.data());
      for (uint32_t c = 0; c < group; ++c) ASSERT_NEAR(out.data()[i * group + c], want[c], 1e-5) << group;
    }
  }
}

// The same codes, scales and sums as the CPU's, and the same halves; zeros to the end of the last tile.
TEST(CudaRows, QuantisesAsTheCpuDoes) {
  for (const uint32_t cols : kWidths) {
    Values x(cols, 7);
    x.data()[1] = NAN;
    x.data()[5] = INFINITY;
    for (uint32_t c = 0; c < cols; ++c) x.data()[2 * cols + c] = c < 64 ? 0 : 1e-35f;
    const uint32_t padded = cuda::RowTiles(cols) * cuda::kTileCols;
    for (const Acts acts : {Acts::kBytes32, Acts::kBytes256, Acts::kHalf, Acts::kBf16}) {
      const uint64_t row_bytes = cuda::ActRowBytes(acts, cols);
      DeviceBytes out(kRows * row_bytes);
      memset(out.data(), 0xff, out.size());
      RunRows({QuantizeOp(x.data(), cols, acts, out.data())}, kRows);
      for (uint32_t row = 0; row < kRows; ++row) {
        std::vector<float> values(padded, 0.0f);
        std::copy_n(x.data() + row * cols, cols, values.begin());
        const uint8_t* got = out.data() + row * row_bytes;
        std::vector<uint8_t> want(row_bytes, 0xff);
        if (acts == Acts::kBytes32 || acts == Acts::kBytes256) {
          std::vector<uint8_t> a8(simd::A8RowBytes(padded));
          simd::ref::QuantizeA8(values.data(), padded, acts == Acts::kBytes32 ? 32 : 256, a8.data());
          for (uint32_t k = 0; k < padded; ++k) {
            simd::A8Block block;
            memcpy(&block, a8.data() + k / 32 * sizeof(block), sizeof(block));
            uint8_t* tile = want.data() + k / 256 * cuda::kActBlockBytes;
            tile[cuda::ActPlace(k % 256)] = static_cast<uint8_t>(block.codes[k % 32]);
            memcpy(tile + cuda::kActScales + k % 256 / 32 * 4, &block.scale, 4);
            const int16_t sum = static_cast<int16_t>(-block.minus_half[k % 32 / 16]);
            memcpy(tile + cuda::kActSums + k % 256 / 16 * 2, &sum, 2);
          }
        } else {
          float largest = 0, factor = 1;
          for (float& v : values) v = std::isnan(v) ? 0 : std::clamp(v, -0x1p120f, 0x1p120f);
          for (const float v : values) largest = std::max(largest, std::abs(v));
          int exponent = 0;
          if (largest > 0) exponent = std::max(std::ilogb(largest), -100);
          if (acts == Acts::kHalf && largest > 0) factor = std::ldexp(1.0f, 14 - exponent);
          const float back = 1 / factor;
          memcpy(want.data(), &back, 4);
          memset(want.data() + 4, 0xff, 12);
          for (uint32_t k = 0; k < padded; ++k) {
            const uint16_t half = acts == Acts::kHalf ? F32ToF16(values[k] * factor) : F32ToBF16(values[k]);
            memcpy(want.data() + cuda::kHalfActHeader + 2 * cuda::HalfActPlace(k), &half, 2);
          }
        }
        ASSERT_EQ(memcmp(got, want.data(), row_bytes), 0) << cols << ", kind " << static_cast<int>(acts) << ", " << row;
      }
    }
  }
}

struct Turn {
  uint32_t heads, group, pairs;
};
constexpr Turn kTurns[] = {{3, 128, 64}, {5, 256, 128}, {16, 96, 48}, {4, 80, 40}, {9, 128, 32},
                           {2, 72, 36},  {3, 20, 10},   {40, 64, 32}, {7, 16, 8}};

RowOp Rope(const Turn& turn, bool adjacent, Values* in, Values* out, Values* cosine, Values* sine) {
  RowOp op = Op(RowOpKind::kRope, turn.heads * turn.group, in, out);
  op.group = turn.group;
  op.pairs = turn.pairs;
  op.flag = adjacent ? 1 : 0;
  op.weight = cosine->data();
  op.bias = sine->data();
  return op;
}

TEST(CudaRows, RotatesAsTheCpuDoes) {
  for (const Turn& turn : kTurns) {
    const uint32_t cols = turn.heads * turn.group;
    Values x(cols, 1), cosine(turn.pairs, 2), sine(turn.pairs, 3), out(cols, 4);
    for (const bool adjacent : {false, true}) {
      RunRows({Rope(turn, adjacent, &x, &out, &cosine, &sine)}, kRows);
      for (uint32_t i = 0; i < kRows * turn.heads; ++i) {
        std::vector<float> want(x.data() + i * turn.group, x.data() + (i + 1) * turn.group);
        const float* c = cosine.data() + i / turn.heads * turn.pairs;
        const float* s = sine.data() + i / turn.heads * turn.pairs;
        (adjacent ? simd::ref::RopeAdjacent : simd::ref::RopeSplit)(want.data(), c, s, turn.pairs);
        for (uint32_t d = 0; d < turn.group; ++d) {
          ASSERT_NEAR(out.data()[i * turn.group + d], want[d], 2e-6) << turn.group << ", " << turn.pairs << ": " << d;
        }
      }
    }
  }
}

// Norm and rotation in registers, where a pair's other half is another lane's, and each by itself.
TEST(CudaRows, RotationAfterANormIsTheSame) {
  for (const Turn& turn : kTurns) {
    const uint32_t cols = turn.heads * turn.group;
    Values x(cols, 1), w(turn.group, 2, 1), cosine(turn.pairs, 3), sine(turn.pairs, 4);
    Values normed(cols, 5), out(cols, 6);
    RowOp norm = Norm(RowOpKind::kRmsNorm, cols, &x, &normed, &w);
    norm.group = turn.group;
    for (const bool adjacent : {false, true}) {
      const RowOp rope = Rope(turn, adjacent, &normed, &out, &cosine, &sine);
      RunRows({norm}, kRows);
      RunRows({rope}, kRows);
      const std::vector<float> want = out.all();
      memset(out.data(), 0xff, want.size() * 4);
      RunRows({norm, rope}, kRows);
      if (turn.group == 128 || turn.group == 256 || turn.group == 64 || turn.group == 16) {
        EXPECT_EQ(out.all(), want) << turn.group;
      } else {  // one from memory, the other not: sums in another order
        for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(out.all()[i], want[i], 1e-5) << turn.group;
      }
    }
  }
}

TEST(CudaRows, CachesAreWrittenAsTheCpuRounds) {
  constexpr uint32_t kHeads = 5, kPositions = 64;
  for (const uint32_t dim : {24u, 64u, 128u, 80u, 20u}) {
    for (const bool q8 : {false, true}) {
      const uint32_t bytes = q8 ? (dim + 31) / 32 * 32 : (dim + 15) / 16 * 32;
      const uint64_t head_bytes = (kPositions * (bytes + (q8 ? bytes / 16 : 0)) + 255) / 256 * 256;
      Values keys(kHeads * dim, 1), values(kHeads * dim, 2);
      DeviceBytes memory(2 * kHeads * head_bytes), layers(2 * sizeof(cuda::CacheLayerArgs));
      layers.As<cuda::CacheLayerArgs>()[1] = {
          0, kHeads * head_bytes, head_bytes, head_bytes, bytes, bytes, kHeads, dim, dim, kPositions};
      DeviceBytes caches(kRows * 8), layer_places(kRows * 8), positions(kRows * 4);
      for (uint32_t row = 0; row < kRows; ++row) {
        caches.As<uint8_t*>()[row] = memory.data();
        layer_places.As<uint64_t>()[row] = reinterpret_cast<uint64_t>(layers.data());
        positions.As<int32_t>()[row] = static_cast<int32_t>(row * 30 + 2);
      }
      cuda::StepArgs step = {};
      step.cache = caches.As<uint8_t*>();
      step.cache_layers = layer_places.As<uint64_t>();
      step.positions = positions.As<int32_t>();
      std::vector<RowOp> ops = {Op(RowOpKind::kCacheKeys, kHeads * dim, &keys, &keys),
                                Op(RowOpKind::kCacheValues, kHeads * dim, &values, &values)};
      for (RowOp& op : ops) {
        op.out = nullptr;
        op.group = dim;
        op.flag = q8 ? 1 : 0;
        op.layer = 1;
      }
      RunRows(ops, kRows, step);
      for (uint32_t i = 0; i < 2 * kRows * kHeads; ++i) {
        const uint32_t head = i % kHeads, row = i / kHeads % kRows, side = i / kHeads / kRows;
        const uint32_t position = row * 30 + 2;
        const float* x = (side == 0 ? keys : values).data() + (row * kHeads + head) * dim;
        const uint8_t* own = memory.data() + (side * kHeads + head) * head_bytes;
        std::vector<float> padded(bytes, 0.0f);
        std::copy_n(x, dim, padded.begin());
        std::vector<uint8_t> a8(simd::A8RowBytes(padded.size()));
        if (q8) simd::ref::QuantizeA8(padded.data(), padded.size(), 32, a8.data());
        for (uint32_t d = 0; d < dim; ++d) {
          simd::A8Block block;
          memcpy(&block, a8.data() + d / 32 * sizeof(block), sizeof(block));
          const uint8_t* at = own + position * bytes;
          if (!q8) {
            ASSERT_EQ(reinterpret_cast<const uint16_t*>(at)[d], F32ToF16(x[d])) << dim << ", " << d;
          } else {
            ASSERT_EQ(static_cast<int8_t>(at[d]), block.codes[d % 32]) << dim << ", " << d;
            const auto* scales = reinterpret_cast<const uint16_t*>(own + kPositions * bytes);
            ASSERT_EQ(scales[position * (bytes / 32) + d / 32], F32ToF16(block.scale)) << dim;
          }
        }
      }
    }
  }
}

// A random list of operations on a few values of one width, each written once as in a graph, and its activations.
struct Chain {
  Chain(uint32_t cols, uint32_t seed, uint32_t rows, bool whole)
      : acts(rows * cuda::ActRowBytes(Acts::kBytes32, cols)) {
    std::minstd_rand random(seed);
    const auto below = [&](size_t n) { return static_cast<size_t>(random() >> 8) % n; };
    for (uint32_t i = 0; i < 3; ++i) values.push_back(std::make_unique<Values>(cols, 100 + i, rows));
    for (uint32_t i = 0; i < 2; ++i) weights.push_back(std::make_unique<Values>(cols, 200 + i, 1));
    constexpr RowOpKind kKinds[] = {RowOpKind::kAdd,       RowOpKind::kGate,    RowOpKind::kAdd,
                                    RowOpKind::kMulVector, RowOpKind::kSoftcap, RowOpKind::kRmsNorm,
                                    RowOpKind::kLayerNorm, RowOpKind::kRmsNorm};
    const size_t count = 3 + below(8);
    for (size_t i = 0; i < count; ++i) {
      const size_t written = values.size();
      values.push_back(std::make_unique<Values>(cols, 300, rows));
      // Mostly what the operation before has left.
      const auto operand = [&] { return values[below(3) != 0 ? written - 1 : below(written)].get(); };
      const RowOpKind kind = kKinds[below(whole ? 8 : 5)];
      Values* in0 = operand();
      ops.push_back(Op(kind, cols, in0, values.back().get(), operand()));
      if (kind == RowOpKind::kAdd || kind == RowOpKind::kGate) continue;
      ops.back().in1 = nullptr;
      if (kind != RowOpKind::kSoftcap) ops.back().weight = weights[below(2)]->data();
      if (kind == RowOpKind::kLayerNorm) ops.back().bias = weights[below(2)]->data();
    }
    ops.push_back(QuantizeOp(values.back()->data(), cols, Acts::kBytes256, acts.data()));
  }
  // All that was written, as bits; and forgets it.
  std::vector<std::vector<uint8_t>> Take() {
    std::vector<std::vector<uint8_t>> bits;
    for (size_t i = 3; i < values.size(); ++i) {
      const std::vector<float> own = values[i]->all();
      const uint8_t* first = reinterpret_cast<const uint8_t*>(own.data());
      bits.emplace_back(first, first + own.size() * 4);
      memset(values[i]->data(), 0xff, own.size() * 4);
    }
    bits.emplace_back(acts.data(), acts.data() + acts.size());
    memset(acts.data(), 0xff, acts.size());
    return bits;
  }
  std::vector<std::unique_ptr<Values>> values, weights;
  std::vector<RowOp> ops;
  DeviceBytes acts;
};

TEST(CudaRows, ATrackIsItsOperationsOneByOne) {
  for (const uint32_t cols : {40u, 257u, 4096u, 6400u, 16384u}) {
    for (uint32_t seed = 1; seed <= 24; ++seed) {
      Chain chain(cols, seed, 2, seed % 4 != 0);
      for (const RowOp& op : chain.ops) RunRows({op}, 2);
      const auto want = chain.Take();
      for (const auto order :
           {mote_emulator::Order::kForward, mote_emulator::Order::kReverse, mote_emulator::Order::kShuffled}) {
        mote_emulator::SetOrder(order);
        RunRows(chain.ops, 2);
        EXPECT_TRUE(chain.Take() == want) << cols << ", seed " << seed;
        mote_emulator::SetOrder(mote_emulator::Order::kForward);
      }
    }
  }
}

TEST(CudaRows, OtherRowsDoNotShow) {
  for (const uint32_t cols : {257u, 2048u, 16384u}) {
    Chain chain(cols, 3, 5, true);
    RunRows(chain.ops, 5);
    const auto all = chain.Take();
    for (uint32_t row = 0; row < 5; ++row) {
      std::vector<RowOp> ops = chain.ops;
      for (RowOp& op : ops) {
        const uint64_t at = uint64_t{row} * cols;
        op.in0 += at;
        if (op.in1 != nullptr) op.in1 += at;
        const uint64_t act_bytes = cuda::ActRowBytes(op.acts, cols);
        op.out += op.kind == RowOpKind::kQuantize ? row * act_bytes / 4 : at;
      }
      RunRows(ops, 1);
    }
    EXPECT_TRUE(chain.Take() == all) << cols;
  }
}

}  // namespace
}  // namespace mote::testing
