// Chat templates that are hostile or broken: limits on work, depth and size, and what messages say.
#include <gtest/gtest.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "engine/text/chat_template.h"
#include "tests/support/effort.h"

// Sanitizers and unoptimised builds have larger frames, wasm has no threads to measure on.
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(__wasm__)
#include <pthread.h>
#define MOTE_TEST_STACK 1
#endif

namespace mote {
namespace {

Result<std::string> Render(const std::string& source, const TemplateLimits& limits = {}, const ChatInput& input = {}) {
  const Result<std::unique_ptr<ChatTemplate>> parsed = ChatTemplate::Parse(source);
  if (!parsed.ok()) return parsed.status();
  return (*parsed)->Render(input, limits);
}

std::string Times(const std::string& text, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += text;
  return out;
}

void ExpectCode(const std::string& source, Code code, const TemplateLimits& limits = {}) {
  const Result<std::string> text = Render(source, limits);
  ASSERT_FALSE(text.ok()) << source.substr(0, 200) << " rendered " << text->size() << " bytes";
  EXPECT_EQ(text.status().code(), code) << source.substr(0, 200) << "\n" << text.status().message();
  EXPECT_LT(text.status().message().size(), 1024u);
}

// The vectors that broke other engines: research on templates, J1.
TEST(ChatTemplateLimits, KnownAttacks) {
  ExpectCode("{{9|9|{", Code::kMalformed);
  ExpectCode("{{1/0}}", Code::kMalformed);
  ExpectCode("{{1//0}}", Code::kMalformed);
  ExpectCode("{{1%0}}", Code::kMalformed);
  ExpectCode("{{ (-9223372036854775807 - 1) // -1 }}", Code::kInvalidArgument);
  EXPECT_EQ(*Render("{{ (-9223372036854775807 - 1) % -1 }}"), "0");
  ExpectCode("{% for i in range(1000000000) %}{% endfor %}", Code::kInvalidArgument);
  ExpectCode("{% for i in range(1000000000) %}x{% endfor %}", Code::kInvalidArgument);
  ExpectCode("{{ range(1000000000)|list|length }}", Code::kInvalidArgument);
  ExpectCode("{{ range(1000000000)|sum }}", Code::kInvalidArgument);
  ExpectCode("{{ range(1000000000)[1:]|length }}", Code::kInvalidArgument);
  ExpectCode("{{ 'x' in range(1000000000) }}", Code::kInvalidArgument);
  ExpectCode("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", Code::kInvalidArgument);
  ExpectCode("{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
             Code::kInvalidArgument);
  ExpectCode("{% macro m() %}{% call m() %}{% endcall %}{{ caller }}{% endmacro %}{{ m() }}", Code::kInvalidArgument);
}

TEST(ChatTemplateLimits, IntegersOverflowAsErrors) {
  for (const char* source :
       {"{{ 9223372036854775807 + 1 }}", "{{ -9223372036854775807 - 2 }}", "{{ 9223372036854775807 * 2 }}",
        "{{ 2 ** 63 }}", "{{ 10 ** 100 }}", "{{ -(-9223372036854775807 - 1) }}", "{{ (-9223372036854775807 - 1)|abs }}",
        "{{ 9223372036854775808 }}", "{{ 0xffffffffffffffffff }}", "{{ '99999999999999999999'|int }}",
        "{{ 1e300|int }}", "{{ 'inf'|float|int }}", "{{ 9223372036854775807|round(-1) }}",
        "{{ range(9223372036854775807)|length }}", "{{ '%d' % 1e30 }}"}) {
    ExpectCode(source, Code::kInvalidArgument);
  }
  EXPECT_EQ(*Render("{{ 2 ** 62 }} {{ -2 ** 63 if false else (-2) ** 63 }} {{ 1 ** 999999999 }} {{ (-1) ** 1000001 }}"),
            "4611686018427387904 -9223372036854775808 1 -1");
}

TEST(ChatTemplateLimits, TextIsCapped) {
  ExpectCode("{{ 'x' * 1000000000 }}", Code::kInvalidArgument);
  ExpectCode("{{ 'x' * 9223372036854775807 }}", Code::kInvalidArgument);
  ExpectCode("{{ [1] * 9223372036854775807 }}", Code::kInvalidArgument);
  ExpectCode("{{ 'x'|center(1000000000) }}", Code::kInvalidArgument);
  ExpectCode("{{ 'x'.ljust(9223372036854775807) }}", Code::kInvalidArgument);
  ExpectCode("{{ 'x'.zfill(9223372036854775807) }}", Code::kInvalidArgument);
  ExpectCode("{{ 'a\nb'|indent(9223372036854775807) }}", Code::kInvalidArgument);
  ExpectCode("{{ '%9999999999d' % 1 }}", Code::kInvalidArgument);
  ExpectCode("{{ '{:9999999999}'.format(1) }}", Code::kInvalidArgument);
  ExpectCode("{{ [1]|tojson(indent=9223372036854775807) }}", Code::kInvalidArgument);
  ExpectCode("{{ [1]|batch(9223372036854775807, 0)|list }}", Code::kInvalidArgument);
  ExpectCode("{{ [1]|slice(9223372036854775807)|list }}", Code::kInvalidArgument);
  // Doubling: by strings, lists, nesting and replacement.
  ExpectCode("{% set n = namespace(s='xxxxxxxx') %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}",
             Code::kInvalidArgument);
  ExpectCode("{% set n = namespace(s=[1]) %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% endfor %}",
             Code::kInvalidArgument);
  ExpectCode("{% set n = namespace(s=[1]) %}{% for i in range(60) %}{% set n.s = [n.s, n.s] %}{% endfor %}{{ n.s }}",
             Code::kInvalidArgument);
  ExpectCode(
      "{% set n = namespace(s='aa') %}{% for i in range(60) %}{% set n.s = n.s|replace('a', 'aa') %}{% endfor %}",
      Code::kInvalidArgument);
  ExpectCode("{% set l = [1] %}{% for i in l %}{% set _ = l.append(i) %}{% endfor %}", Code::kInvalidArgument);
  TemplateLimits small;
  small.output_bytes = 10;
  EXPECT_TRUE(Render("0123456789", small).ok());
  EXPECT_FALSE(Render("0123456789a", small).ok());
  EXPECT_FALSE(Render("{{ '01234' ~ '567890' }}", small).ok());
  EXPECT_FALSE(Render("{% set x %}01234567890{% endset %}", small).ok());
}

TEST(ChatTemplateLimits, FuelRunsOut) {
  TemplateLimits limits;
  limits.fuel = 20;
  EXPECT_TRUE(Render("{{ 1 }}{{ 2 }}", limits).ok());
  const Result<std::string> text = Render("\n\n{% for i in range(100) %}{{ i }}{% endfor %}", limits);
  ASSERT_FALSE(text.ok());
  EXPECT_EQ(text.status().code(), Code::kInvalidArgument);
  EXPECT_NE(text.status().message().find("line 3"), std::string::npos) << text.status().message();
  limits.fuel = 0;
  EXPECT_FALSE(Render("{{ 1 }}", limits).ok());
}

// Searching is linear: these would take minutes if it were not.
TEST(ChatTemplateLimits, SearchIsLinear) {
  const std::string n = Effort("1000000", "50000");
  const std::string head = "{% set a = 'a' * " + n + " %}{% set aa = a * 2 %}";
  EXPECT_TRUE(Render(head + "{{ (a ~ 'b') in aa }}").ok());
  EXPECT_TRUE(Render(head + "{{ aa.split(a ~ 'b')|length }}").ok());
  EXPECT_TRUE(Render(head + "{{ aa.rfind('b' ~ a) }}").ok());
  EXPECT_TRUE(Render(head + "{{ aa.count(a) }}").ok());
  EXPECT_TRUE(Render(head + "{{ aa|replace(a ~ 'b', 'c')|length }}").ok());
}

// A step of fuel buys a bounded amount of work, however long the texts are: each of these took minutes, or would.
TEST(ChatTemplateLimits, LongTextIsPaidFor) {
  TemplateLimits limits;
  limits.fuel = Effort(100000, 8000);
  const std::string head = "{% set s = 'a' * " + std::to_string(limits.fuel * 4) +
                           " %}{% set t = s ~ '' %}{% set d = {s: 1} %}{% set l = [s, t] %}";
  [[maybe_unused]] int number = 0;
  for (const char* work : {"s|safe",
                           "d[t]",
                           "d.get(t)",
                           "t in d",
                           "d == {t: 1}",
                           "d.update({t: 2})",
                           "dict(d)",
                           "s == t",
                           "s < t",
                           "l|sort",
                           "l|unique|list",
                           "l|join",
                           "l|max",
                           "s|length ~ s",
                           "s.startswith(t)",
                           "s.split('b')",
                           "s[1:]",
                           "s[::2]",
                           "s|reverse",
                           "s|list",
                           "s|trim('a')",
                           "s.strip('b')",
                           "s|upper",
                           "s.isdigit()",
                           "s|int",
                           "s|float",
                           "s|wordcount",
                           "s|indent",
                           "s|e",
                           "s|tojson",
                           "[s]|string",
                           "s % ()",
                           "s.format()",
                           "s.replace('b', 'c')",
                           "s.find('b')",
                           "s.count('ab')",
                           "s.partition('b')",
                           "s.splitlines()",
                           "s|title",
                           "s|truncate(300000)",
                           "s|replace('a', 'b')",
                           "s.removeprefix('b')",
                           "s.zfill(9)",
                           "s.center(9)",
                           "s.title()",
                           "s is lower",
                           "namespace(d)",
                           "cycler(*l)",
                           "l.index(t)",
                           "l.count(t)",
                           "'b' in s",
                           "l * 2",
                           "s * 1",
                           "'%s' % s",
                           "'{}'.format(s)",
                           "s|default('x') ~ ''",
                           "l|map('upper')|list",
                           "l|select('eq', t)|list",
                           "s|string ~ s"}) {
    if (kSlowTests && ++number % 3 != 0) continue;
    ExpectCode(head + "{% for i in range(1000000) %}{% set x = " + work + " %}{% endfor %}", Code::kInvalidArgument,
               limits);
  }
  ExpectCode("{{ " + std::string(1000, 'x') + " }}", Code::kMalformed);
}

// Depth: what the parser refuses and what the evaluator refuses; the stack stays small for both (see StackUse).
std::vector<std::string> DeepSources(int depth) {
  return {
      "{{ " + Times("(", depth) + "1" + Times(")", depth) + " }}",
      "{{ " + Times("[", depth) + "1" + Times("]", depth) + " }}",
      "{{ " + Times("{1:", depth) + "1" + Times("}", depth) + " }}",
      "{{ " + Times("not ", depth) + "1 }}",
      "{{ " + Times("-", depth) + "1 }}",
      "{{ " + Times("a[", depth) + "1" + Times("]", depth) + " }}",
      "{{ " + Times("a(", depth) + "1" + Times(")", depth) + " }}",
      "{{ " + Times("1 if 1 else (", depth) + "1" + Times(")", depth) + " }}",
      "{{ " + Times("1 or 1 and not 1 == 1 + 1 ~ 1 * 1 ** (", depth) + "1" + Times(")", depth) + " }}",
      "{{ 1" + Times("|default(1", depth) + Times(")", depth) + " }}",
      Times("{% if 1 %}", depth) + Times("{% endif %}", depth),
      Times("{% for i in [1] %}", depth) + Times("{% endfor %}", depth),
      Times("{% set x %}", depth) + Times("{% endset %}", depth),
      Times("{% filter upper %}", depth) + Times("{% endfilter %}", depth),
      Times("{% macro m() %}", depth) + Times("{% endmacro %}", depth),
      "{% for " + Times("(", depth) + "a" + Times(")", depth) + " in [] %}{% endfor %}",
  };
}

TEST(ChatTemplateLimits, DeepSourceIsRefused) {
  for (const std::string& source : DeepSources(100000)) ExpectCode(source, Code::kInvalidArgument);
  // Long is not deep.
  EXPECT_TRUE(Render("{{ 1" + Times(" + 1", 10000) + " }}").ok());
  EXPECT_TRUE(Render("{{ 'a'" + Times(" ~ 'b'", 10000) + " }}").ok());
  EXPECT_TRUE(Render("{{ 0" + Times(" or 0", 10000) + " }}").ok());
  EXPECT_TRUE(Render("{{ 'x'" + Times("|upper", 10000) + " }}").ok());
  EXPECT_TRUE(Render("{{ 'x'" + Times(".lower()", 10000) + " }}").ok());
  EXPECT_TRUE(Render("{% if 0 %}" + Times("{% elif 0 %}", 10000) + "{% endif %}").ok());
  EXPECT_TRUE(Render(Times("{% if 1 %}{% endif %}", 10000)).ok());
  EXPECT_TRUE(Render(Times("{% if 1 %}", 40) + "{{ ((((((((((1)))))))))) }}" + Times("{% endif %}", 40)).ok());
}

#ifdef MOTE_TEST_STACK
// Runs `work` on a stack of its own, filled beforehand, and returns how many bytes of it were written.
size_t StackUse(std::function<void()> work) {
  constexpr uint8_t kPaint = 0xa5;
  constexpr size_t kStack = 4 << 20;
  void* stack = aligned_alloc(4096, kStack);
  memset(stack, kPaint, kStack);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  EXPECT_EQ(pthread_attr_setstack(&attributes, stack, kStack), 0);
  pthread_t thread;
  const auto body = [](void* argument) -> void* {
    (*static_cast<std::function<void()>*>(argument))();
    return nullptr;
  };
  EXPECT_EQ(pthread_create(&thread, &attributes, body, &work), 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
  const uint8_t* bytes = static_cast<const uint8_t*>(stack);
  size_t untouched = 0;  // stacks grow down
  while (untouched < kStack && bytes[untouched] == kPaint) ++untouched;
  free(stack);
  return kStack - untouched;
}

// At the limit of depth, whatever nests, the stack stays within 256 KiB: what a thread of a small host may have.
TEST(ChatTemplateLimits, StackIsSmall) {
  constexpr size_t kMost = 256 << 10;
  std::vector<std::string> sources;
  for (const int depth : {45, 95, 98, 1000}) {
    for (const std::string& source : DeepSources(depth)) sources.push_back(source);
  }
  const std::string call =
      "{% for i in [1] %}{% if 1 %}{% set x %}{{ [(1 + m(1 ~ m2()|default('')))]|first }}{% endset %}";
  const std::string macro = "{% macro m(a, b=3) %}" + call + "{% endif %}{% endfor %}{% endmacro %}";
  sources.push_back(macro + "{% macro m2() %}{{ m(1)|upper }}{% endmacro %}{{ m(1) }}");
  sources.push_back("{% macro m() %}{% call m() %}{{ m() }}{% endcall %}{{ caller() }}{% endmacro %}{{ m() }}");
  sources.push_back("{% macro m() %}{{ [1]|map('default', m())|list }}{% endmacro %}{{ m() }}");
  sources.push_back("{% macro m() %}{% filter replace('a', m()) %}{% endfilter %}{% endmacro %}{{ m() }}");
  sources.push_back(
      "{% set n = namespace(x=[1]) %}{% for i in range(90) %}{% set n.x = [n.x] %}{% endfor %}"
      "{{ n.x }}{{ n.x|tojson(indent=1) }}{{ n.x == [n.x] }}{{ n.x|string }}");
  size_t most = 0;
  for (const std::string& source : sources) {
    const size_t used = StackUse([&] { (void)Render(source); });
    EXPECT_LE(used, kMost) << source.substr(0, 200);
    most = std::max(most, used);
  }
  ChatInput input;
  input.tools_json = std::string(64, '[') + std::string(64, ']');
  EXPECT_LE(StackUse([&] { EXPECT_TRUE(Render("{{ tools|tojson }}", {}, input).ok()); }), kMost);
  RecordProperty("stack_bytes", static_cast<int>(most));
}
#endif

TEST(ChatTemplateLimits, DeepValuesAreRefused) {
  const std::string deep = "{% set n = namespace(x=[1]) %}{% for i in range(5000) %}{% set n.x = [n.x] %}{% endfor %}";
  for (const char* use :
       {"{{ n.x }}", "{{ n.x|tojson }}", "{{ n.x == [n.x] }}", "{{ n.x < [n.x] }}", "{{ [n.x]|string }}"}) {
    ExpectCode(deep + use, Code::kInvalidArgument);
  }
  EXPECT_EQ(*Render(deep + "{{ n.x|length }}"), "1");
  const std::string cycle = "{% set l = [] %}{% set _ = l.append(l) %}";
  for (const char* use : {"{{ l }}", "{{ l|tojson }}", "{{ l == l.copy() }}"}) {
    ExpectCode(cycle + use, Code::kInvalidArgument);
  }
  ExpectCode("{% set d = {} %}{% set _ = d.update(x=d) %}{{ d }}", Code::kInvalidArgument);
}

TEST(ChatTemplateLimits, TruncatedEverywhere) {
  const std::string source =
      "{%- macro m(a, b='x') -%}{{ a ~ b|upper }}{%- endmacro -%}{# c #}{% for k, v in {'a': [1, 2.5]}.items() if k %}"
      "{{ m(k, b=v[0:1]|tojson) }}{% else %}{% raw %}{{ r }}{% endraw %}{% endfor %}{% set x %}\n{% endset %}"
      "{{ 'q\\n' if x is not none and 1 in [1] else {'k': (1,)} }}";
  ASSERT_TRUE(Render(source).ok()) << Render(source).status().message();
  for (size_t cut = 0; cut < source.size(); ++cut) {
    (void)Render(source.substr(0, cut));
    (void)Render(source.substr(cut));
    std::string holed = source;
    holed.erase(cut, 1);
    (void)Render(holed);
  }
}

TEST(ChatTemplateLimits, MessagesSayWhere) {
  const auto message = [](const std::string& source) { return Render(source).status().message(); };
  EXPECT_EQ(message("a\n{{ 1 + }}"), "chat template, line 2, column 8: expected an expression, found '}}'");
  EXPECT_EQ(message("{% if x %}\n\n"),
            "chat template, line 2, column 1: expected {% endif %}, found the end of the template");
  EXPECT_EQ(message("\n {% frob %}"), "chat template, line 2, column 5: unknown statement 'frob'");
  EXPECT_EQ(message("\n\n{{ x.y }}"), "chat template, line 3: 'x' is undefined");
  EXPECT_EQ(message("{{ {}.y.z }}"), "chat template, line 1: there is no attribute 'y'");
  EXPECT_EQ(message("{{ [1][-3].z }}"), "chat template, line 1: there is no element -3");
  EXPECT_EQ(message("\n{{ raise_exception('no ' ~ 'way') }}"), "chat template, line 2: no way");
  EXPECT_EQ(message("{{ 1|frob }}"), "chat template, line 1: there is no filter named 'frob'");
  EXPECT_EQ(Render("{{ 1|frob }}").status().code(), Code::kUnsupported);
  EXPECT_EQ(Render("{{ 1 is frob }}").status().code(), Code::kUnsupported);
  EXPECT_EQ(Render("{% include 'x' %}").status().code(), Code::kUnsupported);
  EXPECT_EQ(Render("{% for x in [] recursive %}{% endfor %}").status().code(), Code::kUnsupported);
  EXPECT_EQ(ChatTemplate::Parse(std::string((1 << 20) + 1, 'x')).status().code(), Code::kInvalidArgument);
  EXPECT_TRUE(ChatTemplate::Parse(std::string(1 << 20, 'x')).ok());
}

TEST(ChatTemplateLimits, InvalidUtf8PassesThrough) {
  const std::string bad = "a\xff\xc3(\xe2\x82z\xf0\x9f\x98";
  EXPECT_EQ(*Render(bad), bad);
  EXPECT_EQ(*Render("{{ '" + bad + "' }}"), bad);
  EXPECT_EQ(*Render("{{ '" + bad + "'[::-1][::-1] }}"), bad);
  EXPECT_EQ(*Render("{{ '" + bad + "'|upper }}"), "A\xff\xc3(\xe2\x82Z\xf0\x9f\x98");
  EXPECT_EQ(*Render("{{ '" + bad + "'|length }}"), "10");
  EXPECT_TRUE(Render("{{ ['" + bad + "'] }}{{ '" + bad + "'|tojson }}").ok());
  EXPECT_EQ(*Render(std::string("a\0b{{ 'c\0d' }}", 14)), std::string("a\0bc\0d", 6));
}

}  // namespace
}  // namespace mote
