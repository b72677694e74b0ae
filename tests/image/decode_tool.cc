// Decodes image files for tests/image/pillow_test.py, which compares them with Pillow's pixels.
//
// Reads jobs from standard input until it ends: a line "BYTES ALPHA" (ALPHA: 0 over white, 1 dropped), then the file.
// Writes a line "WIDTH HEIGHT" and the pixels, or a line "ERROR message".
#include <stdio.h>

#include <vector>

#include "edge/image/decode.h"

int main() {
  size_t size = 0;
  int drop = 0;
  while (scanf("%zu %d", &size, &drop) == 2) {
    getchar();  // the end of the line
    std::vector<uint8_t> file(size);
    if (fread(file.data(), 1, size, stdin) != size) return 1;
    const auto image = mote::DecodeImage(file, {}, drop != 0 ? mote::Alpha::kDrop : mote::Alpha::kOverWhite);
    if (image.ok()) {
      printf("%u %u\n", image->width, image->height);
      fwrite(image->rgb.data(), 1, image->rgb.size(), stdout);
    } else {
      printf("ERROR %s\n", image.status().message().c_str());
    }
    fflush(stdout);
  }
  return 0;
}
