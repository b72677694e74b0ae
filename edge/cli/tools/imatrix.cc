// mote imatrix: which columns of a model's weights matter, from a text that it reads.
//
// The text is cut into chunks as llama.cpp's tool cuts it: of the context's length, each beginning with BOS where the
// vocabulary asks for it; what is left over at the end is not read.
#include "engine/format/imatrix.h"

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "edge/cli/commands.h"
#include "edge/cli/console.h"
#include "edge/cli/interrupt.h"
#include "edge/cli/json_text.h"
#include "edge/cli/options.h"
#include "edge/cli/output_file.h"
#include "edge/cli/tools/engine_params.h"
#include "edge/cli/tools/new_file.h"
#include "engine/run/importance.h"
#include "engine/run/model.h"
#include "engine/run/session.h"

namespace mote::cli {
namespace {

struct ImatrixOptions {
  ModelOptions model;
  std::string text;
  std::string out;
  std::vector<std::string> earlier;  // files to add to
  int chunks = -1;
  bool process_output = false;
  bool json = false;
};

template <class T>
T OrFail(Result<T> result) {
  if (!result.ok()) Fail(result.status().message());
  return std::move(result).value();
}

void OrFail(const Status& status) {
  if (!status.ok()) Fail(status.message());
}

std::unique_ptr<mote::Model> Load(const ImatrixOptions& options, FileSystem& files) {
  ModelParams params = EngineParams(options.model);
  Progress progress("loading");
  params.progress.user = &progress;
  params.progress.report = [](void* user, uint64_t done, uint64_t total) {
    static_cast<Progress*>(user)->Update(done, total);
  };
  return OrFail(mote::Model::Load(OrFail(GgufFile::Open(files, options.model.path)), params));
}

// Reads the chunks, and returns how many there were.
size_t ReadChunks(const ImatrixOptions& options, mote::Model& model, ImportanceCollector* collector) {
  const Tokenizer& tokenizer = model.tokenizer();
  EncodeOptions encode;
  encode.add_special = true;
  const std::vector<int32_t> tokens = OrFail(tokenizer.Encode(ReadText(options.text), encode));
  const size_t length = options.model.context;
  const size_t available = tokens.size() / length;
  if (available == 0) {
    Fail(Format("%s gives %zu tokens, fewer than one chunk of %zu; try a longer text, or a smaller -c",
                options.text.c_str(), tokens.size(), length));
  }
  const size_t chunks = options.chunks < 0 ? available : std::min(available, static_cast<size_t>(options.chunks));
  const std::unique_ptr<mote::Session> session = OrFail(mote::Session::Create(model, static_cast<uint32_t>(length)));
  const StopGuard stop;
  Progress progress("reading");
  model.program().Observe(collector->observer());
  EvalOptions eval;
  // Wanting all logits brings every row through the last layer.
  eval.sink.user = const_cast<StopGuard*>(&stop);
  eval.sink.row = [](void* user, uint32_t, std::span<const float>) {
    return !static_cast<const StopGuard*>(user)->stopped();
  };
  for (size_t i = 0; i < chunks; ++i) {
    std::vector<int32_t> chunk(tokens.begin() + static_cast<ptrdiff_t>(i * length),
                               tokens.begin() + static_cast<ptrdiff_t>((i + 1) * length));
    if (tokenizer.add_bos()) chunk[0] = tokenizer.bos();
    session->Truncate(0);
    const Status status = session->Eval(chunk, eval);
    if (status.code() == Code::kCancelled) Fail("stopped; " + options.out + " was not written");
    OrFail(status);
    progress.Update(i + 1, chunks, Format("%zu of %zu chunks", i + 1, chunks));
  }
  model.program().Observe({});
  return chunks;
}

void Report(const ImatrixOptions& options, const Imatrix& imatrix, size_t chunks, double seconds) {
  size_t partial = 0;  // tensors with experts that no token met
  for (const auto& entry : imatrix.entries()) {
    partial += std::find(entry->counts.begin(), entry->counts.end(), uint64_t{0}) != entry->counts.end();
  }
  if (options.json) {
    const nlohmann::json object = {{"out", options.out},
                                   {"entries", imatrix.entries().size()},
                                   {"chunks", chunks},
                                   {"chunks_total", imatrix.chunk_count},
                                   {"context", imatrix.chunk_size},
                                   {"entries_with_unmet_experts", partial},
                                   {"seconds", seconds}};
    Write(JsonText(object) + "\n");
    FlushOutput();
  }
  if (partial != 0) Note(Format("%zu tensors have experts that the text did not reach; a longer text may", partial));
  Note(Format("%s: %zu tensors from %zu chunk%s of %u tokens; %.1f s", options.out.c_str(), imatrix.entries().size(),
              chunks, chunks == 1 ? "" : "s", options.model.context, seconds));
}

int MakeImatrix(ImatrixOptions options) {
  if (options.model.path.empty()) WrongWords("no MODEL given; try mote imatrix MODEL.gguf -f TEXT -o OUT");
  if (options.text.empty() || options.out.empty()) WrongWords("imatrix needs a text and a name; try -f TEXT -o OUT");
  if (options.model.context == 0) options.model.context = 512;
  // Not the earlier ones: adding to a file in its place is what they are for.
  RefuseInput("-o", options.out, {options.model.path, options.text});
  const std::unique_ptr<Platform> platform = CreatePlatform();
  Imatrix imatrix;
  for (const std::string& path : options.earlier) {
    OrFail(imatrix.Merge(OrFail(Imatrix::Read(platform->files(), path, options.model.context))));
  }
  const auto start = std::chrono::steady_clock::now();
  const std::unique_ptr<mote::Model> model = Load(options, platform->files());
  ImportanceCollector collector(options.process_output);
  const size_t chunks = ReadChunks(options, *model, &collector);
  OrFail(collector.AddTo(&imatrix));
  imatrix.datasets.push_back(options.text);
  imatrix.chunk_count += static_cast<uint32_t>(chunks);
  imatrix.chunk_size = options.model.context;
  const Buffer bytes = OrFail(imatrix.Write());
  NewFile file(options.out, bytes.size());
  OrFail(file.Write(bytes.data(), bytes.size()));
  file.Finish();
  Report(options, imatrix, chunks, SecondsSince(start));
  return kDone;
}

}  // namespace

void AddImatrix(CLI::App& app, Action* action) {
  CLI::App* command = app.add_subcommand("imatrix", "Find out which weights matter, for mote quantize --imatrix");
  const auto options = std::make_shared<ImatrixOptions>();
  options->model.AddAll(*command);
  command->add_option("-f,--file", options->text, "The text that the model reads");
  command->add_option("-o,--output", options->out, "The importance matrix to write (GGUF, as llama.cpp's)");
  command->add_option("--in-file", options->earlier, "Add to what this file holds; repeatable")
      ->allow_extra_args(false);
  command->add_option("--chunks", options->chunks, "Read only so many chunks; -1: all")->transform(CountOrAll());
  command->add_flag("--process-output", options->process_output, "Of the output matrix too");
  command->add_flag("--json", options->json, "One JSON object on stdout");
  command->callback([=] { *action = [=] { return MakeImatrix(*options); }; });
}

}  // namespace mote::cli
