#include "edge/cli/tools/new_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <utility>

#include "edge/cli/console.h"

namespace mote::cli {
namespace {

// The file that a link leads to, so that the link stays one.
std::string Resolved(const std::string& path) {
  char* real = realpath(path.c_str(), nullptr);
  if (real == nullptr) return path;
  std::string resolved = real;
  free(real);
  return resolved;
}

void RequireSpace(const std::string& path, int file, uint64_t bytes) {
  struct statvfs disk = {};
  if (fstatvfs(file, &disk) != 0 || disk.f_blocks == 0) return;  // some file systems do not tell
  const uint64_t free = uint64_t{disk.f_bavail} * disk.f_frsize;
  if (free < bytes) Fail(path + ": needs " + HumanBytes(bytes) + ", the disk has " + HumanBytes(free) + " left");
}

}  // namespace

NewFile::NewFile(const std::string& path, uint64_t bytes) : path_(Resolved(path)), partial_(path_ + ".partial") {
  struct stat there = {};
  if (stat(path_.c_str(), &there) == 0 && !S_ISREG(there.st_mode)) Fail(path + " is there, and is no file");
  const int file = open(partial_.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
  if (file < 0) Fail(partial_ + ": " + strerror(errno));
  // What an interrupted run left is written over; what a running one writes is not.
  if (flock(file, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    close(file);
    Fail(partial_ + " is being written by another process");
  }
  if (ftruncate(file, 0) != 0 || (file_ = fdopen(file, "wb")) == nullptr) {
    const std::string why = strerror(errno);
    close(file);
    remove(partial_.c_str());
    Fail(partial_ + ": " + why);
  }
  try {
    RequireSpace(path, file, bytes);
  } catch (const Failure&) {
    fclose(file_);
    remove(partial_.c_str());
    throw;
  }
}

NewFile::~NewFile() {
  if (file_ == nullptr) return;
  // Removed first: once it is closed, another process may begin to write there.
  remove(partial_.c_str());
  fclose(file_);
}

Status NewFile::Write(const void* bytes, size_t size) {
  if (fwrite(bytes, 1, size, file_) == size) return {};
  return Status(Code::kIo, partial_ + ": " + strerror(errno));
}

Status NewFile::Flush() {
  if (fflush(file_) == 0) return {};
  return Status(Code::kIo, partial_ + ": " + strerror(errno));
}

void NewFile::Finish() {
  // The data must be on the disk before the name is.
  const bool written = fflush(file_) == 0 && fsync(fileno(file_)) == 0;
  const int write_error = errno;
  if (!written || rename(partial_.c_str(), path_.c_str()) != 0) {
    Fail(path_ + ": " + strerror(written ? errno : write_error));  // the destructor removes what there is
  }
  fclose(std::exchange(file_, nullptr));
}

std::string PartialPath(const std::string& path) {
  return Resolved(path) + ".partial";
}

bool SameFile(const std::string& a, const std::string& b) {
  struct stat one = {};
  struct stat two = {};
  return stat(a.c_str(), &one) == 0 && stat(b.c_str(), &two) == 0 && one.st_dev == two.st_dev &&
         one.st_ino == two.st_ino;
}

}  // namespace mote::cli
