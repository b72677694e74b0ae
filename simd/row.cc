// The table row of each instruction set.
#include "simd/targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/row.cc"
#include "hwy/foreach_target.h"
//
#include "simd/dot-inl.h"
#include "simd/kernel_list-inl.h"
#include "simd/pixels/pixels.h"
#include "simd/ref/reference.h"
#include "simd/row_layout.h"

#if MOTE_VECTORS
namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE {
namespace {

constexpr WeightKernel kMatMul[] = {
    {DType::kF32, MatMulF32},     {DType::kF16, MatMulF16},       {DType::kBF16, MatMulBF16},
    {DType::kQ4_0, MatMulQ4_0},   {DType::kQ4_1, MatMulQ4_1},     {DType::kQ5_0, MatMulQ5_0},
    {DType::kQ5_1, MatMulQ5_1},   {DType::kQ8_0, MatMulQ8_0},     {DType::kQ2_K, MatMulQ2_K},
    {DType::kQ3_K, MatMulQ3_K},   {DType::kQ4_K, MatMulQ4_K},     {DType::kQ5_K, MatMulQ5_K},
    {DType::kQ6_K, MatMulQ6_K},   {DType::kIQ4_NL, MatMulIQ4_NL}, {DType::kIQ4_XS, MatMulIQ4_XS},
    {DType::kMXFP4, MatMulMXFP4}, {DType::kI8Row, MatMulI8},
};

#if HWY_TARGET == HWY_SSE4
constexpr const char* kName = "sse4";
#elif HWY_TARGET == HWY_AVX2 && defined(MOTE_AVX_VNNI)
constexpr const char* kName = "avx2_vnni";
#elif HWY_TARGET == HWY_AVX2
constexpr const char* kName = "avx2";
#elif HWY_TARGET == HWY_AVX3
constexpr const char* kName = "avx512";
#elif HWY_TARGET == HWY_AVX3_DL
constexpr const char* kName = "avx512_vnni";
#elif HWY_TARGET == MOTE_TARGET_NEON && defined(__ARM_FEATURE_DOTPROD)
constexpr const char* kName = "neon_dot";
#elif HWY_TARGET == MOTE_TARGET_NEON
constexpr const char* kName = "neon";
#elif HWY_TARGET == HWY_WASM && defined(__wasm_relaxed_simd__)
constexpr const char* kName = "wasm_relaxed";
#elif HWY_TARGET == HWY_WASM
constexpr const char* kName = "wasm";
#else
#error "An instruction set without a name: disable it in targets.h, or name it here and in dispatch.cc"
#endif

// Pictures: xsimd's instruction sets (simd/pixels), the nearest below ours.
#if HWY_TARGET == HWY_SSE4 && HWY_ARCH_X86_64
namespace pixels = ::mote::simd::pixels_sse4;
#elif HWY_ARCH_X86_64
namespace pixels = ::mote::simd::pixels_avx2;
#elif HWY_ARCH_ARM_A64
namespace pixels = ::mote::simd::pixels_neon;
#else
namespace pixels = ::mote::simd::ref;
#endif

void Pack(const PackArgs& args) {
  PackPanels(args, UsesFloats(args.type) ? kLanes * kFloatPanelVectors : kLanes, kDotTakesU8);
}

constexpr KernelTable kKernels = WithMatMul({.name = kName,
                                             .vector_bytes = HWY_MAX_BYTES,
                                             .panel_rows = kLanes,
                                             .float_panel_rows = kLanes * kFloatPanelVectors,
                                             .pack = Pack,
                                             .matmul = {},
                                             .quantize_a8 = QuantizeA8,
                                             .quantize_r8 = QuantizeR8,
                                             .rms_norm = RmsNorm,
                                             .layer_norm = LayerNorm,
                                             .rope_adjacent = RopeAdjacent,
                                             .rope_split = RopeSplit,
                                             .attention = Attention,
                                             .attention_split = AttentionSplit,
                                             .attention_join = AttentionJoin,
                                             .cache_key = CacheKey,
                                             .cache_value = CacheValue,
                                             .gate = Gate,
                                             .add = Add,
                                             .mul = Mul,
                                             .scale = Scale,
                                             .add_scaled = AddScaled,
                                             .softcap = Softcap,
                                             .softmax = Softmax,
                                             .f32_to_f16 = F32ToF16Row,
                                             .f16_to_f32 = F16ToF32Row,
                                             .top_k = TopK,
                                             .max = Max,
                                             .resize_rows = pixels::ResizeRows,
                                             .blend_rows = pixels::BlendRows},
                                            kMatMul);

}  // namespace

constinit const KernelTable kRow = kKernels;
#if HWY_TARGET == HWY_AVX3_DL && HWY_ARCH_X86_64
// The same kernels, but for whole numbers by the unit; beside them those of simd/unit.cc.
extern const KernelTable kAmxRow;
constinit const KernelTable kAmxRow = [] {
  KernelTable row = kKernels;
  row.name = "avx512_amx";
  row.matmul[MatMulIndex(DType::kI8Row)] = MatMulI8Unit;
  return row;
}();
#endif

}  // namespace mote::simd::MOTE_VARIANT::HWY_NAMESPACE
#endif
