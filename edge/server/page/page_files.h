// The files of this folder that a browser is given, as cmake/MotePage.cmake puts them into the program.
#ifndef MOTE_EDGE_SERVER_PAGE_PAGE_FILES_H_
#define MOTE_EDGE_SERVER_PAGE_PAGE_FILES_H_

#include <stddef.h>

namespace mote::server {

struct PageFile {
  const char* name;  // "index.html"
  const unsigned char* bytes;
  size_t size;
};
extern const PageFile kPageFiles[];
extern const size_t kPageFileCount;

}  // namespace mote::server

#endif  // MOTE_EDGE_SERVER_PAGE_PAGE_FILES_H_
