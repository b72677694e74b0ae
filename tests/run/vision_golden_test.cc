// What llama.cpp answered for small vision-language models of every projector (tests/golden/llama_cpp_vision.txt, made
// by tests/peers/vision.py, which explains its lines): the views of a picture, the pieces of a prompt, the rows that
// the tower makes of a picture, and the logits after all of it.
#include <gtest/gtest.h>
#include <stdio.h>

#include <cmath>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "engine/vision/views.h"
#include "tests/run/run_support.h"
#include "tests/support/effort.h"
#include "tests/support/peer_vision_models.h"

namespace mote::testing {
namespace {

using Sample = std::vector<std::pair<size_t, double>>;  // index, value

struct GoldenView {
  uint32_t width = 0, height = 0;
  double mean = 0;
  Sample pixels;
};
struct GoldenPiece {
  bool image = false;
  int32_t position = 0;
  std::vector<int32_t> ids;  // text
  uint32_t rows = 0, positions = 0, cols = 0;
  double norm = 0;
  Sample values;
};
struct GoldenCase {
  std::vector<GoldenView> views;
  std::vector<GoldenPiece> pieces;
  Sample logits;
};

Sample ReadSample(std::istringstream& words) {
  Sample sample;
  std::string word;
  while (words >> word) {
    sample.emplace_back(std::stoul(word), std::stod(word.substr(word.find(':') + 1)));
  }
  return sample;
}

// By "model case".
std::map<std::string, GoldenCase> ReadGoldenCases(const char* path) {
  std::map<std::string, GoldenCase> all;
  FILE* file = fopen(path, "r");
  if (file == nullptr) return all;
  GoldenCase* current = nullptr;
  std::vector<char> line(1 << 16);
  while (fgets(line.data(), static_cast<int>(line.size()), file) != nullptr) {
    std::istringstream words(line.data());
    std::string kind, size;
    char by = 0;
    words >> kind;
    if (kind == "case") {
      std::string model, name;
      words >> model >> name;
      current = &all[model + " " + name];
    } else if (kind == "view") {
      GoldenView view;
      words >> view.width >> by >> view.height >> view.mean;
      view.pixels = ReadSample(words);
      current->views.push_back(view);
    } else if (kind == "text" || kind == "image") {
      GoldenPiece piece;
      piece.image = kind == "image";
      words >> piece.position;
      if (piece.image) {
        words >> piece.rows >> piece.positions >> piece.cols >> piece.norm;
        piece.values = ReadSample(words);
      } else {
        for (int32_t id; words >> id;) piece.ids.push_back(id);
      }
      current->pieces.push_back(piece);
    } else if (kind == "logits") {
      current->logits = ReadSample(words);
    }
  }
  fclose(file);
  return all;
}

double RelativeError(const Sample& want, const float* got) {
  double error = 0, norm = 0;
  for (const auto& [index, value] : want) {
    const double difference = static_cast<double>(got[index]) - value;
    error += difference * difference;
    norm += value * value;
  }
  return std::sqrt(error / norm);
}

// The reference computes in float32 throughout; mote keeps keys and values in float16, and its exact GELU where
// llama.cpp has the tanh formula moves a projector's values by up to 5e-4.
double RowsBound(DType type) {
  return type == DType::kQ8_0 ? 0.04 : type == DType::kF16 ? 5e-3 : 2e-3;
}

class VisionGolden : public ::testing::Test {
 protected:
  void Check(const PeerVisionModel& peer, Model& model, const PeerVisionCase& c, const GoldenCase& golden) {
    const std::string label = peer.name + " " + c.name;
    std::vector<Image> pictures;
    std::vector<ImageView> views;
    for (const PeerPicture& picture : c.pictures) {
      Result<Image> image = ImageFromRgb(PeerPixels(picture), picture.width, picture.height, {});
      ASSERT_TRUE(image.ok()) << label;
      pictures.push_back(std::move(image).value());
    }
    for (const Image& picture : pictures) views.push_back(picture.view());
    CheckViews(label, model, views, golden);
    ReadStats stats;
    const Result<std::vector<EncodedImage>> images = model.vision()->Encode(views, {}, &stats);
    ASSERT_TRUE(images.ok()) << label << ": " << images.status().message();
    EncodeOptions options;
    options.parse_special = true;
    const Result<Prompt> prompt = model.EncodeText(c.prompt, options, *images);
    ASSERT_TRUE(prompt.ok()) << label << ": " << prompt.status().message();
    CheckPieces(label, peer, *prompt, golden);
    CheckLogits(label, peer, model, *prompt, golden);
  }

  void CheckViews(const std::string& label, const Model& model, std::span<const ImageView> images,
                  const GoldenCase& golden) {
    const TowerParams& tower = model.vision()->tower();
    const std::unique_ptr<Backend> backend = std::move(CreateCpuBackend(context_, IsaUnderTest())).value();
    size_t at = 0;
    for (const ImageView& image : images) {
      const Result<std::vector<View>> views = MakeViews(tower, image, 0, backend->pixel_kernels(), nullptr);
      ASSERT_TRUE(views.ok()) << label << ": " << views.status().message();
      // Of SmolVLM the reference is given the whole before the tiles.
      const size_t shift = tower.projector == Projector::kIdefics3 ? 1 : 0;
      ASSERT_LE(at + views->size(), golden.views.size()) << label;
      for (size_t i = 0; i < views->size(); ++i) {
        const View& view = (*views)[i];
        const GoldenView& want = golden.views[at + (i + shift) % views->size()];
        ASSERT_EQ(view.pixels.width, want.width) << label;
        ASSERT_EQ(view.pixels.height, want.height) << label;
        for (const auto& [index, value] : want.pixels) {
          const size_t c = index % 3;
          const double pixel = view.pixels.rgb.data()[index] / 255.0;
          EXPECT_NEAR((pixel - tower.mean[c]) / tower.std[c], value, 1e-5) << label << " pixel " << index;
        }
      }
      at += views->size();
    }
    EXPECT_EQ(at, golden.views.size()) << label;
  }

  // Rows of images, whose pieces may be fewer than the reference's: what stands side by side may come as one.
  void CheckPieces(const std::string& label, const PeerVisionModel& peer, const Prompt& prompt,
                   const GoldenCase& golden) {
    size_t at = 0;
    size_t image = 0;
    uint32_t row = 0;  // of that image
    for (const GoldenPiece& piece : golden.pieces) {
      if (!piece.image) {
        for (const int32_t id : piece.ids) {
          ASSERT_LT(at, prompt.tokens.size()) << label;
          EXPECT_EQ(prompt.tokens[at++], id) << label << " token " << at;
        }
        continue;
      }
      std::vector<float> values;
      for (uint32_t i = 0; i < piece.rows; ++i, ++at, ++row) {
        ASSERT_LT(at, prompt.tokens.size()) << label;
        ASSERT_EQ(prompt.tokens[at], kImageToken) << label << " token " << at;
        if (row == prompt.images[image].image->rows) row = 0, ++image;
        const ImageRows& rows = *prompt.images[image].image;
        ASSERT_EQ(rows.cols, piece.cols) << label;
        values.insert(values.end(), rows.row(row), rows.row(row) + rows.cols);
      }
      EXPECT_LT(RelativeError(piece.values, values.data()), RowsBound(peer.vision.type)) << label;
      double norm = 0;
      for (const float v : values) norm += static_cast<double>(v) * static_cast<double>(v);
      EXPECT_NEAR(std::sqrt(norm) / piece.norm, 1, RowsBound(peer.vision.type)) << label;
    }
    EXPECT_EQ(at, prompt.tokens.size()) << label;
  }

  void CheckLogits(const std::string& label, const PeerVisionModel& peer, Model& model, const Prompt& prompt,
                   const GoldenCase& golden) {
    Result<std::unique_ptr<Session>> session = Session::Create(model, 0);
    ASSERT_TRUE(session.ok()) << session.status().message();
    const Status status = (*session)->Eval(prompt, 0, {});
    ASSERT_TRUE(status.ok()) << label << ": " << status.message();
    const std::span<const float> logits = (*session)->logits();
    EXPECT_LT(RelativeError(golden.logits, logits.data()), peer.vision.type == DType::kQ8_0 ? 0.05 : 5e-3) << label;
    if (peer.vision.type == DType::kQ8_0) return;
    const auto best = std::max_element(logits.begin(), logits.end()) - logits.begin();
    EXPECT_EQ(static_cast<size_t>(best), golden.logits[0].first) << label;
  }

  std::unique_ptr<Platform> platform_ = CreatePlatform();
  std::unique_ptr<ThreadPool> pool_ = std::move(platform_->CreateThreadPool(1)).value();
  Context context_ = {platform_.get(), pool_.get(), {}};
};

TEST_F(VisionGolden, AnswersOfLlamaCpp) {
  const std::map<std::string, GoldenCase> all = ReadGoldenCases("tests/golden/llama_cpp_vision.txt");
  ASSERT_FALSE(all.empty()) << "tests/golden/llama_cpp_vision.txt is missing: run from the top of the repository";
  size_t checked = 0;
  for (const PeerVisionModel& peer : PeerVisionModels()) {
    const std::vector<uint8_t> text = MakeTinyModel(peer.text);
    const std::vector<uint8_t> vision = MakeTinyVisionModel(peer.vision);
    const std::unique_ptr<Model> model = LoadModel(text, {.threads = 2});
    ASSERT_NE(model, nullptr) << peer.name;
    std::vector<std::unique_ptr<ByteSource>> parts;
    parts.push_back(CreateMemorySource(vision, "mmproj in memory"));
    Result<std::unique_ptr<GgufFile>> file = GgufFile::FromSources(std::move(parts));
    ASSERT_TRUE(file.ok()) << peer.name << ": " << file.status().message();
    const Status attached = model->AttachVision(std::move(file).value(), {});
    ASSERT_TRUE(attached.ok()) << peer.name << ": " << attached.message();
    for (const PeerVisionCase& c : peer.cases) {
      ASSERT_TRUE(all.contains(peer.name + " " + c.name)) << peer.name << " " << c.name;
      Check(peer, *model, c, all.at(peer.name + " " + c.name));
      ++checked;
    }
  }
  EXPECT_EQ(checked, all.size());
}

}  // namespace
}  // namespace mote::testing
