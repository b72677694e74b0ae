# The page at /: the files of edge/server/page as arrays of bytes in mote_server, so that the program carries it.
file(GLOB page_files CONFIGURE_DEPENDS RELATIVE ${CMAKE_CURRENT_SOURCE_DIR}/server/page
  server/page/*.html server/page/*.css server/page/*.js server/page/*.svg server/page/*.webmanifest)
set(arrays "")
set(rows "")
foreach(file ${page_files})
  set(path ${CMAKE_CURRENT_SOURCE_DIR}/server/page/${file})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${path})
  file(READ ${path} hex HEX)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
  string(MAKE_C_IDENTIFIER ${file} name)
  string(APPEND arrays "const unsigned char ${name}[] = {${bytes}};\n")
  string(APPEND rows "    {\"${file}\", ${name}, sizeof(${name})},\n")
endforeach()
set(page_source ${CMAKE_CURRENT_BINARY_DIR}/page_files.cc)
file(CONFIGURE OUTPUT ${page_source} @ONLY CONTENT "// Made by cmake/MotePage.cmake of edge/server/page.
#include \"edge/server/page/page_files.h\"

namespace mote::server {
namespace {
@arrays@}  // namespace

const PageFile kPageFiles[] = {
@rows@};
const size_t kPageFileCount = sizeof(kPageFiles) / sizeof(kPageFiles[0]);

}  // namespace mote::server
")
target_sources(mote_server PRIVATE ${page_source})
