# `mote serve` from outside. Not emulated: what it shows of threads and sockets is this machine's.
if(NOT TARGET mote_program OR NOT Python3_FOUND OR CMAKE_CROSSCOMPILING)
  return()
endif()
add_test(NAME server_serve COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_LIST_DIR}/serve_test.py
  --program $<TARGET_FILE:mote_program> "--builtin=${MOTE_BUILTIN_NAME}" WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
