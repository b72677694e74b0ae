// What autotune gains: one model, one process, tokens written in turns with weights fetched as the CPU's table says, as
// each of the candidates says for all shapes, and as autotune chooses.
//
//   autotune_speed MODEL.gguf [ROUNDS]      MOTE_ISA as ever
//
// A round is a few tokens of each, another one first in each round; the memory is the same, so that its place does not
// count. Prints what was chosen, what trying took beside the whole load, and of each the median of a token's time over
// the table's in the same round, with quartiles.
#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/run/model.h"
#include "engine/run/session.h"
#include "targets/cpu/cpu_program.h"
#include "targets/cpu/fetch_lines.h"

namespace {

using namespace mote;  // NOLINT: a program of one file

constexpr int kTokens = 3;
constexpr uint32_t kContext = 512;

void Check(const Status& status) {
  if (status.ok()) return;
  fprintf(stderr, "autotune_speed: %s\n", status.message().c_str());
  exit(1);
}

template <class T>
T Take(Result<T> result) {
  Check(result.status());
  return std::move(result).value();
}

double Quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(q * static_cast<double>(values.size() - 1))];
}

// The lines with these distances in all of them.
std::string With(const std::string& lines, simd::FetchAhead ahead) {
  std::string changed;
  for (size_t at = 0; at < lines.size(); at = lines.find('\n', at) + 1) {
    std::string line = lines.substr(at, lines.find('\n', at) - at);
    for (int i = 0; i < 3; ++i) line.resize(line.rfind('\t'));
    changed += line + "\t" + FetchFields(ahead) + "\n";
  }
  return changed;
}

struct Variant {
  std::string name;
  Tuning tuning;
  std::vector<double> seconds, ratios;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    fprintf(stderr, "autotune_speed MODEL.gguf [ROUNDS]\n");
    return 2;
  }
  const int rounds = argc > 2 ? std::max(atoi(argv[2]), 1) : 50;
  const std::unique_ptr<Platform> platform = CreatePlatform();
  const std::unique_ptr<ThreadPool> pool = Take(platform->CreateThreadPool(0));
  const Clock& clock = platform->clock();
  Context context;
  context.platform = platform.get();
  context.pool = pool.get();
  const double start = clock.Seconds();
  ModelParams params;
  params.context = kContext;
  if (const char* isa = getenv("MOTE_ISA")) params.isa = isa;
  const std::unique_ptr<Model> model =
      Take(Model::Load(Take(GgufFile::Open(platform->files(), argv[1], /*header_only=*/false)), params));
  const double loaded = clock.Seconds();
  CpuProgram& program = static_cast<CpuProgram&>(model->program());  // the device was not asked to be another
  Tuning tuning;
  tuning.measure = true;
  Check(program.TuneFetch(tuning, context));
  const double tuned = clock.Seconds();
  const std::string found = program.tuning();
  printf("%s%s: loaded in %.2f s, tried out in %.2f s\n", found.c_str(), model->backend_description().c_str(),
         loaded - start, tuned - loaded);

  std::vector<Variant> variants;
  for (const simd::FetchAhead& ahead : FetchCandidates()) {
    const std::string distances = std::to_string(ahead.near) + "+" + std::to_string(ahead.far);
    variants.push_back({distances + "x" + std::to_string(ahead.streams), {}, {}, {}});
    variants.back().tuning.known = With(found, ahead);
  }
  variants.push_back({"autotune", {}, {}, {}});
  variants.back().tuning.known = found;
  const std::unique_ptr<Session> session = Take(Session::Create(*model, 0));
  for (int round = -1; round < rounds; ++round) {
    for (size_t i = 0; i < variants.size(); ++i) {
      Variant& variant = variants[(i + static_cast<size_t>(round + 1)) % variants.size()];
      Check(program.TuneFetch(variant.tuning, context));
      session->Truncate(0);  // all at the same places
      double seconds = 0;
      for (int32_t t = 0; t <= kTokens; ++t) {
        const int32_t token = 100 + t;
        const double begin = clock.Seconds();
        Check(session->Eval({&token, 1}, {}));
        if (t > 0) seconds += clock.Seconds() - begin;  // what ran before still lies in caches
      }
      variant.seconds.push_back(seconds / kTokens);
    }
    for (Variant& variant : variants) {
      if (round < 0) {
        variant.seconds.clear();
      } else {
        variant.ratios.push_back(variant.seconds.back() / variants[0].seconds.back());
      }
    }
  }
  for (const Variant& variant : variants) {
    printf("%11s %7.2f ms a token, %.3f of the table's (quartiles %.3f to %.3f)\n", variant.name.c_str(),
           Quantile(variant.seconds, 0.5) * 1e3, Quantile(variant.ratios, 0.5), Quantile(variant.ratios, 0.25),
           Quantile(variant.ratios, 0.75));
  }
  return 0;
}
