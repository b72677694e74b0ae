// Random texts of grammars, and verdicts on given ones, for walk_test.py.
//
// In, until the end: a line "KIND SIZE SEED COUNT TEXTS", KIND gbnf, schema or json, then SIZE bytes of source, then
// TEXTS times a line "SIZE" and so many bytes. Out: "error SIZE" and a message; or "ok COUNT TEXTS", then COUNT times
// "SIZE" and a text (SIZE -1: a walk that did not end), then a line with 1 or 0 for each given text.
#include <stdio.h>

#include <string>

#include "engine/text/grammar.h"
#include "tests/text/walk.h"

namespace mote {
namespace {

bool Read(size_t size, std::string* out) {
  out->resize(size);
  return fread(out->data(), 1, size, stdin) == size;
}

void Write(long size, const std::string& text) {
  printf("%ld\n", size);
  fwrite(text.data(), 1, text.size(), stdout);
}

bool Answer() {
  char kind[16];
  size_t size = 0;
  unsigned long long seed = 0;
  int count = 0;
  int texts = 0;
  std::string source;
  if (scanf("%15s %zu %llu %d %d", kind, &size, &seed, &count, &texts) != 5 || getchar() != '\n') return false;
  if (!Read(size, &source)) return false;
  const std::string name = kind;
  const auto grammar = name == "gbnf"     ? Grammar::FromGbnf(source)
                       : name == "schema" ? Grammar::FromJsonSchema(source)
                                          : Grammar::AnyJsonObject();
  std::string verdicts;
  for (int i = 0; i < texts; ++i) {
    std::string text;
    if (scanf("%zu", &size) != 1 || getchar() != '\n' || !Read(size, &text)) return false;
    if (!grammar.ok()) continue;
    GrammarMatcher matcher(*grammar);
    verdicts += matcher.Accept(text) && matcher.MayEnd() ? '1' : '0';
  }
  if (!grammar.ok()) {
    const std::string& message = grammar.status().message();
    printf("error %zu\n", message.size());
    fwrite(message.data(), 1, message.size(), stdout);
  } else {
    printf("ok %d %d\n", count, texts);
    testing::Random random = {seed};
    for (int i = 0; i < count; ++i) {
      std::string text;
      const bool ended = testing::RandomText(*grammar, &random, 20 + random.Below(300), 50000, &text);
      Write(ended ? static_cast<long>(text.size()) : -1, ended ? text : "");
    }
    printf("%s\n", verdicts.c_str());
  }
  fflush(stdout);
  return true;
}

}  // namespace
}  // namespace mote

int main() {
  while (mote::Answer()) {
  }
  return 0;
}
