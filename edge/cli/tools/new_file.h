// A file that appears under its name only when it is whole.
#ifndef MOTE_EDGE_CLI_TOOLS_NEW_FILE_H_
#define MOTE_EDGE_CLI_TOOLS_NEW_FILE_H_

#include <stdint.h>
#include <stdio.h>

#include <string>

#include "engine/core/status.h"

namespace mote::cli {

// Written beside its place, as PATH.partial, and moved there by Finish. What is not finished is removed. Failure where
// PATH is no place for a file, where somebody else is writing it, or where the disk has not `bytes` left.
class NewFile {
 public:
  NewFile(const std::string& path, uint64_t bytes);
  ~NewFile();
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  Status Write(const void* bytes, size_t size);
  Status Flush();                                          // so that who reads partial() sees all that was written
  const std::string& partial() const { return partial_; }  // where it is until Finish
  void Finish();                                           // Failure where the disk refuses

 private:
  std::string path_;
  std::string partial_;
  FILE* file_ = nullptr;
};

// Where what becomes `path` is written until it is whole.
std::string PartialPath(const std::string& path);

// Whether both names lead to one file.
bool SameFile(const std::string& a, const std::string& b);

}  // namespace mote::cli

#endif  // MOTE_EDGE_CLI_TOOLS_NEW_FILE_H_
