// Brings the processes of a chain together before the first step: who they are, whether they have the same file, who
// takes which layers.
#ifndef MOTE_ENGINE_RUN_CHAIN_SETUP_H_
#define MOTE_ENGINE_RUN_CHAIN_SETUP_H_

#include <stdint.h>

#include <memory>
#include <string>
#include <vector>

#include "engine/core/context.h"
#include "engine/core/status.h"
#include "engine/format/gguf.h"
#include "engine/graph/backend.h"
#include "engine/graph/chain.h"
#include "engine/graph/chain_wire.h"
#include "engine/graph/cut.h"
#include "engine/graph/transport.h"
#include "engine/run/chain_share.h"
#include "engine/run/device.h"

namespace mote {

struct ModelParams;

struct ChainParams {
  Transport* transport = nullptr;  // null: the model is this process's alone
  std::string split = "auto";      // see ShareLayers; the lead's counts
  uint64_t free_bytes = 0;         // of this machine's memory; 0: not known
};

// The lead's side. Made and used while a model is prepared; what it makes stands on it.
class ChainLead {
 public:
  // `cpu` and the transport must outlive it. Hears from the others, shares the layers, tells them; they load from then
  // on. `plan`: of the whole model.
  static Result<std::unique_ptr<ChainLead>> Create(const ChainParams& params, const DeviceRequest& device,
                                                   const GgufFile& file, const Plan& plan, uint32_t context_tokens,
                                                   Backend& cpu, const Context& context);
  Backend& backend() { return *backend_; }
  const DeviceChoice& device() const { return device_; }

 private:
  ChainLead(const ChainParams& params, Backend& cpu) : params_(params), transport_(*params.transport), cpu_(cpu) {}
  struct Answer {
    WireReader rest;  // of the message, behind the word; there until the next one
    ChainWord word;
  };
  // The next message of a rank. A failure that it tells is one here.
  Result<Answer> Hear(int rank);
  Status HearAll(const GgufFile& file);
  Status Share(const Plan& plan, uint32_t context_tokens);
  Status AwaitReady();

  const ChainParams params_;
  Transport& transport_;
  Backend& cpu_;
  std::vector<ChainAbility> ranks_;
  std::vector<uint32_t> layers_;
  GraphHalves graphs_;
  Plan plan_;  // of its own layers: what the device is chosen by, and what it runs
  DeviceChoice device_;
  std::unique_ptr<Backend> backend_;
};

// What a rank behind the lead does, all of it: loads its layers of the file and computes until the lead ends.
Status ServeChain(std::unique_ptr<GgufFile> file, const ModelParams& params);

}  // namespace mote

#endif  // MOTE_ENGINE_RUN_CHAIN_SETUP_H_
