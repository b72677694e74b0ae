// mote.h: vision files, images, and prompts with them.
#include "engine/run/vision.h"

#include <algorithm>
#include <utility>

#include "engine/api/internal.h"
#include "engine/vision/image.h"
#include "engine/vision/views.h"

namespace mote::api {
namespace {

static_assert(kImageMark == MOTE_IMAGE_MARK);

constexpr uint32_t kMostViewTokens = 1u << 20;

mote_vision_params DefaultVision() {
  mote_vision_params params = {};
  params.struct_size = sizeof(params);
  params.cache_bytes = VisionParams().cache_bytes;
  return params;
}

Result<VisionParams> ConvertVisionParams(const mote_vision_params* given) {
  mote_vision_params c = DefaultVision();
  MOTE_RETURN_IF_ERROR(ReadParams(given, "mote_vision_params", &c));
  if (c.max_tokens > kMostViewTokens) {
    return Error(Code::kInvalidArgument, "max_tokens of a view is %u; 0 (what the file says) to %u are possible",
                 c.max_tokens, kMostViewTokens);
  }
  VisionParams params;
  params.max_tokens = c.max_tokens;
  params.cache_bytes = c.cache_bytes;
  params.progress.report = c.progress;
  params.progress.user = c.progress_user;
  return params;
}

template <class Open>
Status LoadVision(mote_model* model, Open open, const mote_vision_params* given) {
  if (model == nullptr) return NullArgument("model");
  Loaded& loaded = *model->loaded;
  if (loaded.model == nullptr) {
    return Error(Code::kUnsupported, "the model was loaded with vocab_only: it takes no vision file");
  }
  MOTE_ASSIGN_OR_RETURN(const VisionParams params, ConvertVisionParams(given));
  MOTE_ASSIGN_OR_RETURN(std::unique_ptr<GgufFile> file, open());
  MOTE_RETURN_IF_ERROR(loaded.model->AttachVision(std::move(file), params));
  loaded.projector = loaded.model->vision()->tower().projector_name;
  loaded.vision_name = loaded.model->vision()->tower().name;
  return {};
}

Result<mote_memory> MeasureVision(const char* path, const mote_model_params* given, const mote_vision_params* vision) {
  MOTE_ASSIGN_OR_RETURN(const mote_model_params c_params, ReadModelParams(given));
  MOTE_ASSIGN_OR_RETURN(const ModelParams params, ConvertModelParams(c_params, nullptr));
  MOTE_ASSIGN_OR_RETURN(const VisionParams vision_params, ConvertVisionParams(vision));
  MOTE_ASSIGN_OR_RETURN(const std::unique_ptr<GgufFile> file, OpenPath(path, /*header_only=*/true));
  MOTE_ASSIGN_OR_RETURN(const MemoryReport report, Model::EstimateVision(*file, params, vision_params));
  return ConvertMemory(report);
}

// Rows that the decoder gets of `patches` a view's rows, laid out in `rows` lines.
uint32_t DecoderRows(const TowerParams& tower, uint32_t patches, uint32_t lines) {
  const uint32_t rows = (patches - (tower.class_token ? 1 : 0)) / tower.merged();
  return tower.projector == Projector::kPixtral ? rows + lines - 1 : rows;
}

mote_vision_info DescribeVision(const Loaded& loaded) {
  const Vision& vision = *loaded.model->vision();
  const TowerParams& tower = vision.tower();
  const uint32_t unit = tower.patch_size * tower.merge;
  const uint32_t lines = std::max(1u, tower.image_size / unit);
  const uint32_t side = lines * unit;
  const uint32_t most = MaxPatchRows(tower, vision.params().max_tokens);
  mote_vision_info info = {};
  info.projector = loaded.projector.c_str();
  info.name = loaded.vision_name.c_str();
  info.image_size = tower.image_size;
  info.patch_size = tower.patch_size;
  info.width = tower.width;
  info.layers = tower.layers;
  info.heads = tower.heads;
  info.any_size = tower.native_size ? 1 : 0;
  info.rows_per_view =
      std::min(DecoderRows(tower, PatchRows(tower, side, side), lines), DecoderRows(tower, most, lines));
  info.max_rows = tower.native_size ? DecoderRows(tower, most, lines) : info.rows_per_view;
  info.weight_bytes = vision.memory().weight_bytes;
  info.scratch_bytes = vision.memory().scratch_bytes + vision.memory().cache_bytes;
  return info;
}

// ---- Images

Status CheckImage(const mote_image& image, size_t index) {
  if (image.pixels == nullptr) return Error(Code::kInvalidArgument, "image %zu has no pixels", index);
  if (image.width == 0 || image.height == 0 || image.width > kMaxImageSide || image.height > kMaxImageSide) {
    return Error(Code::kInvalidArgument, "image %zu measures %u x %u; sides of 1 to %u are possible", index,
                 image.width, image.height, kMaxImageSide);
  }
  if (image.channels != 3 && image.channels != 4) {
    return Error(Code::kInvalidArgument, "image %zu has %u channels; 3 (RGB) and 4 (RGBA) are possible", index,
                 image.channels);
  }
  const size_t row = size_t{image.width} * image.channels;
  if (image.stride != 0 && image.stride < row) {
    return Error(Code::kInvalidArgument, "image %zu has rows of %zu bytes and a stride of %zu; 0 is that of its rows",
                 index, row, image.stride);
  }
  return {};
}

struct Pictures {
  std::vector<Image> owned;  // what came with an alpha channel
  std::vector<ImageView> views;
};

Result<Pictures> ConvertImages(const mote_image* images, size_t count) {
  if (images == nullptr && count > 0) return NullArgument("images");
  Pictures pictures;
  for (size_t i = 0; i < count; ++i) {
    const mote_image& image = images[i];
    MOTE_RETURN_IF_ERROR(CheckImage(image, i));
    const size_t stride = image.stride != 0 ? image.stride : size_t{image.width} * image.channels;
    if (image.channels == 3) {
      pictures.views.push_back({image.pixels, image.width, image.height, stride});
      continue;
    }
    MOTE_ASSIGN_OR_RETURN(Image rgb, CreateImage(image.width, image.height, {UINT64_MAX, UINT64_MAX}));
    for (uint32_t y = 0; y < image.height; ++y) {
      RgbaToRgb(image.pixels + stride * y, image.width, Alpha::kOverWhite, rgb.row(y));
    }
    pictures.views.push_back(rgb.view());
    pictures.owned.push_back(std::move(rgb));  // moving it leaves its pixels where they are
  }
  return pictures;
}

// Who may stop the reading of images, and who watches it.
struct Reader {
  mote_prompt_params params = {};
  std::atomic<bool> stop{false};

  static void Progress(void* user, uint32_t done, uint32_t total) {
    Reader& reader = *static_cast<Reader*>(user);
    const mote_prompt_params& params = reader.params;
    const bool cancelled = params.session != nullptr && params.session->cancel.load();
    if (cancelled || (params.on_progress != nullptr && params.on_progress(params.user, done, total) != 0)) {
      reader.stop.store(true);
    }
  }
};

Result<std::vector<EncodedImage>> ReadImages(Loaded& loaded, const mote_image* images, size_t count,
                                             const mote_prompt_params* given, ReadStats* stats) {
  Reader reader;
  MOTE_RETURN_IF_ERROR(ReadParams(given, "mote_prompt_params", &reader.params));
  if (count == 0) return std::vector<EncodedImage>();
  if (loaded.model->vision() == nullptr) {
    return Error(Code::kUnsupported,
                 "%zu image%s for a model without a vision file; it needs the mmproj file that "
                 "belongs to it",
                 count, count == 1 ? "" : "s");
  }
  MOTE_ASSIGN_OR_RETURN(const Pictures pictures, ConvertImages(images, count));
  ReadOptions options;
  options.cancel = &reader.stop;
  options.progress = Reader::Progress;
  options.progress_user = &reader;
  Result<std::vector<EncodedImage>> encoded = loaded.model->vision()->Encode(pictures.views, options, stats);
  if (encoded.status().code() == Code::kCancelled && reader.params.session != nullptr) {
    reader.params.session->cancel.store(false);
  }
  return encoded;
}

// Reads the images and has `encode(images)` make the tokens.
template <class Encode>
Status CreatePrompt(mote_model* model, const mote_image* images, size_t count, const mote_prompt_params* params,
                    mote_prompt** prompt, Encode encode) {
  if (model == nullptr) return NullArgument("model");
  if (prompt == nullptr) return NullArgument("prompt");
  Loaded& loaded = *model->loaded;
  if (loaded.model == nullptr) {
    return Error(Code::kUnsupported, "the model was loaded with vocab_only: it reads no images and runs no prompts");
  }
  auto made = std::make_unique<mote_prompt>();
  MOTE_ASSIGN_OR_RETURN(const std::vector<EncodedImage> read, ReadImages(loaded, images, count, params, &made->stats));
  MOTE_ASSIGN_OR_RETURN(made->prompt, encode(*loaded.model, read));
  for (const EncodedImage& image : read) {
    mote_prompt::Image& entry = made->images.emplace_back();
    for (const EncodedImage::Part& part : image.parts) entry.rows += part.rows->rows;
    entry.known = image.known;
  }
  made->loaded = model->loaded;
  *prompt = made.release();
  return {};
}

}  // namespace
}  // namespace mote::api

using namespace mote;       // NOLINT: the functions below must stand outside
using namespace mote::api;  // NOLINT

extern "C" {

void mote_vision_params_init(mote_vision_params* params, size_t struct_size) {
  if (params == nullptr || struct_size < sizeof(size_t)) return;
  params->struct_size = struct_size;
  WriteResult(DefaultVision(), params);
}

mote_status mote_model_load_vision(mote_model* model, const char* path, const mote_vision_params* params,
                                   mote_error* error) {
  return Report(LoadVision(
                    model, [&] { return OpenPath(path, false); }, params),
                error);
}

mote_status mote_model_load_vision_memory(mote_model* model, const void* bytes, uint64_t size,
                                          const mote_vision_params* params, mote_error* error) {
  return Report(LoadVision(
                    model, [&] { return OpenMemory(bytes, size, false); }, params),
                error);
}

mote_status mote_model_load_vision_in_place(mote_model* model, void* bytes, uint64_t size,
                                            const mote_vision_params* params, mote_error* error) {
  return Report(LoadVision(
                    model, [&] { return OpenInPlace(bytes, size, false); }, params),
                error);
}

mote_status mote_model_load_vision_callback(mote_model* model, mote_read_fn read, void* user, uint64_t size,
                                            const mote_vision_params* params, mote_error* error) {
  return Report(LoadVision(
                    model, [&] { return OpenCallback(read, user, size, false); }, params),
                error);
}

mote_status mote_vision_measure(const char* path, const mote_model_params* model_params,
                                const mote_vision_params* params, mote_memory* memory, mote_error* error) {
  if (const Status status = CheckResultStruct(memory, "mote_memory"); !status.ok()) return Report(status, error);
  const Result<mote_memory> measured = MeasureVision(path, model_params, params);
  if (measured.ok()) WriteResult(*measured, memory);
  return Report(measured.status(), error);
}

mote_status mote_model_get_vision_info(const mote_model* model, mote_vision_info* info, mote_error* error) {
  if (model == nullptr) return Report(NullArgument("model"), error);
  if (const Status status = CheckResultStruct(info, "mote_vision_info"); !status.ok()) return Report(status, error);
  const Loaded& loaded = *model->loaded;
  if (loaded.model == nullptr || loaded.model->vision() == nullptr) {
    return Report(Error(Code::kNotFound, "the model has no vision file"), error);
  }
  WriteResult(DescribeVision(loaded), info);
  return MOTE_OK;
}

void mote_prompt_params_init(mote_prompt_params* params, size_t struct_size) {
  if (params == nullptr || struct_size < sizeof(size_t)) return;
  params->struct_size = struct_size;
  WriteResult(mote_prompt_params{}, params);
}

mote_status mote_prompt_create_text(mote_model* model, const char* text, size_t size, uint32_t flags,
                                    const mote_image* images, size_t image_count, const mote_prompt_params* params,
                                    mote_prompt** prompt, mote_error* error) {
  const Result<EncodeOptions> options = ConvertTokenizeFlags(flags);
  if (!options.ok()) return Report(options.status(), error);
  const Result<std::string_view> view = TextView(text, size);
  if (!view.ok()) return Report(view.status(), error);
  const auto encode = [&](const Model& m, const std::vector<EncodedImage>& read) {
    return m.EncodeText(*view, *options, read);
  };
  // Told before the images are read, which may take long.
  if (const auto cut = CutAtImages(*view, image_count); !cut.ok()) return Report(cut.status(), error);
  return Report(CreatePrompt(model, images, image_count, params, prompt, encode), error);
}

mote_status mote_prompt_create_chat(mote_model* model, const mote_chat_message* messages, size_t message_count,
                                    const mote_chat_params* chat_params, const mote_image* images, size_t image_count,
                                    const mote_prompt_params* params, mote_prompt** prompt, mote_error* error) {
  if (model == nullptr) return Report(NullArgument("model"), error);
  const Result<ChatInput> input = ConvertChat(*model->loaded, messages, message_count, chat_params);
  if (!input.ok()) return Report(input.status(), error);
  const auto encode = [&](const Model& m, const std::vector<EncodedImage>& read) { return m.EncodeChat(*input, read); };
  return Report(CreatePrompt(model, images, image_count, params, prompt, encode), error);
}

void mote_prompt_free(mote_prompt* prompt) {
  delete prompt;
}

const int32_t* mote_prompt_tokens(const mote_prompt* prompt, size_t* count) {
  if (count != nullptr) *count = prompt == nullptr ? 0 : prompt->prompt.tokens.size();
  return prompt == nullptr ? nullptr : prompt->prompt.tokens.data();
}

mote_status mote_prompt_get_info(const mote_prompt* prompt, mote_prompt_info* info, mote_error* error) {
  if (prompt == nullptr) return Report(NullArgument("prompt"), error);
  if (const Status status = CheckResultStruct(info, "mote_prompt_info"); !status.ok()) return Report(status, error);
  mote_prompt_info filled = {};
  filled.tokens = static_cast<uint32_t>(prompt->prompt.tokens.size());
  filled.images = prompt->stats.images;
  filled.images_known = prompt->stats.cached;
  filled.image_rows = prompt->stats.rows;
  filled.views = prompt->stats.views;
  filled.preprocess_seconds = prompt->stats.preprocess_seconds;
  filled.encode_seconds = prompt->stats.encode_seconds;
  WriteResult(filled, info);
  return MOTE_OK;
}

uint32_t mote_prompt_image_rows(const mote_prompt* prompt, size_t index, int* known) {
  const bool found = prompt != nullptr && index < prompt->images.size();
  if (known != nullptr) *known = found && prompt->images[index].known ? 1 : 0;
  return found ? prompt->images[index].rows : 0;
}

}  // extern "C"
