#include "edge/server/http/tls.h"

#include <gtest/gtest.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "edge/server/http/front.h"
#include "tests/server/front_client.h"
#include "tests/support/effort.h"

namespace mote::server {
namespace {

struct Identity {
  X509* certificate = nullptr;
  EVP_PKEY* key = nullptr;
  std::string certificate_file, key_file;
};

// Certificates for these tests, made when they run; files in the test's folder.
class Authority {
 public:
  ~Authority() {
    for (const Identity& identity : made_) {
      X509_free(identity.certificate);
      EVP_PKEY_free(identity.key);
      remove(identity.certificate_file.c_str());
      remove(identity.key_file.c_str());
    }
  }

  // Signed by `issuer`, or by itself. Valid from `from` to `to` seconds from now. `use`: extended key usage.
  Identity Make(const std::string& name, const Identity* issuer, long from = -3600,
                long to = 3600,  // NOLINT: OpenSSL's
                const char* use = nullptr) {
    Identity made;
    made.key = EVP_EC_gen("P-256");
    made.certificate = X509_new();
    X509* const x = made.certificate;
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial_);
    X509_gmtime_adj(X509_getm_notBefore(x), from);
    X509_gmtime_adj(X509_getm_notAfter(x), to);
    X509_set_pubkey(x, made.key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(issuer == nullptr ? x : issuer->certificate));
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer == nullptr ? x : issuer->certificate, x, nullptr, nullptr, 0);
    Extend(x, &context, NID_basic_constraints, issuer == nullptr ? "critical,CA:TRUE" : "CA:FALSE");
    if (use != nullptr) Extend(x, &context, NID_ext_key_usage, use);
    X509_sign(x, issuer == nullptr ? made.key : issuer->key, EVP_sha256());
    const std::string base =
        testing::TempDir() + "mote_tls_" + std::to_string(getpid()) + "_" + std::to_string(serial_);
    made.certificate_file = base + ".pem";
    made.key_file = base + ".key";
    Write(made, made.certificate_file, made.key_file);
    made_.push_back(made);
    return made;
  }

  // A list of the issuer's that takes back `revoked`; null: none. In a file of its own, which the caller removes. `to`:
  // seconds from now at which it runs out.
  static void WriteCrl(const Identity& issuer, const Identity* revoked, const std::string& path,
                       long to = 3600) {  // NOLINT
    X509_CRL* const crl = X509_CRL_new();
    X509_CRL_set_version(crl, 1);
    X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer.certificate));
    ASN1_TIME* const time = ASN1_TIME_new();
    X509_CRL_set1_lastUpdate(crl, X509_gmtime_adj(time, -7200));
    X509_CRL_set1_nextUpdate(crl, X509_gmtime_adj(time, to));
    if (revoked != nullptr) {
      X509_REVOKED* const entry = X509_REVOKED_new();
      X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(revoked->certificate));
      X509_REVOKED_set_revocationDate(entry, X509_gmtime_adj(time, -60));
      X509_CRL_add0_revoked(crl, entry);
    }
    X509_CRL_sign(crl, issuer.key, EVP_sha256());
    FILE* const file = fopen(path.c_str(), "w");
    PEM_write_X509_CRL(file, crl);
    fclose(file);
    ASN1_TIME_free(time);
    X509_CRL_free(crl);
  }

  static void Write(const Identity& identity, const std::string& certificate_file, const std::string& key_file) {
    FILE* file = fopen(certificate_file.c_str(), "w");
    PEM_write_X509(file, identity.certificate);
    fclose(file);
    file = fopen(key_file.c_str(), "w");
    PEM_write_PrivateKey(file, identity.key, nullptr, nullptr, 0, nullptr, nullptr);
    fclose(file);
  }

 private:
  static void Extend(X509* x, X509V3_CTX* context, int nid, const char* value) {
    X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, context, nid, value);
    X509_add_ext(x, extension, -1);
    X509_EXTENSION_free(extension);
  }
  int serial_ = 0;
  std::vector<Identity> made_;
};

struct Wish {
  const Identity* identity = nullptr;
  int lowest = 0, highest = 0;  // versions; 0: the library's
  std::string alpn;             // in wire format
  SSL_SESSION* session = nullptr;
};

// What came of one request over TLS.
struct TlsAnswer {
  std::string text;  // "": refused
  std::string alpn;
  std::string server;  // the certificate's common name
  int version = 0;
  bool resumed = false;
  SSL_SESSION* session = nullptr;  // to be freed
};

class TlsClient {
 public:
  TlsClient(const std::string& address, const Wish& wish) : client_(address) {
    context_ = SSL_CTX_new(TLS_client_method());
    // Old versions are spoken by weak ciphers only.
    SSL_CTX_set_security_level(context_, 0);
    if (wish.lowest != 0) SSL_CTX_set_min_proto_version(context_, wish.lowest);
    if (wish.highest != 0) SSL_CTX_set_max_proto_version(context_, wish.highest);
    if (wish.identity != nullptr) {
      SSL_CTX_use_certificate(context_, wish.identity->certificate);
      SSL_CTX_use_PrivateKey(context_, wish.identity->key);
    }
    ssl_ = SSL_new(context_);
    SSL_set_fd(ssl_, client_.fd());
    if (!wish.alpn.empty()) {
      SSL_set_alpn_protos(ssl_, reinterpret_cast<const unsigned char*>(wish.alpn.data()),
                          static_cast<unsigned>(wish.alpn.size()));
    }
    if (wish.session != nullptr) SSL_set_session(ssl_, wish.session);
    connected_ = SSL_connect(ssl_) == 1;
  }
  ~TlsClient() {
    // Without it, OpenSSL does not resume the session.
    if (connected_) SSL_shutdown(ssl_);
    SSL_free(ssl_);
    SSL_CTX_free(context_);
    ERR_clear_error();
  }
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;

  bool Send(std::string_view bytes) {
    return connected_ && SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size())) > 0;
  }
  // Until the answer has `end`, or the connection ends.
  std::string ReadUntil(const std::string& end) {
    std::string text;
    char bytes[4096];
    while (connected_ && text.find(end) == std::string::npos) {
      const int taken = SSL_read(ssl_, bytes, sizeof(bytes));
      if (taken <= 0) break;
      text.append(bytes, static_cast<size_t>(taken));
    }
    return text;
  }
  TlsAnswer Ask() {
    TlsAnswer answer;
    if (!Send(GetRequest("/who"))) return answer;
    answer.text = ReadUntil("<end>");
    if (answer.text.empty()) return answer;
    const unsigned char* alpn = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(ssl_, &alpn, &size);
    answer.alpn.assign(reinterpret_cast<const char*>(alpn), size);
    answer.version = SSL_version(ssl_);
    answer.resumed = SSL_session_reused(ssl_) == 1;
    X509* const certificate = SSL_get1_peer_certificate(ssl_);
    char name[64] = "";
    X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name, sizeof(name));
    X509_free(certificate);
    answer.server = name;
    answer.session = SSL_get1_session(ssl_);
    return answer;
  }

 private:
  Client client_;
  SSL_CTX* context_ = nullptr;
  SSL* ssl_ = nullptr;
  bool connected_ = false;
};

class Tls : public testing::Test {
 protected:
  Tls() {
    ca = authority.Make("test CA", nullptr);
    server = authority.Make("server", &ca);
    options.listen = {"127.0.0.1:0"};
    options.tls.certificate = server.certificate_file;
    options.tls.key = server.key_file;
  }
  ~Tls() override { ERR_clear_error(); }

  void Start() {
    front = std::make_unique<Front>(options);
    Add("GET", "/who", [](const Request& request, const std::shared_ptr<Reply>& reply) {
      reply->Send({200,
                   "text/plain",
                   {},
                   std::string(request.peer.tls ? "tls " : "plain ") + request.peer.certificate + "<end>"});
    });
    Add("POST", "/mirror", [](const Request& request, const std::shared_ptr<Reply>& reply) {
      reply->Start({200, "text/plain", {}, ""});
      reply->Write(request.body);
      reply->End();
    });
    const auto started = front->Start();
    ASSERT_TRUE(started.ok()) << started.error().message;
    address = front->addresses()[0];
  }
  void Add(const std::string& method, const std::string& pattern, Handler handler) {
    ASSERT_TRUE(front->Route(method, pattern, std::move(handler)).ok());
  }
  TlsAnswer Ask(const Wish& wish = {}) const {
    TlsAnswer answer = TlsClient(address, wish).Ask();
    if (wish.session == nullptr) {
      SSL_SESSION_free(answer.session);
      answer.session = nullptr;
    }
    return answer;
  }
  static std::string Certificate(const TlsAnswer& answer) {
    const size_t begin = answer.text.find("tls ");
    if (begin == std::string::npos) return "refused";
    return answer.text.substr(begin + 4, answer.text.find("<end>") - begin - 4);
  }

  Authority authority;
  Identity ca, server;
  FrontOptions options;
  std::unique_ptr<Front> front;
  std::string address;
};

TEST_F(Tls, SpeaksVersion13AndNothingOlder) {
  Start();
  const TlsAnswer answer = Ask();
  EXPECT_EQ(answer.version, TLS1_3_VERSION);
  EXPECT_EQ(Certificate(answer), "");
  EXPECT_EQ(answer.server, "server");
  EXPECT_EQ(Ask({.lowest = TLS1_VERSION, .highest = TLS1_2_VERSION}).text, "");
  EXPECT_EQ(Ask({.lowest = TLS1_VERSION, .highest = TLS1_1_VERSION}).text, "");
}

TEST_F(Tls, SpeaksVersion12OnRequest) {
  options.tls.allow_tls12 = true;
  Start();
  EXPECT_EQ(Ask().version, TLS1_3_VERSION);
  EXPECT_EQ(Ask({.lowest = TLS1_VERSION, .highest = TLS1_2_VERSION}).version, TLS1_2_VERSION);
  EXPECT_EQ(Ask({.lowest = TLS1_VERSION, .highest = TLS1_1_VERSION}).text, "");
}

TEST_F(Tls, NegotiatesHttp11) {
  Start();
  EXPECT_EQ(Ask({.alpn = "\x02h2\x08http/1.1"}).alpn, "http/1.1");
  EXPECT_EQ(Ask({.alpn = "\x02h2"}).text, "");
  EXPECT_EQ(Ask().alpn, "");
}

TEST_F(Tls, KnowsItsClients) {
  options.tls.client_ca = ca.certificate_file;
  const Identity good = authority.Make("camera-7", &ca, -3600, 3600, "clientAuth");
  const Identity other_ca = authority.Make("other CA", nullptr);
  // Of the same name: only the signature tells.
  const Identity false_ca = authority.Make("test CA", nullptr);
  const Identity strangers[] = {
      authority.Make("camera-7", &other_ca),
      authority.Make("camera-7", &false_ca),
      authority.Make("camera-7", &ca, -7200, -3600),
      authority.Make("camera-7", &ca, 3600, 7200),
      authority.Make("camera-7", &ca, -3600, 3600, "serverAuth"),
      authority.Make("camera-7", nullptr),
  };
  for (const bool required : {true, false}) {
    options.tls.require_client = required;
    Start();
    EXPECT_EQ(Certificate(Ask({.identity = &good})), "CN=camera-7");
    EXPECT_EQ(Certificate(Ask()), required ? "refused" : "");
    for (size_t i = 0; i < std::size(strangers); ++i) {
      EXPECT_EQ(Certificate(Ask({.identity = &strangers[i]})), "refused") << i << ", required " << required;
    }
  }
}

TEST_F(Tls, RevokedClientsAreRefused) {
  const std::string list = testing::TempDir() + "mote_tls_" + std::to_string(getpid()) + ".crl";
  options.tls.client_ca = ca.certificate_file;
  options.tls.require_client = true;
  options.tls.crl = list;
  const Identity good = authority.Make("camera-7", &ca);
  const Identity lost = authority.Make("camera-8", &ca);
  Authority::WriteCrl(ca, nullptr, list);
  Start();
  EXPECT_EQ(Certificate(Ask({.identity = &lost})), "CN=camera-8");
  Authority::WriteCrl(ca, &lost, list);
  ASSERT_TRUE(front->ReloadTls().ok());
  EXPECT_EQ(Certificate(Ask({.identity = &lost})), "refused");
  EXPECT_EQ(Certificate(Ask({.identity = &good})), "CN=camera-7");
  // A list that has run out says nothing of anybody: who may still come in is not known.
  Authority::WriteCrl(ca, nullptr, list, -60);
  ASSERT_TRUE(front->ReloadTls().ok());
  EXPECT_EQ(Certificate(Ask({.identity = &good})), "refused");
  remove(list.c_str());
  const auto reloaded = front->ReloadTls();
  ASSERT_FALSE(reloaded.ok());
  EXPECT_NE(reloaded.error().message.find(list), std::string::npos) << reloaded.error().message;
}

TEST_F(Tls, ClientsWithCertificatesResume) {
  options.tls.client_ca = ca.certificate_file;
  options.tls.require_client = true;
  const Identity good = authority.Make("camera-7", &ca);
  Start();
  const TlsAnswer first = TlsClient(address, {.identity = &good}).Ask();
  ASSERT_NE(first.session, nullptr);
  const TlsAnswer second = TlsClient(address, {.identity = &good, .session = first.session}).Ask();
  EXPECT_TRUE(second.resumed);
  EXPECT_EQ(Certificate(second), "CN=camera-7");
  SSL_SESSION_free(first.session);
  SSL_SESSION_free(second.session);
}

TEST_F(Tls, StalledHandshakesAreCutAndOthersServed) {
  options.handshake_seconds = 0.3;
  Start();
  std::vector<Client> stalled;
  for (int i = 0; i < 50; ++i) {
    stalled.emplace_back(address);
    // The beginning of a ClientHello, or nothing.
    if (i % 2 == 0) stalled.back().Send(std::string("\x16\x03\x01\x02\x00\x01\x00", 7));
  }
  EXPECT_EQ(Certificate(Ask()), "");
  for (Client& client : stalled) EXPECT_TRUE(client.Closed());
  EXPECT_EQ(Certificate(Ask()), "");
}

TEST_F(Tls, PlainTextGetsNoAnswer) {
  Start();
  Client client(address);
  client.Send(GetRequest("/who"));
  EXPECT_EQ(client.ReadAnswer().status, 0);
}

TEST_F(Tls, CarriesLargeBodiesBothWays) {
  Start();
  TlsClient client(address, {});
  const std::string body(1 << 20, 'b');
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(client.Send("POST /mirror HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(body.size()) +
                            "\r\n\r\n" + body));
    const std::string answer = client.ReadUntil("\r\n0\r\n\r\n");
    EXPECT_NE(answer.find("\r\n100000\r\n" + body + "\r\n0\r\n\r\n"), std::string::npos);
  }
}

TEST_F(Tls, PipelinedRequestsInOneRecordAreAllServed) {
  Start();
  TlsClient client(address, {});
  std::string requests;
  for (int i = 0; i < 20; ++i) requests += GetRequest("/who");
  ASSERT_TRUE(client.Send(requests));
  std::string answers;
  size_t count = 0;
  while (count < 20) {
    const std::string more = client.ReadUntil("<end>");
    if (more.empty()) break;
    for (size_t at = 0; (at = more.find("<end>", at)) != std::string::npos; ++at) ++count;
  }
  EXPECT_EQ(count, size_t{20});
}

TEST_F(Tls, NewCertificatesWithoutADroppedConnection) {
  Start();
  TlsClient open(address, {});
  TlsAnswer before = open.Ask();
  const Identity renewed = authority.Make("renewed", &ca);
  Authority::Write(renewed, server.certificate_file, server.key_file);
  EXPECT_EQ(Ask().server, "server") << "not before it is asked to";
  ASSERT_TRUE(front->ReloadTls().ok());
  EXPECT_EQ(Ask().server, "renewed");
  TlsAnswer after = open.Ask();
  EXPECT_EQ(after.server, "server");
  SSL_SESSION_free(before.session);
  SSL_SESSION_free(after.session);
  // What cannot be loaded changes nothing.
  FILE* const file = fopen(server.certificate_file.c_str(), "w");
  fputs("no certificate", file);
  fclose(file);
  const auto reloaded = front->ReloadTls();
  ASSERT_FALSE(reloaded.ok());
  EXPECT_NE(reloaded.error().message.find(server.certificate_file), std::string::npos) << reloaded.error().message;
  EXPECT_EQ(Ask().server, "renewed");
}

TEST_F(Tls, NewCertificatesUnderLoad) {
  Start();
  const Identity renewed = authority.Make("renewed", &ca);
  std::atomic<bool> stop = false;
  std::atomic<int> served = 0, refused = 0;
  std::set<std::string> seen[3];
  std::vector<std::thread> clients;
  for (auto& names : seen) {
    clients.emplace_back([&] {
      while (!stop) {
        const TlsAnswer answer = Ask();
        names.insert(answer.server);
        ++(answer.text.find("<end>") != std::string::npos ? served : refused);
      }
    });
  }
  // So many requests see certificates come and go, whatever the machine's speed.
  for (int swaps = 0; swaps < 10 || served < Effort(300, 60); ++swaps) {
    const Identity& now = swaps % 2 == 0 ? renewed : server;
    Authority::Write(now, server.certificate_file, server.key_file);
    ASSERT_TRUE(front->ReloadTls().ok());
    const int before = served;
    ASSERT_TRUE(Eventually([&] { return served > before + 3 || refused > 0; }));
  }
  stop = true;
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(refused, 0);
  for (const auto& names : seen) {
    for (const std::string& name : names) EXPECT_TRUE(name == "server" || name == "renewed") << name;
  }
}

TEST_F(Tls, ErrorsNameTheFileAndTheReason) {
  const Identity other = authority.Make("other", &ca);
  struct Row {
    TlsOptions tls;
    std::string expected;
  };
  const Row rows[] = {
      {{.certificate = "/nowhere/a.pem", .key = server.key_file}, "/nowhere/a.pem: No such file"},
      {{.certificate = server.certificate_file, .key = "/nowhere/a.key"}, "/nowhere/a.key: No such file"},
      {{.certificate = server.key_file, .key = server.key_file},
       server.key_file + ": holds nothing of that kind in PEM"},
      {{.certificate = server.certificate_file, .key = other.key_file}, other.key_file + ": key values mismatch"},
      {{.certificate = server.certificate_file, .key = server.key_file, .client_ca = "/nowhere/ca.pem"},
       "/nowhere/ca.pem: "},
      {{.certificate = server.certificate_file, .key = server.key_file, .require_client = true}, "no client CA"},
  };
  for (const Row& row : rows) {
    const auto loaded = TlsContext::Load(row.tls);
    ASSERT_FALSE(loaded.ok()) << row.expected;
    EXPECT_NE(loaded.error().message.find(row.expected), std::string::npos) << loaded.error().message;
  }
}

}  // namespace
}  // namespace mote::server
