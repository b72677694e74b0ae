#include "edge/server/page/page.h"

#include <stdint.h>
#include <stdio.h>

#include <array>
#include <string_view>
#include <utility>

#include "edge/server/page/page_files.h"

namespace mote::server {
namespace {

constexpr char kPolicy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "media-src blob:; manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'";

constexpr std::array<std::pair<std::string_view, const char*>, 5> kTypes = {
    {{".html", "text/html; charset=utf-8"},
     {".css", "text/css; charset=utf-8"},
     {".js", "text/javascript; charset=utf-8"},
     {".svg", "image/svg+xml"},
     {".webmanifest", "application/manifest+json"}}};

std::string PathOf(const PageFile& file) {
  const std::string name = file.name;
  return name == "index.html" ? "/" : "/" + name;
}

// FNV-1a, 64 bits: it tells builds apart, and protects nothing.
std::string Tag(const PageFile& file) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (size_t i = 0; i < file.size; ++i) hash = (hash ^ file.bytes[i]) * 0x100000001b3u;
  char text[24];
  snprintf(text, sizeof(text), "\"%016llx\"", static_cast<unsigned long long>(hash));
  return text;
}

// If-None-Match: a list of tags, weak or not, or "*".
bool Matches(const std::string& list, const std::string& tag) {
  return list == "*" || list.find(tag) != std::string::npos;
}

}  // namespace

std::vector<std::string> PagePaths() {
  std::vector<std::string> paths;
  for (size_t i = 0; i < kPageFileCount; ++i) paths.push_back(PathOf(kPageFiles[i]));
  return paths;
}

Response PageResponse(const Request& request) {
  Response response;
  for (size_t i = 0; i < kPageFileCount; ++i) {
    const PageFile& file = kPageFiles[i];
    if (PathOf(file) != request.path) continue;
    const std::string tag = Tag(file);
    for (const auto& [ending, type] : kTypes) {
      if (std::string_view(file.name).ends_with(ending)) response.content_type = type;
    }
    response.headers = {{"ETag", tag},
                        {"Cache-Control", "no-cache"},  // kept, but asked about
                        {"Content-Security-Policy", kPolicy},
                        {"Referrer-Policy", "no-referrer"},
                        {"Permissions-Policy", "camera=(self), microphone=(), geolocation=()"},
                        {"Cross-Origin-Opener-Policy", "same-origin"},
                        {"Cross-Origin-Resource-Policy", "same-origin"}};
    const std::string* known = request.Header("if-none-match");
    if (known != nullptr && Matches(*known, tag)) {
      response.status = 304;
    } else {
      response.body.assign(reinterpret_cast<const char*>(file.bytes), file.size);
    }
    return response;
  }
  response.status = 404;
  return response;
}

}  // namespace mote::server
