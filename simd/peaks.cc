#include "simd/peaks.h"

#include <string.h>

#include <algorithm>

#include "simd/peaks_impl.h"

namespace mote::simd {
namespace {

constexpr int kChains = 8;

// What one core does without vectors. The compiler is kept from making vectors of it by hiding every accumulator.
PeakCount ScalarInt8(uint64_t rounds) {
  int32_t acc[kChains] = {};
  int32_t a = 3;
  int32_t b = -2;
  for (uint64_t round = 0; round < rounds; ++round) {
    MOTE_PEAK_OPAQUE("r", a);
    MOTE_PEAK_OPAQUE("r", b);
    for (int32_t& chain : acc) {
      chain += a * b;
      MOTE_PEAK_OPAQUE("r", chain);
    }
  }
  double sum = 0;
  for (const int32_t chain : acc) sum += chain;
  return {rounds * kChains * 2, sum};
}

PeakCount ScalarF32(uint64_t rounds) {
  float acc[kChains] = {};
  float a = 1;
  for (uint64_t round = 0; round < rounds; ++round) {
    for (float& chain : acc) {
      MOTE_PEAK_OPAQUE(MOTE_PEAK_FLOAT_REGISTER, a);
      chain += a * a;
      MOTE_PEAK_OPAQUE(MOTE_PEAK_FLOAT_REGISTER, chain);
    }
  }
  double sum = 0;
  for (const float chain : acc) sum += static_cast<double>(chain);
  return {rounds * kChains * 2, sum};
}

// Widening is a shift.
PeakCount ScalarBf16(uint64_t rounds) {
  float acc[kChains] = {};
  uint32_t a = 0x3F80;  // 1
  float b = 1;
  for (uint64_t round = 0; round < rounds; ++round) {
    for (float& chain : acc) {
      MOTE_PEAK_OPAQUE("r", a);
      const uint32_t bits = a << 16;
      float wide;
      memcpy(&wide, &bits, sizeof(wide));
      chain += wide * b;
      MOTE_PEAK_OPAQUE(MOTE_PEAK_FLOAT_REGISTER, chain);
    }
  }
  double sum = 0;
  for (const float chain : acc) sum += static_cast<double>(chain);
  return {rounds * kChains * 2, sum};
}

uint64_t ScalarReadSum(const void* data, size_t bytes) {
  const uint8_t* p = static_cast<const uint8_t*>(data);
  uint64_t acc[4] = {};
  for (size_t at = 0; at < bytes; at += 32) {
    uint64_t words[4];
    memcpy(words, p + at, sizeof(words));
    for (int i = 0; i < 4; ++i) acc[i] += words[i];
  }
  return acc[0] + acc[1] + acc[2] + acc[3];
}

struct All {
  std::vector<PeakLoop> loops;
  std::vector<ReadLoop> reads;
};

All Collect() {
  All all;
  AddX86Peaks(all.loops, all.reads);
  AddArmPeaks(all.loops, all.reads);
  AddWasmPeaks(all.loops, all.reads);
  all.loops.push_back({PeakKind::kInt8, "scalar", "", ScalarInt8});
  all.loops.push_back({PeakKind::kBf16, "scalar", "", ScalarBf16});
  all.loops.push_back({PeakKind::kF32, "scalar", "", ScalarF32});
  all.reads.push_back({"scalar", "", ScalarReadSum});
  return all;
}

}  // namespace

std::vector<PeakLoop> AllPeakLoops() {
  return Collect().loops;
}

std::vector<ReadLoop> AllReadLoops() {
  return Collect().reads;
}

bool PeakWithinIsa(std::string_view isa, std::string_view needs, bool is_scalar) {
  // Rows of simd/row.cc, and the features that their kernels are compiled for.
  constexpr struct {
    std::string_view isa;
    std::string_view features;
  } kRows[] = {
      {"sse4", " ssse3 "},
      {"avx2", " ssse3 avx2 fma f16c "},
      {"avx512", " ssse3 avx2 fma f16c avx512f avx512bw avx512vl "},
      {"avx512_vnni", " ssse3 avx2 fma f16c avx512f avx512bw avx512vl avx512_vnni "},
      {"avx512_amx", " ssse3 avx2 fma f16c avx512f avx512bw avx512vl avx512_vnni amx_tile amx_bf16 "},
      {"neon", ""},
      {"neon_dot", " dotprod fp16 "},
  };
  if (isa == "scalar") return is_scalar;
  for (const auto& row : kRows) {
    if (row.isa != isa) continue;
    while (!needs.empty()) {
      const std::string_view word = needs.substr(0, needs.find(' '));
      const size_t at = row.features.find(word);
      if (at == std::string_view::npos || row.features[at - 1] != ' ' || row.features[at + word.size()] != ' ') {
        return false;
      }
      needs.remove_prefix(std::min(needs.size(), word.size() + 1));
    }
    return true;
  }
  return true;
}

}  // namespace mote::simd
