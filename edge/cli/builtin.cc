#include "edge/cli/builtin.h"

#if MOTE_HAVE_BUILTIN_MODEL
// In the assembler file that edge/CMakeLists.txt writes.
extern "C" {
extern const uint8_t mote_builtin_model_begin[];
extern const uint8_t mote_builtin_model_end[];
extern const uint8_t mote_builtin_vision_begin[];
extern const uint8_t mote_builtin_vision_end[];
}
#endif

namespace mote::cli {

const Builtin* BuiltinModel() {
#if MOTE_HAVE_BUILTIN_MODEL
  static const Builtin builtin = {
      {MOTE_BUILTIN_MODEL_NAME, mote_builtin_model_begin,
       static_cast<uint64_t>(mote_builtin_model_end - mote_builtin_model_begin)},
      {MOTE_BUILTIN_VISION_NAME, mote_builtin_vision_begin,
       static_cast<uint64_t>(mote_builtin_vision_end - mote_builtin_vision_begin)},
  };
  return &builtin;
#else
  return nullptr;
#endif
}

}  // namespace mote::cli
