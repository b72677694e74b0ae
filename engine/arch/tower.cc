// Reading and checking the `clip.*` keys.
#include "engine/arch/tower.h"

#include <math.h>

#include <algorithm>

#include "engine/arch/key_reader.h"

namespace mote {
namespace {

struct Known {
  const char* name;
  Projector projector;
};
constexpr Known kKnown[] = {
    {"mlp", Projector::kMlp},
    {"idefics3", Projector::kIdefics3},
    {"gemma3", Projector::kGemma3},
    {"qwen2vl_merger", Projector::kQwen2Vl},
    {"qwen2.5vl_merger", Projector::kQwen25Vl},
    {"qwen3vl_merger", Projector::kQwen3Vl},
    {"internvl", Projector::kInternVl},
    {"pixtral", Projector::kPixtral},
};
constexpr const char* kNames[] = {
    "mlp", "idefics3", "gemma3", "qwen2vl_merger", "qwen2.5vl_merger", "qwen3vl_merger", "internvl", "pixtral"};
static_assert(std::size(kKnown) == std::size(kNames));

Status ReadProjector(const GgufFile& file, TowerParams* p) {
  MOTE_ASSIGN_OR_RETURN(const std::string architecture, file.RequireString("general.architecture"));
  if (architecture != "clip") {
    return Error(Code::kUnsupported, "a file of architecture \"%s\" has no vision tower; those have \"clip\"",
                 architecture.c_str());
  }
  MOTE_ASSIGN_OR_RETURN(const bool has_vision, file.BoolOr("clip.has_vision_encoder", false));
  if (!has_vision)
    return Error(Code::kUnsupported, "clip.has_vision_encoder is not true: no vision tower in this file");
  MOTE_ASSIGN_OR_RETURN(p->name, file.StringOr("general.name", ""));
  MOTE_ASSIGN_OR_RETURN(const std::string vision, file.StringOr("clip.vision.projector_type", "mlp"));
  MOTE_ASSIGN_OR_RETURN(p->projector_name, file.StringOr("clip.projector_type", vision));
  std::string known;
  for (const Known& k : kKnown) {
    if (p->projector_name == k.name) {
      p->projector = k.projector;
      return {};
    }
    known += known.empty() ? "" : ", ";
    known += k.name;
  }
  return Error(Code::kUnsupported, "projector \"%s\" is not supported; mote runs %s", p->projector_name.c_str(),
               known.c_str());
}

Status ReadActivation(const GgufFile& file, TowerParams* p) {
  MOTE_ASSIGN_OR_RETURN(const bool gelu, file.BoolOr("clip.use_gelu", false));
  MOTE_ASSIGN_OR_RETURN(const bool silu, file.BoolOr("clip.use_silu", false));
  if (gelu && silu) return Error(Code::kMalformed, "clip.use_gelu and clip.use_silu are both true");
  p->activation = silu ? Activation::kSilu : gelu ? Activation::kGeluTanh : Activation::kGeluQuick;
  // The key does not say which GELU; InternVL's is the exact one.
  if (gelu && p->projector == Projector::kInternVl) p->activation = Activation::kGelu;
  return {};
}

// Rows of the matrix that the feed-forward begins with, whatever it is called: old files exchange the two names, and
// some have 0 under feed_forward_length.
Status ReadFeedForward(const GgufFile& file, TowerParams* p) {
  const TensorInfo* up = file.FindTensor("v.blk.0.ffn_up.weight");
  const TensorInfo* down = file.FindTensor("v.blk.0.ffn_down.weight");
  if (up == nullptr || down == nullptr) {
    return Error(Code::kNotFound, "no tensor %s: this file has no vision tower",
                 up == nullptr ? "v.blk.0.ffn_up.weight" : "v.blk.0.ffn_down.weight");
  }
  const uint64_t ff = up->cols() == p->width ? up->rows() : down->rows();
  if (ff == 0 || ff > (1u << 20)) {
    return Error(Code::kMalformed, "a feed-forward of %llu columns, expected 1 to %u",
                 static_cast<unsigned long long>(ff), 1u << 20);
  }
  p->ff = static_cast<uint32_t>(ff);
  return {};
}

uint64_t Squared(uint64_t n) {
  return n * n;
}

// Limits of a view's pixels where the tower takes any size, as llama.cpp sets them: tokens times the pixels of one.
void SetPixelLimits(uint64_t least_tokens, uint64_t most_tokens, KeyReader* reader, TowerParams* p) {
  constexpr uint64_t kMost = 1u << 28;
  const uint64_t token = Squared(uint64_t{p->patch_size} * p->merge);
  p->native_size = true;
  const auto limit = [&](const char* key, uint64_t tokens) {
    return reader->UintOr(key, static_cast<uint32_t>(std::min(tokens * token, kMost)), 1, kMost);
  };
  p->min_pixels = limit("image_min_pixels", least_tokens);
  p->max_pixels = limit("image_max_pixels", most_tokens);
}

void ReadProjectorKeys(const GgufFile& file, KeyReader* reader, TowerParams* p) {
  constexpr uint64_t kMostMerge = 64;
  switch (p->projector) {
    case Projector::kMlp:
      p->features = reader->Uints("feature_layer", 64, 0, p->layers);
      if (p->features.empty()) p->features = {p->layers};
      std::sort(p->features.begin(), p->features.end());
      p->features.erase(std::unique(p->features.begin(), p->features.end()), p->features.end());
      break;
    case Projector::kIdefics3:
      p->merge = reader->UintOr("projector.scale_factor", 1, 1, kMostMerge);
      p->longest_side = reader->UintOr("preproc_image_size", 0, 0, 16384);
      break;
    case Projector::kGemma3:
      p->merge = reader->UintOr("projector.scale_factor", 4, 1, kMostMerge);
      break;
    case Projector::kQwen25Vl:
      p->window_pattern = reader->Uint("n_wa_pattern", 0, 1024);
      p->window_size = reader->UintOr("window_size", 112, 1, 16384);
      [[fallthrough]];
    case Projector::kQwen2Vl:
    case Projector::kQwen3Vl:
      p->merge = reader->UintOr("spatial_merge_size", 2, 1, kMostMerge);
      SetPixelLimits(8, 4096, reader, p);
      for (uint32_t i = 0; i < p->layers && p->projector == Projector::kQwen3Vl; ++i) {
        if (file.FindTensor("v.deepstack." + std::to_string(i) + ".fc1.weight") != nullptr) p->deepstack.push_back(i);
      }
      break;
    case Projector::kInternVl:
      p->merge = reader->Uint("projector.scale_factor", 1, kMostMerge);
      p->min_tiles = reader->UintOr("preproc_min_tiles", 1, 1, 64);
      p->max_tiles = reader->UintOr("preproc_max_tiles", 12, 1, 64);
      break;
    case Projector::kPixtral:
      p->merge = file.FindTensor("mm.patch_merger.weight") == nullptr
                     ? 1
                     : reader->UintOr("spatial_merge_size", 2, 1, kMostMerge);
      SetPixelLimits(1, 1024, reader, p);
      break;
  }
}

// The decoder's width: rows of the projector's last matrix.
Status ReadOutWidth(const GgufFile& file, TowerParams* p) {
  const char* name = nullptr;
  switch (p->projector) {
    case Projector::kMlp:
      name = file.FindTensor("mm.3.weight") != nullptr   ? "mm.3.weight"
             : file.FindTensor("mm.2.weight") != nullptr ? "mm.2.weight"
                                                         : "mm.0.weight";
      break;
    case Projector::kIdefics3:
      name = "mm.model.fc.weight";
      break;
    case Projector::kGemma3:
      name = "mm.input_projection.weight";
      break;
    case Projector::kQwen2Vl:
    case Projector::kQwen25Vl:
    case Projector::kQwen3Vl:
    case Projector::kPixtral:
      name = "mm.2.weight";
      break;
    case Projector::kInternVl:
      name = "mm.model.mlp.3.weight";
      break;
  }
  const TensorInfo* last = file.FindTensor(name);
  if (last == nullptr) {
    return Error(Code::kNotFound, "no tensor %s, which projector %s needs", name, p->projector_name.c_str());
  }
  const uint64_t width = p->projector == Projector::kGemma3 ? last->cols() : last->rows();
  if (width == 0 || width > (1u << 20)) {
    return Error(Code::kMalformed, "tensor %s makes rows of %llu values, expected 1 to %u", name,
                 static_cast<unsigned long long>(width), 1u << 20);
  }
  p->out_width = static_cast<uint32_t>(width);
  return {};
}

Status CheckShape(const GgufFile& file, TowerParams* p) {
  if (p->width % p->heads != 0 || p->width / p->heads > 1024) {
    return Error(Code::kMalformed, "%u columns for %u heads: expected heads of up to 1024 columns", p->width, p->heads);
  }
  if (p->width / p->heads % 4 != 0 && p->native_size) {
    return Error(Code::kMalformed, "heads of %u columns cannot turn by row and column; expected a multiple of 4",
                 p->width / p->heads);
  }
  const uint32_t side = p->image_size / p->patch_size;
  if (!p->native_size && (side == 0 || side % p->merge != 0)) {
    return Error(Code::kMalformed, "clip.vision.image_size %u has %u patches of %u a side, which do not merge by %u",
                 p->image_size, side, p->patch_size, p->merge);
  }
  p->class_token = file.FindTensor("v.class_embd") != nullptr;
  const TensorInfo* positions = file.FindTensor("v.position_embd.weight");
  p->learned_positions = positions != nullptr;
  if (positions == nullptr) {
    const bool rotates = p->native_size;
    if (!rotates || p->projector == Projector::kQwen3Vl) {
      return Error(Code::kNotFound, "no tensor v.position_embd.weight, which projector %s needs",
                   p->projector_name.c_str());
    }
    return {};
  }
  const uint64_t want = Squared(side) + (p->class_token ? 1 : 0);
  if (positions->cols() != p->width || positions->rows() < want || positions->rows() > (1u << 24)) {
    return Error(Code::kMalformed, "tensor v.position_embd.weight has shape (%llu, %llu), expected (%llu, %u)",
                 static_cast<unsigned long long>(positions->rows()), static_cast<unsigned long long>(positions->cols()),
                 static_cast<unsigned long long>(want), p->width);
  }
  return {};
}

}  // namespace

std::span<const char* const> ProjectorNames() {
  return kNames;
}

Result<TowerParams> ReadTowerParams(const GgufFile& file) {
  TowerParams p;
  MOTE_RETURN_IF_ERROR(ReadProjector(file, &p));
  MOTE_RETURN_IF_ERROR(ReadActivation(file, &p));
  KeyReader reader(file, "clip.vision");
  p.image_size = reader.Uint("image_size", 1, 16384);
  p.patch_size = reader.Uint("patch_size", 1, 256);
  p.width = reader.Uint("embedding_length", 4, 1u << 16);
  p.layers = reader.Uint("block_count", 1, 256);
  p.heads = reader.Uint("attention.head_count", 1, 256);
  p.epsilon = reader.FloatOr("attention.layer_norm_epsilon", 1e-6, 1e-12, 1);
  reader.Floats("image_mean", 3, -16, 16, p.mean);
  reader.Floats("image_std", 3, 1e-6, 16, p.std);
  if (!reader.status().ok()) return reader.status();
  ReadProjectorKeys(file, &reader, &p);
  if (!reader.status().ok()) return reader.status();
  if (p.min_pixels > p.max_pixels || p.min_tiles > p.max_tiles) {
    return Error(Code::kMalformed, "%llu to %llu pixels, %u to %u tiles: the first must not be more than the second",
                 static_cast<unsigned long long>(p.min_pixels), static_cast<unsigned long long>(p.max_pixels),
                 p.min_tiles, p.max_tiles);
  }
  MOTE_RETURN_IF_ERROR(ReadFeedForward(file, &p));
  MOTE_RETURN_IF_ERROR(ReadOutWidth(file, &p));
  MOTE_RETURN_IF_ERROR(CheckShape(file, &p));
  return p;
}

}  // namespace mote
