// Four floats at once, in the vectors that GCC and Clang give every target (SSE2, NEON, wasm). Plain loops over lanes
// come out of GCC 12 as chains of shuffles; these do not. The bits are those of the scalar operations.
#ifndef MOTE_QUANT_VEC4_H_
#define MOTE_QUANT_VEC4_H_

#include <string.h>

namespace mote {

using Vec4 = float __attribute__((vector_size(16)));

inline Vec4 Load4(const float* from) {
  Vec4 out;
  memcpy(&out, from, sizeof(out));
  return out;
}

inline Vec4 Splat4(float x) {
  return Vec4{x, x, x, x};
}

// In the order of these operands, so that -0 and 0 are told apart as Clamp tells them.
inline Vec4 Clamp4(Vec4 x, Vec4 low, Vec4 high) {
  const Vec4 raised = low > x ? low : x;
  return high < raised ? high : raised;
}

// Round to nearest even for |x| < 2^22.
inline Vec4 RoundSmall4(Vec4 x) {
  const Vec4 magic = Splat4(12582912.0f);  // 1.5 * 2^23
  return (x + magic) - magic;
}

// Eight running sums, added up in one fixed order: the same bits on every target.
struct Lanes8 {
  Vec4 low = {};
  Vec4 high = {};
  float Sum() const {
    const Vec4 sum = low + high;
    return (sum[0] + sum[2]) + (sum[1] + sum[3]);
  }
};

}  // namespace mote

#endif  // MOTE_QUANT_VEC4_H_
