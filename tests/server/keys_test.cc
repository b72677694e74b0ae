// Keys: what opens, what does not, and the file that holds them.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <set>
#include <thread>

#include "edge/server/auth/base64url.h"
#include "edge/server/auth/key_file.h"
#include "edge/server/auth/key_ring.h"
#include "tests/support/effort.h"

namespace mote::server {
namespace {

// A folder of its own for each test.
class Keys : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "/mote-keys-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    path_ = folder_ + "/keys";
  }
  void TearDown() override {
    for (const char* name : {"/keys", "/keys.new", "/link"}) unlink((folder_ + name).c_str());
    rmdir(folder_.c_str());
  }

  void Write(const std::string& text, mode_t mode = 0600) {
    FILE* file = fopen(path_.c_str(), "wb");
    ASSERT_NE(file, nullptr);
    fwrite(text.data(), 1, text.size(), file);
    fclose(file);
    chmod(path_.c_str(), mode);
  }

  void Add(const std::string& name, const std::string& secret, int64_t expires = 0) {
    const Result<void> added = ChangeKeys(path_, [&](std::vector<Key>* keys) -> Result<void> {
      Key key;
      key.name = name;
      key.digest = DigestOf(secret);
      key.scopes = kScopeChat;
      key.created = 1;
      key.expires = expires;
      keys->push_back(key);
      return {};
    });
    ASSERT_TRUE(added.ok()) << added.error().message;
  }

  std::string folder_, path_;
};

// FIPS 180-2, B.1 of SHA-256.
constexpr char kAbc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

std::string Line(const std::string& fields) {
  return "{" + fields + "}\n";
}

std::string Good(const std::string& name = "n", const char* digest = kAbc) {
  return "\"name\":\"" + name + "\",\"sha256\":\"" + digest + "\",\"scopes\":\"chat\",\"created\":1";
}

TEST_F(Keys, SecretsHave256BitsAndNoTwoAreTheSame) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const Result<std::string> secret = MakeSecret();
    ASSERT_TRUE(secret.ok());
    ASSERT_EQ(secret->substr(0, 5), "mote_");
    const std::optional<std::string> bytes = ReadBase64Url(std::string_view(*secret).substr(5));
    ASSERT_TRUE(bytes && bytes->size() == 32) << *secret;
    EXPECT_TRUE(seen.insert(*secret).second);
  }
}

TEST_F(Keys, DigestsAreSha256) {
  const Result<std::vector<Key>> keys = ParseKeys(Line(Good()), "f");
  ASSERT_TRUE(keys.ok()) << keys.error().message;
  EXPECT_EQ((*keys)[0].digest, DigestOf("abc"));
}

TEST_F(Keys, WhatIsWrittenIsReadAgain) {
  std::vector<Key> keys(3);
  keys[0] = {"a", DigestOf("1"), kAllScopes, {}, 17, 0};
  keys[1] = {"b.c_d@e-f", DigestOf("2"), kScopeEmbed, {Rate{10, 1}, Rate{1e9, 86400}, 0}, 17, 99};
  keys[2] = {std::string(64, 'x'), DigestOf("3"), kUsualScopes, {Rate{0, 60}, std::nullopt, 7}, 0, 1};
  const Result<std::vector<Key>> read = ParseKeys(WriteKeys(keys), "f");
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(*read, keys);
}

TEST_F(Keys, WrongLinesAreRefusedWithTheirNumber) {
  const std::string good = Good();
  const std::string other = std::string(63, '0') + "1";
  for (const std::string& wrong : std::vector<std::string>{
           Line(""),
           "[]\n",
           "7\n",
           "x\n",
           "{\n",
           Line(good).substr(0, 40) + "\n",
           Line(good + ",\"admin\":true"),
           Line(good + ",\"name\":\"m\""),
           Line(good + ",\"expires\":-1"),
           Line(good + ",\"expires\":1.5"),
           Line(good + ",\"expires\":\"1\""),
           Line(good + ",\"rate_limit\":\"x\""),
           Line(good + ",\"rate_limit\":5"),
           Line(good + ",\"concurrency\":-1"),
           Line(good + ",\"expires\":99999999999999"),
           Line(Good("")),
           Line(Good("a b")),
           Line(Good("a:b")),
           Line(Good(std::string(65, 'x'))),
           Line(Good(kPlainKeyName)),
           Line(Good("m", "ba78")),
           Line(Good("m", std::string(64, 'A').c_str())),
           Line(Good("m", std::string(64, 'g').c_str())),
           Line("\"name\":\"m\",\"scopes\":\"chat\",\"created\":1"),
           Line("\"name\":\"m\",\"sha256\":\"" + other + "\",\"created\":1"),
           Line("\"name\":\"m\",\"sha256\":\"" + other + "\",\"scopes\":\"\",\"created\":1"),
           Line("\"name\":\"m\",\"sha256\":\"" + other + "\",\"scopes\":\"chat,root\",\"created\":1"),
           Line("\"name\":\"m\",\"sha256\":\"" + other + "\",\"scopes\":[\"chat\"],\"created\":1"),
           Line(Good("m")),                     // the digest again
           Line(Good("first", other.c_str())),  // the name again
           Line(good) + " x"}) {
    const std::string before = Line(Good("first"));
    const Result<std::vector<Key>> keys = ParseKeys(before + "\n" + wrong, "f");
    ASSERT_FALSE(keys.ok()) << wrong;
    EXPECT_EQ(keys.error().message.find("f:3"), 0u) << keys.error().message;
    EXPECT_EQ(keys.error().message.find('\n'), std::string::npos);
  }
}

TEST_F(Keys, OnlyTheSecretOpens) {
  const std::string secret = *MakeSecret(), second = *MakeSecret();
  Add("one", secret);
  Add("two", second);
  const auto ring = KeyRing::Open(path_, "a plain key of some length");
  ASSERT_TRUE(ring.ok()) << ring.error().message;
  EXPECT_EQ((*ring)->size(), 3u);
  EXPECT_EQ((*ring)->Find(secret)->name, "one");
  EXPECT_EQ((*ring)->Find(second)->name, "two");
  EXPECT_EQ((*ring)->Find("a plain key of some length")->name, kPlainKeyName);
  EXPECT_EQ((*ring)->Find("a plain key of some length")->scopes, kUsualScopes);
  for (size_t i = 0; i < secret.size(); ++i) {
    std::string near = secret;
    near[i] = static_cast<char>(near[i] ^ 1);
    EXPECT_FALSE((*ring)->Find(near));
    EXPECT_FALSE((*ring)->Find(secret.substr(0, i)));
    EXPECT_FALSE((*ring)->Find(secret.substr(i + 1)));
  }
  const KeyDigest digest = DigestOf(secret);
  const std::string raw(reinterpret_cast<const char*>(digest.data()), digest.size());
  for (const std::string& wrong : {std::string(), std::string(1, '\0'), std::string(" "), secret + " ", " " + secret,
                                   secret + std::string(1, '\0'), secret + secret, raw, std::string(kAbc),
                                   std::string("one"), std::string(100000, 'x')}) {
    EXPECT_FALSE((*ring)->Find(wrong)) << wrong.substr(0, 80);
  }
}

TEST_F(Keys, ABlankSecretOpensNothingEvenIfItsDigestIsInTheFile) {
  Write(Line(Good("blank", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")));
  const auto ring = KeyRing::Open(path_, "");
  ASSERT_TRUE(ring.ok());
  EXPECT_EQ((*ring)->size(), 1u);
  EXPECT_FALSE((*ring)->Find(""));
}

TEST_F(Keys, AFileThatOthersMayWriteIsRefused) {
  for (const mode_t mode : {0620, 0602, 0666}) {
    Write(Line(Good()), mode);
    EXPECT_FALSE(LoadKeys(path_).ok()) << mode;
    EXPECT_NE(LoadKeys(path_).error().message.find("chmod 600"), std::string::npos);
  }
  for (const mode_t mode : {0600, 0400, 0644, 0440}) {
    Write(Line(Good()), 0600);
    chmod(path_.c_str(), mode);
    EXPECT_TRUE(LoadKeys(path_).ok()) << mode;
    chmod(path_.c_str(), 0600);
  }
  EXPECT_FALSE(LoadKeys(folder_).ok());
  EXPECT_FALSE(KeyRing::Open(path_ + ".absent", "").ok());
}

TEST_F(Keys, ChangesAreWholeOrNotAtAll) {
  const mode_t before = umask(0);
  Add("a", "1");
  umask(before);
  struct stat facts;
  ASSERT_EQ(stat(path_.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 07777, 0600u);
  const Result<void> refused = ChangeKeys(path_, [](std::vector<Key>* keys) -> Result<void> {
    keys->clear();
    return Error{MOTE_INVALID_ARGUMENT, "no"};
  });
  EXPECT_EQ(refused.error().message, "no");
  EXPECT_EQ(LoadKeys(path_)->size(), 1u);
  // What a killed program left behind is in nobody's way.
  const std::string left = path_ + ".new";
  close(open(left.c_str(), O_CREAT | O_WRONLY, 0600));
  Add("b", "2");
  EXPECT_EQ(LoadKeys(path_)->size(), 2u);
  EXPECT_NE(access(left.c_str(), F_OK), 0);
  // A link stays a link, and what it points to stays as it is.
  const std::string link = folder_ + "/link";
  ASSERT_EQ(symlink(path_.c_str(), link.c_str()), 0);
  EXPECT_FALSE(ChangeKeys(link, [](std::vector<Key>*) { return Result<void>(); }).ok());
  EXPECT_EQ(LoadKeys(link)->size(), 2u);
  // A wrong file is not written over.
  Write("x\n");
  EXPECT_FALSE(ChangeKeys(path_, [](std::vector<Key>*) { return Result<void>(); }).ok());
}

TEST_F(Keys, TwoWhoChangeAtOnceLoseNothing) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 10; ++i) {
        const std::string name = std::to_string(t) + "-" + std::to_string(i);
        Add(name, name);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(LoadKeys(path_)->size(), 40u);
}

TEST_F(Keys, AChangedFileIsReadAgainAndAWrongOneIsNot) {
  Add("a", "secret of a");
  const auto ring = KeyRing::Open(path_, "");
  ASSERT_TRUE(ring.ok());
  EXPECT_FALSE(*(*ring)->Reload(false));
  EXPECT_TRUE(*(*ring)->Reload(true));
  Add("b", "secret of b");
  EXPECT_FALSE((*ring)->Find("secret of b"));
  EXPECT_TRUE(*(*ring)->Reload(false));
  EXPECT_TRUE((*ring)->Find("secret of b"));
  Write("nonsense\n");
  EXPECT_FALSE((*ring)->Reload(false).ok());
  EXPECT_TRUE((*ring)->Reload(false).ok()) << "the same wrong file is told once";
  EXPECT_TRUE((*ring)->Find("secret of a"));
  unlink(path_.c_str());
  EXPECT_FALSE((*ring)->Reload(false).ok());
  EXPECT_TRUE((*ring)->Find("secret of a"));
  Write("");
  EXPECT_TRUE(*(*ring)->Reload(false));
  EXPECT_FALSE((*ring)->Find("secret of a"));
}

TEST_F(Keys, LookingUpWhileReadingAgain) {
  Add("a", "secret of a");
  const auto ring = KeyRing::Open(path_, "");
  ASSERT_TRUE(ring.ok());
  std::atomic<bool> stop{false};
  std::atomic<int> lost{0}, found{0};
  std::vector<std::thread> readers;
  for (int t = 0; t < 3; ++t) {
    readers.emplace_back([&] {
      while (!stop) ((*ring)->Find("secret of a") ? found : lost)++;
    });
  }
  for (int i = 0; i < Effort(50, 15); ++i) {
    Add("more-" + std::to_string(i), std::to_string(i));
    EXPECT_TRUE(*(*ring)->Reload(false));
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(lost, 0);
  EXPECT_GT(found, 0);
}

TEST(Base64Url, OneSpellingOfEachText) {
  // RFC 4648, 10, without padding, and the two other characters.
  const std::pair<const char*, const char*> kPairs[] = {
      {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
      {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xFB\xFF\xBF", "-_-_"}};
  for (const auto& [bytes, text] : kPairs) {
    EXPECT_EQ(WriteBase64Url(bytes), text);
    EXPECT_EQ(ReadBase64Url(text), bytes);
  }
  for (const char* wrong :
       {"Zg==", "Zg=", "Zh", "Zm9", "Zm9w Z", "Zm9v\n", "+/+/", "Z", "Zm9vY", "Zg.", "Z\xC3\xA9g"}) {
    EXPECT_FALSE(ReadBase64Url(wrong)) << wrong;
  }
  EXPECT_FALSE(ReadBase64Url(std::string_view("Zm9\0", 4)));
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  for (size_t size = 0; size <= all.size(); ++size)
    EXPECT_EQ(ReadBase64Url(WriteBase64Url(all.substr(0, size))), all.substr(0, size));
}

}  // namespace
}  // namespace mote::server
