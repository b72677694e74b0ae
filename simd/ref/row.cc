// The table row "scalar".
#include "simd/ref/reference.h"
#include "simd/row_layout.h"

namespace mote::simd::ref {
namespace {

constexpr WeightKernel kMatMul[] = {
    {DType::kF32, MatMul<DType::kF32>},
    {DType::kF16, MatMul<DType::kF16>},
    {DType::kBF16, MatMul<DType::kBF16>},
    {DType::kQ4_0, MatMul<DType::kQ4_0>},
    {DType::kQ4_1, MatMul<DType::kQ4_1>},
    {DType::kQ5_0, MatMul<DType::kQ5_0>},
    {DType::kQ5_1, MatMul<DType::kQ5_1>},
    {DType::kQ8_0, MatMul<DType::kQ8_0>},
    {DType::kQ2_K, MatMul<DType::kQ2_K>},
    {DType::kQ3_K, MatMul<DType::kQ3_K>},
    {DType::kQ4_K, MatMul<DType::kQ4_K>},
    {DType::kQ5_K, MatMul<DType::kQ5_K>},
    {DType::kQ6_K, MatMul<DType::kQ6_K>},
    {DType::kIQ4_NL, MatMul<DType::kIQ4_NL>},
    {DType::kIQ4_XS, MatMul<DType::kIQ4_XS>},
    {DType::kMXFP4, MatMul<DType::kMXFP4>},
    {DType::kI8Row, MatMulI8},
};

}  // namespace

constinit const KernelTable kRow = WithMatMul({.name = "scalar",
                                               .vector_bytes = 4,
                                               .panel_rows = 1,
                                               .float_panel_rows = 1,
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
                                               .resize_rows = ResizeRows,
                                               .blend_rows = BlendRows},
                                              kMatMul);

}  // namespace mote::simd::ref
