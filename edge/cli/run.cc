// mote run: a prompt in, text out.
#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "edge/cli/commands.h"
#include "edge/cli/console.h"
#include "edge/cli/interrupt.h"
#include "edge/cli/json_text.h"
#include "edge/cli/run_options.h"
#include "edge/cli/split.h"

namespace mote::cli {
namespace {

constexpr size_t kMaxStops = 16;  // what mote_generate takes

double PerSecond(size_t tokens, double seconds) {
  return seconds > 0 ? static_cast<double>(tokens) / seconds : 0;
}

double PerToken(size_t tokens, double seconds) {
  return tokens > 0 ? seconds * 1e3 / static_cast<double>(tokens) : 0;
}

using Json = nlohmann::ordered_json;

// Names of the timings as llama.cpp's server has them, and three more for images.
Json TimingsToJson(const Generation& g, double load_seconds, const mote_prompt_info& info, double decode_seconds) {
  const uint32_t computed = g.prompt_tokens - g.cached_tokens;
  Json timings = {{"load_ms", load_seconds * 1e3}};
  if (info.images > 0) {
    timings["decode_ms"] = decode_seconds * 1e3;
    timings["preprocess_ms"] = info.preprocess_seconds * 1e3;
    timings["encode_ms"] = info.encode_seconds * 1e3;
  }
  timings["prompt_n"] = computed;
  timings["prompt_ms"] = g.prefill_seconds * 1e3;
  timings["prompt_per_token_ms"] = PerToken(computed, g.prefill_seconds);
  timings["prompt_per_second"] = PerSecond(computed, g.prefill_seconds);
  timings["predicted_n"] = g.tokens.size();
  timings["predicted_ms"] = g.decode_seconds * 1e3;
  timings["predicted_per_token_ms"] = PerToken(g.tokens.size(), g.decode_seconds);
  timings["predicted_per_second"] = PerSecond(g.tokens.size(), g.decode_seconds);
  return timings;
}

Json ToJson(const Generation& g, double load_seconds, const Prompt& prompt, const std::vector<Picture>& pictures) {
  Json json = {{"text", g.text},
               {"tokens", g.tokens},
               {"finish_reason", mote_finish_reason_name(g.finish_reason)},
               {"prompt_tokens", g.prompt_tokens},
               {"completion_tokens", g.tokens.size()}};
  for (size_t i = 0; i < pictures.size(); ++i) {
    json["images"].push_back({{"path", pictures[i].path},
                              {"width", pictures[i].width},
                              {"height", pictures[i].height},
                              {"rows", prompt.image_rows(i)},
                              {"cached", prompt.image_known(i)}});
  }
  json["timings"] = TimingsToJson(g, load_seconds, prompt.info(), DecodeSeconds(pictures));
  return json;
}

Prompt EncodePrompt(const RunOptions& options, const Model& model, const Session& session, const std::string& text,
                    const std::vector<Picture>& pictures) {
  const mote_model_info info = model.info();
  const std::vector<mote_image> images = ToC(pictures);
  Progress progress("reading the image");
  const PromptOptions reading = ReadingImages(&progress, session);
  // A model without a template has not been taught turns: its text is continued as it is.
  const bool chat = !options.no_chat && info.chat_template != nullptr;
  if (!chat) {
    if (!options.no_chat) Note("mote: the model has no chat template: the text is continued as it is (--no-chat)");
    // Whoever asks for the bare prompt may write control tokens into it.
    const uint32_t flags = MOTE_ADD_SPECIAL | (options.no_chat ? MOTE_PARSE_SPECIAL : 0);
    return Take(Prompt::FromText(model, WithMarks(text, images.size()), images, flags, reading));
  }
  if (info.template_error != nullptr) {
    Note(std::string("mote: the model's chat template cannot be used (") + info.template_error + "): ChatML instead");
  }
  std::vector<ChatMessage> messages;
  if (!options.system.empty()) messages.push_back({"system", options.system, ""});
  messages.push_back({"user", text, ""});
  return Take(Prompt::FromChat(model, messages, images, {}, reading));
}

int Answer(const RunOptions& options, const Model& model, const std::string& text, const std::vector<Picture>& pictures,
           double load_seconds) {
  Session session = CreateSession(model);
  const InterruptGuard interrupt(session.handle());
  const Prompt prompt = EncodePrompt(options, model, session, text, pictures);
  GenerateOptions generate = options.Generate();
  Progress progress("reading the prompt");
  generate.on_prompt_progress = [&](size_t done, size_t total) {
    progress.Update(done, total);
    if (done == total) progress.Clear();
  };
  bool written = true;
  if (!options.json) {
    generate.on_text = [&](std::string_view fresh, Token) {
      written = WriteNow(fresh);
      return written;
    };
  }
  const Generation generation = Take(session.Generate(prompt, generate));
  progress.Clear();
  if (!written) FailOutput();
  if (options.json) {
    Write(JsonText(ToJson(generation, load_seconds, prompt, pictures)) + "\n");
  } else if (IsTerminal(stdout)) {
    Write("\n");
  }
  FlushOutput();
  Note(Summary(generation, prompt.info(), DecodeSeconds(pictures)));
  return generation.finish_reason == MOTE_FINISH_CANCELLED ? kFailed : kDone;
}

// Standard input can be one thing at most.
void CheckStandardInput(const RunOptions& options, bool has_prompt) {
  const auto wanted = std::count(options.images.begin(), options.images.end(), "-");
  if (wanted == 0) return;
  if (wanted > 1) WrongWords("--image - can be given once: standard input is one image");
  if (options.prompt_file == "-" || (!has_prompt && options.prompt_file.empty())) {
    WrongWords("standard input cannot give both the image and the prompt; try -p TEXT");
  }
}

int Run(RunOptions& options, bool has_prompt) {
  const SplitGuard split(&options.model);
  if (split.follows()) return split.Serve();
  options.model.PathOrUsage("run");
  options.Generate();  // wrong words are told before the work begins
  if (has_prompt && !options.prompt_file.empty()) WrongWords("-p and -f both give the prompt; try one of them");
  options.vision.Check(!options.images.empty());
  CheckStandardInput(options, has_prompt);
  const bool chat = !has_prompt && options.prompt_file.empty() && IsTerminal(stdin);
  if (chat && (options.json || options.no_chat)) {
    WrongWords("--json and --no-chat need a prompt; try -p TEXT, or the prompt on standard input");
  }
  std::string text = options.prompt;
  if (!chat && !has_prompt) {
    text = ReadText(options.prompt_file.empty() ? "-" : options.prompt_file);
    if (!text.empty() && text.back() == '\n') text.pop_back();  // the one that echo and editors add
    if (text.empty()) WrongWords("the prompt is empty; try -p TEXT");
  }
  // An image alone is a prompt; so is nothing, for a model that may begin a text by itself.
  if (has_prompt && text.empty() && options.images.empty() && !options.no_chat) {
    WrongWords("the prompt is empty; try -p TEXT");
  }
  if (text.find('\0') != std::string::npos) {
    WrongWords(
        Format("the prompt holds a NUL byte, after %zu others, where it would end; take it out", text.find('\0')));
  }
  std::vector<Picture> pictures;
  for (const std::string& path : options.images) pictures.push_back(LoadPicture(path));
  if (!pictures.empty()) RequireVisionFile(options.vision, options.model.path);
  const auto start = std::chrono::steady_clock::now();
  Model model = LoadModel(options.model, "run");
  std::string vision_path;
  if (!pictures.empty() || !options.vision.mmproj.empty()) {
    vision_path = AttachVision(options.vision, options.model.path, &model);
  }
  if (chat) return Chat(options, model, vision_path, std::move(pictures));
  return Answer(options, model, text, pictures, SecondsSince(start));
}

}  // namespace

GenerateOptions RunOptions::Generate() const {
  GenerateOptions generate;
  generate.sampling = ConvertSampling(sampling);
  generate.max_tokens = max_tokens;
  generate.ignore_eos = ignore_eos;
  for (const std::string& text : stop) {
    if (text.empty()) WrongWords("--stop is empty, which every answer begins with; leave it out");
  }
  if (stop.size() > kMaxStops) {
    WrongWords(Format("--stop is given %zu times; it may be given %zu times", stop.size(), kMaxStops));
  }
  generate.stop = stop;
  return generate;
}

std::string Summary(const Generation& g, const mote_prompt_info& prompt, double decode_seconds) {
  std::string images;
  if (prompt.images > 0) {
    const std::string known = prompt.images_known > 0 ? Format(" (%u known)", prompt.images_known) : "";
    images = Format("%u image%s%s, %u rows: decode %.1f ms, resize %.1f ms, encode %.1f ms; ", prompt.images,
                    prompt.images == 1 ? "" : "s", known.c_str(), prompt.image_rows, decode_seconds * 1e3,
                    prompt.preprocess_seconds * 1e3, prompt.encode_seconds * 1e3);
  }
  std::string cached = g.cached_tokens > 0 ? Format(" (%u known)", g.cached_tokens) : "";
  return images + Format("prompt %u tokens%s, %.1f tokens/s; answer %zu tokens, %.1f tokens/s; %s", g.prompt_tokens,
                         cached.c_str(), PerSecond(g.prompt_tokens - g.cached_tokens, g.prefill_seconds),
                         g.tokens.size(), PerSecond(g.tokens.size(), g.decode_seconds),
                         mote_finish_reason_name(g.finish_reason));
}

PromptOptions ReadingImages(Progress* progress, const Session& session) {
  PromptOptions reading;
  reading.session = session.handle();
  reading.on_progress = [progress](uint32_t done, uint32_t total) {
    progress->Update(done, total);
    return true;
  };
  return reading;
}

void AddRun(CLI::App& app, Action* action) {
  CLI::App* command = app.add_subcommand("run", "Answer a prompt, about images too, or chat");
  const auto options = std::make_shared<RunOptions>();
  options->model.AddAll(*command);
  options->model.AddSplit(*command);
  CLI::Option* prompt = command->add_option("-p,--prompt", options->prompt,
                                            "The prompt; without it, standard input, or a chat on a terminal");
  command->add_option("-f,--file", options->prompt_file, "Read the prompt from a file");
  command->add_option("--system", options->system, "System message of the chat");
  command
      ->add_option("-n,--predict,--n-predict", options->max_tokens,
                   "Tokens to write, at most; -1: until the context is full")
      ->transform(WholeWithin(-1, INT32_MAX));
  options->vision.Add(*command);
  AddImages(*command, &options->images);
  options->sampling.Add(*command);
  command->add_option("--stop", options->stop, "End before this text; may be given 16 times")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_flag("--ignore-eos", options->ignore_eos, "Never choose a token that ends the answer");
  command->add_flag("--json", options->json, "One JSON object instead of text");
  command->add_flag("--no-chat", options->no_chat, "The prompt as it is: no template, control tokens in it count");
  command->callback([=] { *action = [=] { return Run(*options, prompt->count() > 0); }; });
}

}  // namespace mote::cli
