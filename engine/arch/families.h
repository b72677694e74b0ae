// The build functions of all families: one line each, listed again in arch.cc.
#ifndef MOTE_ENGINE_ARCH_FAMILIES_H_
#define MOTE_ENGINE_ARCH_FAMILIES_H_

#include "engine/arch/arch.h"
#include "engine/arch/decoder.h"

namespace mote {

Status BuildLlama(const BuildInput& input, Graph* graph);
Status BuildQwen2(const BuildInput& input, Graph* graph);
Status BuildQwen3(const BuildInput& input, Graph* graph);
Status BuildQwen3Moe(const BuildInput& input, Graph* graph);
Status BuildQwen2Vl(const BuildInput& input, Graph* graph);
Status BuildQwen3Vl(const BuildInput& input, Graph* graph);
Status BuildGemma3(const BuildInput& input, Graph* graph);
Status BuildPhi3(const BuildInput& input, Graph* graph);

}  // namespace mote

#endif  // MOTE_ENGINE_ARCH_FAMILIES_H_
