// Matrix products with weights of type F32, and the table of all types.
#include "targets/cuda/launch.h"
#include "targets/cuda/matmul_float.cuh"
#include "targets/cuda/matmul_launch.cuh"

namespace mote::cuda {

using MatMulLauncher = void(const MatMulArgs& args, uint32_t tokens, uint32_t experts, void* stream);
MatMulLauncher LaunchMatMul_q4_0, LaunchMatMul_q4_1, LaunchMatMul_q5_0, LaunchMatMul_q5_1, LaunchMatMul_q8_0,
    LaunchMatMul_q2_k, LaunchMatMul_q3_k, LaunchMatMul_q4_k, LaunchMatMul_q5_k, LaunchMatMul_q6_k, LaunchMatMul_iq4_nl,
    LaunchMatMul_iq4_xs, LaunchMatMul_mxfp4, LaunchMatMul_i8, LaunchMatMul_f16, LaunchMatMul_bf16;

namespace {

void LaunchF32(MatMulArgs args, uint32_t tokens, uint32_t experts, void* stream) {
  const uint32_t tiles = NumberTiles(&args, kFloatRows);
  const Grid grid{tiles, experts != 0 ? experts : (tokens + kFloatTokens - 1) / kFloatTokens, 1};
  const auto kernel = &FloatWeightsKernel;
  MOTE_LAUNCH(kernel, grid, kFloatThreads, 0, stream, args);
}

MatMulLauncher* LauncherOf(DType type) {
  switch (type) {
    case DType::kQ4_0:
      return LaunchMatMul_q4_0;
    case DType::kQ4_1:
      return LaunchMatMul_q4_1;
    case DType::kQ5_0:
      return LaunchMatMul_q5_0;
    case DType::kQ5_1:
      return LaunchMatMul_q5_1;
    case DType::kQ8_0:
      return LaunchMatMul_q8_0;
    case DType::kQ2_K:
      return LaunchMatMul_q2_k;
    case DType::kQ3_K:
      return LaunchMatMul_q3_k;
    case DType::kQ4_K:
      return LaunchMatMul_q4_k;
    case DType::kQ5_K:
      return LaunchMatMul_q5_k;
    case DType::kQ6_K:
      return LaunchMatMul_q6_k;
    case DType::kIQ4_NL:
      return LaunchMatMul_iq4_nl;
    case DType::kIQ4_XS:
      return LaunchMatMul_iq4_xs;
    case DType::kMXFP4:
      return LaunchMatMul_mxfp4;
    case DType::kI8Row:
      return LaunchMatMul_i8;
    case DType::kF16:
      return LaunchMatMul_f16;
    case DType::kBF16:
      return LaunchMatMul_bf16;
    default:
      return nullptr;
  }
}

}  // namespace

bool LaunchMatMul(DType type, MatMulArgs args, uint32_t tokens, uint32_t experts, void* stream) {
  if (type == DType::kF32) {
    LaunchF32(args, tokens, experts, stream);
    return true;
  }
  MatMulLauncher* launch = LauncherOf(type);
  if (launch == nullptr) return false;
  launch(args, tokens, experts, stream);
  return true;
}

}  // namespace mote::cuda
