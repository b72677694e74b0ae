// mote logits: the raw numbers, for comparing with other engines.
#include <algorithm>
#include <bit>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "edge/cli/commands.h"
#include "edge/cli/console.h"
#include "edge/cli/interrupt.h"
#include "edge/cli/model_loader.h"
#include "edge/cli/output_file.h"
#include "edge/cli/picture.h"
#include "edge/cli/split.h"
#include "edge/cli/vision_file.h"

namespace mote::cli {
namespace {

struct LogitsOptions {
  ModelOptions model;
  std::vector<Token> tokens;
  std::string prompt;
  VisionFlags vision;
  std::vector<std::string> images;
  std::string out;
  bool no_special = false;
  bool json = false;
};

static_assert(std::endian::native == std::endian::little,
              "the file is little-endian, and written as it lies in memory");

std::vector<std::string> Inputs(const LogitsOptions& options) {
  std::vector<std::string> files = options.images;
  files.push_back(options.model.path);
  files.push_back(options.vision.mmproj);
  return files;
}

int Logits(LogitsOptions& options, bool has_tokens, bool has_prompt) {
  const SplitGuard split(&options.model);
  if (split.follows()) return split.Serve();
  options.model.PathOrUsage("logits");
  if (has_tokens == has_prompt) WrongWords("logits needs one of --tokens 1,2,3 and -p TEXT");
  if (has_tokens && options.tokens.empty()) WrongWords("--tokens names none; try --tokens 1,2,3");
  if (options.out.empty()) WrongWords("logits needs --out FILE");
  options.vision.Check(!options.images.empty());
  if (has_tokens && !options.images.empty()) WrongWords("--image needs a prompt to stand in; try -p TEXT");
  RefuseInput("--out", options.out, Inputs(options));
  std::vector<Picture> pictures;
  for (const std::string& path : options.images) pictures.push_back(LoadPicture(path));
  if (!pictures.empty()) RequireVisionFile(options.vision, options.model.path);
  Model model = LoadModel(options.model, "logits");
  if (!pictures.empty() || !options.vision.mmproj.empty()) {
    RefuseInput("--out", options.out, {AttachVision(options.vision, options.model.path, &model)});
  }
  Session session = CreateSession(model);
  std::optional<Prompt> prompt;
  if (has_prompt) {
    const uint32_t flags = options.no_special ? 0 : MOTE_ADD_SPECIAL | MOTE_PARSE_SPECIAL;
    prompt = Take(Prompt::FromText(model, WithMarks(options.prompt, pictures.size()), ToC(pictures), flags));
  }
  const size_t count = has_prompt ? prompt->info().tokens - prompt->info().image_rows : options.tokens.size();
  const size_t row_bytes = model.info().vocab_size * sizeof(float);
  const StopGuard stop;
  OutputFile file(options.out, uint64_t{count} * row_bytes);
  Progress progress("computing");
  bool written = true;
  const Session::OnLogits on_logits = [&](size_t index, const float* logits) {
    progress.Update(std::min(index + 1, count), count);
    written = file.Write(logits, row_bytes);
    return written && !stop.stopped();
  };
  const Result<void> result =
      has_prompt ? session.Eval(*prompt, 0, on_logits) : session.Eval(options.tokens, on_logits);
  if (stop.stopped()) Fail("stopped; " + options.out + " was not written");
  if (!written) Fail(file.why());
  if (!result.ok()) FailWith(result.error().code, result.error().message);
  file.Finish();
  progress.Clear();
  if (options.json) {
    Write(Format("{\"tokens\":%zu,\"vocab\":%u,\"type\":\"float32\"}\n", count, model.info().vocab_size));
    FlushOutput();
  } else {
    Note(Format("%s: %zu tokens x %u logits, float32", options.out.c_str(), count, model.info().vocab_size));
  }
  return kDone;
}

}  // namespace

void AddLogits(CLI::App& app, Action* action) {
  CLI::App* command = app.add_subcommand("logits", "Logits of every token to a file: (tokens, vocab) float32");
  const auto options = std::make_shared<LogitsOptions>();
  options->model.AddAll(*command);
  options->model.AddSplit(*command);
  CLI::Option* tokens = command->add_option("--tokens", options->tokens, "Token ids: 1,2,3")
                            ->delimiter(',')
                            ->transform(WholeWithin(0, INT32_MAX))
                            ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  CLI::Option* prompt = command->add_option("-p,--prompt", options->prompt, "Text");
  options->vision.Add(*command);
  AddImages(*command, &options->images);
  command->add_flag("--no-special", options->no_special, "Neither add special tokens nor recognise them in the text");
  command->add_option("--out", options->out,
                      "The file to write; no header, little-endian, rows in the order of tokens");
  command->add_flag("--json", options->json, "Say the shape as JSON");
  command->callback([=] { *action = [=] { return Logits(*options, tokens->count() > 0, prompt->count() > 0); }; });
}

}  // namespace mote::cli
