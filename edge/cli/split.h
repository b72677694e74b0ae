// --split: a model shared with other processes, which mpirun has started with the same words.
#ifndef MOTE_EDGE_CLI_SPLIT_H_
#define MOTE_EDGE_CLI_SPLIT_H_

#include <stddef.h>

#include "edge/cli/options.h"

namespace mote::cli {

// Stands before everything else of a command that takes --split, and outlives its model.
class SplitGuard {
 public:
  // Joins the others where --split was given, and has the model loaded with the link to them. Failure where
  // libmote_mpi.so is not there or mpirun has not started this.
  explicit SplitGuard(ModelOptions* options);
  // Takes leave of the others.
  ~SplitGuard();
  SplitGuard(const SplitGuard&) = delete;
  SplitGuard& operator=(const SplitGuard&) = delete;

  // True on all ranks but the first: Serve is all that they do.
  bool follows() const { return options_.link != nullptr && options_.link->rank > 0; }
  int Serve() const;
  // Failure once another process is lost: for a command that may wait long for anything to compute.
  void CheckOthers() const;

 private:
  const ModelOptions& options_;
  bool (*lost_)(char*, size_t) = nullptr;
  bool (*close_)() = nullptr;
};

// True where another process was lost: this one must end by _exit, because MPI would wait for that one.
bool LostInSplit();

}  // namespace mote::cli

#endif  // MOTE_EDGE_CLI_SPLIT_H_
