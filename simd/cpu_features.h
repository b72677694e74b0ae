// Which table rows the CPU under this process can run.
#ifndef MOTE_SIMD_CPU_FEATURES_H_
#define MOTE_SIMD_CPU_FEATURES_H_

namespace mote::simd {

// Each is false on other architectures. A wasm module is validated as a whole before it runs: what was compiled in can
// run.
bool CpuHasSse4();
bool CpuHasAvx2();
bool CpuHasAvx2Vnni();
bool CpuHasAvx512();
bool CpuHasAvx512Vnni();
// With AVX-512 VNNI, the tiles of AMX and products of bfloat16. Asks the system to save the tiles for this process,
// which it does from then on.
bool CpuHasAmx();
bool CpuHasNeon();
bool CpuHasNeonDot();

}  // namespace mote::simd

#endif  // MOTE_SIMD_CPU_FEATURES_H_
