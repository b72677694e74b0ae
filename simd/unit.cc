// The products of simd/unit.h by AMX (Intel SDM volume 2: TDPBF16PS).
//
// Panels are unpacked, 32 rows of weights and a part of k at a time, into the unit's second operand: 16 rows by 16
// pairs of values, pair by pair, 1 KiB. These stay in the first-level cache (16 of its 48 KiB, beside as much of
// activations: 0.94 of the time that 32 take) while all tokens pass, 32 at a time: two tiles by two tiles are four
// sums, so that each operand that is read serves two products. From one part of k to the next the sums wait in scratch,
// whole: cutting k changes no bit. (Where the results go they lie kilobytes apart: a third of the time.) They get bias
// and activation on their way to there.
//
// One core of Granite Rapids (2026-11) does 1700 multiply-adds per ns with zeros in the first cache, 950 to 1100 with
// numbers: the clock falls with what the unit has to switch. Beside 410 of its 8-bit dot product, of which scales leave
// 60 %, and 102 of float32. Weights in blocks go at 400 to 600, all told, F16 at 170 to 250, three products each.
#include "simd/targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/unit.cc"
#include "hwy/foreach_target.h"
//
#include "simd/matmul_float-inl.h"
#include "simd/matmul_panel-inl.h"
#include "simd/row_layout.h"
#include "simd/unit-inl.h"

#if MOTE_VECTORS && HWY_TARGET == HWY_AVX3_DL && HWY_ARCH_X86_64
MOTE_BEFORE_NAMESPACE();
namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE {
namespace {

static_assert(kGemmPanels == 2 && kFloatPanelRows % kUnitRows == 0);
inline constexpr size_t kPartBytes = 16 << 10;
template <bool kLow>
inline constexpr size_t kPartValues = kPartBytes / kStepBytes<kLow>* kUnitValues;
// Rows and tokens whose sums wait from one part of k to the next, 4 KiB for 32 by 32 of them.
inline constexpr size_t kSumRows = 4 * kUnitRows;
inline constexpr size_t kSumTokens = 512;
inline constexpr size_t kBlockFloats = kUnitRows * kUnitTokens;
// Scratch: what UnpackPanel fills, a part of the weights, sums.
inline constexpr size_t kUnpackedAt = kGemmCodeBytes + 2 * kGemmScaleBytes;
inline constexpr size_t kSumsAt = kUnpackedAt + kPartBytes;
static_assert(kSumsAt + kSumRows * kSumTokens * sizeof(float) <= kUnitScratchBytes);
// Tokens that get their bias and activation together, in the first cache.
inline constexpr size_t kDoneTokens = 8;
static_assert(kPartValues<false> % 256 == 0 && kPartValues<false> <= kGemmBlocks * 32);

// ---- Activations

void Split(const float* x, size_t k, bool low, void* out) {
  uint8_t* to = static_cast<uint8_t*>(out);
  const size_t steps = UnitPadded(k) / kUnitValues;
  const auto load = [&](size_t i) HWY_ATTR {
    return i + kLanes <= k ? hn::LoadU(DF(), x + i) : i < k ? LoadPartial(DF(), x + i, k - i) : hn::Zero(DF());
  };
  for (size_t step = 0; step < steps; ++step, to += kUnitStepBytes) {
    const VF first = load(step * kUnitValues), second = load(step * kUnitValues + kLanes);
    if (!low) {
      StoreRounded(first, second, to);
      continue;
    }
    const VU32 first_high = High(first), second_high = High(second);
    StoreHalves(first_high, to);
    StoreHalves(second_high, to + kBytes / 2);
    StoreHalves(High(Rest(first, first_high)), to + steps * kUnitStepBytes);
    StoreHalves(High(Rest(second, second_high)), to + steps * kUnitStepBytes + kBytes / 2);
  }
}

// ---- Weights of 32 rows, values [begin, end) of k, to `to`

// `panel`: of floats, from the first of the 32 rows on.
template <class Format, bool kLow>
HWY_NOINLINE void UnpackFloats(const uint8_t* panel, size_t begin, size_t end, uint8_t* to) {
  constexpr size_t kValueBytes = Format::kValueBytes;
  for (size_t k = begin; k < begin + UnitPadded(end - begin); k += 2) {
    const uint8_t* from = panel + k * kFloatPanelRows * kValueBytes;
    if (k < end) PrefetchWeights(from, 2 * kUnitRows * kValueBytes, FetchAhead());
    MOTE_UNROLL for (size_t tile = 0; tile < 2; ++tile) {
      VF w[2][1] = {{hn::Zero(DF())}, {hn::Zero(DF())}};
      const uint8_t* at = from + tile * kSide * kValueBytes;
      if (k < end) Format::template Load<1>(at, w[0]);
      if (k + 1 < end) Format::template Load<1>(at + kFloatPanelRows * kValueBytes, w[1]);
      uint8_t* pair = to + (k - begin) / kUnitValues * kStepBytes<kLow> + tile * kTileBytes +
                      (k - begin) % kUnitValues / 2 * kBytes;
      StoreNumbers<kLow>(w[0][0], w[1][0], pair);
    }
  }
}

// Codes and scales of `blocks` blocks of 32 values to weights, rounded.
template <class F>
HWY_NOINLINE void DecodeBlocks(const GemmWeights& from, size_t blocks, uint8_t* to) {
  using Kind = typename Operand<F>::Kind;
  static_assert(Operand<F>::kUnsigned);
  constexpr size_t kWords = 8 / Kind::kHalves;
  const VF offset = hn::Set(DF(), Kind::kRaised ? -128.0f : 0.0f);
  const VU32 byte = hn::Set(DU32(), 255);
  const auto decode = [](VU32 code, VF scale, VF bias) HWY_ATTR {
    return PlusHalf(hn::MulAdd(hn::ConvertTo(DF(), hn::BitCast(DI32(), code)), scale, bias));
  };
  for (size_t i = 0; i < blocks * Kind::kHalves; ++i) {
    MOTE_UNROLL for (size_t tile = 0; tile < 2; ++tile) {
      const VF scale = hn::Load(DF(), from.scales + (i * kGemmPanels + tile) * kLanes);
      VF bias = hn::Mul(scale, offset);
      if constexpr (F::kHasMin) bias = hn::Sub(bias, hn::Load(DF(), from.mins + (i * kGemmPanels + tile) * kLanes));
      const uint8_t* codes = from.codes + (i * kWords * kGemmPanels + tile) * kBytes;
      uint8_t* pairs =
          to + i / Kind::kHalves * kStepBytes<false> + tile * kTileBytes + i % Kind::kHalves * kWords * 2 * kBytes;
      MOTE_UNROLL for (size_t j = 0; j < kWords; ++j) {
        const VU32 word = hn::Load(DU32(), reinterpret_cast<const uint32_t*>(codes + j * kGemmPanels * kBytes));
        const VU32 w0 = decode(hn::And(word, byte), scale, bias);
        const VU32 w1 = decode(hn::And(hn::ShiftRight<8>(word), byte), scale, bias);
        const VU32 w2 = decode(hn::And(hn::ShiftRight<16>(word), byte), scale, bias);
        const VU32 w3 = decode(hn::ShiftRight<24>(word), scale, bias);
        StorePairs(w0, w1, pairs + 2 * j * kBytes);
        StorePairs(w2, w3, pairs + (2 * j + 1) * kBytes);
      }
    }
  }
}

// ---- Products

struct UnitPart {
  const uint8_t* weights;  // unpacked
  size_t begin;            // of k
  size_t steps;
  float* sums;  // (blocks of tokens), each (32 tokens, 32 rows)
};

// Tokens [token, token + 32), or [token, token + 16) unless kTwo; the configuration knows how many of them there are.
template <int kParts, bool kTwo>
HWY_INLINE void Tokens(const UnitMatMulArgs& args, const UnitPart& part, size_t token, float* block) {
  if (part.begin == 0) {
    ZeroTiles();
  } else {
    LoadTiles<false>(block, kRowBytes);
    if constexpr (kTwo) LoadTiles<true>(block, kRowBytes);
  }
  const uint8_t* acts = static_cast<const uint8_t*>(args.acts) + token * args.act_stride_bytes;
  Steps<kParts, kTwo>(acts + part.begin / kUnitValues * kUnitStepBytes, kSide * args.act_stride_bytes,
                      UnitPadded(args.k) / kUnitValues * kUnitStepBytes, part.weights, part.steps);
  StoreTiles<false>(block, kRowBytes);
  if constexpr (kTwo) StoreTiles<true>(block, kRowBytes);
}

// Tokens [begin, end), whole blocks but for the last.
template <int kParts>
HWY_NOINLINE void AllTokens(const UnitMatMulArgs& args, const UnitPart& part, size_t begin, size_t end) {
  size_t token = begin;
  float* block = part.sums;
  if (token + kUnitTokens <= end) Configure(kUnitTokens);
  for (; token + kUnitTokens <= end; token += kUnitTokens, block += kBlockFloats) {
    Tokens<kParts, true>(args, part, token, block);
  }
  if (token == end) return;
  Configure(end - token);
  if (end - token > kSide) {
    Tokens<kParts, true>(args, part, token, block);
  } else {
    Tokens<kParts, false>(args, part, token, block);
  }
}

// Sums of rows [row, row + rows) and tokens [begin, end) to where results go. (Block by block after the last part,
// while a block is in the first cache, is no faster: 128 bytes of each row of results at a time cost what that saves.)
HWY_NOINLINE void HandOver(const UnitMatMulArgs& args, const float* sums, size_t row, size_t rows, size_t begin,
                           size_t end) {
  const DF d;
  const size_t blocks = (end - begin + kUnitTokens - 1) / kUnitTokens;
  HWY_ALIGN float bias[kSumRows] = {};
  if (args.bias != nullptr) memcpy(bias, args.bias + row, rows * sizeof(float));
  HWY_ALIGN float done[kDoneTokens * kSumRows];
  const size_t padded = (rows + kLanes - 1) / kLanes * kLanes;
  for (size_t token = begin; token < end; token += kDoneTokens) {
    const size_t tokens = end - token < kDoneTokens ? end - token : kDoneTokens;
    for (size_t t = 0; t < tokens; ++t) {
      const size_t at =
          (token + t - begin) / kUnitTokens * kBlockFloats + (token + t - begin) % kUnitTokens * kUnitRows;
      float* out = args.gate == nullptr ? args.out + (token + t) * args.out_stride + row : done + t * padded;
      for (size_t r = 0; r < rows; r += kLanes) {
        const float* from = sums + r / kUnitRows * blocks * kBlockFloats + at + r % kUnitRows;
        const VF sum = hn::Add(hn::Load(d, from), hn::Load(d, bias + r));
        args.gate == nullptr ? StoreRows(sum, out + r, rows - r) : hn::Store(sum, d, out + r);
      }
    }
    if (args.gate == nullptr) continue;
    args.gate(args.activation, done, nullptr, tokens * padded, done);
    for (size_t t = 0; t < tokens; ++t) {
      float* out = args.out + (token + t) * args.out_stride + row;
      for (size_t r = 0; r < rows; r += kLanes) StoreRows(hn::Load(d, done + t * padded + r), out + r, rows - r);
    }
  }
}

// `n` values, whole vectors: as KernelTable::gate, for what is rounded to 8 bits.
template <class Function>
HWY_INLINE void RoughGate(float* values, const float* up, size_t n, const Function& function) {
  const DF d;
  for (size_t i = 0; i < n; i += kLanes) {
    const VF y = function(hn::Load(d, values + i));
    hn::Store(up == nullptr ? y : hn::Mul(y, hn::Load(d, up + i)), d, values + i);
  }
}
HWY_NOINLINE void ActivateRoughly(const UnitMatMulArgs& args, float* values, const float* up, size_t n) {
  const DF d;
  constexpr float kLog2E = 1.44269504f;
  switch (args.activation) {
    case Activation::kSilu:
      return RoughGate(values, up, n,
                       [&](VF x) HWY_ATTR { return OverOnePlusExp2(x, hn::Mul(x, hn::Set(d, -kLog2E))); });
    case Activation::kGeluQuick:
      return RoughGate(values, up, n,
                       [&](VF x) HWY_ATTR { return OverOnePlusExp2(x, hn::Mul(x, hn::Set(d, -1.702f * kLog2E))); });
    case Activation::kGeluTanh:
      // (1 + tanh(y)) / 2 = 1 / (1 + exp(-2y)), and y = 0.79788456 (x + 0.044715 x^3).
      return RoughGate(values, up, n, [&](VF x) HWY_ATTR {
        constexpr float kFactor = -2 * 0.79788456f * kLog2E;
        const VF inner = hn::MulAdd(hn::Mul(x, x), hn::Set(d, kFactor * 0.044715f), hn::Set(d, kFactor));
        return OverOnePlusExp2(x, hn::Mul(x, inner));
      });
    case Activation::kGelu:
    case Activation::kRelu:
      return args.gate(args.activation, values, up, n, values);
  }
}

// The same of 32 rows of weights, or of fewer, as activations. `up`: sums of the second matrix; null where there is
// none.
HWY_NOINLINE void HandOverActs(const UnitMatMulArgs& args, const float* sums, const float* up, size_t row, size_t rows,
                               size_t begin, size_t end) {
  const DF d;
  if (rows > kUnitRows) rows = kUnitRows;
  HWY_ALIGN float bias[2][kUnitRows] = {};
  if (args.bias != nullptr) memcpy(bias[0], args.bias + row, rows * sizeof(float));
  if (args.up_bias != nullptr) memcpy(bias[1], args.up_bias + row, rows * sizeof(float));
  HWY_ALIGN float done[2][kBlockFloats];
  const auto add = [&](const float* from, size_t tokens, const float* to_add, float* to) HWY_ATTR {
    const VF first = hn::Load(d, to_add), second = hn::Load(d, to_add + kLanes);
    for (size_t i = 0; i < tokens * kUnitRows; i += kUnitRows) {
      hn::Store(hn::Add(hn::Load(d, from + i), first), d, to + i);
      hn::Store(hn::Add(hn::Load(d, from + i + kLanes), second), d, to + i + kLanes);
    }
  };
  for (size_t token = begin; token < end; token += kUnitTokens) {
    const size_t tokens = end - token < kUnitTokens ? end - token : kUnitTokens;
    const size_t block = (token - begin) / kUnitTokens * kBlockFloats;
    add(sums + block, tokens, bias[0], done[0]);
    if (up != nullptr) add(up + block, tokens, bias[1], done[1]);
    if (args.gate != nullptr) ActivateRoughly(args, done[0], up == nullptr ? nullptr : done[1], tokens * kUnitRows);
    for (size_t t = 0; t < tokens; ++t) {
      float* from = done[0] + t * kUnitRows;
      if (rows < kUnitRows) memset(from + rows, 0, (kUnitRows - rows) * sizeof(float));
      StoreRounded(hn::Load(d, from), hn::Load(d, from + kLanes),
                   args.out_acts + UnitRowAt(token + t, args.out_act_bytes) + row / kUnitValues * kUnitStepBytes);
    }
  }
}

// `unpack`(panels, row, begin, end, to): of 32 rows from `row` on. The activations of a part of k serve all rows of the
// sums before those of the next are fetched.
template <int kParts, class Unpack>
HWY_INLINE void Walk(const UnitMatMulArgs& args, const Unpack& unpack) {
  constexpr size_t kValues = kPartValues<(kParts > 2)>;
  uint8_t* unpacked = args.scratch + kUnpackedAt;
  float* sums = reinterpret_cast<float*>(args.scratch + kSumsAt);
  // Sums of the second matrix stand behind those of the first, 32 rows by 32 rows.
  const size_t matrices = args.up_panels == nullptr ? 1 : 2;
  const size_t sum_rows = kSumRows / matrices;
  for (size_t row = 0; row < args.rows; row += sum_rows) {
    const size_t rows = args.rows - row < sum_rows ? args.rows - row : sum_rows;
    for (size_t token = 0; token < args.m; token += kSumTokens) {
      const size_t last = args.m - token < kSumTokens ? args.m : token + kSumTokens;
      const size_t block_floats = (last - token + kUnitTokens - 1) / kUnitTokens * kBlockFloats;
      for (size_t begin = 0; begin < args.k; begin += kValues) {
        const size_t end = args.k - begin < kValues ? args.k : begin + kValues;
        for (size_t r = 0; r < rows; r += kUnitRows) {
          float* first = sums + r / kUnitRows * matrices * block_floats;
          for (size_t i = 0; i < matrices; ++i) {
            unpack(i == 0 ? args.panels : args.up_panels, row + r, begin, end, unpacked);
            const UnitPart part = {unpacked, begin, UnitPadded(end - begin) / kUnitValues, first + i * block_floats};
            AllTokens<kParts>(args, part, token, last);
          }
          if (end < args.k || args.out_acts == nullptr) continue;
          HandOverActs(args, first, matrices == 1 ? nullptr : first + block_floats, row + r, rows - r, token, last);
        }
      }
      if (args.out_acts == nullptr) HandOver(args, sums, row, rows, token, last);
    }
  }
  ReleaseTiles();
}

template <class Format, int kParts>
void UnitFloats(const UnitMatMulArgs& args) {
  Walk<kParts>(args, [&](const uint8_t* panels, size_t row, size_t begin, size_t end, uint8_t* to) HWY_ATTR {
    const uint8_t* panel = panels + row / kFloatPanelRows * kFloatPanelRows * args.k * Format::kValueBytes;
    UnpackFloats<Format, (kParts > 2)>(panel + row % kFloatPanelRows * Format::kValueBytes, begin, end, to);
  });
}

template <class F>
void UnitBlocks(const UnitMatMulArgs& args) {
  const size_t panel_bytes = ChunkBytes<F>(args.k / 32);
  const GemmWeights weights = GemmScratch(args.scratch);
  Walk<1>(args, [&](const uint8_t* all, size_t row, size_t begin, size_t end, uint8_t* to) HWY_ATTR {
    const size_t blocks = (end - begin) / 32;
    const uint8_t* panels = all + row / kPanelRows * panel_bytes;
    for (size_t p = 0; p < kGemmPanels; ++p) {
      // A pair that lacks its second panel takes the first one twice; what comes of it is not stored.
      const size_t from = args.rows - row > p * kPanelRows ? p : 0;
      const GemmWeights half = {weights.codes + p * kWordBytes, weights.scales + p * kPanelRows,
                                weights.mins + p * kPanelRows};
      const size_t chunk = begin / 32 / kChunkBlocks;
      UnpackPanel<F>(panels + from * panel_bytes + chunk * ChunkBytes<F>(kChunkBlocks), blocks, FetchAhead(), half);
    }
    DecodeBlocks<F>(weights, blocks, to);
  });
}

constexpr KernelOf<UnitMatMulFn> kFloatProducts[] = {
    {DType::kF32, UnitFloats<FormatF32, 3>},
    {DType::kF16, UnitFloats<FormatF16, 3>},
    {DType::kBF16, UnitFloats<FormatBF16, 2>},
};
constexpr KernelOf<UnitMatMulFn> kRoundedProducts[] = {
    {DType::kF32, UnitFloats<FormatF32, 1>},
    {DType::kF16, UnitFloats<FormatF16, 1>},
    {DType::kBF16, UnitFloats<FormatBF16, 1>},
};
constexpr KernelOf<UnitMatMulFn> kBlockProducts[] = {
    {DType::kQ4_0, UnitBlocks<FormatQ4_0>},     {DType::kQ4_1, UnitBlocks<FormatQ4_1>},
    {DType::kQ5_0, UnitBlocks<FormatQ5_0>},     {DType::kQ5_1, UnitBlocks<FormatQ5_1>},
    {DType::kQ8_0, UnitBlocks<FormatQ8_0>},     {DType::kQ2_K, UnitBlocks<FormatQ2_K>},
    {DType::kQ3_K, UnitBlocks<FormatQ3_K>},     {DType::kQ4_K, UnitBlocks<FormatQ4_K>},
    {DType::kQ5_K, UnitBlocks<FormatQ5_K>},     {DType::kQ6_K, UnitBlocks<FormatQ6_K>},
    {DType::kIQ4_NL, UnitBlocks<FormatIQ4_NL>}, {DType::kIQ4_XS, UnitBlocks<FormatIQ4_XS>},
    {DType::kMXFP4, UnitBlocks<FormatMXFP4>},
};
constexpr UnitKernels WithProducts(UnitKernels kernels) {
  for (const auto& [type, run] : kFloatProducts) kernels.matmul[MatMulIndex(type)] = run;
  for (const auto& [type, run] : kRoundedProducts) kernels.rounded_matmul[MatMulIndex(type)] = run;
  for (const auto& [type, run] : kBlockProducts) {
    kernels.matmul[MatMulIndex(type)] = run;
    kernels.rounded_matmul[MatMulIndex(type)] = run;
  }
  return kernels;
}

}  // namespace

void UnitAttention(const AttentionArgs& args);
void RoundedUnitAttention(const AttentionArgs& args);
void CachePanelOfKeys(const float* x, size_t stride, size_t dim, uint8_t* panel);

extern const UnitKernels kUnitRow;
constinit const UnitKernels kUnitRow = WithProducts({.split = Split,
                                                     .attention = UnitAttention,
                                                     .rounded_attention = RoundedUnitAttention,
                                                     .cache_key_panel = CachePanelOfKeys});

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
