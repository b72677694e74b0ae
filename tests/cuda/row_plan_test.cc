// How row operations become launches; and those that move rows or columns, which see how they do.
#include "tests/cuda/kernels.h"

namespace mote::testing {
namespace {

using cuda::Acts;
using cuda::From;
using cuda::RowArgs;
using cuda::RowOp;
using cuda::RowOpKind;
using cuda::RowShape;

constexpr uint64_t kMostRows = 4;

// Memory that nothing is read from: `index` far apart.
float* Place(uint64_t index, uint64_t bytes = 0) {
  return reinterpret_cast<float*>((index << 24) + bytes + 4096);
}
RowOp Op(RowOpKind kind, uint32_t cols, const float* in0, float* out, const float* in1 = nullptr) {
  RowOp op = {};
  op.kind = kind;
  op.cols = op.in_cols = op.group = cols;
  op.in0 = in0;
  op.in1 = in1;
  op.out = out;
  if (kind == RowOpKind::kRmsNorm) op.weight = Place(100);
  return op;
}
RowOp Cache(RowOpKind kind, uint32_t cols, const float* in0) {
  RowOp op = Op(kind, cols, in0, nullptr);
  op.group = 64;
  return op;
}
std::vector<RowArgs> Plan(const std::vector<RowOp>& ops) {
  cuda::RowFacts facts;
  for (uint64_t& rows : facts.rows) rows = kMostRows;
  return cuda::PlanRows(ops, facts);
}

TEST(CudaRowPlan, ARowIsHeldFromOneOperationToTheNext) {
  const std::vector<RowArgs> made =
      Plan({Op(RowOpKind::kAdd, 4096, Place(1), Place(3), Place(2)), Op(RowOpKind::kRmsNorm, 4096, Place(3), Place(4)),
            QuantizeOp(Place(4), 4096, Acts::kBytes256, reinterpret_cast<uint8_t*>(Place(5)))});
  ASSERT_EQ(made.size(), 1u);
  EXPECT_EQ(made[0].shape, RowShape::kRow1);
  EXPECT_EQ(made[0].num_tracks, 1);
  EXPECT_EQ(made[0].blocks, 1u);
  EXPECT_EQ(made[0].tracks[0].weight, Place(100));
  EXPECT_EQ(made[0].tracks[0].in1, Place(2));
  EXPECT_EQ(made[0].ops[0].in0_from, From::kMemory);
  EXPECT_EQ(made[0].ops[1].in0_from, From::kRegisters);
  EXPECT_EQ(made[0].ops[2].in0_from, From::kRegisters);
}

TEST(CudaRowPlan, QueriesKeysAndValuesAreTracks) {
  RowOp norm_q = Op(RowOpKind::kRmsNorm, 2048, Place(1), Place(4));
  RowOp norm_k = Op(RowOpKind::kRmsNorm, 1024, Place(2), Place(5));
  RowOp rope_q = Op(RowOpKind::kRope, 2048, Place(4), Place(6));
  RowOp rope_k = Op(RowOpKind::kRope, 1024, Place(5), Place(7));
  for (RowOp* op : {&norm_q, &norm_k, &rope_q, &rope_k}) op->group = 128;
  rope_q.pairs = rope_k.pairs = 64;
  const std::vector<RowArgs> made = Plan({norm_q, norm_k, rope_q, rope_k, Cache(RowOpKind::kCacheKeys, 1024, Place(7)),
                                          Cache(RowOpKind::kCacheValues, 1024, Place(3))});
  ASSERT_EQ(made.size(), 1u);
  EXPECT_EQ(made[0].shape, RowShape::kColumns);
  ASSERT_EQ(made[0].num_tracks, 3);
  EXPECT_EQ(made[0].blocks, 4u);
  EXPECT_EQ(made[0].tracks[1].first_block, 2u);
  EXPECT_EQ(made[0].tracks[1].end - made[0].tracks[1].begin, 3);
  EXPECT_EQ(made[0].tracks[1].cache_op, made[0].tracks[1].end - 1);
  EXPECT_EQ(made[0].tracks[0].cache_op, cuda::kNoOp);
}

TEST(CudaRowPlan, ColumnsAreSharedOutWhereNobodyLooksAtARow) {
  const RowOp gate = Op(RowOpKind::kGate, 14336, Place(1), Place(3), Place(2));
  uint8_t* acts = reinterpret_cast<uint8_t*>(Place(5));
  const auto plan_with = [&](Acts kind) { return Plan({gate, QuantizeOp(Place(3), 14336, kind, acts)})[0]; };
  EXPECT_EQ(plan_with(Acts::kBytes32).shape, RowShape::kColumns);
  EXPECT_EQ(plan_with(Acts::kBytes32).blocks, 14u);
  EXPECT_EQ(plan_with(Acts::kBf16).shape, RowShape::kColumns);
  EXPECT_EQ(plan_with(Acts::kHalf).shape, RowShape::kRow4);
  EXPECT_EQ(plan_with(Acts::kHalf).blocks, 1u);
}

TEST(CudaRowPlan, WhatMeetsInMemoryKeepsItsOrder) {
  using Kind = RowOpKind;
  // Two halves of one piece of memory: rows of the first end where the second begins, or one float beyond.
  const uint64_t bytes = kMostRows * 64 * 4;
  const RowOp first = Op(Kind::kActivation, 64, Place(1), Place(2));
  EXPECT_EQ(Plan({first, Op(Kind::kActivation, 64, Place(2, bytes), Place(3))})[0].num_tracks, 2);
  const RowArgs overlap = Plan({first, Op(Kind::kActivation, 64, Place(2, bytes - 16), Place(3))})[0];
  EXPECT_EQ(overlap.num_tracks, 1);
  EXPECT_EQ(overlap.shape, RowShape::kSteps);
  EXPECT_EQ(Plan({first, Op(Kind::kActivation, 64, Place(5), Place(1))})[0].num_tracks, 1);  // written after it is read
  EXPECT_EQ(Plan({first, Op(Kind::kActivation, 64, Place(1), Place(5))})[0].num_tracks, 2);  // both read
  // In place.
  EXPECT_EQ(Plan({Op(Kind::kGate, 64, Place(1), Place(1), Place(2))})[0].shape, RowShape::kColumns);
  // A rotation reads columns of other threads.
  RowOp rope = Op(Kind::kRope, 192, Place(1), Place(1));
  rope.group = 96;
  rope.pairs = 48;
  EXPECT_EQ(Plan({rope})[0].shape, RowShape::kSteps);
  rope.out = Place(2);
  EXPECT_EQ(Plan({rope})[0].shape, RowShape::kColumns);
}

TEST(CudaRowPlan, ManyOperationsAreManyLaunches) {
  std::vector<RowOp> apart, in_a_row;
  for (uint64_t i = 0; i < 20; ++i) {
    apart.push_back(Op(RowOpKind::kActivation, 64, Place(1 + 2 * i), Place(2 + 2 * i)));
    in_a_row.push_back(Op(RowOpKind::kActivation, 64, Place(1 + i), Place(2 + i)));
  }
  const std::vector<RowArgs> tracks = Plan(apart);
  ASSERT_EQ(tracks.size(), 3u);
  EXPECT_EQ(tracks[0].num_tracks, cuda::kMaxRowTracks);
  EXPECT_EQ(tracks[2].num_tracks, 4);
  const std::vector<RowArgs> pieces = Plan(in_a_row);
  ASSERT_EQ(pieces.size(), 2u);
  EXPECT_EQ(pieces[0].tracks[0].end, cuda::kMaxRowOps);
  EXPECT_EQ(pieces[1].ops[0].in0, Place(13));
  // An embedding is a launch of its own, before what reads it.
  const std::vector<RowArgs> embedding =
      Plan({Op(RowOpKind::kEmbed, 4096, nullptr, Place(1)), Op(RowOpKind::kRmsNorm, 4096, Place(1), Place(2))});
  ASSERT_EQ(embedding.size(), 2u);
  EXPECT_EQ(embedding[0].shape, RowShape::kEmbed);
  EXPECT_EQ(embedding[0].blocks, 16u);
  EXPECT_EQ(embedding[1].shape, RowShape::kRow1);
}

// Five rows of a step of which some have inputs, some go on.
struct Rows {
  explicit Rows(uint32_t c)
      : cols(c),
        x(RandomFloats(5 * c, 1)),
        inputs(RandomFloats(5 * (c + 3), 2)),
        in(x.size() * 4),
        out(x.size() * 4),
        input(inputs.size() * 4),
        has_input(5),
        outputs(5 * 4),
        tokens(5 * 4),
        hidden(x.size() * 4) {
    memcpy(in.data(), x.data(), in.size());
    memcpy(input.data(), inputs.data(), input.size());
    has_input.data()[1] = has_input.data()[4] = 1;
    for (uint32_t i = 0; i < 5; ++i) {
      outputs.As<uint32_t>()[i] = 4 - i;
      tokens.As<int32_t>()[i] = static_cast<int32_t>(i * 2 % 5);
    }
    step.outputs = outputs.As<uint32_t>();
    step.tokens = tokens.As<int32_t>();
    step.has_input = has_input.data();
    step.inputs = input.As<float>();
    step.input_cols = cols + 3;
    step.hidden = hidden.As<float>();
  }
  RowOp Moves(RowOpKind kind) { return Op(kind, cols, in.As<float>(), out.As<float>()); }
  const uint32_t cols;
  const std::vector<float> x, inputs;
  DeviceBytes in, out, input, has_input, outputs, tokens, hidden;
  cuda::StepArgs step = {};
};

TEST(CudaRowPlan, RowsOfTheStepAreFound) {
  for (const uint32_t cols : {24u, 19u, 4104u}) {
    Rows rows(cols);
    const auto all = [&](auto want) {
      for (uint32_t i = 0; i < 5 * cols; ++i) ASSERT_EQ(rows.out.As<float>()[i], want(i / cols, i % cols)) << cols;
    };
    const auto x = [&](uint32_t row, uint32_t c) { return rows.x[row * cols + c]; };
    const auto input = [&](uint32_t row, uint32_t c) { return rows.inputs[row * (cols + 3) + c]; };
    const auto has = [](uint32_t row) { return row == 1 || row == 4; };
    RunRows({rows.Moves(RowOpKind::kSelect)}, 5, rows.step);
    all([&](auto row, auto c) { return x(4 - row, c); });
    RowOp op = rows.Moves(RowOpKind::kAddInput);
    op.column = 2;
    RunRows({op}, 5, rows.step);
    all([&](auto row, auto c) { return has(row) ? x(row, c) + input(row, c + 2) : x(row, c); });
    op = rows.Moves(RowOpKind::kInput);
    op.column = 1;
    RunRows({op}, 5, rows.step);
    all([&](auto row, auto c) { return has(row) ? input(row, c + 1) : 0.0f; });
    op = rows.Moves(RowOpKind::kEmbed);
    op.type = DType::kF32;
    op.packed = rows.in.data();
    op.value = 2;
    RunRows({op}, 5, rows.step);
    all([&](auto row, auto c) { return has(row) ? input(row, c) : x(row * 2 % 5, c) * 2; });
  }
}

// Of five outputs two go on, three are hidden states, together with a norm in the same track.
TEST(CudaRowPlan, HiddenStatesGoTheirOwnWay) {
  for (const uint32_t cols : {24u, 19u, 4104u}) {
    Rows rows(cols);
    DeviceStream stream;
    DeviceBytes counts(sizeof(cuda::StepCounts)), step(sizeof(cuda::StepArgs)), taken(rows.out.size());
    const uint32_t number[4] = {5, 5, 2, 1};
    memcpy(counts.data(), number, sizeof(number));
    memcpy(step.data(), &rows.step, sizeof(rows.step));
    RowOp twice = Op(RowOpKind::kAdd, cols, rows.in.As<float>(), rows.out.As<float>(), rows.in.As<float>());
    RowOp take = Op(RowOpKind::kTakeHidden, cols, rows.out.As<float>(), taken.As<float>());
    twice.rows_kind = take.rows_kind = cuda::kRowsOutputs;
    cuda::RowFacts facts;
    facts.step = step.As<cuda::StepArgs>();
    facts.counts = counts.As<cuda::StepCounts>();
    for (uint64_t& most : facts.rows) most = 5;
    for (const RowArgs& args : cuda::PlanRows(std::vector<RowOp>{twice, take}, facts)) {
      cuda::LaunchRows(args, 5, stream.get());
    }
    for (uint32_t i = 0; i < 5 * cols; ++i) {
      const float want = rows.x[i] + rows.x[i];
      if (i >= 2 * cols) {
        ASSERT_EQ(rows.hidden.As<float>()[i - 2 * cols], want) << cols;
      }
      ASSERT_EQ(taken.As<float>()[i], i < 2 * cols ? want : 0) << cols;
    }
  }
}

TEST(CudaRowPlan, RowsAndColumnsAreJoined) {
  constexpr uint32_t kCols = 24;
  const std::vector<float> x = RandomFloats(6 * kCols, 1);
  DeviceBytes in(x.size() * 4), out(2 * x.size() * 4);
  memcpy(in.data(), x.data(), in.size());
  const float* got = out.As<float>();
  RowOp merge = Op(RowOpKind::kMerge, 3 * kCols, in.As<float>(), out.As<float>());
  merge.in_cols = kCols;
  RunRows({merge}, 2, {}, 3);
  for (uint32_t i = 0; i < 6 * kCols; ++i) ASSERT_EQ(got[i], x[i]);
  merge.flag = 1;
  RunRows({merge}, 2, {}, 3);
  for (uint32_t i = 0; i < 6 * kCols; ++i) {
    const uint32_t row = i / (3 * kCols), c = i % (3 * kCols);
    ASSERT_EQ(got[i], x[(row * 3 + c % 3) * kCols + c / 3]);
  }
  RowOp mean = Op(RowOpKind::kMergeMean, kCols, in.As<float>(), out.As<float>());
  RunRows({mean}, 2, {}, 3);
  for (uint32_t i = 0; i < 2 * kCols; ++i) {
    const float* first = x.data() + i / kCols * 3 * kCols + i % kCols;
    ASSERT_NEAR(got[i], (first[0] + first[kCols] + first[2 * kCols]) / 3, 1e-6);
  }
  RowOp part = Op(RowOpKind::kConcat, 2 * kCols, in.As<float>(), out.As<float>());
  part.in_cols = kCols;
  RowOp other = part;
  other.in0 += 3 * kCols;
  other.column = kCols;
  RunRows({part, other}, 3);
  for (uint32_t i = 0; i < 6 * kCols; ++i) {
    const uint32_t row = i / (2 * kCols), c = i % (2 * kCols);
    ASSERT_EQ(got[i], c < kCols ? x[row * kCols + c] : x[(row + 3) * kCols + c - kCols]);
  }
}

}  // namespace
}  // namespace mote::testing
