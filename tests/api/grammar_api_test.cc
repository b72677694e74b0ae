// mote_grammar.h and mote_grammar.hpp: generations that must have a form, or fail.
#include <gtest/gtest.h>
#include <string.h>

#include <set>
#include <string>

#include "engine/api/mote.hpp"

// In api_test.cc.
std::vector<uint8_t> TinyModelForApiTests();

namespace {

namespace api = mote;

class GrammarApiTest : public ::testing::Test {
 protected:
  void SetUp() override {
    bytes_ = TinyModelForApiTests();
    api::ModelOptions options;
    options.threads = 1;
    options.context = 256;
    auto model = api::Model::LoadMemory(bytes_.data(), bytes_.size(), options);
    ASSERT_TRUE(model.ok()) << model.error().message;
    model_.emplace(std::move(*model));
    options_.sampling.temperature = 3;
    options_.sampling.top_k = 0;
    options_.sampling.top_p = 1;
    options_.sampling.min_p = 0;
  }
  api::Generation Run(uint64_t seed) {
    auto session = api::Session::Create(*model_);
    EXPECT_TRUE(session.ok());
    options_.sampling.seed = seed;
    auto answer = session->Generate(*model_->Tokenize("the rain"), options_);
    EXPECT_TRUE(answer.ok()) << answer.error().message;
    return answer.ok() ? std::move(*answer) : api::Generation();
  }
  std::vector<uint8_t> bytes_;
  std::optional<api::Model> model_;
  api::GenerateOptions options_;
};

TEST_F(GrammarApiTest, TextsHaveTheForm) {
  auto gbnf = api::Grammar::FromGbnf(*model_, "root ::= (\"cat\" | \"dog\" | \"bird\") \"!\"");
  ASSERT_TRUE(gbnf.ok()) << gbnf.error().message;
  options_.grammar = *gbnf;
  std::set<std::string> texts;
  for (uint64_t seed = 0; seed < 30; ++seed) {
    const api::Generation answer = Run(seed);
    EXPECT_EQ(answer.finish_reason, MOTE_FINISH_STOP);
    EXPECT_TRUE(answer.text == "cat!" || answer.text == "dog!" || answer.text == "bird!") << answer.text;
    texts.insert(answer.text);
  }
  EXPECT_GT(texts.size(), 1u);

  auto schema = api::Grammar::FromJsonSchema(
      *model_, R"({"type":"object","properties":{"n":{"type":"integer","minimum":10,"maximum":12}},"required":["n"]})");
  ASSERT_TRUE(schema.ok()) << schema.error().message;
  options_.grammar = *schema;
  for (uint64_t seed = 0; seed < 10; ++seed) {
    std::string text;
    for (const char c : Run(seed).text) text += strchr(" \t\n", c) == nullptr ? std::string(1, c) : "";
    EXPECT_TRUE(text == R"({"n":10})" || text == R"({"n":11})" || text == R"({"n":12})") << text;
  }

  auto any = api::Grammar::AnyJsonObject(*model_);
  ASSERT_TRUE(any.ok()) << any.error().message;
  options_.grammar = *any;
  options_.max_tokens = 12;
  const std::string text = Run(4).text;
  EXPECT_EQ(text[text.find_first_not_of(" \t\n")], '{') << text;
}

TEST_F(GrammarApiTest, BeginsAfterItsTrigger) {
  auto grammar = api::Grammar::FromGbnf(*model_, "root ::= \"0\"{5}");
  ASSERT_TRUE(grammar.ok());
  options_.grammar = *grammar;
  options_.grammar_trigger = "e";
  options_.sampling.temperature = 1;
  int triggered = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const api::Generation answer = Run(seed);
    const size_t at = answer.text.find('e');
    if (at == std::string::npos) continue;
    ++triggered;
    const std::string rest = answer.text.substr(at + 1);
    EXPECT_EQ(rest, std::string(rest.size(), '0')) << answer.text;
    // The context may be full before the grammar's text is complete.
    EXPECT_EQ(answer.finish_reason == MOTE_FINISH_STOP, rest.size() == 5) << answer.text;
  }
  EXPECT_GT(triggered, 0);
  options_.grammar_trigger = std::string(1025, 'x');
  auto session = api::Session::Create(*model_);
  EXPECT_EQ(session->Generate(*model_->Tokenize("a"), options_).error().code, MOTE_INVALID_ARGUMENT);
  options_.grammar.reset();
  options_.grammar_trigger = "x";
  EXPECT_EQ(session->Generate(*model_->Tokenize("a"), options_).error().code, MOTE_INVALID_ARGUMENT);
}

TEST_F(GrammarApiTest, RefusalsNameWhatIsWrong) {
  const auto gbnf = api::Grammar::FromGbnf(*model_, "root ::= \"a\"\nroot ::= (");
  ASSERT_FALSE(gbnf.ok());
  EXPECT_EQ(gbnf.error().code, MOTE_MALFORMED);
  EXPECT_NE(gbnf.error().message.find("line 2"), std::string::npos) << gbnf.error().message;
  const auto schema = api::Grammar::FromJsonSchema(*model_, R"({"properties":{"a":{"not":{}}}})");
  ASSERT_FALSE(schema.ok());
  EXPECT_EQ(schema.error().code, MOTE_UNSUPPORTED);
  EXPECT_NE(schema.error().message.find("$.properties.a.not"), std::string::npos) << schema.error().message;
  EXPECT_EQ(api::Grammar::FromGbnf(*model_, std::string((256 << 10) + 1, '#')).error().code, MOTE_INVALID_ARGUMENT);

  mote_error error = {};
  mote_grammar* grammar = nullptr;
  EXPECT_EQ(mote_grammar_create(nullptr, "", 0, &grammar, &error), MOTE_INVALID_ARGUMENT);
  EXPECT_EQ(mote_grammar_create(model_->handle(), nullptr, 4, &grammar, &error), MOTE_INVALID_ARGUMENT);
  EXPECT_EQ(mote_grammar_create(model_->handle(), "root ::= \"a\"", 12, nullptr, &error), MOTE_INVALID_ARGUMENT);
  EXPECT_EQ(mote_grammar_create_json(model_->handle(), nullptr, &error), MOTE_INVALID_ARGUMENT);
  EXPECT_EQ(mote_grammar_create_json_schema(model_->handle(), "{}", 2, nullptr, nullptr), MOTE_INVALID_ARGUMENT);
  EXPECT_EQ(grammar, nullptr);
  mote_grammar_free(nullptr);
}

TEST_F(GrammarApiTest, BelongsToItsModel) {
  auto other = api::Model::LoadMemory(bytes_.data(), bytes_.size(), {});
  ASSERT_TRUE(other.ok());
  auto grammar = api::Grammar::FromGbnf(*other, "root ::= \"a\"");
  ASSERT_TRUE(grammar.ok());
  options_.grammar = *grammar;
  auto session = api::Session::Create(*model_);
  const auto answer = session->Generate(*model_->Tokenize("a"), options_);
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().code, MOTE_INVALID_ARGUMENT);
  EXPECT_NE(answer.error().message.find("another model"), std::string::npos);
}

TEST_F(GrammarApiTest, OutlivesItsModelsHandle) {
  api::ModelOptions options;
  options.vocab_only = true;
  auto vocab = api::Model::LoadMemory(bytes_.data(), bytes_.size(), options);
  ASSERT_TRUE(vocab.ok());
  auto grammar = api::Grammar::AnyJsonObject(*vocab);  // a bare vocabulary is enough to check grammars with
  ASSERT_TRUE(grammar.ok()) << grammar.error().message;
  const api::Grammar copy = *grammar;
  vocab = api::Error{MOTE_IO, ""};
  grammar = api::Error{MOTE_IO, ""};
  EXPECT_NE(copy.handle(), nullptr);
}

// A generation that was started keeps what it needs.
TEST_F(GrammarApiTest, MayBeFreedWhileItIsInUse) {
  mote_error error = {};
  mote_grammar* grammar = nullptr;
  const std::string source = "root ::= \"cat\" | \"dog\"";
  ASSERT_EQ(mote_grammar_create(model_->handle(), source.data(), source.size(), &grammar, &error), MOTE_OK);
  auto session = api::Session::Create(*model_);
  auto prompt = api::Prompt::FromText(*model_, "the rain", {});
  ASSERT_TRUE(prompt.ok());
  mote_generate_params params = mote_generate_default_params();
  params.grammar = grammar;
  std::string text;
  const auto done = [](void* user, mote_status status, const mote_generate_result* result, const char*) {
    EXPECT_EQ(status, MOTE_OK);
    if (result != nullptr) static_cast<std::string*>(user)->assign(result->text, result->text_size);
  };
  ASSERT_EQ(mote_session_start(session->handle(), prompt->handle(), &params, done, &text, &error), MOTE_OK)
      << error.message;
  mote_grammar_free(grammar);
  mote_step_report report = {};
  report.struct_size = sizeof(report);
  do {
    ASSERT_EQ(mote_model_step(model_->handle(), nullptr, &report, &error), MOTE_OK) << error.message;
  } while (report.running > 0);
  EXPECT_TRUE(text == "cat" || text == "dog") << text;
}

// A caller compiled before grammars were there.
TEST_F(GrammarApiTest, OlderCallersHaveNone) {
  mote_generate_params params = mote_generate_default_params();
  EXPECT_EQ(params.grammar, nullptr);
  EXPECT_EQ(params.grammar_trigger, nullptr);
  params.struct_size = offsetof(mote_generate_params, grammar);
  params.grammar = reinterpret_cast<const mote_grammar*>(&params);  // not the library's to read
  params.max_tokens = 2;
  auto session = api::Session::Create(*model_);
  const int32_t prompt[] = {1, 300};
  mote_error error = {};
  EXPECT_EQ(mote_session_generate(session->handle(), prompt, 2, &params, nullptr, &error), MOTE_OK) << error.message;
}

}  // namespace
