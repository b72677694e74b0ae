// Tokens: those of other makers (PyJWT, the RFCs) are taken, and some 250 that break one rule each are refused for it.
#include "edge/server/auth/jwt.h"

#include <gtest/gtest.h>

#include "edge/server/auth/base64url.h"
#include "tests/server/jwt_vectors.h"

namespace mote::server {
namespace {

std::unique_ptr<JwtKey> ReadKey(std::string_view algorithm, std::string_view id, std::string_view bytes) {
  Result<std::unique_ptr<JwtKey>> key = ReadJwtKey({std::string(algorithm), std::string(id), "file"}, bytes);
  EXPECT_TRUE(key.ok()) << key.error().message;
  return key.ok() ? std::move(*key) : nullptr;
}

JwtVerifier Verifier() {
  std::vector<std::unique_ptr<JwtKey>> keys;
  for (const vectors::KeyText& key : vectors::kKeys) keys.push_back(ReadKey(key.algorithm, key.id, key.bytes));
  return JwtVerifier(std::move(keys), vectors::kIssuer, vectors::kAudience);
}

TEST(Jwt, PublishedExamplesVerify) {
  for (const vectors::Published& example : vectors::kPublished) {
    const std::unique_ptr<JwtKey> key = ReadKey(example.algorithm, "", example.key);
    const std::string signature = *ReadBase64Url(example.signature);
    EXPECT_TRUE(key->Verify(example.text, signature)) << example.name;
    for (size_t i = 0; i < signature.size(); ++i) {
      std::string other = signature;
      other[i] = static_cast<char>(other[i] ^ 1);
      ASSERT_FALSE(key->Verify(example.text, other)) << example.name << ", byte " << i;
    }
    std::string text(example.text);
    text.back() = static_cast<char>(text.back() ^ 1);
    EXPECT_FALSE(key->Verify(text, signature)) << example.name;
  }
}

TEST(Jwt, RightTokensAreTaken) {
  const JwtVerifier verifier = Verifier();
  for (const vectors::Good& good : vectors::kGood) {
    const Result<JwtClaims> claims = verifier.Verify(good.token, vectors::kNow);
    ASSERT_TRUE(claims.ok()) << good.name << ": " << claims.error().message;
    EXPECT_EQ(claims->subject, "camera-7") << good.name;
    EXPECT_EQ(claims->scopes, kScopeChat | kScopeEmbed) << good.name;
  }
}

TEST(Jwt, WrongTokensAreRefusedForTheirReason) {
  const JwtVerifier verifier = Verifier();
  for (const vectors::Bad& bad : vectors::kBad) {
    const Result<JwtClaims> claims = verifier.Verify(bad.token, vectors::kNow);
    ASSERT_FALSE(claims.ok()) << bad.name;
    EXPECT_NE(claims.error().message.find(bad.why), std::string::npos) << bad.name << ": " << claims.error().message;
    EXPECT_LT(claims.error().message.size(), 120u) << "no message repeats a token";
  }
  EXPECT_GE(std::size(vectors::kBad), 200u);
}

TEST(Jwt, NoChangedByteIsTaken) {
  const JwtVerifier verifier = Verifier();
  for (const vectors::Good& good : vectors::kGood) {
    const bool slow = good.name.find("of our own") == std::string_view::npos;
    for (size_t i = 0; i < good.token.size(); i += slow ? 17 : 1) {
      std::string token(good.token);
      token[i] = token[i] == 'A' ? 'B' : 'A';
      ASSERT_FALSE(verifier.Verify(token, vectors::kNow).ok()) << good.name << ", byte " << i;
      ASSERT_FALSE(verifier.Verify(good.token.substr(0, i), vectors::kNow).ok()) << good.name << ", first " << i;
    }
  }
}

TEST(Jwt, TimeRunsOut) {
  const JwtVerifier verifier = Verifier();
  const std::string_view token = vectors::kGood[0].token;  // expires ten minutes later
  EXPECT_TRUE(verifier.Verify(token, vectors::kNow + 600 + 59).ok());
  EXPECT_FALSE(verifier.Verify(token, vectors::kNow + 600 + 60).ok());
}

TEST(Jwt, WithoutKeysNothingIsTaken) {
  const JwtVerifier verifier({}, vectors::kIssuer, vectors::kAudience);
  EXPECT_FALSE(verifier.any());
  for (const vectors::Good& good : vectors::kGood) EXPECT_FALSE(verifier.Verify(good.token, vectors::kNow).ok());
}

TEST(Jwt, AKeyOfOneAlgorithmVerifiesNoOther) {
  // Each key under its id alone: no token but those of its own algorithm is taken.
  for (const vectors::KeyText& key : vectors::kKeys) {
    std::vector<std::unique_ptr<JwtKey>> keys;
    keys.push_back(ReadKey(key.algorithm, key.id, key.bytes));
    const JwtVerifier verifier(std::move(keys), vectors::kIssuer, vectors::kAudience);
    for (const vectors::Good& good : vectors::kGood) {
      const size_t space = good.name.find(' ');
      const std::string_view algorithm = good.name.substr(0, space);
      const bool named = algorithm == "HS256" || algorithm == "RS256" || algorithm == "ES256" || algorithm == "EdDSA";
      if (!named) continue;
      EXPECT_EQ(verifier.Verify(good.token, vectors::kNow).ok(), algorithm == key.algorithm) << good.name;
    }
  }
}

TEST(Jwt, WrongKeysAreRefused) {
  for (const vectors::KeyText& key : vectors::kWrongKeys) {
    const Result<std::unique_ptr<JwtKey>> read = ReadJwtKey({std::string(key.algorithm), "", "file"}, key.bytes);
    ASSERT_FALSE(read.ok()) << key.algorithm << ", " << key.id;
    EXPECT_EQ(read.error().message.find("jwt_keys: file: "), 0u);
    EXPECT_NE(read.error().message.find(key.id), std::string::npos) << read.error().message << " lacks " << key.id;
  }
}

TEST(Jwt, ALineBreakAtTheEndOfASecretIsNotOfIt) {
  const vectors::KeyText& secret = vectors::kKeys[0];
  for (const char* end : {"\n", "\r\n"}) {
    const std::unique_ptr<JwtKey> key = ReadKey("HS256", "", std::string(secret.bytes) + end);
    const std::string_view token = vectors::kGood[0].token;
    const size_t dot = token.rfind('.');
    EXPECT_TRUE(key->Verify(token.substr(0, dot), *ReadBase64Url(token.substr(dot + 1))));
  }
}

TEST(Jwt, FilesThatAreNotThereAreTold) {
  Settings settings;
  settings.jwt_keys = {{"ES256", "", "/nowhere/at/all"}};
  const auto verifier = JwtVerifier::Load(settings);
  ASSERT_FALSE(verifier.ok());
  EXPECT_EQ(verifier.error().message, "jwt_keys: /nowhere/at/all: No such file or directory");
}

}  // namespace
}  // namespace mote::server
