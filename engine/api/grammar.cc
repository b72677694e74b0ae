// mote_grammar.h: grammars for a model's vocabulary.
#include <string_view>
#include <utility>

#include "engine/api/internal.h"
#include "engine/run/grammar_filter.h"

namespace mote::api {
namespace {

// The vocabulary's tree, made once: two threads that come first both make it, and one of the two is kept.
std::shared_ptr<const TokenTrie> TrieOf(const std::shared_ptr<Loaded>& loaded) {
  const TokenTrie* trie = loaded->trie.load(std::memory_order_acquire);
  if (trie == nullptr) {
    auto made = std::make_unique<const TokenTrie>(loaded->tokenizer(), static_cast<int32_t>(loaded->vocab_size()));
    if (loaded->trie.compare_exchange_strong(trie, made.get(), std::memory_order_acq_rel)) trie = made.release();
  }
  return {loaded, trie};
}

mote_status Give(const mote_model* model, Result<std::shared_ptr<const Grammar>> grammar, mote_grammar** out,
                 mote_error* error) {
  if (grammar.ok()) {
    auto tokens = std::make_shared<const TokenGrammar>(std::move(grammar).value(), TrieOf(model->loaded));
    *out = new mote_grammar{model->loaded, std::move(tokens)};
  }
  return Report(grammar.status(), error);
}

Result<std::string_view> Source(const mote_model* model, const char* text, size_t size, mote_grammar** out) {
  if (model == nullptr) return NullArgument("model");
  if (out == nullptr) return NullArgument("grammar");
  return TextView(text, size);
}

}  // namespace

Result<std::shared_ptr<TokenFilter>> ConvertGrammar(const mote_session* session, const mote_generate_params& params) {
  if (params.grammar == nullptr) {
    if (params.grammar_trigger == nullptr) return std::shared_ptr<TokenFilter>();
    return Error(Code::kInvalidArgument, "grammar_trigger is given without a grammar");
  }
  if (params.grammar->loaded != session->loaded) {
    return Error(Code::kInvalidArgument, "the grammar was made for another model than the session's");
  }
  MOTE_ASSIGN_OR_RETURN(
      std::shared_ptr<GrammarFilter> filter,
      GrammarFilter::Create(params.grammar->tokens, params.grammar_trigger == nullptr ? "" : params.grammar_trigger));
  return std::shared_ptr<TokenFilter>(std::move(filter));
}

}  // namespace mote::api

using namespace mote;       // NOLINT: the functions below must stand outside
using namespace mote::api;  // NOLINT

extern "C" {

mote_status mote_grammar_create(const mote_model* model, const char* gbnf, size_t size, mote_grammar** grammar,
                                mote_error* error) {
  const Result<std::string_view> source = Source(model, gbnf, size, grammar);
  if (!source.ok()) return Report(source.status(), error);
  return Give(model, Grammar::FromGbnf(*source), grammar, error);
}

mote_status mote_grammar_create_json_schema(const mote_model* model, const char* schema, size_t size,
                                            mote_grammar** grammar, mote_error* error) {
  const Result<std::string_view> source = Source(model, schema, size, grammar);
  if (!source.ok()) return Report(source.status(), error);
  return Give(model, Grammar::FromJsonSchema(*source), grammar, error);
}

mote_status mote_grammar_create_json(const mote_model* model, mote_grammar** grammar, mote_error* error) {
  const Result<std::string_view> source = Source(model, nullptr, 0, grammar);
  if (!source.ok()) return Report(source.status(), error);
  return Give(model, Grammar::AnyJsonObject(), grammar, error);
}

void mote_grammar_free(mote_grammar* grammar) {
  delete grammar;
}

}  // extern "C"
