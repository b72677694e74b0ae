// What mote computes of a picture and a question, in numbers, for pictures.py.
//
//   peer_picture_rows MODEL.gguf MMPROJ.gguf OUT PROMPT PICTURE WxH [TOKENS,...]
//
// PICTURE: RGB, 3 bytes a pixel; <__media__> in PROMPT stands for it. Writes, as float32,
//   OUT.emb      the picture's rows
//   OUT.logits   (1 + tokens, vocabulary): behind the prompt, and behind each of TOKENS, which are taken as answered
#include <stdio.h>
#include <stdlib.h>

#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "engine/run/session.h"

namespace {

[[noreturn]] void Fail(const std::string& message) {
  fprintf(stderr, "peer_picture_rows: %s\n", message.c_str());
  exit(1);
}

template <class T>
T Take(mote::Result<T> result) {
  if (!result.ok()) Fail(result.status().message());
  return std::move(result).value();
}

void Check(const mote::Status& status) {
  if (!status.ok()) Fail(status.message());
}

std::vector<uint8_t> Read(const std::string& path) {
  FILE* file = fopen(path.c_str(), "rb");
  if (file == nullptr) Fail("cannot open " + path);
  std::vector<uint8_t> bytes;
  uint8_t buffer[1 << 16];
  for (size_t got; (got = fread(buffer, 1, sizeof(buffer), file)) > 0;) bytes.insert(bytes.end(), buffer, buffer + got);
  fclose(file);
  return bytes;
}

void Append(std::span<const float> values, FILE* file) {
  if (fwrite(values.data(), sizeof(float), values.size(), file) != values.size()) Fail("could not write");
}

// `bytes` must outlive the file.
std::unique_ptr<mote::GgufFile> Open(const std::vector<uint8_t>& bytes, const std::string& name) {
  std::vector<std::unique_ptr<mote::ByteSource>> parts;
  parts.push_back(mote::CreateMemorySource(bytes, name));
  return Take(mote::GgufFile::FromSources(std::move(parts)));
}

}  // namespace

int main(int argc, char** argv) {
  unsigned width = 0, height = 0;
  if (argc < 7 || argc > 8 || sscanf(argv[6], "%ux%u", &width, &height) != 2) {
    fprintf(stderr, "usage: peer_picture_rows MODEL.gguf MMPROJ.gguf OUT PROMPT PICTURE WxH [TOKENS,...]\n");
    return 2;
  }
  const std::string out = argv[3];
  const std::vector<uint8_t> text = Read(argv[1]);
  const std::vector<uint8_t> vision = Read(argv[2]);
  mote::ModelParams params;
  params.threads = 1;
  const std::unique_ptr<mote::Model> model = Take(mote::Model::Load(Open(text, argv[1]), params));
  Check(model->AttachVision(Open(vision, argv[2]), {}));

  const mote::Image picture = Take(mote::ImageFromRgb(Read(argv[5]), width, height, {}));
  const mote::ImageView view = picture.view();
  mote::ReadStats stats;
  const std::vector<mote::EncodedImage> images = Take(model->vision()->Encode({&view, 1}, {}, &stats));
  mote::EncodeOptions options;
  options.parse_special = true;
  const mote::Prompt prompt = Take(model->EncodeText(argv[4], options, images));
  FILE* rows = fopen((out + ".emb").c_str(), "wb");
  FILE* logits = fopen((out + ".logits").c_str(), "wb");
  if (rows == nullptr || logits == nullptr) Fail("cannot write " + out);
  for (const mote::ImagePlace& place : prompt.images) {
    for (uint32_t i = 0; i < place.image->rows; ++i) Append({place.image->row(i), place.image->cols}, rows);
  }
  const std::unique_ptr<mote::Session> session = Take(mote::Session::Create(*model, 0));
  Check(session->Eval(prompt, 0, {}));
  Append(session->logits(), logits);
  std::istringstream words(argc == 8 ? argv[7] : "");
  for (std::string word; std::getline(words, word, ',');) {
    const int32_t token = atoi(word.c_str());
    Check(session->Eval({&token, 1}, {}));
    Append(session->logits(), logits);
  }
  return fclose(rows) == 0 && fclose(logits) == 0 ? 0 : 1;
}
