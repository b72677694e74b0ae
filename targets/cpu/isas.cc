// The kernel table as the engine may see it: names, and whether this CPU runs them.
#include "engine/graph/backend.h"
#include "simd/kernels.h"

namespace mote {

std::vector<CpuIsa> ListCpuIsas() {
  std::vector<CpuIsa> isas;
  for (const simd::KernelTable* table : simd::Tables()) isas.push_back({table->name, simd::CanRun(*table)});
  return isas;
}

}  // namespace mote
