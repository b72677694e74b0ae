// The mote program: finds the command, runs it, turns failures into one line and an exit code.
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include "edge/cli/commands.h"
#include "edge/cli/console.h"
#include "edge/cli/interrupt.h"
#include "edge/cli/options.h"
#include "edge/cli/split.h"

namespace mote::cli {
namespace {

// "-ngl" and "-ngl=5" as the parser takes them.
std::string RewriteOption(const std::string& word) {
  static constexpr const char* kNames[][2] = {
      {"-ctk", "--cache-type-k"}, {"-ctv", "--cache-type-v"}, {"-mm", "--mmproj"}, {"-ngl", "--gpu-layers"}};
  const size_t sign = word.find('=');
  for (const auto& [brief, full] : kNames) {
    if (word.substr(0, sign) == brief) return full + (sign == std::string::npos ? "" : word.substr(sign));
  }
  return word;
}

// Whether the next word is the value of this one.
bool TakesNextWord(const CLI::App& command, const std::string& word) {
  if (word.size() < 2 || word[0] != '-') return false;
  if (word[1] != '-' && word.size() > 2) return false;  // -n5
  const CLI::Option* option = command.get_option_no_throw(word);
  return option != nullptr && option->get_expected_min() > 0;
}

// Options of more than one letter behind one dash, as llama.cpp has them; the parser knows only one letter. Values are
// left alone: a prompt may be "-mm".
std::vector<std::string> RewriteArguments(const CLI::App& app, int argc, char** argv) {
  std::vector<std::string> words;
  const CLI::App* command = &app;
  bool only_words = false;  // after "--"
  bool is_value = false;
  for (int i = 1; i < argc; ++i) {
    std::string word = argv[i];
    if (!is_value) {
      only_words = only_words || word == "--";
      if (!only_words) word = RewriteOption(word);
      const auto inner = command->get_subcommands([&](const CLI::App* one) { return one->get_name() == word; });
      if (!inner.empty()) command = inner.front();
    }
    is_value = !is_value && !only_words && TakesNextWord(*command, word);
    words.push_back(std::move(word));
  }
  return words;
}

std::string CommandNames(const CLI::App& app) {
  std::string names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    names += (names.empty() ? "" : ", ") + command->get_name();
  }
  return names;
}

bool IsCommand(const CLI::App& app, const std::string& name) {
  return !app.get_subcommands([&](const CLI::App* command) { return command->get_name() == name; }).empty();
}

// Version, the instruction set that models will run on, and why that one.
void PrintVersion() {
  const std::string forced = ForcedIsa();
  std::string active;
  std::string others;
  for (size_t i = 0; mote_isa_name(i) != nullptr; ++i) {
    const std::string name = mote_isa_name(i);
    const bool chosen = forced.empty() ? mote_isa_can_run(i) != 0 && active.empty() : name == forced;
    if (chosen) {
      active = name;
    } else {
      others += (others.empty() ? "" : ", ") + name + (mote_isa_can_run(i) != 0 ? "" : " (not on this CPU)");
    }
  }
  Write(std::string("mote ") + mote_version() + "\n");
  Write("instruction set: " + active + (forced.empty() ? " (the best that this CPU runs)" : " (forced by MOTE_ISA)") +
        "\n");
  if (!others.empty()) Write("also built in: " + others + "\n");
  FlushOutput();
}

int Dispatch(int argc, char** argv) {
  CLI::App app("mote runs vision-language and language models from GGUF files on this machine.", "mote");
  app.require_subcommand(0, 1);
  app.set_help_flag("-h,--help", "Print this help");
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);  // scripts add to a line
  bool version = false;
  app.add_flag("--version", version, "Version, and the instruction set in use");
  app.footer(
      "mote COMMAND --help tells the options of a command. MOTE_ISA=NAME forces an instruction set.\n"
      "Exit codes: 0 done, 1 the work failed, 2 the words were wrong.");
  Action action;
  AddRun(app, &action);
  AddServe(app, &action);
  AddShow(app, &action);
  AddTokenize(app, &action);
  AddLogits(app, &action);
  AddBench(app, &action);
  AddPerplexity(app, &action);
  AddDoctor(app, &action);
  AddQuantize(app, &action);
  AddImatrix(app, &action);
  AddSparsify(app, &action);
  AddKey(app, &action);

  std::vector<std::string> words = RewriteArguments(app, argc, argv);
  if (words.empty()) WrongWords("no command given; the commands are " + CommandNames(app));
  if (words[0][0] != '-' && !IsCommand(app, words[0])) {
    WrongWords("unknown command \"" + words[0] + "\"; the commands are " + CommandNames(app));
  }
  const std::string command = words[0];
  try {
    app.parse(std::vector<std::string>(words.rbegin(), words.rend()));  // it takes them last first
  } catch (const CLI::CallForHelp&) {
    Write(app.help());
    FlushOutput();
    return kDone;
  } catch (const CLI::ParseError& error) {
    const bool known = IsCommand(app, command);
    WrongWords(std::string(error.what()) + "; try mote " + (known ? command + " " : "") + "--help");
  }
  if (version) {
    PrintVersion();
    return kDone;
  }
  if (!action) WrongWords("no command given; the commands are " + CommandNames(app));
  return action();
}

int Main(int argc, char** argv) {
  IgnoreWriteSignals();
  try {
    return Dispatch(argc, argv);
  } catch (const Failure& failure) {
    PrintFailure(failure.what());
    return failure.code();
  } catch (const std::bad_alloc&) {
    PrintFailure("out of memory");
  } catch (const std::exception& error) {
    PrintFailure(error.what());
  }
  return kFailed;
}

}  // namespace
}  // namespace mote::cli

int main(int argc, char** argv) {
  const int code = mote::cli::Main(argc, argv);
  if (mote::cli::LostInSplit()) {
    fflush(stdout);
    _exit(code);
  }
  return code;
}
