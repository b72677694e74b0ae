// Chooses how a token's products fetch the weights of a program: what is known, or tried out.
#include <algorithm>

#include "targets/cpu/cpu_info.h"
#include "targets/cpu/cpu_program.h"
#include "targets/cpu/fetch_lines.h"

namespace mote {
namespace {

// A piece: long enough for a clock and for two meetings of workers that count for little, short enough that a matrix
// or two of a shape make enough of them.
constexpr uint64_t kPieceBytesOfWorker = 2 << 20;
constexpr uint64_t kLeastPieceBytes = 4 << 20, kMostPieceBytes = 32 << 20;
// Of one sweep, all shapes together: more than caches hold, which a generation step finds cold as well, and no more
// than a few hundredths of a second.
constexpr uint64_t kSweepBytes = uint64_t{512} << 20;
constexpr double kMostSeconds = 1;

uint64_t RoundUp(uint64_t value, uint64_t step) {
  return (value + step - 1) / step * step;
}

// Of one expert where there are some.
uint64_t MatrixBytes(const CpuWeight& weight) {
  if (weight.sparse == nullptr) return weight.part_bytes;
  const uint64_t groups = weight.GroupOfTile(1, 1);
  const std::vector<uint64_t>& starts = weight.sparse->starts;
  return (starts[weight.first_group + groups] - starts[weight.first_group]) * kSparseBlockBytes;
}

struct Piece {
  CpuWeight weight;  // of an expert's matrix, as if it were alone
  uint64_t begin, rows;
  uint32_t tile_rows;
};

}  // namespace

// The matrices of one type and shape.
struct FetchShape {
  FetchKey key;
  std::vector<WeightId> weights;  // in the order of a step
  int choice = -1;                // of the candidates; -1: not made yet
};

// A step of generation that is nothing but products: workers share the rows of each piece as they do there, and meet.
class CpuProgram::FetchSweeps : public FetchTrials {
 public:
  FetchSweeps(CpuProgram& program, const Clock& clock, std::vector<Piece> pieces)
      : program_(program), clock_(clock), pieces_(std::move(pieces)) {}

  Status Allocate() {
    uint64_t act_bytes = 0, rows = 0;
    for (const Piece& piece : pieces_) {
      act_bytes = std::max<uint64_t>(act_bytes, ActRowBytes(piece.weight.acts, piece.weight.cols));
      rows = std::max(rows, piece.rows);
    }
    MOTE_ASSIGN_OR_RETURN(acts_, Buffer::CreateZeroed(act_bytes, "a measurement"));
    MOTE_ASSIGN_OR_RETURN(out_, Buffer::Create(rows * sizeof(float), "a measurement"));
    lanes_ = pieces_.size() * static_cast<size_t>(program_.pool_.num_workers());
    counters_ = std::make_unique<std::atomic<uint32_t>[]>(lanes_);
    return Status();
  }

  void Sweep(std::span<const uint8_t> which, std::span<double> seconds) override {
    for (size_t i = 0; i < lanes_; ++i) counters_[i].store(0, std::memory_order_relaxed);
    for (size_t i = 0; i < pieces_.size(); ++i) pieces_[i].weight.fetch = which[i];
    seconds_ = seconds;
    program_.pool_.Run(&FetchSweeps::RunWorker, this);
  }

 private:
  static void RunWorker(void* self, int worker) {
    FetchSweeps& sweeps = *static_cast<FetchSweeps*>(self);
    sweeps.program_.pool_.Sync();
    double start = worker == 0 ? sweeps.clock_.Seconds() : 0;
    for (size_t i = 0; i < sweeps.pieces_.size(); ++i) {
      sweeps.MultiplyPiece(i, worker);
      sweeps.program_.pool_.Sync();
      if (worker != 0) continue;
      const double now = sweeps.clock_.Seconds();
      sweeps.seconds_[i] = now - start;
      start = now;
    }
  }

  // As NextOwnTile hands them out.
  void MultiplyPiece(size_t index, int worker) {
    const Piece& piece = pieces_[index];
    ProductInput input;
    input.acts = acts_.data();
    const uint32_t workers = static_cast<uint32_t>(program_.pool_.num_workers());
    const uint32_t tiles = static_cast<uint32_t>((piece.rows + piece.tile_rows - 1) / piece.tile_rows);
    for (uint32_t i = 0; i < workers; ++i) {
      const uint32_t region = (static_cast<uint32_t>(worker) + i) % workers;
      const uint32_t end = tiles * (region + 1) / workers;
      std::atomic<uint32_t>& next = counters_[index * workers + region];
      for (;;) {
        const uint32_t tile = tiles * region / workers + next.fetch_add(1, std::memory_order_relaxed);
        if (tile >= end) break;
        const uint64_t row = uint64_t{tile} * piece.tile_rows;
        const uint64_t rows = std::min<uint64_t>(piece.tile_rows, piece.rows - row);
        program_.MultiplyRows(piece.weight, {piece.begin + row, rows}, input, 1, out_.As<float>() + row, rows, worker);
      }
    }
  }

  CpuProgram& program_;
  const Clock& clock_;
  std::vector<Piece> pieces_;
  Buffer acts_, out_;
  size_t lanes_ = 0;
  std::unique_ptr<std::atomic<uint32_t>[]> counters_;
  std::span<double> seconds_;
};

namespace {

// What a token is multiplied with, by type and shape; nothing where that is not worth a choice. Smaller models generate
// some hundred tokens a second on whatever has them; smaller matrices take some microseconds, and their workers'
// meeting as long.
std::vector<FetchShape> ShapesOf(const Graph& graph, const CpuWeights& weights, uint64_t least_bytes) {
  std::vector<FetchShape> shapes;
  uint64_t all_bytes = 0;
  const auto add = [&](WeightId id) {
    const CpuWeight& weight = weights[id];
    const uint64_t bytes = MatrixBytes(weight);
    all_bytes += bytes * (weight.rows / weight.part_rows);
    if (bytes < least_bytes / 512) return;
    FetchKey key;
    key.type = std::string(DTypeName(weight.type)) + (weight.sparse != nullptr ? " sparse" : "");
    key.rows = weight.part_rows;
    key.cols = weight.cols;
    const auto same = [&](const FetchShape& shape) {
      return shape.key.rows == key.rows && shape.key.cols == key.cols && shape.key.type == key.type;
    };
    auto shape = std::find_if(shapes.begin(), shapes.end(), same);
    if (shape == shapes.end()) shape = shapes.insert(shape, {key, {}, -1});
    if (std::find(shape->weights.begin(), shape->weights.end(), id) == shape->weights.end()) {
      shape->weights.push_back(id);
    }
  };
  for (const Node& node : graph.nodes()) {
    if (node.op == OpKind::kMatMul) add(node.weights[0]);
    if (node.op != OpKind::kMoe) continue;
    for (size_t i = 1; i < node.weights.size(); ++i) add(node.weights[i]);
  }
  if (all_bytes < least_bytes) shapes.clear();
  return shapes;
}

// A matrix, cut where it is long, until the pieces have `budget` bytes: those of one weight after the other, an expert
// being a matrix of its own.
std::vector<Piece> CutShape(const FetchShape& shape, const CpuWeights& weights, uint64_t budget, uint64_t piece_bytes,
                            uint32_t tile_rows) {
  std::vector<Piece> pieces;
  uint64_t bytes = 0;
  for (const WeightId id : shape.weights) {
    const CpuWeight& weight = weights[id];
    const uint64_t matrix_bytes = MatrixBytes(weight);
    const uint64_t parts = weight.rows / weight.part_rows;
    const uint64_t cuts = (matrix_bytes + piece_bytes - 1) / piece_bytes;
    const uint64_t rows = RoundUp((weight.part_rows + cuts - 1) / cuts, tile_rows);
    for (uint64_t part = 0; part < parts; ++part) {
      CpuWeight matrix = weight;
      if (parts > 1) {
        matrix.panels = weight.PanelsAt(part, 0);
        matrix.rows = weight.part_rows;
      }
      for (uint64_t begin = 0; begin < matrix.rows; begin += rows) {
        if (bytes >= budget) return pieces;
        const uint64_t count = std::min(rows, matrix.rows - begin);
        // A rest would be timed as if it were one of the others, and be none.
        if (begin != 0 && count < rows / 2) break;
        pieces.push_back({matrix, begin, count, tile_rows});
        bytes += matrix_bytes * count / matrix.rows;
      }
    }
  }
  return pieces;
}

}  // namespace

Status CpuProgram::MeasureFetch(std::vector<FetchShape>* shapes, const Context& context) {
  const uint64_t unknown = static_cast<uint64_t>(
      std::count_if(shapes->begin(), shapes->end(), [](const FetchShape& shape) { return shape.choice < 0; }));
  const uint64_t workers = static_cast<uint64_t>(pool_.num_workers());
  const uint64_t piece_bytes = std::clamp(kPieceBytesOfWorker * workers, kLeastPieceBytes, kMostPieceBytes);
  std::vector<std::vector<Piece>> of_shape;
  size_t longest = 0;
  for (const FetchShape& shape : *shapes) {
    if (shape.choice >= 0) continue;
    const CpuWeight& first = weights_[shape.weights[0]];
    of_shape.push_back(CutShape(shape, weights_, kSweepBytes / unknown, piece_bytes, FewTileRows(first)));
    longest = std::max(longest, of_shape.back().size());
  }
  // One shape after the other, as in a layer.
  std::vector<Piece> pieces;
  std::vector<uint32_t> group_of;
  for (size_t i = 0; i < longest; ++i) {
    for (size_t g = 0; g < of_shape.size(); ++g) {
      if (i >= of_shape[g].size()) continue;
      pieces.push_back(of_shape[g][i]);
      group_of.push_back(static_cast<uint32_t>(g));
    }
  }
  const Clock& clock = context.platform->clock();
  const double start = clock.Seconds();
  FetchSweeps sweeps(*this, clock, std::move(pieces));
  MOTE_RETURN_IF_ERROR(sweeps.Allocate());
  const std::vector<FetchVerdict> verdicts = ChooseFetch(group_of, fetch_.size(), kMostSeconds, sweeps);
  Log(context, LogLevel::kInfo, "autotune: %s after %.2f s",
      verdicts.empty() ? "too slow to be tried out, broken off" : "chosen how weights are fetched",
      clock.Seconds() - start);
  size_t next = 0;
  for (FetchShape& shape : *shapes) {
    if (shape.choice >= 0 || verdicts.empty()) continue;
    const FetchVerdict& verdict = verdicts[next++];
    shape.choice = verdict.choice;
    Log(context, LogLevel::kInfo,
        "autotune: %s, %llu x %llu: %u and %u bytes ahead, up to %u streams, %.2f of the default's time",
        shape.key.type.c_str(), static_cast<unsigned long long>(shape.key.rows),
        static_cast<unsigned long long>(shape.key.cols), fetch_[verdict.choice].near, fetch_[verdict.choice].far,
        fetch_[verdict.choice].streams, verdict.ratio);
  }
  return Status();
}

Status CpuProgram::TuneFetch(const Tuning& tuning, const Context& context) {
  // Images and prompts are arithmetic, and where activations are passed over the lists say what is fetched.
  if (graph_.many_rows() || plan_.activations != nullptr) return Status();
  tuning_.clear();
  weights_.ResetFetch();
  if (!tuning.measure && tuning.known.empty()) return Status();
  std::vector<FetchShape> shapes = ShapesOf(graph_, weights_, tuning.least_bytes);
  if (shapes.empty()) return Status();
  const std::string machine = MachineKey(cpu::DetectCpu(), kernels_.name, pool_.num_workers());
  bool all_known = true;
  for (FetchShape& shape : shapes) {
    shape.key.machine = machine;
    shape.choice = FindFetch(tuning.known, shape.key, fetch_);
    all_known = all_known && shape.choice >= 0;
  }
  if (tuning.measure && !all_known) MOTE_RETURN_IF_ERROR(MeasureFetch(&shapes, context));
  for (const FetchShape& shape : shapes) {
    if (shape.choice < 0) continue;
    for (const WeightId id : shape.weights) weights_.SetFetch(id, static_cast<uint8_t>(shape.choice));
    tuning_ += FetchLine(shape.key, fetch_[weights_[shape.weights[0]].fetch]);
  }
  return Status();
}

}  // namespace mote
