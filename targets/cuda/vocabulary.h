// The small vocabulary that every kernel is written in. On a GPU it is CUDA's own; in the tests a forced include
// (tests/cuda/emulator/emulator.h) defines the same words for the CPU, and the same kernel sources are run there.
//
// Kernels use nothing else of CUDA: no static shared memory, no atomics on floats, no library. Halves travel as bits.
#ifndef MOTE_TARGETS_CUDA_VOCABULARY_H_
#define MOTE_TARGETS_CUDA_VOCABULARY_H_

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__CUDACC__)

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#define MOTE_DEVICE static __device__ __forceinline__
// At most so many threads in a block, and at least so many blocks on a multiprocessor: what registers are given out by.
#define MOTE_KERNEL(threads, blocks) static __global__ void __launch_bounds__(threads, blocks)
#define MOTE_LAUNCH(kernel, grid, threads, shared, stream, ...) \
  ::mote::cuda::Launch(kernel, dim3((grid).x, (grid).y, (grid).z), threads, shared, stream, __VA_ARGS__)
// A block for each multiprocessor, all of them there at once, of `teams` times `threads` threads (threadIdx.y, .x).
#define MOTE_LAUNCH_RESIDENT(kernel, blocks, threads, teams, shared, stream, ...) \
  ::mote::cuda::LaunchResident(kernel, blocks, dim3(threads, teams, 1), shared, stream, __VA_ARGS__)
#define MOTE_RESIDENT_BLOCKS(kernel, threads, shared) ::mote::cuda::ResidentBlocks(kernel, threads, shared)
// More shared memory than 48 KiB has to be asked for, of a kernel and a device, which belong to all models and threads:
// so always all that a block of the stream's device may have (kernels have none that is static).
#define MOTE_ALLOW_SHARED(kernel, of_stream)               \
  cudaFuncSetAttribute(                                    \
      kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, \
      static_cast<int>(static_cast<const ::mote::cuda::LaunchStream*>(of_stream)->block_shared_bytes))

namespace mote::cuda {

// What is behind the streams of runtime.h: a stream, and facts of its device that every launch asks for.
struct LaunchStream {
  cudaStream_t stream;
  // A kernel may be started while the one before it still runs: these kernels were compiled for GPUs that can, and only
  // then know WaitForPrevious.
  bool overlaps;
  uint32_t multiprocessors;
  uint32_t block_shared_bytes;  // that a block may have, asked for
  bool behind_resident;         // the last kernel was one of LaunchResident's
};

template <class Args>
void Launch(void (*kernel)(Args), dim3 grid, unsigned threads, size_t shared, void* stream, const Args& args) {
  LaunchStream& own = *static_cast<LaunchStream*>(stream);
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = dim3(threads, 1, 1);
  config.dynamicSmemBytes = shared;
  config.stream = own.stream;
  cudaLaunchAttribute overlap = {};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  config.attrs = &overlap;
  config.numAttrs = own.overlaps && !own.behind_resident ? 1 : 0;  // what overlaps with those is said nowhere
  own.behind_resident = false;
  cudaLaunchKernelEx(&config, kernel, args);
}

template <class Args>
void LaunchResident(void (*kernel)(Args), uint32_t blocks, dim3 threads, size_t shared, void* stream,
                    const Args& args) {
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(blocks, 1, 1);
  config.blockDim = threads;
  config.dynamicSmemBytes = shared;
  LaunchStream& own = *static_cast<LaunchStream*>(stream);
  config.stream = own.stream;
  own.behind_resident = true;
  cudaLaunchAttribute together = {};
  together.id = cudaLaunchAttributeCooperative;
  together.val.cooperative = 1;
  config.attrs = &together;
  config.numAttrs = 1;
  cudaLaunchKernelEx(&config, kernel, args);
}

// Blocks of such a kernel that a multiprocessor has room for; 0 too where a device cannot have them all at once.
template <class Args>
uint32_t ResidentBlocks(void (*kernel)(Args), uint32_t threads, size_t shared) {
  int device = 0, can = 0, blocks = 0;
  if (cudaGetDevice(&device) != cudaSuccess) return 0;
  if (cudaDeviceGetAttribute(&can, cudaDevAttrCooperativeLaunch, device) != cudaSuccess || can == 0) return 0;
  const auto error = cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel, static_cast<int>(threads), shared);
  return error == cudaSuccess ? static_cast<uint32_t>(blocks) : 0;
}

// Every kernel says both before it reads or writes what others do. The next kernel's blocks may then take their places
// while this one runs, and fetch what never changes (weights); and no kernel is over before those before it are.
MOTE_DEVICE void LetNextBegin() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;\n" ::: "memory");
#endif
}
MOTE_DEVICE void WaitForPrevious() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;\n" ::: "memory");
#endif
}

extern __shared__ __align__(16) uint8_t mote_shared[];

MOTE_DEVICE uint8_t* SharedMemory() {
  return mote_shared;
}
// In files of kernels whose blocks are several teams (persistent.cuh), each of which is a block to the functions that
// it shares with others: the own team's threads. All of a block's are SyncTeams.
MOTE_DEVICE void SyncBlock() {
#if defined(MOTE_TEAMS)
  asm volatile("bar.sync %0, %1;\n" ::"r"(threadIdx.y + 1), "r"(blockDim.x) : "memory");
#else
  __syncthreads();
#endif
}
MOTE_DEVICE void SyncTeams() {
  __syncthreads();
}
MOTE_DEVICE void SyncWarp() {
  __syncwarp();
}
// Adds one to a word of device memory, and says what it was: of blocks that write something and then come here, the one
// that comes last sees with LoadFresh what all wrote. By one lane, between two words that a warp meets at.
MOTE_DEVICE uint32_t Arrive(uint32_t* arrived) {
  uint32_t before = 0;
#if __CUDA_ARCH__ >= 700
  asm volatile("atom.add.acq_rel.gpu.global.u32 %0, [%1], 1;\n" : "=r"(before) : "l"(arrived) : "memory");
#endif
  return before;
}
// The same for who need not know what it was, and has nothing to read.
MOTE_DEVICE void ArriveOnly(uint32_t* arrived) {
#if __CUDA_ARCH__ >= 700
  asm volatile("red.release.gpu.global.add.u32 [%0], 1;\n" ::"l"(arrived) : "memory");
#endif
}
// Of blocks that stand on the GPU at once: what all that come here before have written is seen by who has waited until
// so many are there. By one thread, between barriers of those that write and read.
MOTE_DEVICE void AwaitArrivals(const uint32_t* arrived, uint32_t count) {
#if __CUDA_ARCH__ >= 700
  uint32_t there = 0;
  do {  // an acquire each time would empty the first-level cache each time
    asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];\n" : "=r"(there) : "l"(arrived) : "memory");
  } while (there < count);
  asm volatile("fence.acq_rel.gpu;\n" ::: "memory");
#endif
}
// Past the first-level cache: what others may have written since the kernel began, or will yet write beside it.
template <class T>
MOTE_DEVICE T LoadFresh(const T* p) {
  return __ldcg(p);
}
// The value of lane (own lane ^ mask).
MOTE_DEVICE float ShuffleXor(float x, int mask) {
  return __shfl_xor_sync(0xffffffffu, x, mask);
}
MOTE_DEVICE uint32_t ShuffleFrom(uint32_t x, int lane) {
  return __shfl_sync(0xffffffffu, x, lane);
}
// Of all lanes, for all of them.
MOTE_DEVICE uint32_t WarpAdd(uint32_t x) {
#if __CUDA_ARCH__ >= 800
  return __reduce_add_sync(0xffffffffu, x);
#else
  for (int mask = 16; mask > 0; mask /= 2) x += __shfl_xor_sync(0xffffffffu, x, mask);
  return x;
#endif
}
// Lanes with the same x as the own, as bits.
MOTE_DEVICE uint32_t LanesLike(uint32_t x) {
  return __match_any_sync(0xffffffffu, x);
}
MOTE_DEVICE uint32_t CountBits(uint32_t x) {
  return static_cast<uint32_t>(__popc(x));
}
// Byte i of the result is byte (selector >> 4i & 7) of the eight in low and high.
MOTE_DEVICE uint32_t PickBytes(uint32_t low, uint32_t high, uint32_t selector) {
  return __byte_perm(low, high, selector);
}
MOTE_DEVICE float HalfToFloat(uint32_t bits) {
  return __half2float(__ushort_as_half(static_cast<unsigned short>(bits)));
}
MOTE_DEVICE uint16_t FloatToHalf(float x) {
  return __half_as_ushort(__float2half_rn(x));
}
// Two of them, the first in the low bits.
MOTE_DEVICE uint32_t FloatsToHalves(float low, float high) {
  const __half2 both = __floats2half2_rn(low, high);
  return *reinterpret_cast<const uint32_t*>(&both);
}
MOTE_DEVICE float BitsToFloat(uint32_t bits) {
  return __uint_as_float(bits);
}
MOTE_DEVICE uint32_t FloatToBits(float x) {
  return __float_as_uint(x);
}
MOTE_DEVICE int RoundToInt(float x) {
  return __float2int_rn(x);
}
// 16 bytes from global to shared memory, in the background where the GPU can; both aligned to 16.
MOTE_DEVICE void CopyAsync16(void* shared, const void* global) {
#if __CUDA_ARCH__ >= 800
  const uint32_t to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;\n" ::"r"(to), "l"(global) : "memory");
#else
  *static_cast<uint4*>(shared) = *static_cast<const uint4*>(global);
#endif
}
// The same of what lies kOffset bytes behind both, for an instruction has room for that.
template <int kOffset>
MOTE_DEVICE void CopyAsync16Behind(void* shared, const void* global) {
#if __CUDA_ARCH__ >= 800
  const uint32_t to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0 + %2], [%1 + %2], 16;\n" ::"r"(to), "l"(global), "n"(kOffset) : "memory");
#else
  CopyAsync16(static_cast<uint8_t*>(shared) + kOffset, static_cast<const uint8_t*>(global) + kOffset);
#endif
}
// The same of 8 bytes, aligned to 8.
MOTE_DEVICE void CopyAsync8(void* shared, const void* global) {
#if __CUDA_ARCH__ >= 800
  const uint32_t to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.ca.shared.global [%0], [%1], 8;\n" ::"r"(to), "l"(global) : "memory");
#else
  *static_cast<uint2*>(shared) = *static_cast<const uint2*>(global);
#endif
}
MOTE_DEVICE void CommitCopies() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;\n" ::: "memory");
#endif
}
// All but the last kPending groups have arrived, for this thread.
template <int kPending>
MOTE_DEVICE void WaitCopies() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;\n" ::"n"(kPending) : "memory");
#endif
}

}  // namespace mote::cuda

#elif !defined(MOTE_CUDA_EMULATED)
#error "kernels are compiled by nvcc, or with tests/cuda/emulator/emulator.h included first"
#endif

namespace mote::cuda {

inline constexpr int kWarp = 32;

// Read once: past the first-level cache, 128 bits at a time.
MOTE_DEVICE uint4 LoadStreaming(const uint4* p) {
#if defined(__CUDACC__)
  return __ldcs(p);
#else
  return *p;
#endif
}

// The first byte from `shared` on that is aligned to `bytes`, a power of two.
MOTE_DEVICE uint8_t* AlignShared(uint8_t* shared, uint32_t bytes) {
#if defined(__CUDACC__)
  const uint32_t at = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
#else
  const uintptr_t at = reinterpret_cast<uintptr_t>(shared);
#endif
  return shared + (bytes - at % bytes) % bytes;
}

MOTE_DEVICE uint16_t FloatToBf16(float x) {
  uint32_t bits = FloatToBits(x);
  if (x != x) return static_cast<uint16_t>(bits >> 16 | 0x40);
  bits += 0x7fff + (bits >> 16 & 1);
  return static_cast<uint16_t>(bits >> 16);
}

}  // namespace mote::cuda

#endif  // MOTE_TARGETS_CUDA_VOCABULARY_H_
