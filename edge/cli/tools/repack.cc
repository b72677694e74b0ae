#include "edge/cli/repack.h"

#include <sys/resource.h>

#include <exception>
#include <memory>
#include <new>
#include <thread>

#include "edge/cli/console.h"
#include "edge/cli/tools/model_file.h"
#include "edge/cli/tools/new_file.h"
#include "engine/core/context.h"
#include "engine/format/convert.h"
#include "engine/format/gguf.h"

namespace mote::cli {
namespace {

// Who answers goes first: on Linux each thread has a niceness of its own.
constexpr int kNice = 10;

struct Target {
  std::string* memory = nullptr;
  NewFile* file = nullptr;
  const RepackJob* job = nullptr;
};

std::unique_ptr<GgufFile> OpenSource(Platform& platform, const std::string& path) {
  if (path.empty()) return OpenModelFile(platform, path);
  Result<std::unique_ptr<GgufFile>> file = GgufFile::Open(platform.files(), path);
  if (!file.ok()) Fail(file.status().message());
  return std::move(file).value();
}

QuantizeOptions OptionsOf(const RepackJob& job) {
  QuantizeOptions options;
  options.type = job.type;
  options.allow_requantize = true;  // of Q8_0, whose errors are small beside those of what is made of it
  return options;
}

void Encode(const RepackJob& job, Target target) {
  const std::unique_ptr<Platform> platform = CreatePlatform();
  const std::unique_ptr<GgufFile> source = OpenSource(*platform, job.path);
  target.job = &job;
  QuantizeSink sink;
  sink.user = &target;
  sink.write = [](void* user, const uint8_t* piece, size_t size) {
    const Target& to = *static_cast<Target*>(user);
    if (to.file != nullptr) return to.file->Write(piece, size);
    to.memory->append(reinterpret_cast<const char*>(piece), size);
    return Status();
  };
  sink.progress = [](void* user, const QuantizeProgress&) { return static_cast<Target*>(user)->job->go_on(); };
  const Status status = QuantizeFile(*source, OptionsOf(job), /*pool=*/nullptr, sink);
  if (!status.ok()) Fail(status.message());
}

// On a thread of its own, which may be nicer than the caller: what the caller starts later would inherit that.
template <class Work>
bool Nicely(const Work& work, std::string* why) {
  bool done = false;
  std::thread([&] {
    setpriority(PRIO_PROCESS, 0, kNice);
    try {
      work();
      done = true;
    } catch (const std::bad_alloc&) {
      *why = "there is no memory for it";
    } catch (const std::exception& error) {
      *why = error.what();
    }
  }).join();
  return done;
}

}  // namespace

bool MeasureRepack(const RepackJob& job, uint64_t* bytes, std::string* why) {
  try {
    const std::unique_ptr<Platform> platform = CreatePlatform();
    const std::unique_ptr<GgufFile> source = OpenSource(*platform, job.path);
    const Result<QuantizePlan> plan = PlanQuantization(*source, OptionsOf(job));
    if (!plan.ok()) Fail(plan.status().message());
    *bytes = 0;
    for (const TensorInfo& tensor : plan->tensors) *bytes += tensor.bytes;
    return true;
  } catch (const std::exception& error) {
    *why = error.what();
    return false;
  }
}

bool RepackToMemory(const RepackJob& job, uint64_t bytes, std::string* out, std::string* why) {
  return Nicely(
      [&] {
        out->clear();
        out->reserve(bytes + bytes / 16 + (1 << 20));  // the header's vocabulary, beside the tensors
        Encode(job, {.memory = out});
      },
      why);
}

bool RepackToFile(const RepackJob& job, uint64_t bytes, const std::string& file, std::string* why) {
  return Nicely(
      [&] {
        NewFile target(file, bytes);
        Encode(job, {.file = &target});
        target.Finish();
      },
      why);
}

}  // namespace mote::cli
