// mote perplexity: how surprised a model is by a text.
//
// The method of llama.cpp's tool, so that numbers can be compared: the text is cut into chunks of the context's length,
// each begins with BOS where the vocabulary asks for it, and only the second half of a chunk is scored, where every
// token has seen at least half a context.
#include <chrono>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "edge/cli/commands.h"
#include "edge/cli/console.h"
#include "edge/cli/json_text.h"
#include "edge/cli/model_loader.h"

namespace mote::cli {
namespace {

struct PerplexityOptions {
  ModelOptions model;
  std::string file;
  int chunks = -1;
  bool json = false;
};

struct Score {
  double sum = 0;          // of -log p
  double sum_squares = 0;  // of its squares
  uint64_t count = 0;

  void Add(const float* logits, size_t vocab_size, Token next) {
    float highest = logits[0];
    for (size_t i = 1; i < vocab_size; ++i) highest = std::max(highest, logits[i]);
    double total = 0;
    for (size_t i = 0; i < vocab_size; ++i) total += std::exp(static_cast<double>(logits[i] - highest));
    const double loss = std::log(total) - static_cast<double>(logits[next] - highest);
    sum += loss;
    sum_squares += loss * loss;
    ++count;
  }
  double perplexity() const { return std::exp(sum / static_cast<double>(count)); }
  // Standard error of the perplexity, from that of the mean loss.
  double deviation() const {
    if (count < 2) return 0;
    const double n = static_cast<double>(count);
    const double mean = sum / n;
    const double variance = std::max(0.0, sum_squares / n - mean * mean);
    return perplexity() * std::sqrt(variance / (n - 1));
  }
};

void ScoreChunk(Session& session, const Model& model, std::vector<Token> chunk, bool begin_with_bos, Score* score) {
  const mote_model_info info = model.info();
  const std::vector<Token> original = chunk;
  if (begin_with_bos) chunk[0] = info.bos_token;
  const size_t first = chunk.size() / 2;
  session.Truncate(0);
  if (first > 0) {
    const Result<void> read = session.Eval(chunk.data(), first);
    if (!read.ok()) FailWith(read.error().code, read.error().message);
  }
  const Result<void> scored =
      session.Eval(chunk.data() + first, chunk.size() - first, [&](size_t i, const float* logits) {
        const size_t next = first + i + 1;
        if (next < original.size()) score->Add(logits, info.vocab_size, original[next]);
        return true;
      });
  if (!scored.ok()) FailWith(scored.error().code, scored.error().message);
}

int Perplexity(PerplexityOptions options) {
  options.model.PathOrUsage("perplexity");
  if (options.file.empty()) WrongWords("perplexity needs a text; try -f FILE");
  const std::string text = ReadText(options.file);
  if (options.model.context == 0) options.model.context = 512;
  if (options.model.context < 4) WrongWords("-c is too small to score anything; it must be at least 4");
  const Model model = LoadModel(options.model, "perplexity");
  Session session = CreateSession(model);
  const std::vector<Token> tokens = Take(model.Tokenize(text));
  const size_t length = session.context();
  const size_t available = tokens.size() / length;
  if (available == 0) {
    Fail(Format("%s gives %zu tokens, fewer than one chunk of %zu; try a longer text, or a smaller -c",
                options.file.c_str(), tokens.size(), length));
  }
  const size_t chunks =
      options.chunks < 0 ? available : std::min<size_t>(available, static_cast<size_t>(options.chunks));
  const mote_model_info info = model.info();
  const bool begin_with_bos = info.bos_token >= 0 && tokens[0] == info.bos_token;

  Score score;
  Progress progress("perplexity");
  const auto start = std::chrono::steady_clock::now();
  for (size_t i = 0; i < chunks; ++i) {
    const auto begin = tokens.begin() + static_cast<ptrdiff_t>(i * length);
    ScoreChunk(session, model, {begin, begin + static_cast<ptrdiff_t>(length)}, begin_with_bos, &score);
    progress.Update(i + 1, chunks, Format("%.4f after %zu of %zu chunks", score.perplexity(), i + 1, chunks));
  }
  progress.Clear();
  const double rate = static_cast<double>(chunks * length) / SecondsSince(start);
  if (options.json) {
    const nlohmann::json object = {
        {"perplexity", score.perplexity()}, {"stddev", score.deviation()}, {"chunks", chunks}, {"context", length},
        {"tokens_scored", score.count},     {"tokens_per_second", rate}};
    Write(JsonText(object) + "\n");
  } else {
    Write(Format("perplexity %.4f +/- %.5f\n", score.perplexity(), score.deviation()));
  }
  FlushOutput();
  Note(Format("%zu chunk%s of %zu tokens, %llu scored, %.1f tokens/s", chunks, chunks == 1 ? "" : "s", length,
              static_cast<unsigned long long>(score.count), rate));
  return kDone;
}

}  // namespace

void AddPerplexity(CLI::App& app, Action* action) {
  CLI::App* command = app.add_subcommand("perplexity", "How well a model predicts a text; lower is better");
  const auto options = std::make_shared<PerplexityOptions>();
  options->model.AddAll(*command);
  command->add_option("-f,--file", options->file, "The text");
  command->add_option("--chunks", options->chunks, "Score only so many chunks; -1: all")->transform(CountOrAll());
  command->add_flag("--json", options->json, "One JSON object");
  command->callback([=] { *action = [=] { return Perplexity(*options); }; });
}

}  // namespace mote::cli
