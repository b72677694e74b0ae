// The C API's handles, freed at the end of their scope.
#ifndef MOTE_TESTS_SUPPORT_API_HANDLES_H_
#define MOTE_TESTS_SUPPORT_API_HANDLES_H_

#include <memory>

#include "engine/api/mote.h"

namespace mote::testing {

struct HandleDeleter {
  void operator()(mote_model* m) const { mote_model_free(m); }
  void operator()(mote_session* s) const { mote_session_free(s); }
  void operator()(mote_prompt* p) const { mote_prompt_free(p); }
};
using ModelPtr = std::unique_ptr<mote_model, HandleDeleter>;
using SessionPtr = std::unique_ptr<mote_session, HandleDeleter>;
using PromptPtr = std::unique_ptr<mote_prompt, HandleDeleter>;

}  // namespace mote::testing

#endif  // MOTE_TESTS_SUPPORT_API_HANDLES_H_
