// Matrix products with weights of type F32, and the table of all types.
#include "targets/cuda/launch.h"
#include "targets/cuda/matmul_float.cuh"
#include "targets/cuda/matmul_launch.cuh"

namespace mote::cuda {

MatMulLaunchers MatMulOf_q4_0(), MatMulOf_q4_1(), MatMulOf_q5_0(), MatMulOf_q5_1(), MatMulOf_q8_0(), MatMulOf_q2_k(),
    MatMulOf_q3_k(), MatMulOf_q4_k(), MatMulOf_q5_k(), MatMulOf_q6_k(), MatMulOf_iq4_nl(), MatMulOf_iq4_xs(),
    MatMulOf_mxfp4(), MatMulOf_i8(), MatMulOf_f16(), MatMulOf_bf16();

namespace {

void LaunchF32(MatMulArgs args, uint32_t tokens, uint32_t experts, void* stream) {
  const uint32_t tiles = NumberTiles(&args, kFloatRows);
  const Grid grid{tiles, experts != 0 ? experts : (tokens + kFloatTokens - 1) / kFloatTokens, 1};
  const auto kernel = &FloatWeightsKernel;
  MOTE_LAUNCH(kernel, grid, kFloatThreads, 0, stream, args);
}

MatMulLaunchers LaunchersOf(DType type) {
  switch (type) {
    case DType::kQ4_0:
      return MatMulOf_q4_0();
    case DType::kQ4_1:
      return MatMulOf_q4_1();
    case DType::kQ5_0:
      return MatMulOf_q5_0();
    case DType::kQ5_1:
      return MatMulOf_q5_1();
    case DType::kQ8_0:
      return MatMulOf_q8_0();
    case DType::kQ2_K:
      return MatMulOf_q2_k();
    case DType::kQ3_K:
      return MatMulOf_q3_k();
    case DType::kQ4_K:
      return MatMulOf_q4_k();
    case DType::kQ5_K:
      return MatMulOf_q5_k();
    case DType::kQ6_K:
      return MatMulOf_q6_k();
    case DType::kIQ4_NL:
      return MatMulOf_iq4_nl();
    case DType::kIQ4_XS:
      return MatMulOf_iq4_xs();
    case DType::kMXFP4:
      return MatMulOf_mxfp4();
    case DType::kI8Row:
      return MatMulOf_i8();
    case DType::kF16:
      return MatMulOf_f16();
    case DType::kBF16:
      return MatMulOf_bf16();
    default:
      return {nullptr, nullptr};
  }
}

}  // namespace

bool LaunchMatMul(DType type, MatMulArgs args, uint32_t tokens, uint32_t experts, void* stream) {
  if (type == DType::kF32) {
    LaunchF32(args, tokens, experts, stream);
    return true;
  }
  const MatMulLaunchers launchers = LaunchersOf(type);
  if (launchers.product == nullptr) return false;
  launchers.product(args, tokens, experts, stream);
  return true;
}

bool LaunchReadMatMul(DType type, const ReadArgs& args, uint32_t tokens, void* stream) {
  const MatMulLaunchers launchers = LaunchersOf(type);
  if (launchers.read == nullptr) return false;
  launchers.read(args, tokens, stream);
  return true;
}

}  // namespace mote::cuda
