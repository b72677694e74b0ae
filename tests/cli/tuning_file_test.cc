// The file that remembers what was found out: what becomes of lines in it, and of files that are none.
#include "edge/cli/tuning_file.h"

#include <gtest/gtest.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

namespace mote::cli {
namespace {

class TuningFile : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/mote_tuning_XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
  }
  void TearDown() override {
    chmod(folder_.c_str(), 0700);
    ASSERT_EQ(system(("rm -rf " + folder_).c_str()), 0);
  }
  void Put(const std::string& path, const std::string& bytes) {
    FILE* file = fopen(path.c_str(), "wb");
    ASSERT_NE(file, nullptr);
    ASSERT_EQ(fwrite(bytes.data(), 1, bytes.size(), file), bytes.size());
    fclose(file);
  }

  std::string folder_;
};

std::string Line(const std::string& shape, const std::string& found) {
  return "mote-fetch-2\tCPU 0\tavx2\t2\tQ4_K\t" + shape + "\t" + found + "\n";
}

TEST_F(TuningFile, WhatIsWrittenIsRead) {
  const std::string path = folder_ + "/some/new/folder/tuning";
  const std::string lines = Line("8192\t2048", "4096\t0\t4") + Line("2048\t2048", "0\t0\t4");
  EXPECT_EQ(ReadTuning(path), "");
  EXPECT_EQ(WriteTuning(path, lines), "");
  EXPECT_EQ(ReadTuning(path), lines);
  EXPECT_EQ(WriteTuning(path, Line("1\t2", "3\t4\t4")), "");
  EXPECT_EQ(ReadTuning(path), Line("1\t2", "3\t4\t4"));
  // Nothing half-written lies beside it.
  EXPECT_EQ(system(("test \"$(ls -A " + folder_ + "/some/new/folder)\" = tuning").c_str()), 0);
}

TEST_F(TuningFile, NewLinesReplaceOldOnesOfTheirKey) {
  const std::string a = Line("1\t1", "0\t0\t4"), b = Line("2\t2", "0\t0\t4");
  const std::string later = "mote-other-7\tof a later version\t1\t2\t3\n";
  EXPECT_EQ(MergeTuning(a + later + b, Line("1\t1", "8192\t0\t4")), later + b + Line("1\t1", "8192\t0\t4"));
  EXPECT_EQ(MergeTuning(a, ""), a);
  EXPECT_EQ(MergeTuning("", a + a), a);
  EXPECT_EQ(MergeTuning(a.substr(0, a.size() - 1), b), a + b);  // without its end
}

TEST_F(TuningFile, WhatIsNoLineIsPassedOver) {
  const std::string good = Line("1\t1", "0\t0\t4");
  for (const std::string& bad :
       {std::string("\n\n\n"), std::string("words\n"), std::string(3, '\0') + "\n", std::string("mote-\x01\n"),
        std::string("mote-\xc3\xa4\n"), "mote-" + std::string(1000, 'x') + "\n", std::string("\r\n")}) {
    EXPECT_EQ(MergeTuning(bad, ""), "");
    EXPECT_EQ(MergeTuning(bad + good + bad, ""), good);
    const std::string path = folder_ + "/tuning";
    Put(path, bad + good + bad);
    EXPECT_EQ(ReadTuning(path), good);
  }
  // Few fields are a key of their own, and are kept.
  EXPECT_EQ(MergeTuning("mote-\nmote-x\n", ""), "mote-\nmote-x\n");
}

TEST_F(TuningFile, ItDoesNotGrowWithoutEnd) {
  std::string lines;
  for (int i = 0; i < 20000; ++i) lines += Line(std::to_string(i) + "\t1", "0\t0\t4");
  const std::string kept = MergeTuning(lines, Line("7\t7", "0\t0\t4"));
  EXPECT_LE(kept.size(), 64u << 10);
  EXPECT_GT(kept.size(), 16u << 10);
  EXPECT_TRUE(kept.ends_with(Line("19999\t1", "0\t0\t4") + Line("7\t7", "0\t0\t4")));
  const std::string path = folder_ + "/tuning";
  Put(path, lines);
  EXPECT_LE(ReadTuning(path).size(), 64u << 10);
  std::string noise;
  for (uint32_t i = 0; i < 200000; ++i) noise += static_cast<char>(i * 2654435761u >> 24);
  Put(path, noise);
  EXPECT_LE(ReadTuning(path).size(), 64u << 10);
}

TEST_F(TuningFile, WhatIsNoFileIsNotThere) {
  EXPECT_EQ(ReadTuning(""), "");
  EXPECT_EQ(ReadTuning(folder_), "");
  EXPECT_EQ(ReadTuning(folder_ + "/a/b"), "");
  const std::string pipe = folder_ + "/pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(ReadTuning(pipe), "");
  EXPECT_EQ(ReadTuning("/dev/zero"), "");
}

TEST_F(TuningFile, WhatCannotBeWrittenIsTold) {
  EXPECT_NE(WriteTuning("", "x\n"), "");
  EXPECT_NE(WriteTuning(folder_, "x\n"), "");  // a folder is in its place
  Put(folder_ + "/file", "");
  EXPECT_NE(WriteTuning(folder_ + "/file/tuning", "x\n"), "");
  EXPECT_NE(WriteTuning("/proc/mote/tuning", "x\n"), "");
  EXPECT_EQ(system(("test \"$(ls -A " + folder_ + ")\" = file").c_str()), 0);
}

TEST_F(TuningFile, ItLiesWhereCachesLie) {
  setenv("XDG_CACHE_HOME", "/some/caches", 1);
  setenv("HOME", "/home/me", 1);
  EXPECT_EQ(TuningPath(), "/some/caches/mote/tuning");
  setenv("XDG_CACHE_HOME", "relative", 1);
  EXPECT_EQ(TuningPath(), "/home/me/.cache/mote/tuning");
  unsetenv("XDG_CACHE_HOME");
  EXPECT_EQ(TuningPath(), "/home/me/.cache/mote/tuning");
  unsetenv("HOME");
  EXPECT_EQ(TuningPath(), "");
}

TEST_F(TuningFile, PeopleAreToldShapesAndBytes) {
  EXPECT_EQ(DescribeTuning(Line("8192\t2048", "4096\t0\t4") + "junk\n" + Line("1\t2", "1024\t3584\t4")),
            "Q4_K 8192x2048 4096+0x4, Q4_K 1x2 1024+3584x4");
  EXPECT_EQ(DescribeTuning(""), "");
}

}  // namespace
}  // namespace mote::cli
