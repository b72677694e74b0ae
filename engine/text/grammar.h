// What a text may look like: a pushdown automaton over bytes, compiled once from GBNF or a JSON schema.
#ifndef MOTE_ENGINE_TEXT_GRAMMAR_H_
#define MOTE_ENGINE_TEXT_GRAMMAR_H_

#include <stddef.h>
#include <stdint.h>

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "engine/core/status.h"

namespace mote {
namespace grammar {
class Ast;
class Compiler;
}  // namespace grammar

inline constexpr size_t kMaxGrammarStates = size_t{1} << 18;
inline constexpr size_t kMaxGrammarEdges = size_t{1} << 20;

// Immutable; may be shared by any number of threads and matchers.
//
// Each rule is a nondeterministic automaton without empty steps. Its states have edges over bytes, and edges that call
// a rule and go on in another state once that rule has ended. Every state can reach an end of its rule, and every rule
// can end: a text that is matched so far can always be completed. No rule calls itself before it has read a byte.
class Grammar {
 public:
  // Errors say what is wrong, with line and column where there are lines: kMalformed, kUnsupported, or
  // kInvalidArgument where a limit (grammar_ast.h) is passed.
  static Result<std::shared_ptr<const Grammar>> FromGbnf(std::string_view source);
  // See json_schema.h for what a schema may say.
  static Result<std::shared_ptr<const Grammar>> FromJsonSchema(std::string_view schema);
  // Any JSON object, nested at most kMaxJsonLevels deep.
  static Result<std::shared_ptr<const Grammar>> AnyJsonObject();
  // Refuses rules that call themselves before they have read a byte, and rules that can never end, by name.
  static Result<std::shared_ptr<const Grammar>> Compile(const grammar::Ast& ast);

  struct ByteEdge {
    uint8_t first;  // byte classes, both included
    uint8_t last;
    uint32_t to;
  };
  struct CallEdge {
    uint32_t rule;
    uint32_t to;
  };

  size_t num_states() const { return states_.size() - 1; }
  size_t num_rules() const { return starts_.size(); }
  // Bytes of one class are on the same edges everywhere.
  uint32_t num_classes() const { return num_classes_; }
  uint32_t ClassOf(uint8_t byte) const { return byte_class_[byte]; }
  const uint8_t* byte_classes() const { return byte_class_; }

  std::span<const ByteEdge> byte_edges(uint32_t state) const {
    return {byte_edges_.data() + states_[state].bytes, states_[state + 1].bytes - states_[state].bytes};
  }
  std::span<const CallEdge> call_edges(uint32_t state) const {
    return {call_edges_.data() + states_[state].calls, states_[state + 1].calls - states_[state].calls};
  }
  // A rule may end here. For the start of a rule it says nothing: whoever calls a rule that may be empty has an edge
  // past the call.
  bool is_final(uint32_t state) const { return states_[state].final; }
  // It does, and nothing else.
  bool is_end(uint32_t state) const {
    return states_[state].final && byte_edges(state).empty() && call_edges(state).empty();
  }
  // Its rule is short: a character or so, calling nothing. What is above such a place is best seen with its caller.
  bool is_thin(uint32_t state) const { return states_[state].thin; }
  // In a counted repeat: the first place that differs from this one only in how often the repeat can still go on, for
  // texts of at most `bytes` bytes. Otherwise the state itself.
  uint32_t Alike(uint32_t state, uint32_t bytes) const {
    return states_[state].left > bytes ? states_[state].alike : state;
  }
  // Rules are numbered so that a rule which may begin with another one comes before it.
  uint32_t start(uint32_t rule) const { return starts_[rule]; }
  uint32_t root() const { return root_; }
  bool may_be_empty() const { return may_be_empty_; }

 private:
  friend class grammar::Compiler;
  Grammar() = default;

  struct State {
    uint32_t bytes = 0;  // its first byte edge; the next state's is their end
    uint32_t calls = 0;
    bool final = false;
    bool thin = false;
    uint32_t left = 0;  // repeats that can still come, of at least a byte each
    uint32_t alike = 0;
  };
  std::vector<State> states_;  // and one more
  std::vector<ByteEdge> byte_edges_;
  std::vector<CallEdge> call_edges_;
  std::vector<uint32_t> starts_;
  uint8_t byte_class_[256] = {};
  uint32_t num_classes_ = 1;
  uint32_t root_ = 0;
  bool may_be_empty_ = false;
};

}  // namespace mote

#endif  // MOTE_ENGINE_TEXT_GRAMMAR_H_
