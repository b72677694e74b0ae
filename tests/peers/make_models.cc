// Writes the models that compare.py hands to other engines.
//
//   peer_models FOLDER        prints one path a line
#include <stdio.h>

#include <string>
#include <vector>

#include "tests/support/peer_models.h"

namespace {

bool Write(const std::string& path, const std::vector<uint8_t>& bytes) {
  FILE* file = bytes.empty() ? nullptr : fopen(path.c_str(), "wb");
  if (file == nullptr) return false;
  const bool written = fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
  return fclose(file) == 0 && written;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: peer_models FOLDER\n");
    return 2;
  }
  for (const mote::testing::PeerModel& model : mote::testing::PeerModels()) {
    const std::string path = std::string(argv[1]) + "/" + model.name + ".gguf";
    if (!Write(path, mote::testing::MakeTinyModel(model.options))) {
      fprintf(stderr, "peer_models: could not write %s\n", path.c_str());
      return 1;
    }
    printf("%s\n", path.c_str());
  }
  return 0;
}
