#include "edge/cli/split.h"

#include <dlfcn.h>
#include <limits.h>
#include <unistd.h>

#include <string>

#include "edge/cli/console.h"

namespace mote::cli {
namespace {

bool g_lost = false;  // of the first thread alone

// Where the program lies, or beside the libraries that come along with it.
void* LoadModule() {
  char path[PATH_MAX];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof(path));
  std::string folder(path, size > 0 ? static_cast<size_t>(size) : 0);
  folder.resize(folder.rfind('/') == std::string::npos ? 0 : folder.rfind('/'));
  std::string reasons;
  for (const char* place : {"/libmote_mpi.so", "/../lib/mote/libmote_mpi.so"}) {
    const std::string file = folder + place;
    if (access(file.c_str(), F_OK) != 0) continue;
    // Global: parts that MPI loads by itself look for its names among all.
    if (void* module = dlopen(file.c_str(), RTLD_NOW | RTLD_GLOBAL)) return module;
    reasons = dlerror();
  }
  if (!reasons.empty()) Fail("--split: " + reasons + "; is MPI installed (Debian: libopenmpi3 and openmpi-bin)?");
  Fail("--split needs libmote_mpi.so beside the program; this mote was built without MPI (docs/two_machines.md)");
}

template <class Function>
Function Find(void* module, const char* name) {
  void* found = dlsym(module, name);
  if (found == nullptr) Fail(Format("libmote_mpi.so has no %s; it belongs to another version of mote", name));
  return reinterpret_cast<Function>(found);
}

}  // namespace

SplitGuard::SplitGuard(ModelOptions* options) : options_(*options) {
  if (options->split.empty()) return;
  if (options->path.empty()) WrongWords("--split needs a MODEL file, the same on every machine");
  void* module = LoadModule();
  const auto open = Find<const mote_link* (*)(char*, size_t)>(module, "mote_mpi_open");
  const auto close = Find<bool (*)()>(module, "mote_mpi_close");
  const auto lost = Find<bool (*)(char*, size_t)>(module, "mote_mpi_lost");
  char error[1024] = "";
  options->link = open(error, sizeof(error));
  if (options->link == nullptr) Fail(error);
  close_ = close;
  lost_ = lost;
}

void SplitGuard::CheckOthers() const {
  char why[1024] = "";
  if (lost_ != nullptr && lost_(why, sizeof(why))) Fail(why);
}

SplitGuard::~SplitGuard() {
  if (close_ != nullptr && !close_()) g_lost = true;
}

bool LostInSplit() {
  return g_lost;
}

int SplitGuard::Serve() const {
  mote_model_params params = options_.Params();
  mote_error error = {};
  const mote_status status = mote_split_serve(options_.path.c_str(), &params, &error);
  if (status != MOTE_OK) FailWith(status, Format("rank %d: %s", options_.link->rank, error.message));
  return kDone;
}

}  // namespace mote::cli
