#include "engine/graph/chunks.h"

#include <algorithm>

namespace mote {
namespace {

template <class T>
std::span<const T> Cut(std::span<const T> values, uint32_t begin, uint32_t count) {
  return values.empty() ? values : values.subspan(begin, count);
}

// Those of `rows` from `at` on that lie in [begin, begin + count), counted from begin.
void TakeRows(std::span<const uint32_t> rows, size_t at, uint32_t begin, uint32_t count, std::vector<uint32_t>* taken) {
  taken->clear();
  for (; at < rows.size() && rows[at] < begin + count; ++at) taken->push_back(rows[at] - begin);
}

}  // namespace

uint32_t ChunkRows(uint32_t rows) {
  const uint32_t chunks = std::clamp(rows / kLeastChunkRows, 1u, kMostChunks);
  return (rows + chunks - 1) / chunks;
}

uint32_t ChunkRows(const Step& step) {
  const uint32_t rows = static_cast<uint32_t>(step.positions.size());
  // Rows of pictures may see later ones, which are in the cache only when their chunk is.
  const bool together = !step.inputs.empty() || !step.sights[0].ends.empty() || !step.sights[1].ends.empty();
  return together ? rows : ChunkRows(rows);
}

Step StepCutter::Next(const Step& step, uint32_t count, const ResultShape& shape) {
  turn_ = 1 - turn_;
  std::vector<uint32_t>& outputs = outputs_[turn_];
  std::vector<uint32_t>& hidden_rows = hidden_rows_[turn_];
  TakeRows(step.outputs, output_, row_, count, &outputs);
  TakeRows(step.hidden_rows, hidden_, row_, count, &hidden_rows);
  Step own = step;
  own.tokens = Cut(step.tokens, row_, count);
  own.positions = Cut(step.positions, row_, count);
  own.sequences = Cut(step.sequences, row_, count);
  own.inputs = Cut(step.inputs, row_, count);
  own.ropes = Cut(step.ropes, row_, count);
  for (size_t i = 0; i < 2; ++i) {
    own.sights[i].begins = Cut(step.sights[i].begins, row_, count);
    own.sights[i].ends = Cut(step.sights[i].ends, row_, count);
  }
  own.read_from = step.read_from - std::min(step.read_from, row_);
  own.outputs = outputs;
  own.hidden_rows = hidden_rows;
  own.enough = Cut(step.enough, static_cast<uint32_t>(output_), static_cast<uint32_t>(outputs.size()));
  if (step.logits != nullptr) own.logits = step.logits + output_ * shape.logits;
  if (step.best != nullptr) own.best = step.best + output_ * shape.best;
  if (step.hidden != nullptr) own.hidden = step.hidden + hidden_ * shape.hidden;
  row_ += count;
  output_ += outputs.size();
  hidden_ += hidden_rows.size();
  return own;
}

}  // namespace mote
