// Answers a question about a picture: see MODEL.gguf MMPROJ.gguf PICTURE.ppm "What is in it?"
#include <fstream>
#include <iostream>
#include <mote.hpp>
#include <string>
#include <vector>

static int Fail(const std::string& message) {
  std::cerr << "see: " << message << "\n";
  return 1;
}

// Binary PPM, 8 bits a channel, without comments. Empty where it is something else.
static std::vector<char> ReadPpm(const char* path, mote_image* image) {
  std::ifstream file(path, std::ios::binary);
  std::string magic;
  uint32_t most = 0;
  file >> magic >> image->width >> image->height >> most;
  file.get();
  if (!file || magic != "P6" || most != 255 || image->width > 4096 || image->height > 4096) return {};
  std::vector<char> pixels(size_t{3} * image->width * image->height);
  if (!file.read(pixels.data(), static_cast<std::streamsize>(pixels.size()))) return {};
  image->pixels = reinterpret_cast<const uint8_t*>(pixels.data());
  image->channels = 3;
  return pixels;
}

int main(int argc, char** argv) {
  if (argc != 5) {
    std::cerr << "usage: see MODEL.gguf MMPROJ.gguf PICTURE.ppm QUESTION\n";
    return 2;
  }
  mote_image image = {};
  const std::vector<char> pixels = ReadPpm(argv[3], &image);
  if (pixels.empty()) return Fail(std::string(argv[3]) + ": not a binary PPM of up to 4096 x 4096");
  auto model = mote::Model::Load(argv[1]);
  if (!model) return Fail(model.error().message);
  if (auto vision = model->LoadVision(argv[2]); !vision) return Fail(vision.error().message);
  auto session = mote::Session::Create(*model);
  if (!session) return Fail(session.error().message);
  auto prompt = mote::Prompt::FromChat(*model, {{"user", argv[4], ""}}, {image});
  if (!prompt) return Fail(prompt.error().message);

  mote::GenerateOptions options;
  options.sampling.temperature = 0;  // the likeliest token each time
  options.max_tokens = 64;
  options.on_text = [](std::string_view text, mote::Token) { return bool(std::cout << text << std::flush); };
  auto answer = session->Generate(*prompt, options);
  return answer ? 0 : Fail(answer.error().message);
}
