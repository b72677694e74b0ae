# The official clients of npm against `mote serve`. Exits 77, aloud, where they are not installed: scripts/clients.
if(NOT TARGET mote_program OR CMAKE_CROSSCOMPILING OR MOTE_SANITIZE OR NOT MOTE_BUILTIN_NAME)
  return()
endif()
find_program(MOTE_NODE node HINTS ${CMAKE_SOURCE_DIR}/build/tools/node_modules/node/bin)
if(MOTE_NODE)
  add_test(NAME server_clients COMMAND ${MOTE_NODE} ${CMAKE_CURRENT_LIST_DIR}/openai_client_test.mjs
    --program $<TARGET_FILE:mote_program> WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(server_clients PROPERTIES SKIP_RETURN_CODE 77)
else()
  message(STATUS "Tests of the server with npm's clients: left out, because there is no node")
endif()
