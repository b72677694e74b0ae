// Keys of tokens: reading them, and checking signatures with OpenSSL.
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/obj_mac.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <utility>

#include "edge/server/auth/jwt.h"

namespace mote::server {
namespace {

template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* pointer) const {
    Free(pointer);
  }
};
using PublicKey = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using Bio = std::unique_ptr<BIO, Deleter<BIO_free_all>>;
using Certificate = std::unique_ptr<X509, Deleter<X509_free>>;
using DigestContext = std::unique_ptr<EVP_MD_CTX, Deleter<EVP_MD_CTX_free>>;
using BigNumber = std::unique_ptr<BIGNUM, Deleter<BN_free>>;
using EcdsaSignature = std::unique_ptr<ECDSA_SIG, Deleter<ECDSA_SIG_free>>;

constexpr size_t kMinSecret = 32;  // as long as the digest: RFC 7518, 3.2
constexpr int kMinRsaBits = 2048;  // RFC 7518, 3.3
constexpr int kMaxRsaBits = 16384;

const uint8_t* Bytes(std::string_view text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

class HmacKey : public JwtKey {
 public:
  explicit HmacKey(std::string_view secret) : secret_(secret) {}
  ~HmacKey() override { OPENSSL_cleanse(secret_.data(), secret_.size()); }

  bool Verify(std::string_view text, std::string_view signature) const override {
    uint8_t expected[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    const bool made = HMAC(EVP_sha256(), secret_.data(), static_cast<int>(secret_.size()), Bytes(text), text.size(),
                           expected, &size) != nullptr;
    return made && signature.size() == size && CRYPTO_memcmp(expected, signature.data(), size) == 0;
  }

 private:
  std::string secret_;
};

// RS256, ES256 and EdDSA.
class AsymmetricKey : public JwtKey {
 public:
  explicit AsymmetricKey(PublicKey key) : key_(std::move(key)) {}

  bool Verify(std::string_view text, std::string_view signature) const override {
    std::string der;
    if (algorithm == "ES256") {
      if (!ToDer(signature, &der)) return false;
      signature = der;
    } else if (signature.size() != static_cast<size_t>(EVP_PKEY_get_size(key_.get()))) {
      return false;
    }
    const DigestContext context(EVP_MD_CTX_new());
    const EVP_MD* digest = algorithm == "EdDSA" ? nullptr : EVP_sha256();  // Ed25519 hashes by itself
    const bool right =
        context != nullptr && EVP_DigestVerifyInit(context.get(), nullptr, digest, nullptr, key_.get()) == 1 &&
        EVP_DigestVerify(context.get(), Bytes(signature), signature.size(), Bytes(text), text.size()) == 1;
    ERR_clear_error();  // a wrong signature leaves one for the next who looks
    return right;
  }

 private:
  // ES256 has r and s as 32 bytes each (RFC 7518, 3.4), OpenSSL wants them as ASN.1. Both must be 1 to n - 1: zeros
  // made verifiers elsewhere say yes to everything.
  static bool ToDer(std::string_view signature, std::string* der) {
    if (signature.size() != 64) return false;
    BigNumber r(BN_bin2bn(Bytes(signature), 32, nullptr));
    BigNumber s(BN_bin2bn(Bytes(signature) + 32, 32, nullptr));
    BIGNUM* order = nullptr;
    BN_hex2bn(&order, "FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551");
    const BigNumber n(order);
    if (r == nullptr || s == nullptr || n == nullptr) return false;
    if (BN_is_zero(r.get()) || BN_is_zero(s.get())) return false;
    if (BN_cmp(r.get(), n.get()) >= 0 || BN_cmp(s.get(), n.get()) >= 0) return false;
    const EcdsaSignature pair(ECDSA_SIG_new());
    if (pair == nullptr || ECDSA_SIG_set0(pair.get(), r.get(), s.get()) != 1) return false;
    static_cast<void>(r.release());  // the pair owns them
    static_cast<void>(s.release());
    uint8_t* bytes = nullptr;
    const int size = i2d_ECDSA_SIG(pair.get(), &bytes);
    if (size > 0) der->assign(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
    OPENSSL_free(bytes);
    return size > 0;
  }

  PublicKey key_;
};

PublicKey ReadPem(std::string_view bytes) {
  const Bio bio(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
  if (bio == nullptr) return nullptr;
  if (bytes.find("-----BEGIN CERTIFICATE-----") != std::string_view::npos) {
    const Certificate certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    return PublicKey(certificate == nullptr ? nullptr : X509_get_pubkey(certificate.get()));
  }
  return PublicKey(PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr));
}

bool IsP256(const EVP_PKEY* key) {
  char group[64] = "";
  size_t size = 0;
  return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC && EVP_PKEY_get_group_name(key, group, sizeof(group), &size) == 1 &&
         OBJ_sn2nid(group) == NID_X9_62_prime256v1;
}

// What the key must be for its algorithm, or "" where it is that.
const char* WhatIsWrong(const std::string& algorithm, const EVP_PKEY* key) {
  if (algorithm == "RS256") {
    const int bits = EVP_PKEY_get_bits(key);
    const bool right = EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA && bits >= kMinRsaBits && bits <= kMaxRsaBits;
    return right ? "" : "an RSA key of 2048 to 16384 bits";
  }
  if (algorithm == "ES256") return IsP256(key) ? "" : "a key of the curve P-256";
  return EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 ? "" : "an Ed25519 key";
}

}  // namespace

Result<std::unique_ptr<JwtKey>> ReadJwtKey(const JwtKeyFile& file, std::string_view bytes) {
  const auto wrong = [&](const std::string& what) {
    return Error{MOTE_INVALID_ARGUMENT, "jwt_keys: " + file.path + ": " + what};
  };
  const bool pem = bytes.find("-----BEGIN ") != std::string_view::npos;
  std::unique_ptr<JwtKey> key;
  if (file.algorithm == "HS256") {
    // A public key as the secret is what everybody can sign with.
    if (pem) return wrong("is PEM; must be the bytes of a secret for HS256");
    if (bytes.ends_with("\n")) bytes.remove_suffix(1);
    if (bytes.ends_with("\r")) bytes.remove_suffix(1);
    if (bytes.size() < kMinSecret) {
      return wrong("has " + std::to_string(bytes.size()) + " bytes; must have 32 or more for HS256");
    }
    key = std::make_unique<HmacKey>(bytes);
  } else {
    if (bytes.find("PRIVATE KEY-----") != std::string_view::npos) {
      return wrong("has a private key; must be the public one, which is all that the server needs");
    }
    PublicKey read = pem ? ReadPem(bytes) : nullptr;
    ERR_clear_error();
    if (read == nullptr) return wrong("must be a public key or a certificate in PEM");
    const std::string right = WhatIsWrong(file.algorithm, read.get());
    if (!right.empty()) return wrong("must be " + right + " for " + file.algorithm);
    key = std::make_unique<AsymmetricKey>(std::move(read));
  }
  key->algorithm = file.algorithm;
  key->id = file.id;
  return key;
}

}  // namespace mote::server
