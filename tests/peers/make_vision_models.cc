// Writes the pairs of models and the pictures that vision.py hands to other engines.
//
//   peer_vision_models FOLDER     prints, for each pair and each prompt,
//     model NAME PROJECTOR IMAGE_SIZE PATCH LONGEST_EDGE MAX_TILES MERGE MEAN.. STD..      NAME.gguf, mmproj-NAME.gguf
//     case NAME CASE WIDTHxHEIGHT:FILE[,...] PROMPT                            FILE: RGB, 3 bytes a pixel, row by row
#include <stdio.h>

#include <string>
#include <vector>

#include "tests/support/peer_vision_models.h"

namespace {

using mote::testing::PeerPicture;
using mote::testing::PeerVisionCase;
using mote::testing::PeerVisionModel;

bool Write(const std::string& path, const std::vector<uint8_t>& bytes) {
  FILE* file = bytes.empty() ? nullptr : fopen(path.c_str(), "wb");
  const bool written = file != nullptr && fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
  const bool good = file != nullptr && fclose(file) == 0 && written;
  if (!good) fprintf(stderr, "peer_vision_models: could not write %s\n", path.c_str());
  return good;
}

bool WriteCase(const std::string& folder, const PeerVisionModel& model, const PeerVisionCase& one) {
  std::string pictures;
  for (const PeerPicture& picture : one.pictures) {
    const std::string size = std::to_string(picture.width) + "x" + std::to_string(picture.height);
    const std::string file = "picture-" + std::to_string(picture.seed) + "-" + size + ".rgb";
    if (!Write(folder + "/" + file, mote::testing::PeerPixels(picture))) return false;
    pictures += (pictures.empty() ? "" : ",") + size + ":" + file;
  }
  printf("case %s %s %s %s\n", model.name.c_str(), one.name.c_str(), pictures.c_str(), one.prompt.c_str());
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: peer_vision_models FOLDER\n");
    return 2;
  }
  const std::string folder = argv[1];
  for (const PeerVisionModel& model : mote::testing::PeerVisionModels()) {
    if (!Write(folder + "/" + model.name + ".gguf", mote::testing::MakeTinyModel(model.text))) return 1;
    if (!Write(folder + "/mmproj-" + model.name + ".gguf", mote::testing::MakeTinyVisionModel(model.vision))) return 1;
    printf("model %s %s %u %u %u %u %u 0.48 0.46 0.41 0.27 0.26 0.28\n", model.name.c_str(),
           model.vision.projector.c_str(), model.vision.image, model.vision.patch, model.vision.longest_edge,
           model.vision.max_tiles, model.vision.merge);
    for (const PeerVisionCase& one : model.cases) {
      if (!WriteCase(folder, model, one)) return 1;
    }
  }
  return 0;
}
