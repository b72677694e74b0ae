// The whole of a machine's power, out of folders as Linux has them.
#include "edge/server/ops/power.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

namespace mote::server {
namespace {

namespace fs = std::filesystem;

class PowerTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/mote-power-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    root_ = name;
  }
  void TearDown() override { fs::remove_all(root_); }
  void Put(const std::string& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  fs::path root_;
};

TEST_F(PowerTest, PackagesAndGpusWithoutTheirParts) {
  const std::string zone = "sys/class/powercap/intel-rapl:";
  for (const auto& [id, name] : {std::pair("0", "package-0"), std::pair("0:0", "core"), std::pair("1", "package-1")}) {
    Put(zone + id + "/name", name);
    Put(zone + id + "/energy_uj", "1000000");
  }
  Machine machine(root_.string());
  EXPECT_FALSE(WholePower(machine.Read(10).power, {})) << "a counter alone is no power yet";
  Put(zone + "0/energy_uj", "41000000");
  Put(zone + "0:0/energy_uj", "31000000");
  Put(zone + "1/energy_uj", "11000000");
  std::vector<GpuDevice> gpus(2);
  gpus[1].power = 70;
  const std::optional<PowerDraw> draw = WholePower(machine.Read(12).power, gpus);
  ASSERT_TRUE(draw);
  EXPECT_DOUBLE_EQ(draw->watts, 20 + 5 + 70);
  EXPECT_EQ(draw->sensors, "package-0 + package-1 + GPU 1");
}

TEST_F(PowerTest, ABoardsInputHasItsRailsInIt) {
  const std::string board = "sys/class/hwmon/hwmon1/";
  Put(board + "name", "ina3221");
  const char* rails[] = {"VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"};
  for (int i = 0; i < 3; ++i) {
    const std::string channel = std::to_string(i + 1);
    Put(board + "in" + channel + "_label", rails[i]);
    Put(board + "in" + channel + "_input", "5000");
    Put(board + "curr" + channel + "_input", std::to_string(2000 - 600 * i));
  }
  std::vector<GpuDevice> gpus(1);
  gpus[0].power = 4;
  const std::optional<PowerDraw> draw = WholePower(Machine(root_.string()).Read(1).power, gpus);
  ASSERT_TRUE(draw);
  EXPECT_DOUBLE_EQ(draw->watts, 10);
  EXPECT_EQ(draw->sensors, "VDD_IN");
}

TEST_F(PowerTest, NothingThatTellsIsNoFigure) {
  EXPECT_FALSE(WholePower({}, {}));
  EXPECT_FALSE(WholePower({{"hwmon0/1", "some_fan", 3}}, std::vector<GpuDevice>(1)));
}

}  // namespace
}  // namespace mote::server
