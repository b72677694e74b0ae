// What a command writes beside stdout, and what it must not write over.
#ifndef MOTE_EDGE_CLI_OUTPUT_FILE_H_
#define MOTE_EDGE_CLI_OUTPUT_FILE_H_

#include <stdint.h>

#include <memory>
#include <string>
#include <vector>

namespace mote::cli {

// A file appears under its name only when it is whole, as tools/new_file.h has it. A pipe or a device (/dev/null, and
// /dev/stdout wherever that leads) can have no other file put in its place: it is written as it is, and never removed.
class OutputFile {
 public:
  // Failure where `path` cannot be written, or where the disk has not `bytes` left.
  OutputFile(const std::string& path, uint64_t bytes);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  bool Write(const void* bytes, size_t size);  // false where it is refused; why() tells
  const std::string& why() const { return why_; }
  void Finish();  // Failure where the rest is refused

 private:
  struct Place;
  std::unique_ptr<Place> place_;
  std::string path_;
  std::string why_;
};

// Wrong words where `out`, which `name` stands for, or the file that it is written as until it is whole, is one of
// those that the command reads: of a model in several parts each part counts. Empty names and "-" are passed over.
void RefuseInput(const std::string& name, const std::string& out, const std::vector<std::string>& inputs);

}  // namespace mote::cli

#endif  // MOTE_EDGE_CLI_OUTPUT_FILE_H_
