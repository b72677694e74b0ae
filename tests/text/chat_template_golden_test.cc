// Chat templates against Python's jinja2: templates/*.golden, written by make_template_golden.py.
#include <gtest/gtest.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <string>
#include <utility>
#include <vector>

#include "engine/text/chat_template.h"

namespace mote {
namespace {

constexpr char kFolder[] = "tests/text/templates/";
constexpr int64_t kNow = 1753142400;  // as in make_template_golden.py

using Records = std::vector<std::pair<std::string, std::string>>;

std::string ReadFile(const std::string& path) {
  std::string bytes;
  FILE* file = fopen(path.c_str(), "rb");
  if (file == nullptr) return bytes;
  char buffer[4096];
  for (size_t n = 0; (n = fread(buffer, 1, sizeof(buffer), file)) > 0;) bytes.append(buffer, n);
  fclose(file);
  return bytes;
}

// "<key> <bytes>\n<bytes>\n", again and again. Empty if the file is absent or broken.
Records ReadRecords(const std::string& path) {
  const std::string bytes = ReadFile(path);
  Records records;
  for (size_t at = 0; at < bytes.size();) {
    const size_t space = bytes.find(' ', at);
    const size_t newline = bytes.find('\n', at);
    if (space == std::string::npos || newline == std::string::npos || space > newline) return {};
    const size_t size = strtoul(bytes.c_str() + space, nullptr, 10);
    if (newline + 1 + size >= bytes.size() || bytes[newline + 1 + size] != '\n') return {};
    records.emplace_back(bytes.substr(at, space - at), bytes.substr(newline + 1, size));
    at = newline + 1 + size + 1;
  }
  return records;
}

struct Case {
  std::string name;
  ChatInput input;
};

std::vector<Case> ReadCases() {
  std::vector<Case> cases;
  for (const auto& [key, text] : ReadRecords(std::string(kFolder) + "cases.golden")) {
    if (key == "case") {
      cases.push_back({text, ChatInput()});
      cases.back().input.bos_token = "<s>";
      cases.back().input.eos_token = "</s>";
      cases.back().input.now = kNow;
      continue;
    }
    ChatInput& input = cases.back().input;
    if (key == "role") input.messages.push_back({text, "", ""});
    if (key == "content") input.messages.back().content = text;
    if (key == "extra") input.messages.back().extra_json = text;
    if (key == "tools") input.tools_json = text;
    if (key == "vars") input.extra_json = text;
    if (key == "prompt") input.add_generation_prompt = text == "1";
  }
  return cases;
}

// `expected` is a record of the golden file: "ok" and the output, or "error" and jinja2's reason (for people only).
void Check(const std::string& source, const ChatInput& input, const std::pair<std::string, std::string>& expected) {
  const Result<std::unique_ptr<ChatTemplate>> parsed = ChatTemplate::Parse(source);
  Result<std::string> text = parsed.ok() ? (*parsed)->Render(input) : Result<std::string>(parsed.status());
  if (expected.first == "ok") {
    ASSERT_TRUE(text.ok()) << text.status().message() << "\nexpected: " << expected.second;
    EXPECT_EQ(*text, expected.second);
    return;
  }
  ASSERT_EQ(expected.first, "error");
  ASSERT_FALSE(text.ok()) << "rendered: " << *text << "\nexpected: " << expected.second;
  EXPECT_NE(text.status().message().find("line "), std::string::npos) << text.status().message();
  // What the template itself says comes through.
  const std::string raised = "TemplateError: ";
  if (expected.second.rfind(raised, 0) == 0) {
    EXPECT_NE(text.status().message().find(expected.second.substr(raised.size())), std::string::npos)
        << text.status().message();
    EXPECT_EQ(text.status().code(), Code::kMalformed);
  }
}

class FamilyTest : public testing::TestWithParam<const char*> {};

TEST_P(FamilyTest, RendersAsJinja2) {
  const std::vector<Case> cases = ReadCases();
  const std::string source = ReadFile(std::string(kFolder) + GetParam() + ".jinja");
  const Records expected = ReadRecords(std::string(kFolder) + GetParam() + ".golden");
  ASSERT_GE(cases.size(), 20u);
  ASSERT_FALSE(source.empty());
  ASSERT_EQ(expected.size(), 2 * cases.size());
  for (size_t i = 0; i < cases.size(); ++i) {
    SCOPED_TRACE(cases[i].name);
    ASSERT_EQ(expected[2 * i], std::make_pair(std::string("case"), cases[i].name));
    Check(source, cases[i].input, expected[2 * i + 1]);
  }
}

INSTANTIATE_TEST_SUITE_P(All, FamilyTest,
                         testing::Values("alpaca", "chatml", "command_r", "command_r_tools", "deepseek_r1",
                                         "deepseek_v2", "deepseek_v3", "falcon", "gemma2", "gemma3", "glm4", "gpt_oss",
                                         "granite", "hermes_tools", "internlm2", "llama2", "llama3", "llama3.1_tools",
                                         "minimax_m2", "mistral_v1", "mistral_v3_tools", "openchat", "phi3", "phi4",
                                         "phi4_mini", "qwen2.5_tools", "qwen2_vl", "qwen3_thinking", "smollm3",
                                         "smolvlm", "solar", "starchat", "vicuna", "yi", "zephyr"),
                         [](const testing::TestParamInfo<const char*>& family) {
                           std::string name = family.param;
                           for (char& c : name) c = c == '.' ? '_' : c;
                           return name;
                         });

TEST(ChatTemplateGolden, Snippets) {
  const Records records = ReadRecords(std::string(kFolder) + "snippets.golden");
  ASSERT_GE(records.size(), 400u);
  ASSERT_EQ(records[0].first, "vars");
  ChatInput input;
  input.extra_json = records[0].second;
  input.now = kNow;
  for (size_t i = 1; i + 1 < records.size(); i += 2) {
    SCOPED_TRACE(records[i].second);
    ASSERT_EQ(records[i].first, "source");
    Check(records[i].second, input, records[i + 1]);
  }
}

}  // namespace
}  // namespace mote
