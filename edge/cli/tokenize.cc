// mote tokenize: text in, ids out.
#include <memory>
#include <string>

#include "edge/cli/commands.h"
#include "edge/cli/console.h"
#include "edge/cli/model_loader.h"

namespace mote::cli {
namespace {

struct TokenizeOptions {
  ModelOptions model;
  std::string prompt;
  std::string file;
  bool no_special = false;
  bool json = false;
};

int Tokenize(const TokenizeOptions& options, bool has_prompt) {
  options.model.PathOrUsage("tokenize");
  if (has_prompt && !options.file.empty()) WrongWords("-p and -f both give the text; try one of them");
  const Model model = LoadVocabulary(options.model, "tokenize");
  const std::string text = has_prompt ? options.prompt : ReadText(options.file.empty() ? "-" : options.file);
  const std::vector<Token> tokens =
      Take(model.Tokenize(text, options.no_special ? 0 : MOTE_ADD_SPECIAL | MOTE_PARSE_SPECIAL));
  std::string line = options.json ? "[" : "";
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (i > 0) line += options.json ? "," : " ";
    line += std::to_string(tokens[i]);
  }
  Write(line + (options.json ? "]\n" : "\n"));
  FlushOutput();
  return kDone;
}

}  // namespace

void AddTokenize(CLI::App& app, Action* action) {
  CLI::App* command = app.add_subcommand("tokenize", "Text to token ids");
  const auto options = std::make_shared<TokenizeOptions>();
  options->model.AddPath(*command);
  CLI::Option* prompt = command->add_option("-p,--prompt", options->prompt, "The text; without it, standard input");
  command->add_option("-f,--file", options->file, "Read the text from a file, byte for byte");
  command->add_flag("--no-special", options->no_special, "Neither add special tokens nor recognise them in the text");
  command->add_flag("--json", options->json, "A JSON array");
  command->callback([=] { *action = [=] { return Tokenize(*options, prompt->count() > 0); }; });
}

}  // namespace mote::cli
