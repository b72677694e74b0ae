// Figures of GPUs from NVIDIA's library, which here is one of our own.
#include "edge/server/ops/gpus.h"

#include <gtest/gtest.h>

namespace mote::server {
namespace {

TEST(GpuSensors, TellWhatTheLibraryTells) {
  const GpuSensors sensors(MOTE_FAKE_NVML);
  EXPECT_EQ(sensors.reason(), "");
  ASSERT_EQ(sensors.count(), 1u);
  GpuDevice device;
  sensors.Read(0, &device);
  EXPECT_EQ(device.name, "Fake GPU");
  EXPECT_EQ(device.memory_total, 1000u);
  EXPECT_EQ(device.memory_used, 600u);
  EXPECT_DOUBLE_EQ(device.temperature.value(), 83);
  EXPECT_DOUBLE_EQ(device.power.value(), 15.25);
  EXPECT_DOUBLE_EQ(device.clock.value(), 1.02e9);
  EXPECT_TRUE(device.throttled.value());
  EXPECT_FALSE(device.utilization.has_value()) << "the fake has no such function";
  GpuDevice none;
  sensors.Read(1, &none);
  EXPECT_FALSE(none.temperature.has_value());
}

TEST(GpuSensors, SayWhyThereAreNone) {
  const GpuSensors absent("libno-such-library.so.1");
  EXPECT_EQ(absent.count(), 0u);
  EXPECT_NE(absent.reason().find("libno-such-library"), std::string::npos);
  const GpuSensors other("libc.so.6");
  EXPECT_NE(other.reason().find("lacks"), std::string::npos);
}

// CUDA is not asked where NVML tells: its order is another one.
TEST(ReadGpus, TellsWhatNvmlTellsOrWhyNothing) {
  const GpuFacts told = ReadGpus(GpuSensors(MOTE_FAKE_NVML), Machine("/nowhere"));
  ASSERT_EQ(told.devices.size(), 1u);
  EXPECT_EQ(told.devices[0].name, "Fake GPU");
  EXPECT_EQ(told.devices[0].memory_used, 600u);
  EXPECT_EQ(told.reason, "");
  const GpuFacts none = ReadGpus(GpuSensors("libno-such-library.so.1"), Machine("/nowhere"));
  EXPECT_TRUE(none.devices.size() == 1 || !none.reason.empty());
}

}  // namespace
}  // namespace mote::server
