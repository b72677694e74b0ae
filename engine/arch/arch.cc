#include "engine/arch/arch.h"

#include "engine/arch/families.h"

namespace mote {
namespace {

constexpr Architecture kArchitectures[] = {
    {"llama", BuildLlama},     {"qwen2", BuildQwen2},     {"qwen3", BuildQwen3},   {"qwen3moe", BuildQwen3Moe},
    {"qwen2vl", BuildQwen2Vl}, {"qwen3vl", BuildQwen3Vl}, {"gemma3", BuildGemma3}, {"phi3", BuildPhi3},
};

}  // namespace

std::span<const Architecture> Architectures() {
  return kArchitectures;
}

Status BuildGraph(const BuildInput& input, Graph* graph) {
  std::string known;
  for (const Architecture& architecture : kArchitectures) {
    if (input.hyper.architecture == architecture.name) return architecture.build(input, graph);
    known += known.empty() ? "" : ", ";
    known += architecture.name;
  }
  return Error(Code::kUnsupported, "architecture \"%s\" is not supported; mote runs %s",
               input.hyper.architecture.c_str(), known.c_str());
}

}  // namespace mote
