# `mote key` from outside.
if(Python3_FOUND AND TARGET mote_program AND NOT CMAKE_CROSSCOMPILING)
  add_test(NAME server_key COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_LIST_DIR}/key_test.py
    --program $<TARGET_FILE:mote_program> --version ${PROJECT_VERSION} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
endif()

# By hand: whether the time of looking up a key tells anything about it.
add_executable(dudect EXCLUDE_FROM_ALL ${CMAKE_CURRENT_LIST_DIR}/dudect.cc)
mote_link_rooms(dudect api)
target_link_libraries(dudect PRIVATE mote_server)
