// Parts that towers are made of. A projector's function puts them together; nothing here knows one.
#ifndef MOTE_ENGINE_ARCH_TOWER_BUILDER_H_
#define MOTE_ENGINE_ARCH_TOWER_BUILDER_H_

#include <stdint.h>

#include <string>

#include "engine/arch/tower.h"

namespace mote {

class TowerBuilder {
 public:
  TowerBuilder(const GgufFile& file, const TowerParams& params, Graph* graph)
      : file_(file), params_(params), graph_(*graph) {}

  Status status() const { return status_.ok() ? graph_.status() : status_; }
  const TowerParams& params() const { return params_; }
  Graph& graph() { return graph_; }
  bool Has(const std::string& name) const { return file_.FindTensor(name) != nullptr; }

  // What differs between the blocks of towers.
  struct Style {
    bool rms_norm = false;
    bool swaps = false;  // old files call the first matrix of the feed-forward "down" and the second "up"
    RopeId rope = kNone;
  };

  // The patches' rows: filters times pixels, a bias where there is one, and positions.
  ValueId Patches();
  ValueId Block(ValueId x, uint32_t layer, const Style& style);
  // Blocks [0, layers).
  ValueId Blocks(ValueId x, uint32_t layers, const Style& style);
  // By weights `<name>.weight` and, where there is one, `<name>.bias`. epsilon 0: the tower's.
  ValueId Norm(ValueId x, const std::string& name, bool rms, float epsilon = 0);
  ValueId OptionalNorm(ValueId x, const std::string& name, bool rms) {
    return Has(name + ".weight") ? Norm(x, name, rms) : x;
  }
  ValueId Linear(ValueId x, const std::string& name, uint64_t rows);
  // Linear, GELU, Linear.
  ValueId Mlp(ValueId x, const std::string& up, const std::string& down, uint64_t hidden, uint64_t out);
  // A matrix that the file holds with rows and columns exchanged.
  ValueId LinearTransposed(ValueId x, const std::string& name, uint64_t rows);
  // Rotations by row and column: the first half of the pairs by row, the second by column.
  RopeId RowColumnRope(RopeTable::Layout layout, bool frequencies_interleaved);

 private:
  const TensorInfo* Find(const std::string& name);
  WeightId Matrix(const std::string& name, uint64_t rows, uint64_t cols);
  WeightId Vector(const std::string& name, uint64_t size) { return Matrix(name, 1, size); }
  WeightId OptionalVector(const std::string& name, uint64_t size) { return Has(name) ? Vector(name, size) : kNone; }
  ValueId Attention(ValueId x, uint32_t layer, const Style& style);
  ValueId FeedForward(ValueId x, const std::string& block, const Style& style);
  void Fail(Status status) {
    if (status_.ok()) status_ = std::move(status);
  }

  const GgufFile& file_;
  const TowerParams& params_;
  Graph& graph_;
  Status status_;
};

}  // namespace mote

#endif  // MOTE_ENGINE_ARCH_TOWER_BUILDER_H_
