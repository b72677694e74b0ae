// Runs the files of the folders named on the command line (and files named there) through a fuzz target, in the order
// of their names. Where there is no libFuzzer: other compilers, emulators, wasm.
#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <algorithm>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

// A folder's entries, sorted; the path itself where it is no folder.
std::vector<std::string> FilesOf(const std::string& path) {
  DIR* folder = opendir(path.c_str());
  if (folder == nullptr) return {path};
  std::vector<std::string> files;
  while (const dirent* entry = readdir(folder)) {
    if (entry->d_name[0] != '.') files.push_back(path + "/" + entry->d_name);
  }
  closedir(folder);
  std::sort(files.begin(), files.end());
  return files;
}

bool ReadFile(const std::string& path, std::vector<uint8_t>* bytes) {
  FILE* file = fopen(path.c_str(), "rb");
  if (file == nullptr) return false;
  bytes->clear();
  uint8_t chunk[4096];
  while (const size_t got = fread(chunk, 1, sizeof(chunk), file)) bytes->insert(bytes->end(), chunk, chunk + got);
  const bool good = ferror(file) == 0;
  fclose(file);
  bytes->shrink_to_fit();  // the sanitizer sees the first byte behind the input
  return good;
}

}  // namespace

int main(int argc, char** argv) {
  size_t count = 0;
  std::vector<uint8_t> bytes;
  for (int i = 1; i < argc; ++i) {
    for (const std::string& path : FilesOf(argv[i])) {
      if (!ReadFile(path, &bytes)) {
        fprintf(stderr, "%s: cannot be read\n", path.c_str());
        return 1;
      }
      // Before the input runs: if it crashes, this line says which one it was.
      printf("%s: %zu bytes\n", path.c_str(), bytes.size());
      fflush(stdout);
      LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
      ++count;
    }
  }
  printf("%zu inputs\n", count);
  if (count == 0) fprintf(stderr, "no inputs: give the folders of a corpus\n");
  return count == 0 ? 1 : 0;
}
