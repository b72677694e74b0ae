// What convert.cc and convert_plan.cc share.
#ifndef MOTE_ENGINE_FORMAT_CONVERT_INTERNAL_H_
#define MOTE_ENGINE_FORMAT_CONVERT_INTERNAL_H_

#include <stdint.h>

#include <string_view>

#include "quant/dtype.h"

namespace mote {

// How the types of a model's tensors are mixed around the base type.
enum class Mix : uint8_t {
  kPure,        // the base type everywhere
  kOutputOnly,  // Q6_K for the output matrix
  kK,           // Q6_K for the output matrix and the token embedding: so all K mixes below
  kQ2_K,
  kQ3_K_M,
  kQ3_K_L,
  kQ4_K_S,
  kQ45_K_M,  // Q4_K_M and Q5_K_M
  kIQ4,
  kMXFP4,      // Q8_0 for the output matrix
  kMXFP4_MOE,  // Q8_0 for all but the experts
};

struct QuantizeRecipe {
  std::string_view name;
  uint32_t file_type;  // general.file_type
  DType base;
  Mix mix;
};

const QuantizeRecipe* FindRecipe(std::string_view name);  // null if there is none

}  // namespace mote

#endif  // MOTE_ENGINE_FORMAT_CONVERT_INTERNAL_H_
