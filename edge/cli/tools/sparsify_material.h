// What a model reads to show which of its weights matter, and what it is examined with.
#ifndef MOTE_EDGE_CLI_TOOLS_SPARSIFY_MATERIAL_H_
#define MOTE_EDGE_CLI_TOOLS_SPARSIFY_MATERIAL_H_

#include <stdint.h>

#include <string>
#include <vector>

#include "edge/cli/picture.h"
#include "edge/cli/tools/sparsify_flags.h"

namespace mote::cli {

struct PictureQuestion {
  size_t picture = 0;  // among the pictures
  std::string question;
  std::string answer;  // empty: not known, nothing to score
};

// One half of the material: for calibration, or for the examination.
struct SparsifyMaterial {
  std::string text;  // empty: none
  std::vector<Picture> pictures;
  std::vector<PictureQuestion> questions;

  bool has_answers() const;
};

struct SparsifyMaterials {
  SparsifyMaterial calibration;
  SparsifyMaterial test;
  // What was not given for the examination is held back from the calibration: a quarter, at the end.
  bool held_back_text = false;
  bool held_back_pictures = false;
  std::string bytes_digest;  // of everything that was read, for telling runs apart
};

// Reads texts and folders of pictures. A folder may hold questions.json, a list of {"image", "question", "answer"};
// without it, every picture in the folder is asked to be described. Failure names the file that is wrong.
SparsifyMaterials ReadMaterials(const SparsifyFlags& flags);

}  // namespace mote::cli

#endif  // MOTE_EDGE_CLI_TOOLS_SPARSIFY_MATERIAL_H_
