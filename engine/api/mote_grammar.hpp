// Part of mote.hpp, which includes it: text that has a given form.
#ifndef MOTE_ENGINE_API_MOTE_GRAMMAR_HPP_
#define MOTE_ENGINE_API_MOTE_GRAMMAR_HPP_

#include <memory>
#include <string_view>
#include <utility>

#include "mote.h"
#include "mote_result.hpp"

namespace mote {
inline namespace v0 {

// See mote_grammar.h. Copies are the same grammar.
class Grammar {
 public:
  // `model`: a Model. GBNF, as llama.cpp has it.
  template <class M>
  static Result<Grammar> FromGbnf(const M& model, std::string_view source) {
    return Make([&](mote_grammar** grammar, mote_error* error) {
      return mote_grammar_create(model.handle(), source.data(), source.size(), grammar, error);
    });
  }
  template <class M>
  static Result<Grammar> FromJsonSchema(const M& model, std::string_view schema) {
    return Make([&](mote_grammar** grammar, mote_error* error) {
      return mote_grammar_create_json_schema(model.handle(), schema.data(), schema.size(), grammar, error);
    });
  }
  template <class M>
  static Result<Grammar> AnyJsonObject(const M& model) {
    return Make([&](mote_grammar** grammar, mote_error* error) {
      return mote_grammar_create_json(model.handle(), grammar, error);
    });
  }

  mote_grammar* handle() const { return handle_.get(); }

 private:
  template <class Call>
  static Result<Grammar> Make(Call call) {
    mote_error error = {};
    mote_grammar* handle = nullptr;
    const mote_status status = call(&handle, &error);
    if (status != MOTE_OK) return internal::Take(status, error);
    Grammar grammar;
    grammar.handle_.reset(handle, mote_grammar_free);
    return grammar;
  }
  std::shared_ptr<mote_grammar> handle_;
};

}  // namespace v0
}  // namespace mote

#endif  // MOTE_ENGINE_API_MOTE_GRAMMAR_HPP_
