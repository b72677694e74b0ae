// The commands of the program. Each Add... describes its options to the parser; if the command is the one chosen,
// `action` becomes the function that does the work and returns the exit code.
#ifndef MOTE_EDGE_CLI_COMMANDS_H_
#define MOTE_EDGE_CLI_COMMANDS_H_

#include <CLI/CLI.hpp>
#include <functional>

namespace mote::cli {

using Action = std::function<int()>;

void AddRun(CLI::App& app, Action* action);
void AddTokenize(CLI::App& app, Action* action);
void AddLogits(CLI::App& app, Action* action);
void AddPerplexity(CLI::App& app, Action* action);
void AddServe(CLI::App& app, Action* action);
// Keys for the server (edge/server/auth).
void AddKey(CLI::App& app, Action* action);
// In tools/: these see the engine's file formats and the CPU target.
void AddShow(CLI::App& app, Action* action);
void AddBench(CLI::App& app, Action* action);
void AddDoctor(CLI::App& app, Action* action);
void AddQuantize(CLI::App& app, Action* action);
void AddImatrix(CLI::App& app, Action* action);
void AddSparsify(CLI::App& app, Action* action);

}  // namespace mote::cli

#endif  // MOTE_EDGE_CLI_COMMANDS_H_
