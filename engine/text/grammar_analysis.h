// What must be known of a grammar's rules before an automaton can be made of them.
#ifndef MOTE_ENGINE_TEXT_GRAMMAR_ANALYSIS_H_
#define MOTE_ENGINE_TEXT_GRAMMAR_ANALYSIS_H_

#include <stdint.h>

#include <vector>

#include "engine/core/status.h"
#include "engine/text/grammar_ast.h"

namespace mote::grammar {

struct Analysis {
  std::vector<bool> may_be_empty;  // (expressions)
  std::vector<bool> rule_may_be_empty;
  // Rules such that each one that may begin with another comes before it.
  std::vector<RuleId> order;
};

// kMalformed names a rule that can never end, or that begins with itself, and the way there.
Result<Analysis> Analyze(const Ast& ast);

}  // namespace mote::grammar

#endif  // MOTE_ENGINE_TEXT_GRAMMAR_ANALYSIS_H_
