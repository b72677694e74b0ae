// Lines of what was found out, and others that may stand among them.
#include "targets/cpu/fetch_lines.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace mote::testing {
namespace {

const std::vector<simd::FetchAhead> kCandidates = {{4096, 0, 4}, {1024, 3584, 1}, {0, 0, 4}};

FetchKey Key(const std::string& machine = "Some CPU 00b00f21\tavx2\t2") {
  return {machine, "Q4_K", 8192, 2048};
}

TEST(FetchLines, WhatIsWrittenIsFound) {
  const std::string line = FetchLine(Key(), kCandidates[1]);
  EXPECT_EQ(line, "mote-fetch-2\tSome CPU 00b00f21\tavx2\t2\tQ4_K\t8192\t2048\t1024\t3584\t1\n");
  EXPECT_EQ(FindFetch(line, Key(), kCandidates), 1);
  EXPECT_EQ(FindFetch(line.substr(0, line.size() - 1), Key(), kCandidates), 1);
  EXPECT_EQ(FindFetch("foreign\n\n" + line + FetchLine(Key(), kCandidates[0]), Key(), kCandidates), 1);
}

TEST(FetchLines, AnotherKeyIsAnother) {
  const std::string line = FetchLine(Key(), kCandidates[1]);
  EXPECT_EQ(FindFetch(line, Key("Some CPU 00b00f20\tavx2\t2"), kCandidates), -1);
  EXPECT_EQ(FindFetch(line, Key("Some CPU 00b00f21\tavx512\t2"), kCandidates), -1);
  EXPECT_EQ(FindFetch(line, Key("Some CPU 00b00f21\tavx2\t1"), kCandidates), -1);
  FetchKey other = Key();
  other.type = "Q4_K sparse";
  EXPECT_EQ(FindFetch(line, other, kCandidates), -1);
  other = Key();
  other.rows = 819;
  EXPECT_EQ(FindFetch(line, other, kCandidates), -1);
  other = Key();
  other.cols = 20480;
  EXPECT_EQ(FindFetch(line, other, kCandidates), -1);
}

TEST(FetchLines, NothingElseIsTaken) {
  const std::string key = Key().Text();
  for (const char* found : {"", "1024", "1024\t3584", "1024\t3584\t1 ", "1024\t3584\t1\t", " 1024\t3584\t1",
                            "1024\t3583\t1", "01024\t3584\t1", "+1024\t3584\t1", "1024\t3584\t1\r", "-1\t0\t4",
                            "1024\t3584\t2", "4096\t0\t1", "99999999999999999999\t0\t4", "4096\t4096\t4",
                            "0x400\t0xe00\t1", "near\tfar\tstreams", "\t\t", "1024.0\t3584\t1"}) {
    EXPECT_EQ(FindFetch(key + found + "\n", Key(), kCandidates), -1) << found;
  }
  EXPECT_EQ(FindFetch("", Key(), kCandidates), -1);
  EXPECT_EQ(FindFetch("\n\n\n", Key(), kCandidates), -1);
  EXPECT_EQ(FindFetch(key, Key(), kCandidates), -1);
  EXPECT_EQ(FindFetch("x" + key + "0\t0\t4", Key(), kCandidates), -1);
  EXPECT_EQ(FindFetch("mote-fetch-1" + key.substr(12) + "0\t0\t4", Key(), kCandidates), -1);
  EXPECT_EQ(FindFetch(std::string(100000, '\t'), Key(), kCandidates), -1);
  EXPECT_EQ(FindFetch(std::string(3, '\0') + key + "0\t0\t4", Key(), kCandidates), -1);
}

TEST(FetchLines, NamesOfProcessorsBreakNoLine) {
  cpu::CpuInfo cpu;
  cpu.brand = "\tA\n CPU \x01\xff  of " + std::string(200, 'x');
  cpu.signature = 0xb00f21;
  const std::string key = MachineKey(cpu, "avx2", 3);
  EXPECT_EQ(key.rfind("A CPU of xxx", 0), 0u) << key;
  EXPECT_LT(key.size(), 100u);
  EXPECT_TRUE(key.ends_with("x 00b00f21\tavx2\t3")) << key;
  cpu.brand = "";
  cpu.vendor = "AuthenticAMD";
  EXPECT_EQ(MachineKey(cpu, "avx2", 3), "AuthenticAMD 00b00f21\tavx2\t3");
}

}  // namespace
}  // namespace mote::testing
