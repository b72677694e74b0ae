// Running kernels of the emulated GPU on vectors of the host: its memory is the heap's.
#ifndef MOTE_TESTS_CUDA_KERNELS_H_
#define MOTE_TESTS_CUDA_KERNELS_H_

#include <gtest/gtest.h>
#include <string.h>

#include <random>
#include <string>
#include <vector>

#include "simd/kernels.h"
#include "targets/cuda/launch.h"
#include "targets/cuda/packed.h"
#include "targets/cuda/row_plan.h"
#include "targets/cuda/runtime.h"
#include "tests/cuda/emulator/emulator.h"

namespace mote::testing {

// Bytes of the device, zero at first, aligned as its allocations are, ending where they end.
class DeviceBytes {
 public:
  explicit DeviceBytes(uint64_t bytes) : bytes_(bytes) {
    void* data = nullptr;
    EXPECT_EQ(cuda::Allocate(bytes, &data), nullptr);
    data_ = static_cast<uint8_t*>(data);
    memset(data_, 0, bytes);
  }
  ~DeviceBytes() { cuda::Free(data_); }
  DeviceBytes(const DeviceBytes&) = delete;
  DeviceBytes& operator=(const DeviceBytes&) = delete;
  uint8_t* data() { return data_; }
  template <class T>
  T* As() {
    return reinterpret_cast<T*>(data_);
  }
  uint64_t size() const { return bytes_; }

 private:
  uint8_t* data_ = nullptr;
  uint64_t bytes_;
};

class DeviceStream {
 public:
  DeviceStream() { EXPECT_EQ(cuda::CreateStream(&stream_), nullptr); }
  ~DeviceStream() { cuda::DestroyStream(stream_); }
  void* get() { return stream_; }

 private:
  void* stream_ = nullptr;
};

// Operations on `rows` rows of every kind; `step` may be empty, or hold what they read of it.
inline void RunRows(const std::vector<cuda::RowOp>& ops, uint32_t rows, cuda::StepArgs step = {}, uint32_t merge = 1,
                    uint32_t read_from = 0) {
  DeviceStream stream;
  DeviceBytes counts(sizeof(cuda::StepCounts)), on_device(sizeof(step));
  for (uint32_t& count : counts.As<cuda::StepCounts>()->rows) count = rows;
  counts.As<cuda::StepCounts>()->read_from = read_from;
  step.counts = counts.As<cuda::StepCounts>();
  memcpy(on_device.data(), &step, sizeof(step));
  cuda::RowFacts facts;
  facts.step = on_device.As<cuda::StepArgs>();
  facts.counts = counts.As<cuda::StepCounts>();
  for (uint64_t& most : facts.rows) most = rows;
  facts.merge = merge;
  for (const cuda::RowArgs& args : cuda::PlanRows(ops, facts)) cuda::LaunchRows(args, rows, stream.get());
}

inline cuda::RowOp QuantizeOp(const float* in, uint32_t cols, cuda::Acts acts, uint8_t* out) {
  cuda::RowOp op = {};
  op.kind = cuda::RowOpKind::kQuantize;
  op.cols = cols;
  op.acts = acts;
  op.in0 = in;
  op.out = reinterpret_cast<float*>(out);
  return op;
}

inline std::vector<float> RandomFloats(size_t count, uint32_t seed, float scale = 1) {
  std::minstd_rand random(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> values(count);
  for (float& v : values) v = normal(random);
  return values;
}

// What `compute` returns must not show in which order a block's threads run: a missing barrier would.
template <class Compute>
void ExpectTheSameInEveryOrder(Compute compute, const std::string& what) {
  const auto forward = compute();
  for (const auto order : {mote_emulator::Order::kReverse, mote_emulator::Order::kShuffled}) {
    mote_emulator::SetOrder(order);
    EXPECT_EQ(compute(), forward) << what;
    mote_emulator::SetOrder(mote_emulator::Order::kForward);
  }
}

}  // namespace mote::testing

#endif  // MOTE_TESTS_CUDA_KERNELS_H_
