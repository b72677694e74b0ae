// mote quantize: the same model in fewer bits.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>

#include "edge/cli/commands.h"
#include "edge/cli/console.h"
#include "edge/cli/options.h"
#include "engine/core/context.h"
#include "engine/format/convert.h"
#include "engine/format/gguf.h"

namespace mote::cli {
namespace {

struct QuantizeOptions {
  std::string in;
  std::string out;
  std::string type;
};

// Written beside its place and moved there when whole: an interrupted run leaves no half model under the real name.
class NewFile {
 public:
  explicit NewFile(const std::string& path) : path_(path), partial_(path + ".partial") {
    file_ = fopen(partial_.c_str(), "wb");
    if (file_ == nullptr) Fail(partial_ + ": " + strerror(errno));
  }
  ~NewFile() {
    if (file_ == nullptr) return;
    fclose(file_);
    remove(partial_.c_str());
  }
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  Status Write(const uint8_t* bytes, size_t size) {
    if (fwrite(bytes, 1, size, file_) == size) return {};
    return Status(Code::kIo, partial_ + ": " + strerror(errno));
  }
  void Finish() {
    // The data must be on the disk before the name is.
    const bool written = fflush(file_) == 0 && fsync(fileno(file_)) == 0;
    const int error = errno;
    fclose(std::exchange(file_, nullptr));
    if (!written || rename(partial_.c_str(), path_.c_str()) != 0) {
      const std::string why = strerror(written ? errno : error);
      remove(partial_.c_str());
      Fail(path_ + ": " + why);
    }
  }

 private:
  std::string path_;
  std::string partial_;
  FILE* file_ = nullptr;
};

struct Work {
  NewFile file;
  Progress progress;
  uint64_t bytes = 0;
};

bool SameFile(const std::string& a, const std::string& b) {
  struct stat one = {};
  struct stat two = {};
  return stat(a.c_str(), &one) == 0 && stat(b.c_str(), &two) == 0 && one.st_dev == two.st_dev &&
         one.st_ino == two.st_ino;
}

int Quantize(const QuantizeOptions& options) {
  if (options.in.empty() || options.out.empty() || options.type.empty()) {
    WrongWords("quantize needs IN OUT TYPE; TYPE is one of " + QuantizeTypeNames());
  }
  if (SameFile(options.in, options.out)) WrongWords("IN and OUT are the same file; try another name for OUT");
  const std::unique_ptr<Platform> platform = CreatePlatform();
  const Result<std::unique_ptr<GgufFile>> in = GgufFile::Open(platform->files(), options.in);
  if (!in.ok()) Fail(in.status().message());
  // Everything that can be told without work comes before OUT is touched.
  const Result<std::vector<TensorInfo>> plan = PlanQuantization(**in, options.type);
  if (!plan.ok()) {
    throw Failure(plan.status().code() == Code::kInvalidArgument ? kWrongWords : kFailed, plan.status().message());
  }
  Work work{NewFile(options.out), Progress("quantizing")};
  QuantizeSink sink;
  sink.user = &work;
  sink.write = [](void* user, const uint8_t* bytes, size_t size) {
    Work& w = *static_cast<Work*>(user);
    w.bytes += size;
    return w.file.Write(bytes, size);
  };
  sink.progress = [](void* user, const QuantizeProgress& p) {
    static_cast<Work*>(user)->progress.Update(p.bytes_written, p.bytes_total,
                                              std::string(p.tensor) + " to " + DTypeName(p.to));
    return true;
  };
  const Status status = QuantizeFile(**in, options.type, sink);
  if (!status.ok()) Fail(status.message());
  work.file.Finish();
  work.progress.Clear();
  Note(Format("%s: %s, was %s", options.out.c_str(), HumanBytes(work.bytes).c_str(),
              HumanBytes((*in)->file_bytes()).c_str()));
  return kDone;
}

}  // namespace

void AddQuantize(CLI::App& app, Action* action) {
  CLI::App* command = app.add_subcommand("quantize", "Write a model in another number format");
  const auto options = std::make_shared<QuantizeOptions>();
  command->add_option("IN", options->in, "A GGUF file in F32, F16, BF16 or a quantised type");
  command->add_option("OUT", options->out, "The file to write");
  command->add_option("TYPE", options->type, "One of " + QuantizeTypeNames());
  command->callback([=] { *action = [=] { return Quantize(*options); }; });
}

}  // namespace mote::cli
