// Tokens of other issuers: JSON Web Tokens (RFC 7519), signed, in compact form, held against configured keys as RFC
// 8725 advises.
//
// What a token's header says chooses nothing but among configured keys: each has one algorithm, and a token of another
// one is refused, "none" first of all. No key comes from the token or from a place that it names.
#ifndef MOTE_EDGE_SERVER_AUTH_JWT_H_
#define MOTE_EDGE_SERVER_AUTH_JWT_H_

#include <stdint.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "edge/server/auth/scopes.h"
#include "edge/server/config/settings.h"

namespace mote::server {

inline constexpr size_t kMaxToken = 8192;   // bytes
inline constexpr int64_t kClockSkew = 60;   // seconds that issuer's clock and ours may differ
inline constexpr size_t kMaxSubject = 128;  // bytes

// A key that signatures are checked with.
class JwtKey {
 public:
  virtual ~JwtKey() = default;
  // `text`: the first two parts of the token and the dot between.
  virtual bool Verify(std::string_view text, std::string_view signature) const = 0;

  std::string algorithm;
  std::string id;  // kid, or ""
};

// From the bytes of its file: a public key or certificate in PEM (RSA of 2048 to 16384 bits, P-256, Ed25519), or for
// HS256 a secret of 32 bytes or more, a line break at the end apart. Private keys are refused: the server needs none.
Result<std::unique_ptr<JwtKey>> ReadJwtKey(const JwtKeyFile& file, std::string_view bytes);

struct JwtClaims {
  std::string subject;  // 1 to kMaxSubject bytes of visible ASCII
  Scopes scopes = 0;    // of "scope" or "scp"; what mote has no name for is left out
  int64_t expires = 0;  // Unix seconds
};

class JwtVerifier {
 public:
  // Reads the files of the keys. None configured: a verifier that refuses every token.
  static Result<std::shared_ptr<const JwtVerifier>> Load(const Settings& settings);
  JwtVerifier(std::vector<std::unique_ptr<JwtKey>> keys, std::string issuer, std::string audience)
      : keys_(std::move(keys)), issuer_(std::move(issuer)), audience_(std::move(audience)) {}

  // `now` in Unix seconds. The error says why, without repeating the token.
  Result<JwtClaims> Verify(std::string_view token, int64_t now) const;
  bool any() const { return !keys_.empty(); }

 private:
  std::vector<std::unique_ptr<JwtKey>> keys_;
  std::string issuer_;
  std::string audience_;
};

// Three parts with dots between.
bool LooksLikeJwt(std::string_view token);

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_AUTH_JWT_H_
