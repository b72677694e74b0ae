// mote bench: speed of reading images and prompts and of writing, beside what the machine can do at all.
//
// Each round measures the machine's read bandwidth and every row, one after the other, so that a change of the
// machine's mood hits all of them alike.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "edge/cli/builtin.h"
#include "edge/cli/commands.h"
#include "edge/cli/console.h"
#include "edge/cli/json_text.h"
#include "edge/cli/options.h"
#include "edge/cli/split.h"
#include "edge/cli/tools/bench_image.h"
#include "edge/cli/tools/model_file.h"
#include "edge/cli/tools/peaks_report.h"
#include "edge/cli/tools/power_meter.h"
#include "edge/cli/tools/sparsify_activations.h"
#include "edge/cli/tuning_file.h"
#include "engine/api/mote.h"
#include "engine/api/mote_gpu.h"
#include "engine/run/device.h"
#include "targets/cpu/peaks.h"

namespace mote::cli {
namespace {

struct BenchOptions {
  ModelOptions model;
  int prompt_tokens = 512;
  int generated_tokens = 128;
  int depth = 0;  // tokens in the cache before each row begins
  int rounds = 5;
  std::string format = "md";
  bool peaks = false;
  std::string mmproj;
  uint32_t image_size = 0;

  bool has_images() const { return !mmproj.empty() || model.path.empty(); }  // the built-in model sees
};

struct Row {
  std::string name;
  int prompt = 0;               // tokens read in one evaluation, or
  int generated = 0;            // tokens written one by one; neither: the img row
  std::vector<double> samples;  // tokens per second
  // Of a block-sparse model made dense, or of a model without its dynamic sparsity, measured in the same rounds.
  std::vector<double> dense_samples;

  // Share of the limit, 0 to 1, and the limit's name; empty if it could not be measured.
  double share = 0;
  std::string limit;
  std::vector<double> watts;  // the machine's, of each of `samples`; 0: not known
};

struct Stats {
  double mean = 0;
  double deviation = 0;  // of the sample
  double median = 0;
  double min = 0;
  double max = 0;
};

Stats StatsOf(std::vector<double> samples) {
  Stats stats;
  if (samples.empty()) return stats;
  std::sort(samples.begin(), samples.end());
  const double n = static_cast<double>(samples.size());
  for (const double s : samples) stats.mean += s / n;
  double squares = 0;
  for (const double s : samples) squares += (s - stats.mean) * (s - stats.mean);
  stats.deviation = samples.size() > 1 ? std::sqrt(squares / (n - 1)) : 0;
  const size_t middle = samples.size() / 2;
  stats.median = samples.size() % 2 == 1 ? samples[middle] : (samples[middle - 1] + samples[middle]) / 2;
  stats.min = samples.front();
  stats.max = samples.back();
  return stats;
}

// Handles of the C API, freed at the end: this file sees the engine's own headers, so it cannot use mote.hpp as well.
struct Bench {
  mote_model* model = nullptr;
  mote_session* session = nullptr;
  mote_model_info info = {};
  std::string tuning;
  ~Bench() {
    mote_session_free(session);
    mote_model_free(model);
  }
};

void Check(mote_status status, const mote_error& error) {
  if (status != MOTE_OK) FailWith(status, error.message);
}

// `other`: what it is compared with: without dynamic sparsity, or block-sparse matrices made dense.
void Load(const BenchOptions& options, bool other, Bench* bench) {
  mote_error error = {};
  mote_model_params params = options.model.Params();
  if (other && params.dynamic_sparsity == 0) params.sparse_path = MOTE_SPARSE_DENSE;
  if (other) params.dynamic_sparsity = 0;
  if (params.context == 0)
    params.context =
        static_cast<uint32_t>(std::max(1, options.depth + std::max(options.prompt_tokens, options.generated_tokens)));
  Progress progress("loading");
  params.progress = [](void* user, uint64_t done, uint64_t total) {
    static_cast<Progress*>(user)->Update(done, total);
  };
  params.progress_user = &progress;
  if (options.model.path.empty()) {
    const BuiltinFile& file = BuiltinModel()->model;
    Check(mote_model_load_memory(file.bytes, file.size, &params, &bench->model, &error), error);
  } else {
    Check(mote_model_load(options.model.path.c_str(), &params, &bench->model, &error), error);
  }
  size_t size = 0;
  Check(mote_model_tuning(bench->model, nullptr, 0, &size, &error), error);
  bench->tuning.resize(size);
  Check(mote_model_tuning(bench->model, bench->tuning.data(), size, &size, &error), error);
  options.model.KeepTuning(bench->tuning);
  Check(mote_session_create(bench->model, 0, &bench->session, &error), error);
  bench->info.struct_size = sizeof(bench->info);
  Check(mote_model_get_info(bench->model, &bench->info, &error), error);
  const int longest = options.depth + std::max(options.prompt_tokens, options.generated_tokens);
  if (static_cast<uint32_t>(longest) > bench->info.context) {
    WrongWords(Format("%d tokens do not fit a context of %u; try a larger -c", longest, bench->info.context));
  }
}

double Measure(Bench& bench, const Row& row, int depth, std::mt19937& random) {
  std::uniform_int_distribution<int32_t> any(0, static_cast<int32_t>(bench.info.vocab_size) - 1);
  mote_error error = {};
  // What stands in the cache does not matter, so it is read once for all rows and rounds.
  mote_session_truncate(bench.session, static_cast<uint32_t>(depth));
  size_t present = 0;
  mote_session_tokens(bench.session, &present);
  if (present < static_cast<size_t>(depth)) {
    std::vector<int32_t> filling(static_cast<size_t>(depth) - present);
    for (int32_t& token : filling) token = any(random);
    Check(mote_session_eval(bench.session, filling.data(), filling.size(), nullptr, &error), error);
  }
  std::vector<int32_t> tokens(static_cast<size_t>(row.prompt + row.generated));
  for (int32_t& token : tokens) token = any(random);
  const auto start = std::chrono::steady_clock::now();
  if (row.prompt > 0) {
    Check(mote_session_eval(bench.session, tokens.data(), tokens.size(), nullptr, &error), error);
  } else {
    for (const int32_t& token : tokens) Check(mote_session_eval(bench.session, &token, 1, nullptr, &error), error);
  }
  return static_cast<double>(tokens.size()) / SecondsSince(start);
}

// Bytes that decoding reads per token: the weights as they are in the file (packing may add to them, which counts
// against us), and what the cache holds on average.
double BytesPerToken(const TokenWork& work, const mote_model_info& info, int depth, int generated) {
  const double cache = static_cast<double>(info.cache_bytes) / info.context * (depth + generated / 2.0);
  return static_cast<double>(work.bytes_read) + cache;
}

// Multiplications per token of a prompt: the output matrix is needed for the last one alone.
double MultipliesPerToken(double all, double output, int prompt) {
  return prompt == 0 ? all : all - output + output / prompt;
}

// What blocks left out save, each as a share of what the same model takes dense.
struct Saved {
  double compute = 0;  // multiplications of the matrix products
  double bytes = 0;    // of weights
  double time = 0;     // of the row's median
};
Saved SavedBy(const Row& row, const TokenWork& work) {
  const auto number = [](uint64_t n) { return static_cast<double>(n); };
  Saved saved;
  saved.compute =
      1 - MultipliesPerToken(number(work.multiplies), number(work.output_multiplies), row.prompt) /
              MultipliesPerToken(number(work.dense_multiplies), number(work.dense_output_multiplies), row.prompt);
  saved.bytes = 1 - number(work.bytes_read) / number(work.dense_bytes_read);
  if (!row.dense_samples.empty()) saved.time = 1 - StatsOf(row.dense_samples).median / StatsOf(row.samples).median;
  return saved;
}

// Of the activations that steps of one token have met, those that counted as zero.
double ZeroShare(const Bench& bench) {
  mote_model_info info = {};
  info.struct_size = sizeof(info);
  mote_error error = {};
  Check(mote_model_get_info(bench.model, &info, &error), error);
  return info.activations_met == 0
             ? 0
             : static_cast<double>(info.activations_zero) / static_cast<double>(info.activations_met);
}

// Of the rounds whose power is known; 0: of none. `watts`: of each of row.samples.
double TokensPerJoule(const Row& row) {
  double tokens_per_second = 0, watts = 0;
  for (size_t i = 0; i < row.watts.size() && i < row.samples.size(); ++i) {
    if (row.watts[i] <= 0) continue;
    tokens_per_second += row.samples[i];
    watts += row.watts[i];
  }
  return watts > 0 ? tokens_per_second / watts : 0;
}

nlohmann::ordered_json RowToJson(const Row& row, const BenchOptions& options, const Bench& bench, const TokenWork& work,
                                 const std::string& type, uint64_t bytes, double bandwidth) {
  const Stats stats = StatsOf(row.samples);
  nlohmann::ordered_json json = {{"test", row.name},
                                 {"n_prompt", row.prompt},
                                 {"n_gen", row.generated},
                                 {"n_depth", options.depth},
                                 {"avg_ts", stats.mean},
                                 {"stddev_ts", stats.deviation},
                                 {"samples_ts", row.samples},
                                 {"median_ts", stats.median},
                                 {"min_ts", stats.min},
                                 {"max_ts", stats.max},
                                 {"model_filename", options.model.Name()},
                                 {"model_type", std::string(bench.info.architecture) + " " + type},
                                 {"model_size", bytes},
                                 {"model_n_params", work.values},
                                 {"backend", bench.info.backend},
                                 {"n_threads", bench.info.threads},
                                 {"read_bandwidth_bytes_per_second", bandwidth}};
  if (const Saved saved = SavedBy(row, work); !row.dense_samples.empty() && options.model.dynamic_sparsity) {
    json["without_samples_ts"] = row.dense_samples;
    json["activations_zero"] = ZeroShare(bench);
    json["time_saved"] = saved.time;
  } else if (!row.dense_samples.empty()) {
    json["dense_samples_ts"] = row.dense_samples;
    json["compute_saved"] = saved.compute;
    json["bytes_saved"] = saved.bytes;
    json["time_saved"] = saved.time;
  }
  const double per_joule = TokensPerJoule(row);
  json["tokens_per_joule"] = per_joule > 0 ? nlohmann::ordered_json(per_joule) : nlohmann::ordered_json(nullptr);
  json["limit"] = row.limit.empty() ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(row.limit);
  json["fetch_ahead"] = DescribeTuning(bench.tuning);
  json["share_of_limit"] = row.limit.empty() ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(row.share);
  return json;
}

std::string CsvField(const nlohmann::ordered_json& value) {
  if (value.is_null()) return "";
  std::string text = value.is_string() ? value.get<std::string>() : JsonText(value);
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

void PrintCsv(const nlohmann::ordered_json& rows) {
  std::string line;
  for (const auto& [key, value] : rows[0].items()) line += (line.empty() ? "" : ",") + key;
  Write(line + "\n");
  for (const auto& row : rows) {
    line.clear();
    for (const auto& [key, value] : row.items()) line += (line.empty() ? "" : ",") + CsvField(value);
    Write(line + "\n");
  }
}

void PrintPower(const std::vector<Row>& rows, const std::string& sensors) {
  std::string text;
  for (const Row& row : rows) {
    const double per_joule = TokensPerJoule(row);
    if (per_joule > 0 && row.prompt + row.generated > 0) {
      text += Format("%s%s %.2f", text.empty() ? "" : ", ", row.name.c_str(), per_joule);
    }
  }
  if (!text.empty()) Write("tokens per joule: " + text + " (" + sensors + ", all that ran meanwhile included)\n");
}

// Of a block-sparse model.
void PrintSaved(const std::vector<Row>& rows, const TokenWork& work) {
  bool begun = false;
  for (const Row& row : rows) {
    if (row.dense_samples.empty()) continue;
    if (!begun) {
      Write("\nblock-sparse, beside the same model made dense in the same rounds:\n\n");
      Write(
          "| test | compute saved | bytes saved | time saved | times as fast |\n| --- | ---: | ---: | ---: | ---: |\n");
      begun = true;
    }
    const Saved saved = SavedBy(row, work);
    Write(Format("| %s | %.1f %% | %.1f %% | %.1f %% | %.2f |\n", row.name.c_str(), saved.compute * 100,
                 saved.bytes * 100, saved.time * 100, 1 / (1 - saved.time)));
  }
}

// Of a model with dynamic sparsity.
void PrintDynamic(const std::vector<Row>& rows, const TokenWork& work, const Bench& bench, const GgufFile& file) {
  Write("\ndynamic sparsity, beside the same model without it in the same rounds:\n\n");
  Write("| test | t/s without | time saved | times as fast |\n| --- | ---: | ---: | ---: |\n");
  for (const Row& row : rows) {
    if (row.dense_samples.empty()) continue;
    const Saved saved = SavedBy(row, work);
    Write(Format("| %s | %.2f | %.1f %% | %.2f |\n", row.name.c_str(), StatsOf(row.dense_samples).median,
                 saved.time * 100, 1 / (1 - saved.time)));
  }
  Write(Format("\nactivations passed over, one token at a time: %.1f %% (random tokens)", 100 * ZeroShare(bench)));
  const Result<double> before = file.FloatOr(kPerplexityBeforeKey, -1);
  const Result<double> after = file.FloatOr(kPerplexityAfterKey, -1);
  if (before.ok() && after.ok() && *before >= 0 && *after >= 0) {
    Write(Format("; perplexity %.4f without, %.4f with it, as the file says", *before, *after));
  }
  Write("\n");
}

void PrintMarkdown(const std::vector<Row>& rows, const Bench& bench, const TokenWork& work, const std::string& type,
                   uint64_t bytes, const Stats& bandwidth, const ImageBench* image, const GgufFile* dynamic) {
  Write("| model | size | params | backend | threads | test | t/s | share of limit |\n");
  Write("| --- | ---: | ---: | --- | ---: | ---: | ---: | --- |\n");
  for (const Row& row : rows) {
    const Stats stats = StatsOf(row.samples);
    const std::string share = row.limit.empty() ? "" : Format("%.1f %% of %s", row.share * 100, row.limit.c_str());
    Write(Format("| %s %s | %s | %.2f M | %s | %d | %s | %.2f ± %.2f | %s |\n", bench.info.architecture, type.c_str(),
                 HumanBytes(bytes).c_str(), static_cast<double>(work.values) / 1e6, bench.info.backend,
                 bench.info.threads, row.name.c_str(), stats.mean, stats.deviation, share.c_str()));
  }
  if (image != nullptr) Write("\n" + image->Describe() + "\n");
  if (dynamic != nullptr) {
    PrintDynamic(rows, work, bench, *dynamic);
  } else {
    PrintSaved(rows, work);
  }
  if (!bench.tuning.empty()) {
    Write("\nautotune, bytes that weights are fetched ahead, and streams: " + DescribeTuning(bench.tuning) + "\n");
  }
  if (bandwidth.median <= 0) return;  // all of it on a GPU, or on several machines
  Write(Format("\nread bandwidth %.1f GB/s (median; %.1f to %.1f)\n", bandwidth.median / 1e9, bandwidth.min / 1e9,
               bandwidth.max / 1e9));
}

// The machine alone. Passes some tenths of a second apart: virtual CPUs may share a core for a while.
int RunPeaks(const BenchOptions& options) {
  if (!options.model.path.empty()) WrongWords("--peaks measures the machine alone; leave MODEL out");
  const std::unique_ptr<Platform> platform = CreatePlatform();
  Result<std::unique_ptr<ThreadPool>> pool = platform->CreateThreadPool(options.model.threads);
  if (!pool.ok()) Fail(pool.status().message());
  const cpu::Peaks peaks = TakePeaks(**pool, platform->clock(), cpu::DetectCpu(), /*passes=*/2 * options.rounds);
  const nlohmann::ordered_json json = PeaksToJson(peaks);
  if (options.format == "json") {
    Write(JsonText(json, 1) + "\n");
  } else {
    Write(options.format == "csv" ? PeaksToCsv(json) : "best, median, worst round\n" + PeaksToText(json));
  }
  FlushOutput();
  return kDone;
}

// Of the memory that a model lies in, by its maker's figures, where that is one GPU's alone; 0: not so, or not told.
double GpuBandwidth(const std::string& device, const mote_model_info& info) {
  mote_gpu gpu = {};
  gpu.struct_size = sizeof(gpu);
  const bool whole = info.gpu_layers == info.layers;
  return whole && mote_gpu_get(static_cast<size_t>(GpuIndex(device)), &gpu, nullptr) == MOTE_OK ? gpu.bytes_per_second
                                                                                                : 0;
}

// Operations per second, of float32, int8 and a matrix unit; 0: unknown, or there is none.
struct Peak {
  double of_kind[2] = {0, 0};  // float32, int8
  double tile = 0, tile_int8 = 0;
};

// Fills in shares and limits.
void ShareOut(std::vector<Row>* rows, const BenchOptions& options, const Bench& bench, const TokenWork& work,
              const ImageBench* image, const Peak& peaks, double bandwidth) {
  const bool on_gpu = bench.info.gpu_layers > 0;  // of a GPU no peak is measured
  const double gpu_bandwidth = on_gpu ? GpuBandwidth(options.model.device, bench.info) : 0;
  for (Row& row : *rows) {
    const double speed = StatsOf(row.samples).median;
    const bool is_image = row.prompt + row.generated == 0;
    const bool int8 = is_image ? image->mostly_int8() : work.mostly_int8;
    if (on_gpu) {
      if (row.generated == 0 || gpu_bandwidth <= 0) continue;
      row.share = speed * BytesPerToken(work, bench.info, options.depth, row.generated) / gpu_bandwidth;
      row.limit = Format("the GPU's %.0f GB/s", gpu_bandwidth / 1e9);
    } else if (row.generated == 0 && peaks.of_kind[int8] > 0) {
      const double done = is_image ? image->speed()
                                   : speed * 2 *
                                         MultipliesPerToken(static_cast<double>(work.multiplies),
                                                            static_cast<double>(work.output_multiplies), row.prompt);
      const bool by_tile = peaks.tile > 0 && (is_image ? !image->has_sparse() : bench.info.fast_prompts != 0);
      if (peaks.tile_int8 > 0 && (is_image ? image->mostly_plain() : work.mostly_plain)) {
        row.share = done / peaks.tile_int8;
        row.limit = "the matrix unit's int8 peak";
      } else {
        // Weights that are floats are two or three products there (simd/unit.h).
        row.share = by_tile ? done * (int8 ? 1 : 3) / peaks.tile : done / peaks.of_kind[int8];
        row.limit = !by_tile ? (int8 ? "int8 peak" : "float32 peak")
                    : int8   ? "the matrix unit's peak"
                             : "the matrix unit's peak, three products each";
      }
    } else if (row.generated > 0 && bandwidth > 0) {
      row.share = speed * BytesPerToken(work, bench.info, options.depth, row.generated) / bandwidth;
      row.limit = "read bandwidth";
    }
  }
}

uint64_t BytesOf(const std::vector<TypeBytes>& types) {
  uint64_t bytes = 0;
  for (const TypeBytes& row : types) bytes += row.bytes;
  return bytes;
}

// What the machine can do, measured beside what is done.
struct Limits {
  std::vector<double> bandwidth;
  Peak peaks;  // the best of all rounds

  void Measure(ThreadPool& pool, const Clock& clock, const cpu::CpuInfo& cpu_info, bool keep) {
    const Result<cpu::Rate> rate = cpu::MeasureReadBandwidth(pool, clock, cpu::MemoryTestBytes(cpu_info), /*rounds=*/2);
    if (rate.ok() && keep) bandwidth.push_back(rate->max);
    cpu::PeakOptions options;
    options.bandwidth = false;
    options.rounds = 5;
    options.isa = ForcedIsa();
    const Result<cpu::Peaks> measured = cpu::MeasurePeaks(pool, clock, cpu_info, options);
    const auto take = [&](const char* kind, double* best) {
      const cpu::ComputeRow* row = measured.ok() ? measured->Compute(kind) : nullptr;
      if (row != nullptr) *best = std::max(*best, row->ops_per_second.max);
    };
    take("f32", &peaks.of_kind[0]);
    take("int8", &peaks.of_kind[1]);
    take("tile", &peaks.tile);
    take("tile_int8", &peaks.tile_int8);
  }
};

// Whether something of the file can be multiplied with sparse and dense: on a GPU halves alone.
bool HasTwoWays(const GgufFile& file, bool on_gpu) {
  const auto tensors = file.sparse_tensors();
  return std::any_of(tensors.begin(), tensors.end(),
                     [&](const TensorInfo& t) { return !on_gpu || t.type == DType::kF16 || t.type == DType::kBF16; });
}

void PrintList(const nlohmann::ordered_json& list, const std::string& format) {
  if (format == "json") {
    Write(JsonText(list, 1) + "\n");
  } else {
    PrintCsv(list);
  }
}

// The rows to be measured. An image's comes later, when it is known.
std::vector<Row> RowsOf(const BenchOptions& options) {
  const std::string depth = options.depth > 0 ? Format(" @ d%d", options.depth) : "";
  std::vector<Row> rows;
  const auto add = [&](const char* kind, int prompt, int generated) {
    if (prompt + generated == 0) return;
    Row& row = rows.emplace_back();
    row.name = Format("%s%d", kind, prompt + generated) + depth;
    row.prompt = prompt;
    row.generated = generated;
  };
  add("pp", options.prompt_tokens, 0);
  add("tg", 0, options.generated_tokens);
  if (rows.empty() && !options.has_images()) WrongWords("-p 0 and -n 0 leave nothing to measure");
  return rows;
}

int RunBench(BenchOptions& options) {
  options.model.PathOrUsage("bench");
  const SplitGuard split(&options.model);
  if (split.follows()) return split.Serve();
  const bool shared_out = !options.model.split.empty();
  if (shared_out && options.model.dynamic_sparsity) {
    WrongWords("--dynamic-sparsity needs all layers in one process; leave out --split");
  }
  std::vector<Row> rows = RowsOf(options);

  Bench bench;
  Load(options, /*other=*/false, &bench);
  const std::unique_ptr<Platform> platform = CreatePlatform();
  std::optional<ImageBench> image;
  if (options.has_images()) {
    image.emplace(bench.model, *platform, options.mmproj, options.image_size);
    rows.insert(rows.begin(), {image->name(), 0, 0, {}, {}, 0, ""});
  }
  const std::unique_ptr<GgufFile> file = OpenModelFile(*platform, options.model.path);
  const TokenWork work = WorkPerToken(*file);
  const bool dynamic = options.model.dynamic_sparsity;
  std::optional<Bench> dense;
  const bool sparse = HasTwoWays(*file, bench.info.gpu_layers > 0) && !shared_out;  // the other ranks serve one model
  if (dynamic || sparse) Load(options, /*other=*/true, &dense.emplace());
  const std::vector<TypeBytes> types = BytesByType(*file);
  const std::string type = types.empty() ? "" : types[0].type;

  const cpu::CpuInfo cpu_info = cpu::DetectCpu();
  Result<std::unique_ptr<ThreadPool>> pool = platform->CreateThreadPool(bench.info.threads);
  Limits limits;
  std::mt19937 random(42);  // the same tokens each time
  PowerMeter power;
  Progress progress("measuring");
  const uint64_t steps = static_cast<uint64_t>(options.rounds) + 1;
  for (uint64_t round = 0; round < steps; ++round) {
    if (pool.ok() && bench.info.gpu_layers < bench.info.layers && !shared_out)
      limits.Measure(**pool, platform->clock(), cpu_info, round > 0);
    for (Row& row : rows) {
      const bool is_image = row.prompt + row.generated == 0;
      if (!shared_out) power.Start();  // of this machine alone
      const double speed = is_image ? image->Measure(round > 0) : Measure(bench, row, options.depth, random);
      const std::optional<double> watts = shared_out ? std::nullopt : power.Stop();
      if (round > 0) {  // the first one touches the pages
        row.samples.push_back(speed);
        row.watts.push_back(watts.value_or(0));
      }
      if (is_image || !dense.has_value()) continue;
      const double dense_speed = Measure(*dense, row, options.depth, random);
      if (round > 0) row.dense_samples.push_back(dense_speed);
    }
    progress.Update(round + 1, steps);
  }
  progress.Clear();

  const Stats bandwidth = StatsOf(limits.bandwidth);
  // Several machines have no limit in common.
  if (!shared_out) {
    ShareOut(&rows, options, bench, work, image.has_value() ? &*image : nullptr, limits.peaks, bandwidth.median);
  }

  if (options.format == "md") {
    PrintMarkdown(rows, bench, work, type, BytesOf(types), bandwidth, image.has_value() ? &*image : nullptr,
                  dynamic ? file.get() : nullptr);
    PrintPower(rows, power.sensors());
  } else {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const Row& row : rows) {
      list.push_back(RowToJson(row, options, bench, work, type, BytesOf(types), bandwidth.median));
      const bool is_image = row.prompt + row.generated == 0;
      if (image.has_value()) ImageBench::AddToJson(is_image ? &*image : nullptr, &list.back());
    }
    PrintList(list, options.format);
  }
  FlushOutput();
  return kDone;
}

}  // namespace

void AddBench(CLI::App& app, Action* action) {
  CLI::App* command = app.add_subcommand("bench", "Speed, and its share of what the machine can do");
  const auto options = std::make_shared<BenchOptions>();
  options->model.AddAll(*command);
  options->model.AddSplit(*command);
  command->add_option("-p,--n-prompt", options->prompt_tokens, "Tokens of the prompt row; 0: none")
      ->transform(WholeWithin(0, 1 << 24));
  command->add_option("-n,--n-gen", options->generated_tokens, "Tokens of the writing row; 0: none")
      ->transform(WholeWithin(0, 1 << 24));
  command->add_option("-d,--n-depth", options->depth, "Tokens in the cache before a row begins")
      ->transform(WholeWithin(0, 1 << 24));
  command->add_option("--mmproj", options->mmproj, "(-mm) a vision file: adds a row for images");
  command
      ->add_option("--image-size", options->image_size, "Pixels a side of its picture; 0: what the tower was made for")
      ->transform(WholeWithin(0, 16384));
  command->add_option("-r,--repetitions", options->rounds, "Rounds, after one to warm up")
      ->transform(WholeWithin(1, 1000));
  command->add_option("-o,--output", options->format, "md, json or csv")->check(CLI::IsMember({"md", "json", "csv"}));
  command->add_flag("--peaks", options->peaks, "No MODEL: what the machine can do, or the instruction set of MOTE_ISA");
  command->callback([=] { *action = [=] { return options->peaks ? RunPeaks(*options) : RunBench(*options); }; });
}

}  // namespace mote::cli
