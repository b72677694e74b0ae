// A step's rows in chunks, each a step of its own: so that one machine goes on with the next rows while another still
// works on those before. A row's results do not depend on where the cuts are.
#ifndef MOTE_ENGINE_GRAPH_CHUNKS_H_
#define MOTE_ENGINE_GRAPH_CHUNKS_H_

#include <stdint.h>

#include <vector>

#include "engine/graph/backend.h"

namespace mote {

// Rows of each chunk of a step. Fewer, but not below kLeastChunkRows: each chunk reads all weights again, which at that
// many rows costs less than the arithmetic, and with fewer it would be all of the time.
inline constexpr uint32_t kLeastChunkRows = 32;
inline constexpr uint32_t kMostChunks = 4;  // a fifth of the step is filling and emptying; more chunks gain little
uint32_t ChunkRows(uint32_t rows);
// The same of a step, whose rows may have to stay together.
uint32_t ChunkRows(const Step& step);

// What one row of a step's results has.
struct ResultShape {
  uint64_t logits = 0;
  uint64_t hidden = 0;
  uint32_t best = 0;  // Program::max_best
};

class StepCutter {
 public:
  // From the first row on.
  void Begin() { row_ = output_ = hidden_ = 0; }
  // The first row of the next chunk; that of a step's end behind the last.
  uint32_t row() const { return row_; }
  // The next `count` rows, with their share of the places for results. Points into `step`, and to what lies here until
  // the second next call: a chunk may still be under way while the one behind it is made.
  Step Next(const Step& step, uint32_t count, const ResultShape& shape);

 private:
  uint32_t row_ = 0;
  size_t output_ = 0;
  size_t hidden_ = 0;
  std::vector<uint32_t> outputs_[2];
  std::vector<uint32_t> hidden_rows_[2];
  int turn_ = 0;
};

}  // namespace mote

#endif  // MOTE_ENGINE_GRAPH_CHUNKS_H_
