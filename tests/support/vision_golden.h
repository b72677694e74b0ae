// Reads tests/golden/llama_cpp_vision.txt; tests/peers/vision.py says what its lines are and made it.
#ifndef MOTE_TESTS_SUPPORT_VISION_GOLDEN_H_
#define MOTE_TESTS_SUPPORT_VISION_GOLDEN_H_

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/peer_vision_models.h"

namespace mote::testing {

using GoldenSamples = std::vector<std::pair<size_t, double>>;  // index and value

struct GoldenView {
  uint32_t width = 0;
  uint32_t height = 0;
  double mean = 0;        // of the normalised pixels
  GoldenSamples samples;  // of height x width x RGB
};

// Text or a picture's view (all views, where a family sends them as one).
struct GoldenPiece {
  bool image = false;
  uint32_t position = 0;     // of the first token
  std::vector<int32_t> ids;  // text
  uint32_t tokens = 0;       // image: rows of embeddings
  uint32_t positions = 0;    // image: how many the next piece's position is further on
  uint32_t width = 0;        // image: values to a token, deepstack's included
  double norm = 0;           // image: Euclidean, of all values
  GoldenSamples samples;     // image: of tokens x width
};

struct GoldenVisionCase {
  std::string model;
  std::string name;
  std::string prompt;
  std::vector<PeerPicture> pictures;
  std::vector<GoldenView> views;  // overview before tiles
  std::vector<GoldenPiece> pieces;
  GoldenSamples logits;  // after the last token, the eight most likely first
};

inline GoldenSamples ReadGoldenSamples(std::istringstream* words) {
  GoldenSamples samples;
  std::string word;
  while (*words >> word) {
    samples.emplace_back(strtoul(word.c_str(), nullptr, 10), atof(word.c_str() + word.find(':') + 1));
  }
  return samples;
}

inline GoldenPiece ReadGoldenPiece(bool image, std::istringstream* words) {
  GoldenPiece piece;
  piece.image = image;
  *words >> piece.position;
  if (image) {
    *words >> piece.tokens >> piece.positions >> piece.width >> piece.norm;
    piece.samples = ReadGoldenSamples(words);
  } else {
    for (int32_t id = 0; *words >> id;) piece.ids.push_back(id);
  }
  return piece;
}

inline void ReadGoldenLine(const std::string& line, std::vector<GoldenVisionCase>* cases) {
  std::istringstream words(line);
  std::string kind, size;
  words >> kind;
  if (kind == "case") {
    GoldenVisionCase one;
    words >> one.model >> one.name;
    words.get();  // the blank before the prompt
    std::getline(words, one.prompt);
    cases->push_back(one);
    return;
  }
  if (cases->empty()) return;
  GoldenVisionCase& one = cases->back();
  uint32_t width = 0, height = 0;
  char x = 0;
  if (kind == "picture") {
    uint32_t seed = 0;
    words >> seed >> width >> x >> height;
    one.pictures.push_back({seed, width, height});
  } else if (kind == "view") {
    double mean = 0;
    words >> width >> x >> height >> mean;
    one.views.push_back({width, height, mean, ReadGoldenSamples(&words)});
  } else if (kind == "text" || kind == "image") {
    one.pieces.push_back(ReadGoldenPiece(kind == "image", &words));
  } else if (kind == "logits") {
    one.logits = ReadGoldenSamples(&words);
  }
}

// Empty if the file is not there: tests run from the top of the repository.
inline std::vector<GoldenVisionCase> ReadVisionGolden(const char* path = "tests/golden/llama_cpp_vision.txt") {
  std::vector<GoldenVisionCase> cases;
  FILE* file = fopen(path, "r");
  if (file == nullptr) return cases;
  std::string line;
  for (int c = fgetc(file); c != EOF; c = fgetc(file)) {
    if (c != '\n') {
      line.push_back(static_cast<char>(c));
      continue;
    }
    if (!line.empty() && line[0] != '#') ReadGoldenLine(line, &cases);
    line.clear();
  }
  fclose(file);
  return cases;
}

}  // namespace mote::testing

#endif  // MOTE_TESTS_SUPPORT_VISION_GOLDEN_H_
