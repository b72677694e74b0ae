#include "edge/cli/line_reader.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "edge/cli/console.h"
#ifdef MOTE_HAVE_LIBEDIT
#include <histedit.h>
#endif

namespace mote::cli {
namespace {

LineReader::Event ReadPlain(const std::string& prompt, std::string* line) {
  fputs(prompt.c_str(), stderr);
  fflush(stderr);
  line->clear();
  while (true) {
    errno = 0;
    const int c = getc(stdin);
    if (c == '\n') return LineReader::Event::kLine;
    if (c == EOF) {
      const bool interrupted = ferror(stdin) != 0 && errno == EINTR;
      clearerr(stdin);
      if (interrupted) return LineReader::Event::kInterrupt;
      return line->empty() ? LineReader::Event::kEnd : LineReader::Event::kLine;
    }
    *line += static_cast<char>(c);
  }
}

}  // namespace

#ifdef MOTE_HAVE_LIBEDIT

struct LineReader::Editor {
  EditLine* edit = nullptr;
  History* history = nullptr;
  std::string prompt;

  ~Editor() {
    if (history != nullptr) history_end(history);
    if (edit != nullptr) el_end(edit);
  }
  static char* Prompt(EditLine* edit) {
    void* data = nullptr;
    el_get(edit, EL_CLIENTDATA, &data);
    return static_cast<Editor*>(data)->prompt.data();
  }
};

LineReader::LineReader() {
  if (!IsTerminal(stdin) || !IsTerminal(stderr)) return;
  // libedit reads characters and counts columns by it; numbers keep the C locale. Where no locale is set, as in a
  // container, it would drop every letter beyond ASCII; models take UTF-8 whatever the terminal is said to speak.
  setlocale(LC_CTYPE, "");
  if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0) setlocale(LC_CTYPE, "C.UTF-8");
  auto editor = std::make_unique<Editor>();
  // Echo and prompt go to stderr: stdout carries answers only.
  editor->edit = el_init("mote", stdin, stderr, stderr);
  editor->history = history_init();
  if (editor->edit == nullptr || editor->history == nullptr) return;
  HistEvent event;
  history(editor->history, &event, H_SETSIZE, 1000);
  history(editor->history, &event, H_SETUNIQUE, 1);
  el_set(editor->edit, EL_CLIENTDATA, editor.get());
  el_set(editor->edit, EL_PROMPT, Editor::Prompt);
  el_set(editor->edit, EL_EDITOR, "emacs");
  el_set(editor->edit, EL_HIST, history, editor->history);
  el_set(editor->edit, EL_SIGNAL, 0);  // SIGINT is ours
  el_source(editor->edit, nullptr);    // ~/.editrc
  editor_ = std::move(editor);
}

LineReader::Event LineReader::Read(const std::string& prompt, std::string* line) {
  if (editor_ == nullptr) return ReadPlain(prompt, line);
  editor_->prompt = prompt;
  int count = 0;
  errno = 0;
  const char* text = el_gets(editor_->edit, &count);
  if (text == nullptr || count <= 0) {
    if (errno == EINTR || count < 0) {
      el_reset(editor_->edit);
      fputc('\n', stderr);
      return Event::kInterrupt;
    }
    return Event::kEnd;
  }
  line->assign(text, static_cast<size_t>(count));
  if (!line->empty() && line->back() == '\n') line->pop_back();
  if (!line->empty()) {
    HistEvent event;
    history(editor_->history, &event, H_ENTER, line->c_str());
  }
  return Event::kLine;
}

#else

struct LineReader::Editor {};
LineReader::LineReader() = default;
LineReader::Event LineReader::Read(const std::string& prompt, std::string* line) {
  return ReadPlain(prompt, line);
}

#endif

LineReader::~LineReader() = default;

}  // namespace mote::cli
