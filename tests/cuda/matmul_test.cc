// Matrix products of every weight type against the scalar twin of the CPU's, which sees the same rounded activations;
// and the same bits for a token in every batch, by every kernel.
#include <algorithm>

#include "quant/codec.h"
#include "simd/ref/reference.h"
#include "tests/cuda/emulator/runtime.h"
#include "tests/cuda/kernels.h"
#include "tests/support/closeness.h"

namespace mote::testing {
namespace {

using cuda::Acts;
using cuda::StepCounts;

constexpr DType kTypes[] = {DType::kQ4_0, DType::kQ4_1,  DType::kQ5_0,   DType::kQ5_1,   DType::kQ8_0, DType::kQ2_K,
                            DType::kQ3_K, DType::kQ4_K,  DType::kQ5_K,   DType::kQ6_K,   DType::kF16,  DType::kBF16,
                            DType::kF32,  DType::kMXFP4, DType::kIQ4_NL, DType::kIQ4_XS, DType::kI8Row};

struct Problem {
  Problem(DType t, uint32_t r, uint32_t c) : type(t), rows(r), cols(c), packed(cuda::PackedBytes(t, r, c)) {
    const size_t row_bytes = RowBytes(t, c);
    file.resize(row_bytes * r);
    const std::vector<float> values = RandomFloats(uint64_t{r} * c, 11);
    for (uint32_t row = 0; row < r; ++row) {
      EXPECT_TRUE(EncodeRow(t, values.data() + uint64_t{row} * c, file.data() + row * row_bytes, c));
    }
    if (t == DType::kF32) {
      memcpy(packed.data(), file.data(), file.size());
    } else {
      const uint64_t tile_row = cuda::PackedBytes(t, cuda::kTileRows, c);
      for (uint32_t row = 0; row < r; row += cuda::kTileRows) {
        cuda::PackTiles(t, file.data() + row * row_bytes, row_bytes, std::min(cuda::kTileRows, r - row), c,
                        packed.data() + row / cuda::kTileRows * tile_row);
      }
    }
    acts = RandomFloats(uint64_t{kMaxTokens} * c, 12);
    // Rows of very different size, and one of zeros.
    for (uint32_t k = 0; k < c; ++k) {
      acts[c + k] *= 1e-6f;
      acts[2 * c + k] *= 3e4f;
      acts[3 * c + k] = 0;
    }
  }
  static constexpr uint32_t kMaxTokens = 70;
  const DType type;
  const uint32_t rows, cols;
  std::vector<uint8_t> file;
  DeviceBytes packed;
  std::vector<float> acts;
};

// Outputs (tokens, rows) of tokens [first, first + count) of the problem, computed in one launch.
std::vector<float> Multiply(Problem& p, uint32_t first, uint32_t count, const float* bias = nullptr) {
  DeviceStream stream;
  DeviceBytes counts(sizeof(StepCounts)), floats(uint64_t{count} * p.cols * 4), out(uint64_t{count} * p.rows * 4);
  counts.As<StepCounts>()->rows[0] = count;
  memcpy(floats.data(), p.acts.data() + uint64_t{first} * p.cols, floats.size());
  memset(out.data(), 0xff, out.size());
  const Acts kind = cuda::ActsOf(p.type);
  const uint64_t act_bytes = kind == Acts::kFloat ? p.cols * 4 : cuda::ActRowBytes(kind, p.cols);
  DeviceBytes acts(act_bytes * count);
  if (kind != Acts::kFloat) RunRows({QuantizeOp(floats.As<float>(), p.cols, kind, acts.data())}, count);
  cuda::MatMulArgs args = {};
  args.matrices = 1;
  args.matrix[0].weights = p.packed.data();
  args.matrix[0].bias = bias;
  args.matrix[0].out = out.As<float>();
  args.matrix[0].rows = p.rows;
  args.row_tiles = cuda::RowTiles(p.cols);
  args.cols = p.cols;
  args.acts = kind == Acts::kFloat ? floats.data() : acts.data();
  args.act_bytes = act_bytes;
  args.counts = counts.As<StepCounts>();
  args.activation = cuda::kNoActivation;
  EXPECT_TRUE(cuda::LaunchMatMul(p.type, args, count, 0, stream.get()));
  return std::vector<float>(out.As<float>(), out.As<float>() + out.size() / 4);
}

// The sum in double over what the kernel sees: decoded weights, and activations as they are rounded.
std::vector<Expected> Reference(const Problem& p, uint32_t token) {
  std::vector<float> acts(p.acts.begin() + token * p.cols, p.acts.begin() + (token + 1) * p.cols);
  std::vector<double> steps(p.cols, 0.0);
  if (const size_t group = cuda::FormatOf(p.type).act_group; group != 0) {
    const size_t padded = (p.cols + group - 1) / group * group;  // I8's columns need not be whole groups
    std::vector<uint8_t> a8(simd::A8RowBytes(padded));
    acts.resize(padded);
    simd::ref::QuantizeA8(acts.data(), padded, group, a8.data());
    for (uint32_t k = 0; k < p.cols; ++k) {
      simd::A8Block block;
      memcpy(&block, a8.data() + k / 32 * sizeof(block), sizeof(block));
      acts[k] = block.scale * static_cast<float>(block.codes[k % 32]);
    }
  } else if (p.type != DType::kF32) {
    const double epsilon = p.type == DType::kF16 ? kEpsilonF16 : kEpsilonBF16;
    float most = 0;
    for (const float x : acts) most = std::max(most, std::abs(x));
    // Halves: relative to the value, but no finer than the least half is to the row's largest, 2^15.
    for (uint32_t k = 0; k < p.cols; ++k) {
      steps[k] = std::max(epsilon * std::abs(acts[k]), p.type == DType::kF16 ? most * std::ldexp(1.0, -38) : 0);
    }
  }
  std::vector<Expected> expected;
  std::vector<float> weights(p.cols);
  for (uint32_t row = 0; row < p.rows; ++row) {
    DecodeRow(p.type, p.file.data() + row * RowBytes(p.type, p.cols), weights.data(), p.cols);
    DotReference dot;
    for (uint32_t k = 0; k < p.cols; ++k) dot.Add(acts[k], weights[k], steps[k]);
    expected.push_back(dot.Expect(kEpsilonF32));
  }
  return expected;
}

TEST(CudaMatMul, EveryTypeAgreesWithTheSumInDouble) {
  for (const DType type : kTypes) {
    const uint32_t block = DTypeInfoOf(type)->block_values;
    // More than one stretch, a part of a tile, fewer columns than a tile; rows that fill no tile.
    for (const uint32_t cols :
         {block < 32 ? 2077 / block * block : 2304 + block % 256, block < 32 ? 19 / block * block : block}) {
      Problem p(type, 37, cols);
      const uint32_t tokens = 6;
      const std::vector<float> got = Multiply(p, 0, tokens);
      for (uint32_t token = 0; token < tokens; ++token) {
        const std::vector<float> row(got.begin() + token * p.rows, got.begin() + (token + 1) * p.rows);
        EXPECT_TRUE(AllClose(row, Reference(p, token), DTypeName(type)))
            << DTypeName(type) << ", " << cols << " columns, token " << token;
      }
    }
  }
}

// All kernels of a type, and several places of a tile. A large GPU takes blocks of fewer rows, and one whose kernels do
// not overlap takes many tokens, from 33 on, in another way; with little shared memory one token has shorter rings, or
// none.
TEST(CudaMatMul, ATokensBitsAreTheSameInEveryBatch) {
  for (const DType type : kTypes) {
    const uint32_t block = DTypeInfoOf(type)->block_values;
    const bool thorough = type == DType::kQ4_0 || type == DType::kQ6_K || type == DType::kF16;
    Problem p(type, 140, thorough ? 2304 : block < 32 ? 700 : 768);
    const uint32_t seen[] = {0, 3, 16, 39};
    std::vector<std::vector<float>> alone;
    for (const uint32_t token : seen) alone.push_back(Multiply(p, token, 1));
    const struct {
      uint32_t multiprocessors;
      bool overlaps;
      uint32_t shared_kib;
      std::vector<uint32_t> counts;
    } devices[] = {{1, true, 227, {1, 6, 14, 25, 40, 67}},
                   {100, true, 227, {1, 6, 14, 25}},
                   {1, false, 64, {1, 40, 67}},
                   {1, false, 12, {1}}};
    for (const auto& device : devices) {
      mote_emulator::Device().multiprocessors = device.multiprocessors;
      mote_emulator::Device().overlaps = device.overlaps;
      mote_emulator::Device().block_shared_bytes = device.shared_kib << 10;
      for (const uint32_t count : device.counts) {
        if (!thorough && (count == 67 || device.multiprocessors == 100)) continue;
        const std::vector<float> batch = Multiply(p, 0, count);
        for (size_t i = 0; i < alone.size() && seen[i] < count; ++i) {
          EXPECT_EQ(memcmp(batch.data() + seen[i] * p.rows, alone[i].data(), p.rows * 4), 0)
              << DTypeName(type) << ": token " << seen[i] << " of " << count;
        }
      }
    }
    mote_emulator::Device().multiprocessors = 1;
    mote_emulator::Device().overlaps = true;
    mote_emulator::Device().block_shared_bytes = 227 << 10;
  }
}

// Outputs of the problem's tokens from `first` on, which are read, behind `before` rows that are not.
std::vector<float> MultiplyRead(Problem& p, uint32_t first, uint32_t count, uint32_t before) {
  DeviceStream stream;
  const uint32_t rows = before + count, room = before + count + 3;
  DeviceBytes counts(sizeof(StepCounts)), floats(uint64_t{rows} * p.cols * 4), out(uint64_t{rows} * p.rows * 4);
  counts.As<StepCounts>()->rows[0] = rows;
  counts.As<StepCounts>()->read_from = before;
  memset(floats.data(), 0xff, floats.size());
  memcpy(floats.As<float>() + uint64_t{before} * p.cols, p.acts.data() + uint64_t{first} * p.cols,
         uint64_t{count} * p.cols * 4);
  memset(out.data(), 0xff, out.size());
  DeviceBytes acts(cuda::ReadActBytes(room, p.cols));
  memset(acts.data(), 0xff, acts.size());
  cuda::RowOp round = {};
  round.kind = cuda::RowOpKind::kRoundRead;
  round.cols = p.cols;
  round.column = room;
  round.read_acts = cuda::ReadActsOf(p.type);
  round.in0 = floats.As<float>();
  round.out = acts.As<float>();
  RunRows({round}, rows, {}, 1, before);
  cuda::ReadArgs args = {};
  args.product.matrices = 1;
  args.product.matrix[0].weights = p.packed.data();
  args.product.matrix[0].out = out.As<float>();
  args.product.matrix[0].rows = p.rows;
  args.product.row_tiles = cuda::RowTiles(p.cols);
  args.product.cols = p.cols;
  args.padded_rows = cuda::PaddedReadRows(room);
  args.scales = acts.As<float>();
  args.product.acts = acts.data() + args.padded_rows * 4;
  args.product.counts = counts.As<StepCounts>();
  args.product.activation = cuda::kNoActivation;
  EXPECT_TRUE(cuda::LaunchReadMatMul(p.type, args, count, stream.get()));
  for (uint64_t i = 0; i < uint64_t{before} * p.rows * 4; ++i) {
    EXPECT_EQ(out.data()[i], 0xff) << "a row that is not read was written";
    if (out.data()[i] != 0xff) break;
  }
  return std::vector<float>(out.As<float>() + uint64_t{before} * p.rows, out.As<float>() + out.size() / 4);
}

// Weights and activations as halves, of which each is half a unit wrong at most, and a weight's scale as well; of
// weights of bfloat16 the activations as that.
std::vector<Expected> ReadReference(const Problem& p, uint32_t token) {
  const float* acts = p.acts.data() + token * p.cols;
  float most = 0;
  for (uint32_t k = 0; k < p.cols; ++k) most = std::max(most, std::abs(acts[k]));
  const double epsilon = p.type == DType::kF16 ? kEpsilonF16 : p.type == DType::kBF16 ? kEpsilonBF16 : 4 * kEpsilonF16;
  std::vector<Expected> expected;
  std::vector<float> weights(p.cols);
  for (uint32_t row = 0; row < p.rows; ++row) {
    DecodeRow(p.type, p.file.data() + row * RowBytes(p.type, p.cols), weights.data(), p.cols);
    DotReference dot;
    for (uint32_t k = 0; k < p.cols; ++k) {
      dot.Add(acts[k], weights[k], std::max<double>(epsilon * std::abs(acts[k]), most * std::ldexp(1.0, -38)));
    }
    expected.push_back(dot.Expect(kEpsilonF32));
  }
  return expected;
}

TEST(CudaMatMul, TokensThatAreRead) {
  for (const DType type : kTypes) {
    if (cuda::ReadActsOf(type) == cuda::ReadActs::kNone) continue;
    const uint32_t block = DTypeInfoOf(type)->block_values;
    for (const uint32_t cols :
         {block < 32 ? 1053 / block * block : 1280 + block % 256, block < 32 ? 19 / block * block : block}) {
      Problem p(type, 37, cols);
      const std::vector<float> got = MultiplyRead(p, 0, 6, 2);
      for (uint32_t token = 0; token < 6; ++token) {
        const std::vector<float> row(got.begin() + token * p.rows, got.begin() + (token + 1) * p.rows);
        EXPECT_TRUE(AllClose(row, ReadReference(p, token), DTypeName(type)))
            << DTypeName(type) << ", " << cols << " columns, token " << token;
      }
    }
  }
}

TEST(CudaMatMul, TokensThatAreReadDoNotShowToOthers) {
  for (const DType type : {DType::kQ4_0, DType::kQ6_K, DType::kI8Row, DType::kF16}) {
    Problem p(type, 300, 512);
    std::vector<float> alone = MultiplyRead(p, 39, 1, 0);
    for (const uint32_t multiprocessors : {1u, 100u}) {  // blocks of more and of fewer rows
      mote_emulator::Device().multiprocessors = multiprocessors;
      for (const uint32_t before : {0u, 90u}) {
        const std::vector<float> batch = MultiplyRead(p, 0, 70, before);
        EXPECT_EQ(memcmp(batch.data() + 39 * p.rows, alone.data(), p.rows * 4), 0) << DTypeName(type);
      }
    }
    mote_emulator::Device().multiprocessors = 1;
    ExpectTheSameInEveryOrder([&] { return MultiplyRead(p, 0, 6, 1); }, DTypeName(type));
  }
}

TEST(CudaMatMul, TheOrderOfThreadsDoesNotShow) {
  for (const DType type : {DType::kQ4_0, DType::kQ4_K, DType::kQ6_K, DType::kI8Row, DType::kF16, DType::kF32}) {
    Problem p(type, 40, 2304);
    for (const bool overlaps : {true, false}) {
      mote_emulator::Device().overlaps = overlaps;
      for (const uint32_t count : {1u, 5u, 20u, 66u}) {
        if (!overlaps && count != 66) continue;
        ExpectTheSameInEveryOrder([&] { return Multiply(p, 0, count); },
                                  DTypeName(type) + (", " + std::to_string(count)));
      }
    }
  }
  mote_emulator::Device().overlaps = true;
}

TEST(CudaMatMul, QuantisesAsTheCpuDoes) {
  for (const size_t group : {32u, 256u}) {
    std::vector<float> x = RandomFloats(1024, 5);
    x[3] = NAN;
    x[300] = INFINITY;
    x[301] = -INFINITY;
    for (int i = 512; i < 544; ++i) x[static_cast<size_t>(i)] = 1e-35f;
    std::vector<uint8_t> want(simd::A8RowBytes(x.size()));
    simd::ref::QuantizeA8(x.data(), x.size(), group, want.data());
    DeviceBytes in(x.size() * 4), out(cuda::ActRowBytes(Acts::kBytes32, x.size()));
    memcpy(in.data(), x.data(), in.size());
    const Acts acts = group == 32 ? Acts::kBytes32 : Acts::kBytes256;
    RunRows({QuantizeOp(in.As<float>(), static_cast<uint32_t>(x.size()), acts, out.data())}, 1);
    for (uint32_t k = 0; k < x.size(); ++k) {
      simd::A8Block block;
      memcpy(&block, want.data() + k / 32 * sizeof(block), sizeof(block));
      const uint8_t* tile = out.data() + k / 256 * cuda::kActBlockBytes;
      ASSERT_EQ(static_cast<int8_t>(tile[cuda::ActPlace(k % 256)]), block.codes[k % 32]) << k;
      float scale;
      memcpy(&scale, tile + cuda::kActScales + k % 256 / 32 * 4, 4);
      ASSERT_EQ(scale, block.scale) << k;
      int16_t sum;
      memcpy(&sum, tile + cuda::kActSums + k % 256 / 16 * 2, 2);
      ASSERT_EQ(sum, -block.minus_half[k % 32 / 16]) << k;
    }
  }
}

}  // namespace
}  // namespace mote::testing
