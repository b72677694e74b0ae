// Facts of the Unicode Standard against the generated tables.
#include "engine/text/unicode.h"

#include <algorithm>
#include <string>
#include <vector>

#include "engine/text/utf8.h"
#include "gtest/gtest.h"

namespace mote {
namespace {

TEST(Unicode, WhiteSpaceIsTheTwentyFiveCodePointsOfPropList) {
  std::vector<uint32_t> expected = {0x9,  0xA,    0xB,    0xC,    0xD,    0x20,   0x85,
                                    0xA0, 0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000};
  for (uint32_t c = 0x2000; c <= 0x200A; ++c) expected.push_back(c);
  std::sort(expected.begin(), expected.end());
  std::vector<uint32_t> found;
  for (uint32_t c = 0; c <= kMaxCodePoint; ++c) {
    if (IsWhiteSpace(c)) found.push_back(c);
  }
  EXPECT_EQ(found, expected);
}

TEST(Unicode, Categories) {
  struct {
    uint32_t code_point;
    Category category;
  } const facts[] = {
      {'A', Category::kLu},    {'a', Category::kLl},      {'5', Category::kNd},      {'_', Category::kPc},
      {'-', Category::kPd},    {'(', Category::kPs},      {')', Category::kPe},      {0xAB, Category::kPi},
      {0xBB, Category::kPf},   {'!', Category::kPo},      {'+', Category::kSm},      {'$', Category::kSc},
      {'^', Category::kSk},    {0xA6, Category::kSo},     {' ', Category::kZs},      {0x2028, Category::kZl},
      {0x2029, Category::kZp}, {0, Category::kCc},        {0xAD, Category::kCf},     {0xD800, Category::kCs},
      {0xE000, Category::kCo}, {0x378, Category::kCn},    {0x1C5, Category::kLt},    {0x2B0, Category::kLm},
      {0x5D0, Category::kLo},  {0x301, Category::kMn},    {0x903, Category::kMc},    {0x488, Category::kMe},
      {0x2160, Category::kNl}, {0xBD, Category::kNo},     {0x4E00, Category::kLo},   {0x9FFF, Category::kLo},
      {0xAC00, Category::kLo}, {0xD7A3, Category::kLo},   {0x20000, Category::kLo},  {0x1F600, Category::kSo},
      {0xFFFD, Category::kSo}, {0x10FFFF, Category::kCn}, {0x110000, Category::kCn}, {0xFFFFFFFF, Category::kCn}};
  for (const auto& fact : facts) {
    EXPECT_EQ(static_cast<int>(CategoryOf(fact.code_point)), static_cast<int>(fact.category)) << fact.code_point;
  }
  EXPECT_EQ(kLetters, 0x3Eu);
  EXPECT_TRUE(InCategories('_', kPunctuation));
  EXPECT_FALSE(InCategories('+', kPunctuation));
}

TEST(Unicode, LowerCase) {
  const uint32_t pairs[][2] = {
      {'A', 'a'},       {'Z', 'z'},       {'[', '['},         {'@', '@'},         {0xC0, 0xE0},
      {0xD7, 0xD7},     {0x100, 0x101},   {0x101, 0x101},     {0x130, 'i'},       {0x178, 0xFF},
      {0x1C4, 0x1C6},   {0x1C5, 0x1C6},   {0x391, 0x3B1},     {0x3A3, 0x3C3},     {0x410, 0x430},
      {0x10A0, 0x2D00}, {0x13A0, 0xAB70}, {0x1E9E, 0xDF},     {0x2126, 0x3C9},    {0x212A, 'k'},
      {0x2C6F, 0x250},  {0xFF21, 0xFF41}, {0x10400, 0x10428}, {0x1E900, 0x1E922}, {0x4E00, 0x4E00}};
  for (const auto& pair : pairs) EXPECT_EQ(ToLower(pair[0]), pair[1]) << pair[0];
}

std::vector<uint32_t> Decomposed(uint32_t code_point) {
  uint32_t out[kMaxDecomposition];
  return {out, out + Decompose(code_point, out)};
}

TEST(Unicode, CanonicalDecomposition) {
  using V = std::vector<uint32_t>;
  EXPECT_EQ(Decomposed('e'), (V{'e'}));
  EXPECT_EQ(Decomposed(0xE9), (V{'e', 0x301}));
  EXPECT_EQ(Decomposed(0x212B), (V{'A', 0x30A}));        // Angstrom sign, by way of U+00C5
  EXPECT_EQ(Decomposed(0x1D6), (V{'u', 0x308, 0x304}));  // u with diaeresis and macron
  EXPECT_EQ(Decomposed(0x1F82), (V{0x3B1, 0x313, 0x300, 0x345}));
  EXPECT_EQ(Decomposed(0xAC00), (V{0x1100, 0x1161}));
  EXPECT_EQ(Decomposed(0xAC01), (V{0x1100, 0x1161, 0x11A8}));
  EXPECT_EQ(Decomposed(0xD7A3), (V{0x1112, 0x1175, 0x11C2}));
  EXPECT_EQ(Decomposed(0xF900), (V{0x8C48}));
  EXPECT_EQ(Decomposed(0x2126), (V{0x3A9}));
  EXPECT_EQ(Decomposed(0xFB01), (V{0xFB01}));  // a compatibility mapping only
  EXPECT_EQ(Decomposed(0x1D15E), (V{0x1D157, 0x1D165}));
}

TEST(Unicode, NoDecompositionIsCutShortOrDecomposesFurther) {
  for (uint32_t c = 0; c <= kMaxCodePoint; ++c) {
    const std::vector<uint32_t> parts = Decomposed(c);
    if (parts.size() == 1 && parts[0] == c) continue;
    for (const uint32_t part : parts) EXPECT_EQ(Decomposed(part), std::vector<uint32_t>{part}) << c;
  }
}

TEST(Utf8, EveryCodePointSurvives) {
  std::string text;
  for (uint32_t c = 0; c <= kMaxCodePoint; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    text.clear();
    AppendUtf8(c, &text);
    const Utf8Char decoded = DecodeUtf8(text, 0);
    ASSERT_TRUE(decoded.valid) << c;
    ASSERT_EQ(decoded.code_point, c);
    ASSERT_EQ(decoded.bytes, text.size());
  }
}

TEST(Utf8, WhatIsNotUtf8StandsAloneByteByByte) {
  const std::string_view bad[] = {"\x80",
                                  "\xBF",
                                  "\xC0\x80",
                                  "\xC1\xBF",
                                  "\xC3",
                                  "\xC3(",
                                  "\xE0\x80\x80",
                                  "\xE0\x9F\xBF",
                                  "\xE2\x82",
                                  "\xE2(\xA1",
                                  "\xED\xA0\x80",
                                  "\xED\xBF\xBF",
                                  "\xF0\x80\x80\x80",
                                  "\xF0\x8F\xBF\xBF",
                                  "\xF0\x9F\x98",
                                  "\xF4\x90\x80\x80",
                                  "\xF5\x80\x80\x80",
                                  "\xFF",
                                  "\xF0\x9F(\x80"};
  for (const std::string_view text : bad) {
    const Utf8Char c = DecodeUtf8(text, 0);
    EXPECT_FALSE(c.valid) << testing::PrintToString(text);
    EXPECT_EQ(c.bytes, 1u);
    EXPECT_EQ(c.code_point, kReplacementCharacter);
  }
}

}  // namespace
}  // namespace mote
