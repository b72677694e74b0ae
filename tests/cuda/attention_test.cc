// Attention of prompts beside the other kernel, on the same arguments: the same bits, however heads share keys,
// whatever rows see and however long the sessions of a step are.
#include <functional>

#include "tests/cuda/emulator/runtime.h"
#include "tests/cuda/kernels.h"

namespace mote::cuda {
namespace {

using testing::DeviceBytes;
using testing::DeviceStream;
using testing::RandomFloats;

struct Shape {
  uint32_t heads = 4;
  uint32_t kv_heads = 1;
  uint32_t key_dim = 64;
  uint32_t value_dim = 64;
  bool key_q8 = false;
  bool value_q8 = false;
  uint32_t window = 0;
  float softcap = 0;
};
// Rows of a session, behind so many positions.
struct Rows {
  uint32_t past;
  uint32_t rows;
};
// First position that a row of a session sees, and one past the last.
struct Range {
  uint32_t begin;
  uint32_t end;
};
using Sees = std::function<Range(const Rows& session, uint32_t row)>;

uint32_t PositionBytes(bool q8, uint32_t dim) {
  return q8 ? (dim + 31) / 32 * 32 : (dim + 15) / 16 * 16 * 2;
}
// One head's keys or values: (positions, bytes), and of 8 bits the scales. Nobody may read what is behind `written`.
void FillHead(uint8_t* head, bool q8, uint32_t dim, uint32_t positions, uint32_t written, std::minstd_rand* random) {
  const uint32_t bytes = PositionBytes(q8, dim);
  std::normal_distribution<float> normal(0, 1);
  for (uint32_t p = 0; p < positions; ++p) {
    uint8_t* row = head + static_cast<uint64_t>(p) * bytes;
    if (p >= written) memset(row, 0xff, bytes);
    for (uint32_t d = 0; d < dim && p < written; ++d) {
      if (q8) {
        row[d] = static_cast<uint8_t>((*random)());
      } else {
        reinterpret_cast<uint16_t*>(row)[d] = F32ToF16(normal(*random));
      }
    }
  }
  if (!q8) return;
  uint16_t* scales = reinterpret_cast<uint16_t*>(head + static_cast<uint64_t>(positions) * bytes);
  for (uint32_t i = 0; i < positions * (bytes / 32); ++i) {
    scales[i] = i < written * (bytes / 32) ? F32ToF16(0.01f * (1 + fabsf(normal(*random)))) : 0x7e00;
  }
}

// A session's cache of one layer.
struct Cache {
  CacheLayerArgs layer = {};
  std::unique_ptr<DeviceBytes> memory;
};
Cache MakeCache(const Shape& shape, const Rows& session, std::minstd_rand* random) {
  Cache cache;
  CacheLayerArgs& l = cache.layer;
  const uint32_t written = session.past + session.rows;
  l.positions = (written + 63) / 64 * 64;
  l.heads = shape.kv_heads;
  l.key_dim = shape.key_dim;
  l.value_dim = shape.value_dim;
  l.key_bytes = PositionBytes(shape.key_q8, shape.key_dim);
  l.value_bytes = PositionBytes(shape.value_q8, shape.value_dim);
  const auto head_bytes = [&](bool q8, uint32_t bytes) {
    return (uint64_t{l.positions} * bytes + (q8 ? uint64_t{l.positions} * (bytes / 32) * 2 : 0) + 255) / 256 * 256;
  };
  l.key_head_bytes = head_bytes(shape.key_q8, l.key_bytes);
  l.value_head_bytes = head_bytes(shape.value_q8, l.value_bytes);
  l.values = l.heads * l.key_head_bytes;
  cache.memory = std::make_unique<DeviceBytes>(l.values + l.heads * l.value_head_bytes);
  for (uint32_t head = 0; head < l.heads; ++head) {
    FillHead(cache.memory->data() + head * l.key_head_bytes, shape.key_q8, l.key_dim, l.positions, written, random);
    FillHead(cache.memory->data() + l.values + head * l.value_head_bytes, shape.value_q8, l.value_dim, l.positions,
             written, random);
  }
  return cache;
}

// A step of attention alone.
class Step {
 public:
  Step(const Shape& shape, const std::vector<Rows>& sessions, const Sees& sees) {
    std::minstd_rand random(7);
    bool some = false, all = true;
    for (const Rows& session : sessions) {
      caches_.push_back(MakeCache(shape, session, &random));
      const uint32_t begin = static_cast<uint32_t>(positions_.size());
      for (uint32_t row = 0; row < session.rows; ++row) {
        positions_.push_back(static_cast<int32_t>(session.past + row));
        segments_.push_back({begin, begin + session.rows});
        memory_.push_back(caches_.back().memory->data());
        if (!sees) continue;
        begins_.push_back(sees(session, row).begin);
        ends_.push_back(sees(session, row).end);
      }
      some = some || session.rows >= kPromptRows;
      all = all && session.rows >= kPromptRows;
    }
    for (size_t i = 0; i < caches_.size(); ++i) {
      layers_.resize(layers_.size() + sessions[i].rows, reinterpret_cast<uint64_t>(&caches_[i].layer));
    }
    q_ = RandomFloats(rows() * shape.heads * shape.key_dim, 3);
    out_floats_ = rows() * shape.heads * shape.value_dim;
    prompts_ = all ? Prompts::kAll : some ? Prompts::kSome : Prompts::kNone;
    for (uint32_t& count : counts_.rows) count = rows();
    step_.counts = &counts_;
    step_.positions = positions_.data();
    step_.cache = memory_.data();
    step_.cache_layers = layers_.data();
    step_.segments = segments_.data();
    if (sees) step_.begins[1] = begins_.data(), step_.ends[1] = ends_.data();
    args_ = {};
    args_.step = &step_;
    args_.heads = shape.heads;
    args_.kv_heads = shape.kv_heads;
    args_.key_dim = shape.key_dim;
    args_.value_dim = shape.value_dim;
    args_.scale = 1 / sqrtf(static_cast<float>(shape.key_dim));
    args_.softcap = shape.softcap;
    args_.window = shape.window;
    args_.sight = sees ? 1 : 0;
    args_.key_q8 = shape.key_q8;
    args_.value_q8 = shape.value_q8;
    args_.q = q_.data();
    args_.splits = 1;
  }
  Prompts prompts() const { return prompts_; }
  // As bits: what nobody writes is no number, and equal to itself.
  std::vector<uint32_t> Results(Prompts prompts, uint32_t splits = 1) {
    return Results(prompts, splits, Acts::kFloat, out_floats_ * sizeof(float));
  }
  // The same as they are rounded for a product; of one split.
  std::vector<uint32_t> Rounded(Acts acts) {
    return Results(Prompts::kNone, 1, acts, rows() * ActRowBytes(acts, out_floats_ / rows()));
  }

 private:
  std::vector<uint32_t> Results(Prompts prompts, uint32_t splits, Acts acts, uint64_t bytes) {
    DeviceStream stream;
    DeviceBytes out(bytes);
    DeviceBytes partial(splits * (out_floats_ + 2 * uint64_t{rows()} * args_.heads) * sizeof(float));
    memset(out.data(), 0xff, out.size());
    memset(partial.data(), 0xff, partial.size());
    AttentionArgs args = args_;
    args.out = acts == Acts::kFloat ? out.As<float>() : nullptr;
    args.rounded = out.data();
    args.acts = acts;
    args.prompts = prompts;
    args.splits = splits;
    args.partial = partial.As<float>();
    LaunchAttention(args, rows(), stream.get());
    return std::vector<uint32_t>(out.As<uint32_t>(), out.As<uint32_t>() + bytes / sizeof(uint32_t));
  }
  uint32_t rows() const { return static_cast<uint32_t>(positions_.size()); }
  std::vector<Cache> caches_;
  std::vector<int32_t> positions_;
  std::vector<Segment> segments_;
  std::vector<uint8_t*> memory_;
  std::vector<uint64_t> layers_;
  std::vector<uint32_t> begins_, ends_;
  std::vector<float> q_;
  size_t out_floats_ = 0;
  Prompts prompts_ = Prompts::kNone;
  StepCounts counts_ = {};
  StepArgs step_ = {};
  AttentionArgs args_ = {};
};

uint64_t LaunchesSince(uint64_t before) {
  return mote_emulator::Device().launches - before;
}

void ExpectTheSame(const Shape& shape, const std::vector<Rows>& sessions, const Sees& sees = nullptr) {
  Step step(shape, sessions, sees);
  ASSERT_NE(step.prompts(), Prompts::kNone);
  const std::string what = std::to_string(shape.heads) + "/" + std::to_string(shape.kv_heads) + " heads of " +
                           std::to_string(shape.key_dim) + " and " + std::to_string(shape.value_dim) + ", " +
                           std::to_string(sessions.size()) + " sessions";
  const std::vector<uint32_t> want = step.Results(Prompts::kNone);
  for (const uint32_t bits : want) ASSERT_FALSE(isnan(BitsToFloat(bits))) << what;
  const uint64_t before = mote_emulator::Device().launches;
  EXPECT_EQ(step.Results(step.prompts()), want) << what;
  EXPECT_EQ(LaunchesSince(before), step.prompts() == Prompts::kSome ? 2u : 1u) << what;
}

TEST(CudaAttention, HeadsShareKeysInEveryWay) {
  for (const uint32_t group : {1u, 2u, 3u, 4u, 7u, 8u, 16u, 20u}) {
    ExpectTheSame({.heads = 2 * group, .kv_heads = 2}, {{0, 70}});
  }
}

TEST(CudaAttention, HeadsOfEverySize) {
  for (const uint32_t dim : {16u, 32u, 40u, 72u, 80u, 96u, 112u, 128u}) {
    ExpectTheSame({.key_dim = dim, .value_dim = dim}, {{9, 33}});
  }
  ExpectTheSame({.key_dim = 30, .value_dim = 21}, {{0, 40}});
  ExpectTheSame({.key_dim = 128, .value_dim = 64}, {{0, 40}});
  ExpectTheSame({.key_dim = 40, .value_dim = 120}, {{0, 40}});
}

// Several splits of 256 positions, joined in order: what begins in the first, and what begins behind it.
TEST(CudaAttention, LongPasts) {
  ExpectTheSame({}, {{0, 330}});
  ExpectTheSame({.key_dim = 128, .value_dim = 128}, {{300, 40}});
  ExpectTheSame({.heads = 3, .kv_heads = 3}, {{511, 66}});
  ExpectTheSame({.softcap = 5}, {{250, 20}});
}

TEST(CudaAttention, CachesOf8Bits) {
  for (const uint32_t dim : {64u, 80u, 128u}) {
    ExpectTheSame({.key_dim = dim, .value_dim = dim, .key_q8 = true, .value_q8 = true}, {{60, 40}});
    ExpectTheSame({.key_dim = dim, .value_dim = dim, .value_q8 = true}, {{3, 40}});
    ExpectTheSame({.key_dim = dim, .value_dim = dim, .key_q8 = true}, {{3, 40}});
  }
}

// Tiles of a block that begin and end at other positions than their neighbours.
TEST(CudaAttention, Windows) {
  for (const uint32_t window : {1u, 10u, 64u, 100u, 300u}) ExpectTheSame({.window = window}, {{280, 150}});
  ExpectTheSame({.heads = 2, .kv_heads = 2, .window = 20}, {{0, 150}});
}

TEST(CudaAttention, RowsThatSeeWhatTheyAreTold) {
  ExpectTheSame({.heads = 2, .kv_heads = 2}, {{0, 150}}, [](const Rows& s, uint32_t) { return Range{0, s.rows}; });
  // Pictures of 49 rows that see themselves; and such behind text.
  const auto own_picture = [](const Rows& s, uint32_t row) {
    const uint32_t begin = row / 49 * 49, end = begin + 49;
    return Range{begin, end < s.rows ? end : s.rows};
  };
  ExpectTheSame({.heads = 2, .kv_heads = 2, .key_dim = 72, .value_dim = 72}, {{0, 200}}, own_picture);
  ExpectTheSame({}, {{100, 130}}, [](const Rows& s, uint32_t row) {
    const uint32_t own_end = s.past + row + 1;
    return Range{0, row >= 40 && row < 90 ? s.past + 90 : own_end};
  });
}

TEST(CudaAttention, SessionsOfAStep) {
  ExpectTheSame({}, {{0, 16}, {5, 17}, {300, 40}, {0, 16}});
  ExpectTheSame({.heads = 2, .kv_heads = 2}, {{0, 16}, {70, 16}, {2, 90}, {1, 16}, {0, 16}});
  // Those of few rows are the other kernel's.
  ExpectTheSame({}, {{40, 1}, {0, 50}, {300, 1}, {9, 15}, {7, 16}, {20, 1}});
  ExpectTheSame({.heads = 20}, {{40, 1}, {270, 20}, {5, 3}});
}

TEST(CudaAttention, OrdersOfThreadsDoNotShow) {
  for (const uint32_t dim : {64u, 96u, 128u}) {
    Step step({.heads = 3, .kv_heads = 1, .key_dim = dim, .value_dim = dim, .value_q8 = dim == 96},
              {{240, 45}, {0, 18}}, nullptr);
    testing::ExpectTheSameInEveryOrder([&] { return step.Results(step.prompts()); }, std::to_string(dim));
  }
}

// Larger heads, roundings and GPUs without the memory: the other kernel.
TEST(CudaAttention, WhatPromptsKernelIsNotFor) {
  Step large({.key_dim = 144, .value_dim = 128}, {{0, 40}}, nullptr);
  EXPECT_EQ(large.Results(Prompts::kAll), large.Results(Prompts::kNone));
  mote_emulator::Device().block_shared_bytes = 64 << 10;
  Step small({}, {{0, 40}, {4, 1}}, nullptr);
  const std::vector<uint32_t> want = small.Results(Prompts::kNone);
  const uint64_t before = mote_emulator::Device().launches;
  EXPECT_EQ(small.Results(Prompts::kSome), want);
  EXPECT_EQ(LaunchesSince(before), 1u);
  mote_emulator::Device().block_shared_bytes = mote_emulator::EmulatedDevice().block_shared_bytes;
}

// Of few rows: all of a split at once, or 64 positions after the other, as a GPU with less memory for a block does.
template <class Results>
void ExpectTheSameOfFew(Results results, const std::string& what) {
  const auto at_once = results();
  mote_emulator::Device().block_shared_bytes = 64 << 10;
  const auto one_by_one = results();
  mote_emulator::Device().block_shared_bytes = mote_emulator::EmulatedDevice().block_shared_bytes;
  EXPECT_EQ(at_once, one_by_one) << what;
}

TEST(CudaAttention, SplitsAtOnce) {
  const std::vector<Rows> sessions[] = {{{0, 1}},   {{63, 1}},  {{64, 1}}, {{190, 1}},
                                        {{255, 1}}, {{100, 3}}, {{0, 8}},  {{40, 1}, {0, 2}, {129, 1}, {7, 3}}};
  const Shape shapes[] = {{},
                          {.heads = 8, .kv_heads = 8},
                          {.heads = 7, .kv_heads = 1, .key_dim = 128, .value_dim = 128},
                          {.heads = 20, .kv_heads = 1, .key_dim = 96, .value_dim = 96},
                          {.key_dim = 30, .value_dim = 24},
                          {.key_dim = 128, .value_dim = 64, .softcap = 5},
                          {.key_dim = 40, .value_dim = 120, .key_q8 = true},
                          {.key_q8 = true, .value_q8 = true, .window = 70}};
  for (const Shape& shape : shapes) {
    for (const std::vector<Rows>& rows : sessions) {
      Step step(shape, rows, nullptr);
      const std::string what = std::to_string(shape.heads) + " heads of " + std::to_string(shape.key_dim) +
                               ", behind " + std::to_string(rows[0].past);
      for (const uint32_t bits : step.Results(Prompts::kNone)) ASSERT_FALSE(isnan(BitsToFloat(bits))) << what;
      ExpectTheSameOfFew([&] { return step.Results(Prompts::kNone); }, what);
      for (const Acts acts : {Acts::kBytes32, Acts::kBytes256}) {
        if (!AttentionCanRound(acts, shape.heads / shape.kv_heads, shape.value_dim)) continue;
        ExpectTheSameOfFew([&] { return step.Rounded(acts); }, what + ", rounded");
      }
    }
  }
}

TEST(CudaAttention, SeveralSplitsAtOnce) {
  for (const uint32_t window : {0u, 100u, 300u}) {
    for (const std::vector<Rows>& rows : std::vector<std::vector<Rows>>{
             {{256, 1}}, {{511, 1}}, {{700, 1}}, {{250, 8}}, {{600, 3}, {2, 1}, {300, 1}, {254, 3}}}) {
      Step step({.window = window}, rows, nullptr);
      ExpectTheSameOfFew([&] { return step.Results(Prompts::kNone, 4); }, std::to_string(rows[0].past));
    }
  }
}

TEST(CudaAttention, OrdersOfASplitsThreadsDoNotShow) {
  for (const uint32_t dim : {64u, 128u}) {
    Step step({.key_dim = dim, .value_dim = dim, .value_q8 = dim == 64}, {{200, 2}, {70, 1}}, nullptr);
    testing::ExpectTheSameInEveryOrder([&] { return step.Rounded(Acts::kBytes256); }, std::to_string(dim));
    testing::ExpectTheSameInEveryOrder([&] { return step.Results(Prompts::kNone, 2); }, std::to_string(dim));
  }
}

}  // namespace
}  // namespace mote::cuda
