// From a grammar's tree to its automaton; see grammar.h for what comes out.
#ifndef MOTE_ENGINE_TEXT_GRAMMAR_COMPILER_H_
#define MOTE_ENGINE_TEXT_GRAMMAR_COMPILER_H_

#include <stddef.h>
#include <stdint.h>

#include <map>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/core/status.h"
#include "engine/text/grammar.h"
#include "engine/text/grammar_analysis.h"
#include "engine/text/grammar_ast.h"

namespace mote::grammar {

class Compiler {
 public:
  Compiler(const Ast& ast, Analysis analysis);
  Result<std::shared_ptr<const Grammar>> Run();

 private:
  struct ByteEdge {
    uint8_t first;  // bytes
    uint8_t last;
    uint32_t to;
  };
  struct Draft {  // a state while empty steps are still there
    std::vector<ByteEdge> bytes;
    std::vector<Grammar::CallEdge> calls;
    std::vector<uint32_t> empty;  // steps
    bool thin = false;
    uint32_t left = 0;  // see Grammar::Alike
    uint32_t alike = 0;
  };

  uint32_t NewState();
  // The most bytes that a text of this may have, if it calls no rule and they are few; otherwise kMaxThin + 1.
  uint32_t ThinBytes(ExprId id) const;
  bool TooLarge() const { return edges_ > kMaxGrammarEdges || drafts_.size() > kMaxGrammarStates; }
  void AddBytes(uint32_t from, uint8_t first, uint8_t last, uint32_t to);
  void AddCall(uint32_t from, uint32_t rule, uint32_t to);
  void AddEmpty(uint32_t from, uint32_t to);

  // Each adds what leads from one state to the other. None adds an edge into `from` or out of `to`.
  void Build(ExprId id, uint32_t from, uint32_t to);
  // To where `bytes` lead, through states that other literals may share.
  uint32_t Walk(std::string_view bytes, uint32_t from);
  void BuildLiteral(std::string_view bytes, uint32_t from, uint32_t to);
  void BuildClass(const CodeRange* ranges, size_t count, uint32_t from, uint32_t to);
  void BuildSequence(const Expr& e, uint32_t from, uint32_t to);
  void BuildRepeat(const Expr& e, uint32_t from, uint32_t to);
  void BuildReference(RuleId rule, uint32_t from, uint32_t to);

  // Code points past ASCII, as a rule that classes with the same ones share.
  uint32_t WideRule(const std::vector<CodeRange>& ranges);
  void BuildWide(uint32_t first, uint32_t last, uint32_t from, uint32_t to);
  void BuildTail(const uint8_t* first, const uint8_t* last, size_t count, uint32_t from, uint32_t to);

  // The drafts that `state` reaches by empty steps, itself included, in *reached.
  void Reach(uint32_t state, std::vector<uint32_t>* reached);
  Status RemoveEmptySteps();
  void NumberClasses();

  const Ast& ast_;
  Analysis analysis_;
  std::vector<Draft> drafts_;
  std::vector<uint32_t> starts_;  // by number in `order`
  std::vector<uint32_t> ends_;
  std::vector<uint32_t> number_;  // of each rule of the tree
  bool thin_ = false;             // states made now belong to a thin rule
  size_t edges_ = 0;
  size_t steps_ = 0;
  // Where a literal that began in a state went on by a byte. Such a state has no other way in, so that a literal with
  // the same beginning may pass through it as well: a thousand names in a list are one tree, not a thousand chains.
  std::unordered_map<uint64_t, uint32_t> shared_;
  std::map<std::vector<std::pair<uint32_t, uint32_t>>, uint32_t> wide_;
  std::vector<uint32_t> seen_;  // (drafts) last search that met it
  uint32_t search_ = 0;
  std::shared_ptr<Grammar> grammar_;
};

}  // namespace mote::grammar

#endif  // MOTE_ENGINE_TEXT_GRAMMAR_COMPILER_H_
