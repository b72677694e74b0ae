// The page as the program carries it: whole, tagged, and under a policy that its own files keep.
#include <gtest/gtest.h>
#include <stdio.h>

#include <algorithm>
#include <string>

#include "edge/server/page/page.h"

namespace mote::server {
namespace {

std::string ReadFile(const std::string& path) {
  std::string text;
  if (FILE* file = fopen(path.c_str(), "rb")) {
    char chunk[4096];
    while (const size_t got = fread(chunk, 1, sizeof(chunk), file)) text.append(chunk, got);
    fclose(file);
  }
  return text;
}

Request Get(const std::string& path) {
  Request request;
  request.method = "GET";
  request.path = path;
  return request;
}

std::string HeaderOf(const Response& response, const std::string& name) {
  for (const auto& [key, value] : response.headers) {
    if (key == name) return value;
  }
  return "";
}

TEST(Page, EveryFileIsInTheProgramAsItIsInTheFolder) {
  const std::vector<std::string> paths = PagePaths();
  for (const char* path : {"/", "/style.css", "/app.js", "/sw.js", "/icon.svg", "/manifest.webmanifest"}) {
    EXPECT_NE(std::find(paths.begin(), paths.end(), path), paths.end()) << path;
  }
  for (const std::string& path : paths) {
    const std::string file = "edge/server/page" + (path == "/" ? "/index.html" : path);
    const Response response = PageResponse(Get(path));
    EXPECT_EQ(response.status, 200);
    EXPECT_FALSE(response.body.empty());
    EXPECT_EQ(response.body, ReadFile(file)) << file;
  }
  EXPECT_EQ(PageResponse(Get("/")).content_type, "text/html; charset=utf-8");
  EXPECT_EQ(PageResponse(Get("/app.js")).content_type, "text/javascript; charset=utf-8");
  EXPECT_EQ(PageResponse(Get("/page.cc")).status, 404);
  EXPECT_EQ(PageResponse(Get("/../page.cc")).status, 404);
}

TEST(Page, WhatTheClientHasIsNotSentAgain) {
  Request request = Get("/app.js");
  const std::string tag = HeaderOf(PageResponse(request), "ETag");
  ASSERT_EQ(tag.size(), 18u);
  EXPECT_NE(tag, HeaderOf(PageResponse(Get("/style.css")), "ETag"));
  for (const std::string& known : {tag, "\"x\", W/" + tag, std::string("*")}) {
    request.headers = {{"if-none-match", known}};
    EXPECT_EQ(PageResponse(request).status, 304) << known;
    EXPECT_EQ(PageResponse(request).body, "");
    EXPECT_EQ(HeaderOf(PageResponse(request), "ETag"), tag);
  }
  request.headers = {{"if-none-match", "\"0123456789abcdef\""}};
  EXPECT_EQ(PageResponse(request).status, 200);
}

TEST(Page, NothingIsWrittenIntoThePageThatThePolicyWouldRefuse) {
  const std::string policy = HeaderOf(PageResponse(Get("/")), "Content-Security-Policy");
  for (const char* rule : {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"}) {
    EXPECT_NE(policy.find(rule), std::string::npos) << rule;
  }
  EXPECT_EQ(policy.find("unsafe"), std::string::npos);
  const std::string html = PageResponse(Get("/")).body;
  EXPECT_EQ(html.find("<script>"), std::string::npos);
  EXPECT_EQ(html.find("<style"), std::string::npos);
  EXPECT_EQ(html.find(" style="), std::string::npos);
  for (const std::string& path : PagePaths()) {
    const std::string text = PageResponse(Get(path)).body;
    for (const char* other : {"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "https://"}) {
      EXPECT_EQ(text.find(other), std::string::npos) << path << " has " << other;
    }
  }
}

TEST(Page, TheServiceWorkerKeepsEveryFile) {
  const std::string worker = PageResponse(Get("/sw.js")).body;
  for (const std::string& path : PagePaths()) {
    if (path == "/sw.js") continue;
    EXPECT_NE(worker.find("'" + path + "'"), std::string::npos) << path;
  }
}

}  // namespace
}  // namespace mote::server
