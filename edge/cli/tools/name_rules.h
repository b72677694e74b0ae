// Regular expressions for the names of tensors, as people give them with an option; each must be found somewhere.
#ifndef MOTE_EDGE_CLI_TOOLS_NAME_RULES_H_
#define MOTE_EDGE_CLI_TOOLS_NAME_RULES_H_

#include <regex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "edge/cli/console.h"

namespace mote::cli {

// Rules that each have a value for the tensors in whose names they are found; the first that is found decides.
template <class Value>
class NameRules {
 public:
  // `option`: for telling people; `words` are patterns alone.
  explicit NameRules(std::string option, const std::vector<std::string>& words = {}) : option_(std::move(option)) {
    for (const std::string& word : words) Add(word, word, Value());
  }

  // `word`: what was given, of which `pattern` is a part.
  void Add(const std::string& pattern, const std::string& word, Value value) {
    try {
      rules_.push_back({std::regex(pattern, std::regex::ECMAScript | std::regex::icase), word, value, false});
    } catch (const std::regex_error& error) {
      WrongWords(option_ + ": \"" + pattern + "\" is no regular expression: " + error.what());
    }
  }

  // Null where no rule is found in the name.
  const Value* Find(std::string_view name) {
    for (Rule& rule : rules_) {
      if (!std::regex_search(name.begin(), name.end(), rule.pattern)) continue;
      rule.met = true;
      return &rule.value;
    }
    return nullptr;
  }

  // A pattern that is written wrong would otherwise be noticed when the model is done, or never. `what`: that could
  // have been met.
  void RequireAllMet(const char* what) const {
    for (const Rule& rule : rules_) {
      if (rule.met) continue;
      WrongWords(option_ + " " + rule.word + " meets no " + what +
                 " (or earlier patterns took them); mote show lists the names");
    }
  }

 private:
  struct Rule {
    std::regex pattern;
    std::string word;
    Value value;
    bool met;
  };
  std::string option_;
  std::vector<Rule> rules_;
};

}  // namespace mote::cli

#endif  // MOTE_EDGE_CLI_TOOLS_NAME_RULES_H_
