// mote_tuning.h
#include "engine/api/internal.h"
#include "engine/api/mote_tuning.h"

using namespace mote;       // NOLINT: the functions below must stand outside
using namespace mote::api;  // NOLINT

extern "C" {

mote_status mote_model_tuning(const mote_model* model, char* text, size_t capacity, size_t* size, mote_error* error) {
  if (model == nullptr) return Report(NullArgument("model"), error);
  const Model* loaded = model->loaded->model.get();
  const std::string lines = loaded == nullptr ? "" : loaded->program().tuning();
  return Report(FillBuffer(lines.data(), lines.size(), text, capacity, size, "bytes"), error);
}

}  // extern "C"
