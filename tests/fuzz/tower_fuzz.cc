// Any bytes as the header of a vision file: its hyper-parameters read, its tower built and planned, and images of all
// shapes measured for it. Nothing is computed: what is asked for must be bounded before a byte of a tensor is touched.
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "engine/arch/tower.h"
#include "engine/format/gguf.h"
#include "engine/graph/plan.h"
#include "engine/vision/views.h"

namespace mote {
namespace {

void Require(bool condition, const char* what) {
  if (condition) return;
  fprintf(stderr, "tower_fuzz: %s\n", what);
  abort();
}

void Try(std::span<const uint8_t> bytes) {
  std::vector<std::unique_ptr<ByteSource>> sources;
  sources.push_back(CreateMemorySource(bytes, "fuzz.gguf"));
  const auto file = GgufFile::FromSourcesHeaderOnly(std::move(sources));
  if (!file.ok()) return;
  const Result<TowerParams> params = ReadTowerParams(**file);
  if (!params.ok()) {
    Require(!params.status().message().empty(), "an error without a message");
    return;
  }
  const TowerParams& p = *params;
  Require(p.width % p.heads == 0 && p.patch_size > 0 && p.merge > 0 && p.out_width > 0, "a tower of nothing");
  Require(p.min_pixels <= p.max_pixels && p.min_tiles <= p.max_tiles, "limits that cross");
  Graph graph;
  const Status built = BuildTower(**file, p, &graph);
  if (!built.ok()) {
    Require(built.code() != Code::kInternal, "a file reached an internal error");
    return;
  }
  Require(graph.value(graph.result()).cols == p.out_cols(), "rows of another width than was said");
  const uint32_t rows = MaxPatchRows(p, 64);
  Require(rows > 0, "a view without patches");
  const Result<Plan> plan = MakePlan(graph, rows, rows);
  Require(plan.ok() || !plan.status().message().empty(), "an error without a message");
}

}  // namespace
}  // namespace mote

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  mote::Try({data, size});
  return 0;
}
