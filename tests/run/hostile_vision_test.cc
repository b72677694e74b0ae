// Vision files that parse, with contents that lie: every hyper-parameter at 0, small, huge, negative and of another
// type; tensors missing, of another shape or of another type. Each must be refused with a message, or read an image
// without touching memory that is not its own (the sanitizer builds look).
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/run/rewrite.h"
#include "tests/run/vision_support.h"
#include "tests/support/effort.h"

namespace mote::testing {
namespace {

class HostileVision : public ::testing::Test {
 protected:
  void SetUpModel(const char* name) {
    const PeerVisionModel peer = FindPeer(name);
    text_ = MakeTinyModel(peer.text);
    good_ = MakeTinyVisionModel(peer.vision);
  }

  // Attaches the file, and reads an image if it can be attached. A view's size is kept small, as a hostile file may
  // honestly ask for a large one.
  Status TryToSee(const std::vector<uint8_t>& bytes) {
    std::vector<std::unique_ptr<ByteSource>> parts;
    parts.push_back(CreateMemorySource(bytes, "hostile"));
    Result<std::unique_ptr<GgufFile>> file = GgufFile::FromSources(std::move(parts));
    if (!file.ok()) return file.status();
    if (!ReadTowerParams(**file).ok()) return ReadTowerParams(**file).status();
    if (MaxPatchRows(*ReadTowerParams(**file), 16) > 4096) return Error(Code::kOutOfMemory, "too large for a test");
    const Result<std::unique_ptr<Model>> model = TryLoad(text_, {.threads = 1, .context = 256, .max_batch = 64});
    if (!model.ok()) return model.status();
    VisionParams params;
    params.max_tokens = 16;
    MOTE_RETURN_IF_ERROR((*model)->AttachVision(std::move(file).value(), params));
    const Image image = Picture(1, 50, 30);
    const ImageView view = image.view();
    const Result<std::vector<EncodedImage>> images = (*model)->vision()->Encode({&view, 1}, {}, nullptr);
    if (!images.ok()) return images.status();
    Prompt prompt;
    return (*model)->vision()->Append((*images)[0], &prompt);
  }

  void ExpectHandled(const std::vector<uint8_t>& bytes, const std::string& what) {
    if (bytes.empty()) return;
    const Status status = TryToSee(bytes);
    EXPECT_TRUE(status.ok() || !status.message().empty()) << what;
    EXPECT_NE(status.code(), Code::kInternal) << what << ": " << status.message();
  }

  std::vector<uint8_t> text_, good_;
};

std::vector<const char*> Models() {
  if (kSlowTests) return {"idefics3", "qwen2.5vl"};
  return {"idefics3", "qwen2.5vl", "qwen3vl", "gemma3", "internvl", "pixtral-merge", "mlp-features"};
}

TEST_F(HostileVision, EveryCountAtEveryValue) {
  const char* keys[] = {"image_size",         "patch_size",         "embedding_length",     "feed_forward_length",
                        "block_count",        "projection_dim",     "attention.head_count", "projector.scale_factor",
                        "spatial_merge_size", "preproc_image_size", "preproc_max_tiles",    "preproc_min_tiles",
                        "n_wa_pattern",       "window_size",        "image_min_pixels",     "image_max_pixels"};
  for (const char* name : Models()) {
    SetUpModel(name);
    ASSERT_TRUE(TryToSee(good_).ok()) << name << ": " << TryToSee(good_).message();
    for (const char* key : keys) {
      const std::string full = std::string("clip.vision.") + key;
      for (const uint64_t value : {uint64_t{0}, uint64_t{1}, uint64_t{3}, uint64_t{5}, uint64_t{1} << 14,
                                   uint64_t{1} << 28, uint64_t{UINT32_MAX}, UINT64_MAX}) {
        if (kSlowTests && (value == 1 || value == 5 || value == UINT32_MAX)) continue;
        ExpectHandled(Rewrite(good_, [&](GgufWriter& w) { w.SetUint64(full, value); }),
                      std::string(name) + " " + full + " = " + std::to_string(value));
      }
      ExpectHandled(Rewrite(good_, [&](GgufWriter& w) { w.SetInt32(full, -1); }), full + " = -1");
      ExpectHandled(Rewrite(good_, [&](GgufWriter& w) { w.SetString(full, "many"); }), full + " = many");
    }
  }
}

TEST_F(HostileVision, FloatsOutOfRange) {
  SetUpModel("idefics3");
  for (const float value : {0.0f, -1.0f, INFINITY, NAN}) {
    const auto with = [&](const char* key) {
      return TryToSee(Rewrite(good_, [&](GgufWriter& w) { w.SetFloat32(key, value); })).code();
    };
    EXPECT_EQ(with("clip.vision.attention.layer_norm_epsilon"), Code::kMalformed) << value;
    const std::vector<float> three = {0.5f, value, 0.5f};
    const Status status = TryToSee(Rewrite(good_, [&](GgufWriter& w) { w.SetFloats("clip.vision.image_std", three); }));
    EXPECT_EQ(status.code(), Code::kMalformed) << value;
    EXPECT_NE(status.message().find("image_std[1]"), std::string::npos) << status.message();
  }
  const std::vector<float> two = {0.5f, 0.5f};
  EXPECT_EQ(TryToSee(Rewrite(good_, [&](GgufWriter& w) { w.SetFloats("clip.vision.image_mean", two); })).code(),
            Code::kMalformed);
}

TEST_F(HostileVision, EveryTensorMissingAndMisshapen) {
  for (const char* name : Models()) {
    SetUpModel(name);
    const std::unique_ptr<GgufFile> file = Parse(good_);
    for (const TensorInfo& tensor : file->tensors()) {
      const auto changed = [&](const std::function<bool(TensorInfo&)>& change) {
        return Rewrite(
            good_, [](GgufWriter&) {}, [&](TensorInfo& t) { return t.name != tensor.name || change(t); });
      };
      const std::string what = std::string(name) + " " + tensor.name;
      ExpectHandled(changed([](TensorInfo&) { return false; }), what + " missing");
      ExpectHandled(changed([](TensorInfo& t) { return t.type = DType::kQ4_0, true; }), what + " as Q4_0");
      ExpectHandled(changed([](TensorInfo& t) { return t.shape[0] += 1, true; }), what + " a column more");
      if (kSlowTests) continue;
      ExpectHandled(changed([](TensorInfo& t) { return t.shape[1] += 1, true; }), what + " a row more");
      ExpectHandled(changed([](TensorInfo& t) { return std::swap(t.shape[0], t.shape[1]), true; }), what + " turned");
      ExpectHandled(changed([](TensorInfo& t) { return t.type = DType::kF16, true; }), what + " as F16");
    }
  }
}

TEST_F(HostileVision, OtherProjectorsAreRefusedByName) {
  SetUpModel("idefics3");
  const Status status =
      TryToSee(Rewrite(good_, [](GgufWriter& w) { w.SetString("clip.projector_type", "telescope"); }));
  EXPECT_EQ(status.code(), Code::kUnsupported);
  EXPECT_NE(status.message().find("telescope"), std::string::npos) << status.message();
  EXPECT_NE(status.message().find("idefics3"), std::string::npos) << "says what would do: " << status.message();
  for (const char* other :
       {"mlp", "gemma3", "qwen2vl_merger", "qwen2.5vl_merger", "qwen3vl_merger", "internvl", "pixtral"}) {
    ExpectHandled(Rewrite(good_, [&](GgufWriter& w) { w.SetString("clip.projector_type", other); }), other);
  }
  EXPECT_EQ(TryToSee(Rewrite(good_, [](GgufWriter& w) { w.SetBool("clip.has_vision_encoder", false); })).code(),
            Code::kUnsupported);
}

}  // namespace
}  // namespace mote::testing
