// Peak loops of x86: SSE (always there), AVX2 with FMA, AVX-VNNI, AVX-512 with VNNI and BF16.
#include "simd/peaks_impl.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

// False in GCC 12's own avx512fintrin.h, whose "undefined" operand is one that equals itself.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

namespace mote::simd {
namespace {

// Chains: dot products and fused multiply-adds take 4 to 5 cycles and start twice per cycle, so that 10 have to be
// under way at once. There are 32 registers with AVX-512: 16 chains; otherwise 16: 12 chains, the operands and two to
// spare. Where the multiplication stands apart, only an addition is chained: 8 chains, which leaves registers for the
// products.
constexpr size_t kChainsZmm = 16;
constexpr size_t kChainsVex = 12;
constexpr size_t kChainsApart = 8;

#define MOTE_TARGET(features) __attribute__((target(features)))

#define MOTE_AVX512_VNNI MOTE_TARGET("avx512f,avx512bw,avx512vl,avx512vnni")
#define MOTE_AVX512_BF16 MOTE_TARGET("avx512f,avx512bw,avx512vl,avx512bf16")
#define MOTE_AVX512 MOTE_TARGET("avx512f,avx512bw,avx512vl")
#define MOTE_AVX_VNNI MOTE_TARGET("avx2,avxvnni")
#define MOTE_AVX2 MOTE_TARGET("avx2,fma")
#define MOTE_F16C MOTE_TARGET("avx2,fma,f16c")
#define MOTE_SSSE3 MOTE_TARGET("ssse3")

MOTE_PEAK_LOOP(Int8Vnni512, MOTE_AVX512_VNNI, "v", __m512i, int32_t, kChainsZmm, 64, _mm512_setzero_si512(),
               _mm512_set1_epi8(3), _mm512_set1_epi8(-2), _mm512_dpbusd_epi32(acc, a, b))

MOTE_PEAK_LOOP(Int8Vnni256, MOTE_AVX_VNNI, "x", __m256i, int32_t, kChainsVex, 32, _mm256_setzero_si256(),
               _mm256_set1_epi8(3), _mm256_set1_epi8(-2), _mm256_dpbusd_avx_epi32(acc, a, b))

// Without a dot product: pairs to 16 bits (saturating), those pairs to 32 bits by a multiplication with one, an
// addition.
#define MOTE_HIDE(reg, value)     \
  ({                              \
    MOTE_PEAK_OPAQUE(reg, value); \
    value;                        \
  })
MOTE_PEAK_LOOP(Int8Madd512, MOTE_AVX512, "v", __m512i, int32_t, kChainsZmm, 64, _mm512_setzero_si512(),
               _mm512_set1_epi8(3), _mm512_set1_epi8(-2),
               _mm512_add_epi32(acc,
                                _mm512_madd_epi16(_mm512_maddubs_epi16(MOTE_HIDE("v", a), b), _mm512_set1_epi16(1))))
MOTE_PEAK_LOOP(Int8Madd256, MOTE_AVX2, "x", __m256i, int32_t, kChainsApart, 32, _mm256_setzero_si256(),
               _mm256_set1_epi8(3), _mm256_set1_epi8(-2),
               _mm256_add_epi32(acc,
                                _mm256_madd_epi16(_mm256_maddubs_epi16(MOTE_HIDE("x", a), b), _mm256_set1_epi16(1))))
MOTE_PEAK_LOOP(Int8Madd128, MOTE_SSSE3, "x", __m128i, int32_t, kChainsApart, 16, _mm_setzero_si128(), _mm_set1_epi8(3),
               _mm_set1_epi8(-2),
               _mm_add_epi32(acc, _mm_madd_epi16(_mm_maddubs_epi16(MOTE_HIDE("x", a), b), _mm_set1_epi16(1))))

// 0x3F80 is 1 in bfloat16.
MOTE_PEAK_LOOP(Bf16Dot512, MOTE_AVX512_BF16, "v", __m512, float, kChainsZmm, 32, _mm512_setzero_ps(),
               _mm512_set1_epi16(0x3F80), _mm512_set1_epi16(0x3F80), _mm512_dpbf16_ps(acc, (__m512bh)a, (__m512bh)b))

// Without a dot product: a 32-bit lane holds two, of which one is shifted and the other masked into place.
MOTE_PEAK_LOOP(Bf16Shift512, MOTE_AVX512, "v", __m512, float, kChainsZmm, 32, _mm512_setzero_ps(),
               _mm512_set1_epi32(0x3F803F80), _mm512_set1_ps(1),
               _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(MOTE_HIDE("v", a), 16)), b,
                               _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_and_si512(
                                                   a, _mm512_set1_epi32(static_cast<int>(0xFFFF0000)))),
                                               b, acc)))
MOTE_PEAK_LOOP(Bf16Shift256, MOTE_AVX2, "x", __m256, float, kChainsVex, 16, _mm256_setzero_ps(),
               _mm256_set1_epi32(0x3F803F80), _mm256_set1_ps(1),
               _mm256_fmadd_ps(_mm256_castsi256_ps(_mm256_slli_epi32(MOTE_HIDE("x", a), 16)), b,
                               _mm256_fmadd_ps(_mm256_castsi256_ps(_mm256_and_si256(
                                                   a, _mm256_set1_epi32(static_cast<int>(0xFFFF0000)))),
                                               b, acc)))
MOTE_PEAK_LOOP(
    Bf16Shift128, , "x", __m128, float, kChainsApart, 8, _mm_setzero_ps(), _mm_set1_epi32(0x3F803F80), _mm_set1_ps(1),
    _mm_add_ps(_mm_mul_ps(_mm_castsi128_ps(_mm_slli_epi32(MOTE_HIDE("x", a), 16)), b),
               _mm_add_ps(_mm_mul_ps(_mm_castsi128_ps(_mm_and_si128(a, _mm_set1_epi32(static_cast<int>(0xFFFF0000)))),
                                     b),
                          acc)))

// 0x3C00 is 1 in float16.
MOTE_PEAK_LOOP(F16Fma512, MOTE_AVX512, "v", __m512, float, kChainsZmm, 16, _mm512_setzero_ps(),
               _mm256_set1_epi16(0x3C00), _mm512_set1_ps(1),
               _mm512_fmadd_ps(_mm512_cvtph_ps(MOTE_HIDE("v", a)), b, acc))
MOTE_PEAK_LOOP(F16Fma256, MOTE_F16C, "x", __m256, float, kChainsVex, 8, _mm256_setzero_ps(), _mm_set1_epi16(0x3C00),
               _mm256_set1_ps(1), _mm256_fmadd_ps(_mm256_cvtph_ps(MOTE_HIDE("x", a)), b, acc))

MOTE_PEAK_LOOP(F32Fma512, MOTE_AVX512, "v", __m512, float, kChainsZmm, 16, _mm512_setzero_ps(), _mm512_set1_ps(1),
               _mm512_set1_ps(1), _mm512_fmadd_ps(a, b, acc))
MOTE_PEAK_LOOP(F32Fma256, MOTE_AVX2, "x", __m256, float, kChainsVex, 8, _mm256_setzero_ps(), _mm256_set1_ps(1),
               _mm256_set1_ps(1), _mm256_fmadd_ps(a, b, acc))
MOTE_PEAK_LOOP(F32MulAdd128, , "x", __m128, float, kChainsApart, 4, _mm_setzero_ps(), _mm_set1_ps(1), _mm_set1_ps(1),
               _mm_add_ps(acc, _mm_mul_ps(MOTE_HIDE("x", a), b)))

// Four tiles of sums, each of 16 x 16, in registers 0 to 3; all operands are 1. Whoever has not been given the tiles by
// the system (targets/cpu/cpu_info.h) may not call it.
struct alignas(64) FourTiles {
  static constexpr size_t kSums = 16 * 16;
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16};

  // `first`, `second`: operands, 1 KiB each.
  void Begin(const void* first, const void* second) const {
    asm volatile(
        "ldtilecfg %0\n\ttilezero %%tmm0\n\ttilezero %%tmm1\n\ttilezero %%tmm2\n\ttilezero %%tmm3\n\t"
        "tileloadd (%1,%3,1), %%tmm4\n\ttileloadd (%2,%3,1), %%tmm5"
        :
        : "m"(*this), "r"(first), "r"(second), "r"(size_t{64})
        : "memory");
  }
  // `sums`: 4 KiB.
  static void End(void* sums) {
    asm volatile(
        "tilestored %%tmm0, (%0,%1,1)\n\ttilestored %%tmm1, 1024(%0,%1,1)\n\ttilestored %%tmm2, 2048(%0,%1,1)\n\t"
        "tilestored %%tmm3, 3072(%0,%1,1)\n\ttilerelease"
        :
        : "r"(sums), "r"(size_t{64})
        : "memory");
  }
};

PeakCount Int8Tiles(uint64_t rounds) {
  constexpr size_t kValues = 64;
  alignas(64) int8_t threes[FourTiles::kSums * 4], minus_twos[FourTiles::kSums * 4];
  memset(threes, 3, sizeof(threes));
  memset(minus_twos, -2, sizeof(minus_twos));
  const FourTiles tiles;
  tiles.Begin(threes, minus_twos);
  for (uint64_t round = 0; round < rounds; ++round) {
    asm volatile(
        "tdpbusd %%tmm5, %%tmm4, %%tmm0\n\ttdpbusd %%tmm5, %%tmm4, %%tmm1\n\t"
        "tdpbusd %%tmm5, %%tmm4, %%tmm2\n\ttdpbusd %%tmm5, %%tmm4, %%tmm3"
        :
        :
        :);
  }
  alignas(64) int32_t sums[4 * FourTiles::kSums];
  FourTiles::End(sums);
  double sum = 0;
  for (const int32_t one : sums) sum += static_cast<double>(one);
  return {rounds * 4 * FourTiles::kSums * kValues * 2, sum};
}

PeakCount Bf16Tiles(uint64_t rounds) {
  constexpr size_t kSums = FourTiles::kSums, kValues = 32;
  alignas(64) uint16_t ones[kSums * 2];
  for (uint16_t& one : ones) one = 0x3F80;
  const FourTiles tiles;
  tiles.Begin(ones, ones);
  for (uint64_t round = 0; round < rounds; ++round) {
    asm volatile(
        "tdpbf16ps %%tmm5, %%tmm4, %%tmm0\n\ttdpbf16ps %%tmm5, %%tmm4, %%tmm1\n\t"
        "tdpbf16ps %%tmm5, %%tmm4, %%tmm2\n\ttdpbf16ps %%tmm5, %%tmm4, %%tmm3"
        :
        :
        :);
  }
  alignas(64) float sums[4 * kSums];
  FourTiles::End(sums);
  double sum = 0;
  for (const float one : sums) sum += static_cast<double>(one);
  return {rounds * 4 * kSums * kValues * 2, sum};
}

MOTE_PEAK_READ(ReadSum512, MOTE_AVX512, __m512i, _mm512_setzero_si512(), _mm512_load_si512, _mm512_add_epi64)
#define MOTE_LOAD256(p) _mm256_load_si256(reinterpret_cast<const __m256i*>(p))
MOTE_PEAK_READ(ReadSum256, MOTE_AVX2, __m256i, _mm256_setzero_si256(), MOTE_LOAD256, _mm256_add_epi64)
#define MOTE_LOAD128(p) _mm_load_si128(reinterpret_cast<const __m128i*>(p))
MOTE_PEAK_READ(ReadSum128, , __m128i, _mm_setzero_si128(), MOTE_LOAD128, _mm_add_epi64)

}  // namespace

void AddX86Peaks(std::vector<PeakLoop>& loops, std::vector<ReadLoop>& reads) {
  loops.insert(loops.end(), {
                                {PeakKind::kInt8, "vpdpbusd zmm", "avx512f avx512bw avx512vl avx512_vnni", Int8Vnni512},
                                {PeakKind::kInt8, "vpdpbusd ymm", "avx2 avx_vnni", Int8Vnni256},
                                {PeakKind::kInt8, "vpmaddubsw zmm", "avx512f avx512bw avx512vl", Int8Madd512},
                                {PeakKind::kInt8, "vpmaddubsw ymm", "avx2 fma", Int8Madd256},
                                {PeakKind::kInt8, "pmaddubsw xmm", "ssse3", Int8Madd128},
                                {PeakKind::kBf16, "vdpbf16ps zmm", "avx512f avx512bw avx512vl avx512_bf16", Bf16Dot512},
                                {PeakKind::kBf16, "vpslld, vfmadd zmm", "avx512f avx512bw avx512vl", Bf16Shift512},
                                {PeakKind::kBf16, "vpslld, vfmadd ymm", "avx2 fma", Bf16Shift256},
                                {PeakKind::kBf16, "pslld, mulps, addps xmm", "", Bf16Shift128},
                                {PeakKind::kF16, "vcvtph2ps, vfmadd zmm", "avx512f avx512bw avx512vl", F16Fma512},
                                {PeakKind::kF16, "vcvtph2ps, vfmadd ymm", "avx2 fma f16c", F16Fma256},
                                {PeakKind::kTile, "tdpbf16ps", "avx512_vnni amx_tile amx_bf16", Bf16Tiles},
                                {PeakKind::kTileInt8, "tdpbusd", "avx512_vnni amx_tile amx_int8", Int8Tiles},
                                {PeakKind::kF32, "vfmadd zmm", "avx512f avx512bw avx512vl", F32Fma512},
                                {PeakKind::kF32, "vfmadd ymm", "avx2 fma", F32Fma256},
                                {PeakKind::kF32, "mulps, addps xmm", "", F32MulAdd128},
                            });
  reads.insert(reads.end(), {
                                {"512 bit", "avx512f avx512bw avx512vl", ReadSum512},
                                {"256 bit", "avx2 fma", ReadSum256},
                                {"128 bit", "", ReadSum128},
                            });
}

}  // namespace mote::simd

#else

namespace mote::simd {
void AddX86Peaks(std::vector<PeakLoop>&, std::vector<ReadLoop>&) {}
}  // namespace mote::simd

#endif
