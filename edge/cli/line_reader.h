// Lines from a person: with editing and history where libedit is there, as they come elsewhere.
#ifndef MOTE_EDGE_CLI_LINE_READER_H_
#define MOTE_EDGE_CLI_LINE_READER_H_

#include <memory>
#include <string>

namespace mote::cli {

class LineReader {
 public:
  enum class Event { kLine, kEnd, kInterrupt };

  LineReader();
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  // Shows `prompt` on stderr and reads one line, without its end. kInterrupt: a signal came first.
  Event Read(const std::string& prompt, std::string* line);

 private:
  struct Editor;
  std::unique_ptr<Editor> editor_;
};

}  // namespace mote::cli

#endif  // MOTE_EDGE_CLI_LINE_READER_H_
