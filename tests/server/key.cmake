# `mote key` from outside.
if(Python3_FOUND AND TARGET mote_program AND NOT CMAKE_CROSSCOMPILING)
  add_test(NAME key COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_LIST_DIR}/key_test.py
    --program $<TARGET_FILE:mote_program> --version ${PROJECT_VERSION} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
endif()
