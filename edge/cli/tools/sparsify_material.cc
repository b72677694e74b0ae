#include "edge/cli/tools/sparsify_material.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "edge/cli/console.h"
#include "edge/cli/output_file.h"
#include "engine/core/sha256.h"

namespace mote::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDefaultQuestion = "Describe the picture.";
constexpr const char* kQuestionsFile = "questions.json";
constexpr size_t kMaxPictures = 100000;

bool IsPicture(const fs::path& path) {
  std::string suffix = path.extension().string();
  for (char& c : suffix) c = static_cast<char>(tolower(static_cast<unsigned char>(c)));
  for (const char* known : {".png", ".jpg", ".jpeg", ".webp", ".ppm"}) {
    if (suffix == known) return true;
  }
  return false;
}

std::string Field(const nlohmann::json& row, const char* name, const std::string& where) {
  const auto found = row.find(name);
  if (!row.is_object() || found == row.end() || !found->is_string()) {
    Fail(where + ": \"" + name + "\" is missing or no text; each entry needs \"image\", \"question\" and \"answer\"");
  }
  return found->get<std::string>();
}

void ReadQuestions(const fs::path& folder, SparsifyMaterial* material) {
  const std::string path = (folder / kQuestionsFile).string();
  const nlohmann::json rows = nlohmann::json::parse(ReadText(path), nullptr, /*allow_exceptions=*/false);
  if (!rows.is_array() || rows.empty()) Fail(path + " is no JSON list of questions");
  std::map<std::string, size_t> known;
  for (size_t i = 0; i < rows.size(); ++i) {
    const std::string where = Format("%s, entry %zu", path.c_str(), i);
    const std::string image = Field(rows[i], "image", where);
    const auto [place, fresh] = known.try_emplace(image, material->pictures.size());
    if (fresh) material->pictures.push_back(LoadPicture((folder / image).string()));
    material->questions.push_back({place->second, Field(rows[i], "question", where), Field(rows[i], "answer", where)});
  }
}

void ReadPictures(const std::string& path, SparsifyMaterial* material) {
  std::error_code error;
  const fs::path folder(path);
  if (!fs::is_directory(folder, error)) Fail(path + " is no folder; --images wants one with pictures in it");
  if (fs::exists(folder / kQuestionsFile, error)) {
    ReadQuestions(folder, material);
    return;
  }
  std::vector<std::string> names;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (IsPicture(it->path())) names.push_back(it->path().string());
  }
  if (names.empty()) Fail(path + " holds neither pictures (PNG, JPEG, WebP, PPM) nor a questions.json");
  if (names.size() > kMaxPictures)
    Fail(Format("%s holds %zu pictures; %zu at most", path.c_str(), names.size(), kMaxPictures));
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    material->questions.push_back({material->pictures.size(), kDefaultQuestion, ""});
    material->pictures.push_back(LoadPicture(name));
  }
}

// The last quarter of the pictures, with their questions.
bool HoldBackPictures(SparsifyMaterial* from, SparsifyMaterial* to) {
  const size_t held = from->pictures.size() / 4;
  if (held == 0) {
    *to = *from;
    return false;
  }
  const size_t first = from->pictures.size() - held;
  for (const PictureQuestion& question : from->questions) {
    if (question.picture >= first)
      to->questions.push_back({question.picture - first, question.question, question.answer});
  }
  std::erase_if(from->questions, [&](const PictureQuestion& question) { return question.picture >= first; });
  to->pictures.assign(from->pictures.begin() + static_cast<ptrdiff_t>(first), from->pictures.end());
  from->pictures.resize(first);
  return true;
}

// The last quarter of a text, from the beginning of a line or a word.
bool HoldBackText(std::string* from, std::string* to) {
  size_t cut = from->size() - from->size() / 4;
  const size_t line = from->find('\n', cut);
  const size_t word = from->find(' ', cut);
  cut = line != std::string::npos ? line + 1 : word;
  if (cut == std::string::npos || cut >= from->size()) {
    *to = *from;
    return false;
  }
  *to = from->substr(cut);
  from->resize(cut);
  return true;
}

void AddDigest(const SparsifyMaterial& material, Sha256* digest) {
  const auto add = [&](const std::string& text) {
    digest->UpdateUint(text.size());
    digest->Update(text);
  };
  add(material.text);
  for (const Picture& picture : material.pictures) {
    add(Format("%ux%u", picture.width, picture.height));
    digest->Update({picture.rgb.get(), size_t{3} * picture.width * picture.height});
  }
  for (const PictureQuestion& question : material.questions) {
    add(Format("%zu", question.picture));
    add(question.question);
    add(question.answer);
  }
}

}  // namespace

bool SparsifyMaterial::has_answers() const {
  return std::any_of(questions.begin(), questions.end(), [](const PictureQuestion& q) { return !q.answer.empty(); });
}

SparsifyMaterials ReadMaterials(const SparsifyFlags& flags) {
  SparsifyMaterials m;
  if (!flags.calibration.empty()) m.calibration.text = ReadText(flags.calibration);
  if (!flags.test.empty()) m.test.text = ReadText(flags.test);
  if (!flags.images.empty()) ReadPictures(flags.images, &m.calibration);
  if (!flags.test_images.empty()) ReadPictures(flags.test_images, &m.test);
  if (m.test.text.empty() && !m.calibration.text.empty()) {
    m.held_back_text = HoldBackText(&m.calibration.text, &m.test.text);
  }
  if (m.test.pictures.empty() && !m.calibration.pictures.empty()) {
    m.held_back_pictures = HoldBackPictures(&m.calibration, &m.test);
  }
  for (const SparsifyMaterial* half : {&m.calibration, &m.test}) {
    std::vector<std::string> paths;
    for (const Picture& picture : half->pictures) paths.push_back(picture.path);
    RefuseInput("OUT", flags.out, paths);
  }
  for (const std::string& folder : {flags.images, flags.test_images}) {
    if (!folder.empty()) RefuseInput("OUT", flags.out, {(fs::path(folder) / kQuestionsFile).string()});
  }
  Sha256 digest;
  AddDigest(m.calibration, &digest);
  for (const uint8_t byte : digest.Finish()) m.bytes_digest += Format("%02x", byte);
  return m;
}

}  // namespace mote::cli
