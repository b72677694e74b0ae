# A server on the front alone, driven by smuggling_test.py and by hand.
add_executable(echo_server ${CMAKE_CURRENT_LIST_DIR}/echo_server.cc)
mote_link_rooms(echo_server api)
target_link_libraries(echo_server PRIVATE mote_server)
if(Python3_FOUND AND NOT CMAKE_CROSSCOMPILING)
  add_test(NAME smuggling COMMAND Python3::Interpreter -B ${CMAKE_CURRENT_LIST_DIR}/smuggling_test.py
    --server $<TARGET_FILE:echo_server> WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
endif()
