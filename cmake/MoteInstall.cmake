# The install tree: libraries, public headers, the CMake package `mote`, mote.pc and mote-static.pc.
#   find_package(mote) gives mote::mote (static) and, where it was built, mote::mote_shared.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
file(GLOB headers CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/engine/api/mote*.h ${CMAKE_SOURCE_DIR}/engine/api/mote*.hpp)
install(FILES ${headers} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development)

# A C program that links the static library needs the C++ run-time library by name.
set(MOTE_CXX_RUNTIME "")
foreach(library IN LISTS CMAKE_CXX_IMPLICIT_LINK_LIBRARIES)
  if(library MATCHES "^(stdc\\+\\+|c\\+\\+|m)$")
    list(APPEND MOTE_CXX_RUNTIME ${library})
  endif()
endforeach()
list(REMOVE_DUPLICATES MOTE_CXX_RUNTIME)
target_link_libraries(mote INTERFACE $<INSTALL_INTERFACE:${MOTE_CXX_RUNTIME}>)

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/mote)
set(exported mote)
if(TARGET mote_shared)
  list(APPEND exported mote_shared)
endif()
install(TARGETS ${exported} EXPORT mote_targets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT runtime NAMELINK_COMPONENT development
  INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT mote_targets NAMESPACE mote:: DESTINATION ${package} FILE mote-targets.cmake COMPONENT development)
configure_package_config_file(${CMAKE_SOURCE_DIR}/cmake/mote-config.cmake.in
  ${CMAKE_BINARY_DIR}/mote-config.cmake INSTALL_DESTINATION ${package})
# Before 1.0 a minor version may break callers.
write_basic_package_version_file(${CMAKE_BINARY_DIR}/mote-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/mote-config.cmake ${CMAKE_BINARY_DIR}/mote-config-version.cmake
  DESTINATION ${package} COMPONENT development)

if(MOTE_HAVE_CUDA)
  install(FILES ${MOTE_CUDART} DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
endif()

# The folders are given from the place of the .pc files, so that the tree may be moved.
set(MOTE_PC_LIBS_PRIVATE "${MOTE_CXX_RUNTIME}")
if(MOTE_HAVE_CUDA)
  list(PREPEND MOTE_PC_LIBS_PRIVATE cudart_static ${CMAKE_DL_LIBS} rt)
endif()
list(TRANSFORM MOTE_PC_LIBS_PRIVATE PREPEND "-l")
list(JOIN MOTE_PC_LIBS_PRIVATE " " MOTE_PC_LIBS_PRIVATE)
file(RELATIVE_PATH MOTE_PC_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" MOTE_PC_PREFIX "${MOTE_PC_PREFIX}")
# `-lmote` takes libmote.so where there is one, `--static` or not: whoever wants the archive alone names mote-static.
foreach(module mote mote-static)
  configure_file(${CMAKE_SOURCE_DIR}/cmake/${module}.pc.in ${CMAKE_BINARY_DIR}/${module}.pc @ONLY)
  install(FILES ${CMAKE_BINARY_DIR}/${module}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)
endforeach()
