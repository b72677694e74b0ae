#include "edge/cli/tools/power_meter.h"

#if MOTE_HAVE_SERVER  // whose room knows the sensors

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "edge/server/ops/gpus.h"
#include "edge/server/ops/machine.h"
#include "edge/server/ops/power.h"

namespace mote::cli {

// Energy counters become watts between two looks at least half a second apart.
constexpr std::chrono::milliseconds kLook{600};

struct PowerMeter::Impl {
  server::Machine machine;
  server::GpuSensors gpus;
  std::thread thread;
  std::mutex mutex;
  std::condition_variable changed;
  bool stop = false;
  double sum = 0;
  int looks = 0;
  std::string sensors;

  static double Now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  }
  // With counters, the first look of a run only sets their begin.
  std::optional<server::PowerDraw> Look() {
    std::vector<server::GpuDevice> devices(gpus.count());
    for (size_t i = 0; i < devices.size(); ++i) gpus.Read(i, &devices[i]);
    return server::WholePower(machine.Read(Now()).power, devices);
  }
  void Run() {
    std::unique_lock<std::mutex> lock(mutex);
    while (!changed.wait_for(lock, kLook, [&] { return stop; })) {
      const std::optional<server::PowerDraw> draw = Look();
      if (!draw) continue;
      sum += draw->watts;
      ++looks;
      sensors = draw->sensors;
    }
  }
};

PowerMeter::PowerMeter() : impl_(std::make_unique<Impl>()) {}

PowerMeter::~PowerMeter() {
  Stop();
}

void PowerMeter::Start() {
  Stop();
  impl_->stop = false;
  impl_->sum = 0;
  impl_->looks = 0;
  impl_->Look();
  impl_->thread = std::thread([this] { impl_->Run(); });
}

std::optional<double> PowerMeter::Stop() {
  if (!impl_->thread.joinable()) return std::nullopt;
  {
    const std::lock_guard<std::mutex> lock(impl_->mutex);
    impl_->stop = true;
    impl_->changed.notify_all();
  }
  impl_->thread.join();
  if (impl_->looks == 0) return std::nullopt;
  sensors_ = impl_->sensors;
  return impl_->sum / impl_->looks;
}

}  // namespace mote::cli

#else

namespace mote::cli {

struct PowerMeter::Impl {};
PowerMeter::PowerMeter() = default;
PowerMeter::~PowerMeter() = default;
void PowerMeter::Start() {}
std::optional<double> PowerMeter::Stop() {
  return std::nullopt;
}

}  // namespace mote::cli

#endif
