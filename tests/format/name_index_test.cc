#include "engine/format/name_index.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

namespace mote {
namespace {

struct Built {
  Result<NameIndex> index;
  size_t duplicate = 12345;
};

Built Build(const std::vector<std::string>& names) {
  size_t duplicate = 12345;
  auto index = NameIndex::Create(
      names.size(), "names", [&](size_t i) { return std::string_view(names[i]); }, &duplicate);
  return {std::move(index), duplicate};
}

size_t Find(const Built& built, const std::vector<std::string>& names, std::string_view name) {
  return built.index->Find(name, [&](size_t i) { return std::string_view(names[i]); });
}

// Published values of FNV-1a 64, folded.
TEST(NameIndex, HashIsFnv1a) {
  const auto fold = [](uint64_t hash) { return static_cast<uint32_t>(hash ^ (hash >> 32)); };
  EXPECT_EQ(NameHash(""), fold(0xCBF29CE484222325ull));
  EXPECT_EQ(NameHash("a"), fold(0xAF63DC4C8601EC8Cull));
  EXPECT_EQ(NameHash("foobar"), fold(0x85944171F73967E8ull));
}

TEST(NameIndex, AgreesWithAMap) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    std::vector<std::string> names;
    std::map<std::string, size_t> first;
    size_t duplicate = NameIndex::kNone;
    const size_t count = random() % 60;
    for (size_t i = 0; i < count; ++i) {
      std::string name(random() % 4, 'a');
      for (char& c : name) c = static_cast<char>('a' + random() % (1 + round % 20));
      names.push_back(name);
      if (!first.emplace(name, i).second && duplicate == NameIndex::kNone) duplicate = i;
    }
    const Built built = Build(names);
    ASSERT_TRUE(built.index.ok());
    // The first name that is there again, at its second place.
    ASSERT_EQ(built.duplicate, duplicate);
    if (duplicate != NameIndex::kNone) continue;
    for (const auto& [name, at] : first) ASSERT_EQ(Find(built, names, name), at);
    ASSERT_EQ(Find(built, names, "zzzzz"), NameIndex::kNone);
  }
}

// Two names of equal hash, found by trying; then a name that is absent and collides with both.
TEST(NameIndex, CollidingNamesAreToldApart) {
  std::unordered_map<uint32_t, std::string> seen;
  std::vector<std::string> names;
  for (int i = 0; names.empty() && i < 2000000; ++i) {
    const std::string name = "n" + std::to_string(i);
    const auto [met, added] = seen.emplace(NameHash(name), name);
    if (!added) names = {met->second, "between", name};
  }
  ASSERT_EQ(names.size(), 3u);
  ASSERT_EQ(NameHash(names[0]), NameHash(names[2]));
  const Built built = Build(names);
  EXPECT_EQ(built.duplicate, NameIndex::kNone);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(Find(built, names, names[i]), i);
  const std::vector<std::string> one = {names[0]};
  EXPECT_EQ(Find(Build(one), one, names[2]), NameIndex::kNone);
  const std::vector<std::string> twice = {names[0], names[2], names[0], names[2]};
  EXPECT_EQ(Build(twice).duplicate, 2u);
}

}  // namespace
}  // namespace mote
