// A decoder over several processes: rank 0, the lead, embeds and runs the first layers; each next rank goes on with the
// rows that it is sent; the last sends logits back. What crosses is one row of the residual stream per token, and
// float32 all the way: the result is that of one machine, bit for bit, where all have the same instruction set.
//
// The lead does not wait for what it does not need. Rows of a prompt whose logits nobody wants are sent off, and it
// computes the next ones while the others still work on these; a step of many rows goes in several chunks for the same
// reason.
#ifndef MOTE_ENGINE_GRAPH_CHAIN_H_
#define MOTE_ENGINE_GRAPH_CHAIN_H_

#include <stdint.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/core/buffer.h"
#include "engine/graph/backend.h"
#include "engine/graph/chain_wire.h"
#include "engine/graph/transport.h"

namespace mote {

// The lead's backend. `local`, `transport` and `front` must outlive it. `ready` is called when its own layers are
// loaded: waits for the others. `others`: for people. Graphs without layers (towers) run on `local` alone.
struct ChainLeadParams {
  // Of the lead's own layers: the front half of the model's graph (cut.h), planned for as many rows and with as many
  // outputs as the model has rows.
  const Plan* front = nullptr;
  std::string others;
  Status (*ready)(void* user) = nullptr;
  void* ready_user = nullptr;
};
std::unique_ptr<Backend> CreateChainBackend(Backend& local, Transport& transport, const ChainLeadParams& params);

// What a rank behind the lead does with the messages of the one before it.
class ChainStage {
 public:
  struct Shape {
    uint32_t max_tokens = 0;
    uint32_t max_outputs = 0;
    uint32_t width = 0;        // of the rows that cross
    uint32_t result_cols = 0;  // of the last rank: logits
    uint32_t context = 0;      // the longest cache
  };
  static Result<std::unique_ptr<ChainStage>> Create(Program& program, const Shape& shape, Transport& transport);
  // False: the lead has ended. What goes wrong with a step is told to the ranks behind; an error is what ends this
  // rank.
  Result<bool> Handle(std::span<const uint8_t> message);
  // The rank before it.
  int source() const { return transport_.rank() - 1; }

 private:
  struct Slot {
    std::unique_ptr<KvCache> cache;
    Status status;
  };
  ChainStage(Program& program, const Shape& shape, Transport& transport)
      : program_(program), shape_(shape), transport_(transport) {}
  bool last() const { return transport_.rank() + 1 == transport_.ranks(); }
  int next() const { return last() ? 0 : transport_.rank() + 1; }
  Status Forward(std::span<const uint8_t> message);
  Status MakeCache(WireReader& reader);
  Status CopyPrefix(WireReader& reader);
  Status Run(WireReader& reader, uint32_t* chunk);
  Status TakeCaches(const ChainRows& rows);
  Status RunLast(const ChainRows& rows);
  Status RunOn(const ChainRows& rows);

  Program& program_;
  const Shape shape_;
  Transport& transport_;
  std::map<uint32_t, Slot> slots_;
  std::vector<KvCache*> caches_;
  std::vector<const float*> inputs_;
  std::vector<uint32_t> all_rows_;
};

}  // namespace mote

#endif  // MOTE_ENGINE_GRAPH_CHAIN_H_
