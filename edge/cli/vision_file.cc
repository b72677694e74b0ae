#include "edge/cli/vision_file.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <tuple>
#include <utility>

#include "edge/cli/builtin.h"
#include "edge/cli/console.h"
#include "edge/cli/model_loader.h"

namespace mote::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kMmproj = "mmproj";

// What a file's name says of the model: lower case, without "mmproj", the suffix and what joins them.
std::string Stem(const fs::path& path) {
  std::string name = path.stem().string();
  for (char& c : name) c = static_cast<char>(tolower(static_cast<unsigned char>(c)));
  const size_t at = name.find(kMmproj);
  if (at != std::string::npos) name.erase(at, std::string(kMmproj).size());
  const auto joins = [](char c) { return c == '-' || c == '_' || c == '.'; };
  while (!name.empty() && joins(name.front())) name.erase(0, 1);
  while (!name.empty() && joins(name.back())) name.pop_back();
  return name;
}

size_t CommonPrefix(const std::string& a, const std::string& b) {
  return static_cast<size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

struct Candidate {
  std::string path;
  size_t alike = 0;
  uint64_t bytes = 0;
};

// An error, or nothing.
std::string TryVision(const VisionFlags& flags, const std::string& path, Model* model) {
  VisionOptions options = flags.Options();
  Progress progress("loading " + path.substr(path.rfind('/') + 1));
  options.progress = [&](uint64_t done, uint64_t total) { progress.Update(done, total); };
  const Result<void> loaded = model->LoadVision(path, options);
  if (loaded.ok()) return "";
  const std::string& why = loaded.error().message;
  return why.find(path) == std::string::npos ? path + ": " + why : why;
}

}  // namespace

void VisionFlags::Add(CLI::App& command) {
  command.add_option("--mmproj", mmproj,
                     "(-mm) the vision file of the model; without it, the one beside MODEL that fits");
  command.add_flag("--no-mmproj", no_mmproj, "Look for no vision file");
  command
      .add_option("--image-max-tokens", max_tokens,
                  "Tokens that one view of an image may take, for models that take any size; 0: what the file says")
      ->transform(WholeWithin(0, 1 << 20));
}

void VisionFlags::Check(bool has_images) const {
  if (no_mmproj && !mmproj.empty()) WrongWords("-mm gives a vision file and --no-mmproj wants none; try one of them");
  if (no_mmproj && has_images) WrongWords("--image needs a vision file and --no-mmproj wants none; leave that out");
}

VisionOptions VisionFlags::Options() const {
  VisionOptions options;
  options.max_tokens = max_tokens;
  return options;
}

void AddImages(CLI::App& command, std::vector<std::string>* paths) {
  command
      .add_option("--image", *paths,
                  "An image file for the prompt, or - for standard input; may be given several times")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

std::vector<std::string> VisionFilesBeside(const std::string& model_path) {
  const fs::path model(model_path);
  const fs::path folder = model.has_parent_path() ? model.parent_path() : fs::path(".");
  const std::string stem = Stem(model);
  std::vector<Candidate> candidates;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name.find(kMmproj) == std::string::npos || it->path().extension() != ".gguf") continue;
    if (name == model.filename().string()) continue;
    std::error_code no_size;
    const uint64_t bytes = it->file_size(no_size);
    if (no_size) continue;
    const fs::path path = model.has_parent_path() ? folder / name : fs::path(name);
    candidates.push_back({path.string(), CommonPrefix(stem, Stem(it->path())), bytes});
  }
  std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
    return std::tuple(b.alike, a.bytes, a.path) < std::tuple(a.alike, b.bytes, b.path);
  });
  std::vector<std::string> paths;
  for (Candidate& candidate : candidates) paths.push_back(std::move(candidate.path));
  return paths;
}

void RequireVisionFile(const VisionFlags& flags, const std::string& model_path) {
  if (!flags.mmproj.empty()) {
    if (access(flags.mmproj.c_str(), R_OK) != 0) Fail(flags.mmproj + ": " + strerror(errno));
    return;
  }
  if (!model_path.empty() && VisionFilesBeside(model_path).empty()) {
    if (access(model_path.c_str(), R_OK) != 0) return;  // which is told when it is loaded
    Fail("no vision file for " + model_path + ": there is no mmproj*.gguf beside it; try -mm MMPROJ.gguf");
  }
}

std::string AttachVision(const VisionFlags& flags, const std::string& model_path, Model* model) {
  RequireVisionFile(flags, model_path);
  if (!flags.mmproj.empty()) {
    const std::string error = TryVision(flags, flags.mmproj, model);
    if (!error.empty()) Fail(error);
    return flags.mmproj;
  }
  if (model_path.empty()) {
    const Builtin* builtin = BuiltinModel();
    const Result<void> loaded = model->LoadVisionMemory(builtin->vision.bytes, builtin->vision.size, flags.Options());
    if (!loaded.ok()) FailWith(loaded.error().code, loaded.error().message);
    return "";
  }
  const std::vector<std::string> paths = VisionFilesBeside(model_path);
  std::string first_error;
  for (const std::string& path : paths) {
    const std::string error = TryVision(flags, path, model);
    if (error.empty()) {
      Note("mote: vision file " + path);
      return path;
    }
    if (first_error.empty()) first_error = error;
  }
  Fail(Format("none of the %zu vision files beside %s fits it: %s; try -mm MMPROJ.gguf", paths.size(),
              model_path.c_str(), first_error.c_str()));
}

std::string WithMarks(const std::string& text, size_t images) {
  if (text.find(MOTE_IMAGE_MARK) != std::string::npos) return text;
  std::string marked;
  for (size_t i = 0; i < images; ++i) marked += MOTE_IMAGE_MARK;
  return marked + text;
}

}  // namespace mote::cli
