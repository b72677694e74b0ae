#include "engine/core/status.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>

namespace mote {
namespace {

TEST(Status, OkAndNot) {
  EXPECT_TRUE(Status().ok());
  EXPECT_EQ(Status().code(), Code::kOk);
  EXPECT_EQ(Status().message(), "");
  const Status status = Error(Code::kMalformed, "%d of %s", 3, "them");
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(status.code(), Code::kMalformed);
  EXPECT_EQ(status.message(), "3 of them");
}

TEST(Status, LongMessagesAreCut) {
  const std::string text(5000, 'x');
  EXPECT_EQ(Error(Code::kIo, "%s", text.c_str()).message(), std::string(1023, 'x'));
}

TEST(Status, WithinPutsTheOuterPlaceFirst) {
  EXPECT_EQ(Error(Code::kIo, "inner").Within("outer").message(), "outer: inner");
  EXPECT_EQ(Error(Code::kIo, "inner").Within("outer").code(), Code::kIo);
  EXPECT_TRUE(Status().Within("outer").ok());
  EXPECT_EQ(Status().Within("outer").message(), "");
}

TEST(Status, CodesHaveNamesOfTheirOwn) {
  std::set<std::string> names;
  for (int code = 0; code <= 9; ++code) names.insert(CodeName(static_cast<Code>(code)));
  EXPECT_EQ(names.size(), 10u);
  EXPECT_FALSE(names.contains("unknown"));
  EXPECT_STREQ(CodeName(static_cast<Code>(10)), "unknown");
}

Result<int> Half(int value) {
  if (value % 2 != 0) return Error(Code::kInvalidArgument, "%d is odd", value);
  return value / 2;
}

Status Quarter(int value, int* out) {
  MOTE_ASSIGN_OR_RETURN(const int half, Half(value));
  MOTE_ASSIGN_OR_RETURN(*out, Half(half));
  return Status();
}

Status Check(int value) {
  int unused = 0;
  MOTE_RETURN_IF_ERROR(Quarter(value, &unused));
  return Error(Code::kInternal, "went on");
}

TEST(Result, ValuesAndErrorsPassThrough) {
  ASSERT_TRUE(Half(4).ok());
  EXPECT_EQ(*Half(4), 2);
  EXPECT_EQ(Half(4).value(), 2);
  EXPECT_EQ(Half(3).status().message(), "3 is odd");
  int out = 0;
  EXPECT_TRUE(Quarter(8, &out).ok());
  EXPECT_EQ(out, 2);
  EXPECT_EQ(Quarter(6, &out).message(), "3 is odd");
  EXPECT_EQ(Check(6).message(), "3 is odd");
  EXPECT_EQ(Check(8).message(), "went on");
}

TEST(Result, MoveOnlyValues) {
  const auto make = [](bool good) -> Result<std::unique_ptr<std::string>> {
    if (!good) return Error(Code::kNotFound, "none");
    return std::make_unique<std::string>("text");
  };
  auto result = make(true);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(**result, "text");
  EXPECT_EQ(result->get()->size(), 4u);
  const std::unique_ptr<std::string> taken = std::move(result).value();
  EXPECT_EQ(*taken, "text");
  EXPECT_FALSE(make(false).ok());
}

}  // namespace
}  // namespace mote
