#include "edge/server/http/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <string.h>

#include <algorithm>
#include <utility>

namespace mote::server {
namespace {

// "mote" and no more: tickets of another server are no sessions here.
constexpr unsigned char kSessionContext[] = "mote";
constexpr unsigned char kHttp11[] = "\x08http/1.1";

std::string Reason() {
  // The first is the cause; those after it tell who was told.
  const unsigned long code = ERR_peek_error();  // NOLINT: OpenSSL's type
  const char* reason = code == 0                ? nullptr
                       : ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code))
                                                : ERR_reason_error_string(code);
  std::string text = reason == nullptr ? "no reason given" : reason;
  if (text == "no start line") text = "holds nothing of that kind in PEM (\"-----BEGIN ...\")";
  ERR_clear_error();
  return text;
}

Error FileError(const char* what, const std::string& file) {
  return Error{MOTE_IO, std::string(what) + " " + file + ": " + Reason()};
}

// HTTP/1.1 is all that is spoken; a client that offers only others is told so by the handshake.
int SelectProtocol(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in, unsigned in_size,
                   void*) {
  unsigned char* selected = nullptr;
  const int result = SSL_select_next_proto(&selected, out_size, kHttp11, sizeof(kHttp11) - 1, in, in_size);
  *out = selected;
  return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

Result<void> LoadFiles(const TlsOptions& options, SSL_CTX* context) {
  ERR_clear_error();
  if (SSL_CTX_use_certificate_chain_file(context, options.certificate.c_str()) != 1) {
    return FileError("TLS certificate", options.certificate);
  }
  if (SSL_CTX_use_PrivateKey_file(context, options.key.c_str(), SSL_FILETYPE_PEM) != 1) {
    return FileError("TLS key", options.key);
  }
  if (SSL_CTX_check_private_key(context) != 1) {
    return FileError("TLS key does not belong to the certificate:", options.key);
  }
  if (options.client_ca.empty()) {
    if (!options.require_client) return {};
    return Error{MOTE_INVALID_ARGUMENT, "TLS: certificates of clients are required, but no client CA is given"};
  }
  if (SSL_CTX_load_verify_locations(context, options.client_ca.c_str(), nullptr) != 1) {
    return FileError("TLS client CA", options.client_ca);
  }
  if (!options.crl.empty()) {
    X509_STORE* const store = SSL_CTX_get_cert_store(context);
    X509_LOOKUP* const lookup = X509_STORE_add_lookup(store, X509_LOOKUP_file());
    if (lookup == nullptr || X509_load_crl_file(lookup, options.crl.c_str(), X509_FILETYPE_PEM) <= 0) {
      return FileError("TLS revocation list", options.crl);
    }
    // Of the client's own certificate. A list that has run out refuses everybody, rather than nobody.
    X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
  }
  STACK_OF(X509_NAME)* const names = SSL_load_client_CA_file(options.client_ca.c_str());
  if (names == nullptr) return FileError("TLS client CA", options.client_ca);
  SSL_CTX_set_client_CA_list(context, names);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | (options.require_client ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
                     nullptr);
  return {};
}

}  // namespace

TlsSession::~TlsSession() {
  SSL_free(ssl_);
}

Io TlsSession::After(int result) {
  const int error = SSL_get_error(ssl_, result);
  ERR_clear_error();
  if (error == SSL_ERROR_WANT_READ) return Io::kWantRead;
  if (error == SSL_ERROR_WANT_WRITE) return Io::kWantWrite;
  return Io::kClosed;
}

Io TlsSession::Handshake() {
  ERR_clear_error();
  const int result = SSL_accept(ssl_);
  return result == 1 ? Io::kDone : After(result);
}

Io TlsSession::Read(char* out, size_t size, size_t* taken) {
  ERR_clear_error();
  const int result = SSL_read_ex(ssl_, out, size, taken);
  return result == 1 ? Io::kDone : After(result);
}

Io TlsSession::Write(const char* bytes, size_t size, size_t* taken) {
  ERR_clear_error();
  const int result = SSL_write_ex(ssl_, bytes, size, taken);
  return result == 1 ? Io::kDone : After(result);
}

void TlsSession::Shutdown() {
  ERR_clear_error();
  (void)SSL_shutdown(ssl_);
  ERR_clear_error();
}

std::string TlsSession::PeerSubject() const {
  X509* const certificate = SSL_get1_peer_certificate(ssl_);
  if (certificate == nullptr || SSL_get_verify_result(ssl_) != X509_V_OK) {
    X509_free(certificate);
    return "";
  }
  std::string subject;
  BIO* const text = BIO_new(BIO_s_mem());
  if (text != nullptr && X509_NAME_print_ex(text, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253) >= 0) {
    char* bytes = nullptr;
    const long size = BIO_get_mem_data(text, &bytes);  // NOLINT: OpenSSL's type
    subject.assign(bytes, static_cast<size_t>(std::max(size, 0L)));
  }
  BIO_free(text);
  X509_free(certificate);
  return subject;
}

TlsContext::~TlsContext() {
  SSL_CTX_free(context_);
}

std::unique_ptr<TlsSession> TlsContext::Accept(int fd) const {
  SSL* const ssl = SSL_new(context_);
  if (ssl == nullptr) return nullptr;
  auto session = std::make_unique<TlsSession>(ssl);
  if (SSL_set_fd(ssl, fd) != 1) return nullptr;
  return session;
}

Result<std::shared_ptr<TlsContext>> TlsContext::Load(const TlsOptions& options) {
  ERR_clear_error();
  SSL_CTX* const context = SSL_CTX_new(TLS_server_method());
  if (context == nullptr) return Error{MOTE_OUT_OF_MEMORY, "TLS: " + Reason()};
  std::shared_ptr<TlsContext> owner(new TlsContext(context));
  SSL_CTX_set_min_proto_version(context, options.allow_tls12 ? TLS1_2_VERSION : TLS1_3_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  // Of TLS 1.2, only forward-secret, authenticated ciphers.
  SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20");
  // Buffers of idle connections are given back. Writes may be tried again from another place in memory.
  SSL_CTX_set_mode(context,
                   SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  // Without one, clients with certificates cannot resume. No cache: sessions live in tickets.
  SSL_CTX_set_session_id_context(context, kSessionContext, sizeof(kSessionContext) - 1);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_alpn_select_cb(context, SelectProtocol, nullptr);
  if (auto loaded = LoadFiles(options, context); !loaded.ok()) return loaded.error();
  return owner;
}

}  // namespace mote::server
