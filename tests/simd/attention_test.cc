// Attention against a softmax in double, and against itself: what one call computes, any other call gives in the same
// bits.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/simd/attention_problem.h"
#include "tests/support/effort.h"

namespace mote::testing {
namespace {

constexpr CacheType kTypes[] = {CacheType::kF16, CacheType::kQ8_0};

// All rows of the table, for tokens [position, position + tokens).
void Check(const Problem& problem, size_t position, size_t tokens) {
  std::vector<std::vector<Expected>> want;
  for (size_t i = 0; i < tokens * problem.heads; ++i) {
    want.push_back(problem.Want(position + i / problem.heads, i % problem.heads));
  }
  for (const simd::KernelTable* table : RunnableRows()) {
    const Problem::Run run = problem.Attend(*table, position, tokens, 0, problem.heads);
    for (size_t i = 0; i < want.size(); ++i) {
      const size_t token = i / problem.heads;
      const std::span<const float> row(run.Row(token, i % problem.heads), problem.value_dim);
      const std::string label = problem.Label(table->name) + " position=" + std::to_string(position + token);
      EXPECT_TRUE(AllClose(row, want[i], label));
      const size_t end = static_cast<size_t>(row.data() - run.out->data()) + problem.value_dim;
      for (size_t gap = 0; gap < 5; ++gap) {
        EXPECT_TRUE(run.out->IsPoison(end + gap)) << label << ": wrote between the heads";
      }
    }
  }
}

TEST(Attention, HeadsAndDims) {
  Random random(1);
  const size_t dims[][2] = {{64, 64}, {128, 128}, {80, 80},   {96, 96},  {1, 1},
                            {7, 5},   {33, 100},  {192, 128}, {256, 256}};
  for (const auto& dim : dims) {
    for (const CacheType type : kTypes) {
      for (size_t heads : {1, 2, 3, 4, 5, 6, 7, 8, 17}) {
        if (kSlowTests && heads % 4 != 1 && heads != 4) continue;
        Check(Problem({type, type, heads, dim[0], dim[1], 70}, random), 69, 1);
      }
    }
  }
}

TEST(Attention, SeveralTokens) {
  Random random(2);
  for (const CacheType keys : kTypes) {
    for (const CacheType values : kTypes) {
      for (const size_t heads : {1, 4}) {
        Problem problem({keys, values, heads, 64, 32, 150}, random);
        for (const size_t window : {0, 5, 100}) {
          problem.window = window;
          for (const size_t tokens : {7, 16}) Check(problem, 150 - tokens, tokens);
        }
      }
    }
  }
}

TEST(Attention, Windows) {
  Random random(3);
  Problem problem({CacheType::kF16, CacheType::kQ8_0, 3, 64, 64, 300}, random);
  for (size_t position : {0, 1, 2, 3, 4, 62, 63, 64, 126, 127, 128, 299}) {
    for (size_t window : {1, 2, 5, 63, 64, 65, 200, 300}) {
      problem.window = window;
      Check(problem, position, 1);
    }
  }
}

TEST(Attention, SoftcapAndLargeScores) {
  Random random(4);
  const float caps_and_amplitudes[][2] = {{3, 3}, {10, 8}, {50, 20}, {0, 20}};
  for (const auto& [cap, amplitude] : caps_and_amplitudes) {
    for (const CacheType type : kTypes) {
      // The last without a cap: scores in the hundreds; without the running maximum, 2^x overflows.
      Problem problem({type, type, 2, 64, 64, 150}, random, amplitude);
      problem.softcap = cap;
      Check(problem, 147, 3);
    }
  }
}

// A rising sequence of scores moves the maximum at every block, a falling one never again.
TEST(Attention, MaximumMoves) {
  Random random(5);
  for (const CacheType type : kTypes) {
    Problem problem({type, type, 1, 16, 16, 1100}, random);
    std::fill(problem.q.begin(), problem.q.end(), 1.0f);
    for (const bool rising : {true, false}) {
      for (size_t p = 0; p < 1100; ++p) {
        problem.SetKey(p, std::vector<float>(16, static_cast<float>(rising ? p : 1100 - p) / 16));
      }
      Check(problem, 1099, 1);
    }
  }
}

// Across the ends of splits; a window that begins within one.
TEST(Attention, LongContexts) {
  Random random(6);
  for (const CacheType type : kTypes) {
    Problem problem({type, type, 2, 32, 32, 1300}, random, 2.0f);
    for (const size_t window : {0, 512, 700}) {
      problem.window = window;
      for (const size_t position : {510, 1021, 1296}) Check(problem, position, 4);
    }
  }
}

// What rows see by list: pictures whole (also what comes after a row), windows of one, text between them.
TEST(Attention, SightsByList) {
  Random random(16);
  for (const CacheType type : kTypes) {
    Problem problem({type, type, 2, 72, 40, 700}, random, 2.0f);
    const uint32_t cuts[] = {0, 3, 67, 68, 200, 511, 640, 700};
    for (size_t part = 0; part + 1 < std::size(cuts); ++part) {
      for (uint32_t p = cuts[part]; p < cuts[part + 1]; ++p) problem.ends.push_back(cuts[part + 1]);
    }
    for (const size_t position : {0, 60, 190, 500, 636}) Check(problem, position, 12);
    for (size_t part = 0; part + 1 < std::size(cuts); ++part) {
      for (uint32_t p = cuts[part]; p < cuts[part + 1]; ++p) problem.begins.push_back(cuts[part]);
    }
    for (const size_t position : {0, 60, 190, 500, 636}) Check(problem, position, 12);
  }
}

bool SameRow(const Problem& problem, const Problem::Run& a, size_t a_token, size_t a_head, const Problem::Run& b,
             size_t b_token, size_t b_head) {
  return memcmp(a.Row(a_token, a_head), b.Row(b_token, b_head), problem.value_dim * sizeof(float)) == 0;
}

// Runs of tokens of any length and heads alone or together: the same bits, whatever a row's neighbours see.
TEST(Attention, DoesNotDependOnTheNeighbours) {
  Random random(7);
  for (const CacheType type : kTypes) {
    for (const size_t window : {0, 70, 600}) {
      Problem problem({type, type, 5, 72, 40, 600}, random, 3.0f);
      problem.window = window;
      if (window == 600) problem.ends.assign(600, 600);
      constexpr size_t kFirst = 500, kTokens = Effort(24, 15);  // over the end of a split
      for (const simd::KernelTable* table : RunnableRows()) {
        const Problem::Run all = problem.Attend(*table, kFirst, kTokens, 0, problem.heads);
        for (const size_t chunk : {1, 7}) {
          for (size_t token = 0; token < kTokens; token += chunk) {
            const size_t tokens = std::min(chunk, kTokens - token);
            const Problem::Run part = problem.Attend(*table, kFirst + token, tokens, 0, problem.heads);
            for (size_t i = 0; i < tokens * problem.heads; ++i) {
              EXPECT_TRUE(SameRow(problem, part, i / problem.heads, i % problem.heads, all, token + i / problem.heads,
                                  i % problem.heads))
                  << problem.Label(table->name) << " chunk " << chunk << " position " << kFirst + token;
            }
          }
        }
        for (size_t head = 0; head < problem.heads; ++head) {
          const Problem::Run alone = problem.Attend(*table, kFirst + 13, 1, head, 1);
          EXPECT_TRUE(SameRow(problem, alone, 0, 0, all, 13, head)) << problem.Label(table->name) << " head " << head;
        }
      }
    }
  }
}

// Splits computed apart, the last one first, and joined.
TEST(Attention, SplitsAreTheSame) {
  Random random(8);
  for (const CacheType type : kTypes) {
    for (const size_t window : {0, 600}) {
      Problem problem({type, type, 4, 64, 48, 1700}, random, 3.0f);
      problem.window = window;
      for (const simd::KernelTable* table : RunnableRows()) {
        for (const size_t position : {3, 511, 1023, 1530}) {
          const size_t tokens = position == 1530 ? 8 : 1;  // the first of them sees less than the last
          const Problem::Run whole = problem.Attend(*table, position, tokens, 0, 4);
          const Problem::Run joined = problem.Prepare(position, tokens, 0, 4);
          const size_t first = simd::AttentionFirstSplit(joined.args);
          const size_t end = simd::AttentionEndSplit(joined.args);
          EXPECT_EQ(end, (position + tokens - 1) / 512 + 1);
          const size_t floats = simd::AttentionSplitFloats(tokens * 4, 48);
          Guarded<float> results((end - first) * floats);
          for (size_t split = end; split-- > first;) {
            table->attention_split(joined.args, split, results.data() + (split - first) * floats);
          }
          table->attention_join(joined.args, results.data());
          EXPECT_TRUE(results.GuardsIntact() && joined.GuardsIntact()) << problem.Label(table->name);
          for (size_t i = 0; i < tokens * 4; ++i) {
            EXPECT_TRUE(SameRow(problem, whole, i / 4, i % 4, joined, i / 4, i % 4))
                << problem.Label(table->name) << " position " << position << " row " << i;
          }
        }
      }
    }
  }
}

// What a token does not see is not looked at, though its neighbours see it.
TEST(Attention, IgnoresHiddenPositions) {
  Random random(9);
  const std::vector<float> bad(64, NAN);
  for (const CacheType type : kTypes) {
    Problem problem({type, type, 2, 64, 64, 200}, random);
    problem.window = 50;
    std::vector<Problem::Run> clean;
    for (const simd::KernelTable* table : RunnableRows()) clean.push_back(problem.Attend(*table, 100, 20, 0, 2));
    // Half precision keeps NaN; in Q8_0 only a scale can be bad, and is where the layout has it.
    for (size_t p = 0; p < 200; ++p) {
      if (p >= 58 && p <= 110) continue;
      problem.SetKey(p, bad);
      problem.SetValue(p, bad);
      if (type == CacheType::kF16) continue;
      for (size_t block = 0; block < 2; ++block) {
        Put16(problem.k->data() + p / 16 * 1088 + 1024 + (block * 16 + p % 16) * 2, 0x7e00);
        Put16(problem.v->data() + p / 16 * 1088 + 1024 + (block * 16 + p % 16) * 2, 0x7e00);
      }
    }
    for (size_t i = 0; i < clean.size(); ++i) {
      const simd::KernelTable* table = RunnableRows()[i];
      const Problem::Run run = problem.Attend(*table, 100, 20, 0, 2);
      // Positions 107 to 110 see 58 to 110; the others see something bad.
      for (size_t token = 0; token < 20; ++token) {
        for (size_t head = 0; head < 2; ++head) {
          const bool good = token >= 7 && token <= 10;
          EXPECT_EQ(SameRow(problem, run, token, head, clean[i], token, head), good)
              << problem.Label(table->name) << " token " << token;
          EXPECT_EQ(std::isnan(run.Row(token, head)[0]), !good) << problem.Label(table->name);
        }
      }
    }
  }
}

// What goes in is what lies there, rounded as the type rounds; nothing else changes; all rows write the same bytes.
TEST(AttentionCache, Writes) {
  Random random(10);
  for (const CacheType type : kTypes) {
    for (const size_t dim : {1, 5, 16, 32, 33, 64, 80}) {
      Problem problem({type, type, 1, dim, dim, 40}, random);
      const size_t bytes = problem.k->size();
      std::vector<std::vector<uint8_t>> written;
      const std::vector<float> key = random.Floats(dim, 5.0f), value = random.Floats(dim, 0.01f);
      for (const simd::KernelTable* table : RunnableRows()) {
        const std::vector<float> keys_before = [&] {
          std::vector<float> all;
          for (size_t p = 0; p < 40; ++p) {
            for (size_t d = 0; d < dim; ++d) all.push_back(problem.Key(p, d) + 3 * problem.Value(p, d));
          }
          return all;
        }();
        table->cache_key(type, key.data(), dim, 19, problem.k->data());
        table->cache_value(type, value.data(), dim, 19, problem.v->data());
        EXPECT_TRUE(problem.k->GuardsIntact() && problem.v->GuardsIntact()) << table->name;
        for (size_t p = 0; p < 40; ++p) {
          for (size_t d = 0; d < dim; ++d) {
            if (p != 19) {
              EXPECT_EQ(problem.Key(p, d) + 3 * problem.Value(p, d), keys_before[p * dim + d]) << table->name;
            }
          }
        }
        for (size_t d = 0; d < dim; ++d) {
          float largest_key = 0, largest_value = 0;
          for (size_t i = d / 32 * 32; i < std::min(dim, d / 32 * 32 + 32); ++i) {
            largest_key = std::max(largest_key, std::abs(key[i]));
            largest_value = std::max(largest_value, std::abs(value[i]));
          }
          if (type == CacheType::kF16) {
            EXPECT_EQ(problem.Key(19, d), F16ToF32(F32ToF16(key[d])));
            EXPECT_EQ(problem.Value(19, d), F16ToF32(F32ToF16(value[d])));
          } else {
            // Half a step, and the rounding of the scale, which at 1e-2 / 127 is a normal half.
            EXPECT_NEAR(problem.Key(19, d), key[d], largest_key * (0.5f / 127 + 0x1p-10f)) << table->name;
            EXPECT_NEAR(problem.Value(19, d), value[d], largest_value * (0.5f / 127 + 0x1p-10f)) << table->name;
          }
        }
        written.emplace_back(problem.k->data(), problem.k->data() + bytes);
        written.back().insert(written.back().end(), problem.v->data(), problem.v->data() + problem.v->size());
        EXPECT_EQ(written.back(), written.front()) << table->name;
      }
    }
  }
}

}  // namespace
}  // namespace mote::testing
