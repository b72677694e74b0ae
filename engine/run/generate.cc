#include "engine/run/generate.h"

#include "engine/run/generation.h"

namespace mote {

const char* FinishReasonName(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
  }
  return "unknown";
}

Result<GenerateResult> Generate(Session& session, const PromptView& prompt, const GenerateParams& params) {
  MOTE_ASSIGN_OR_RETURN(const std::unique_ptr<Generation> generation, Generation::Begin(session, prompt, params));
  while (!generation->finished()) {
    static_cast<void>(session.model().scheduler().Run(generation->job()));  // the job has its status
    generation->Advance();
  }
  return generation->TakeResult();
}

}  // namespace mote
