# Options, and the flags that every target of mote shares.
option(MOTE_TESTS "Build the tests" ON)
option(MOTE_SHARED "Build libmote.so beside libmote.a" OFF)
option(MOTE_BUNDLE "The installed program finds libraries in ../lib/mote (scripts/package puts them there)" OFF)
set(MOTE_SANITIZE "" CACHE STRING "Sanitizers: address,undefined or thread")
option(MOTE_FUZZ "Build the libFuzzer targets (clang)" OFF)
option(MOTE_WERROR "Warnings are errors" OFF)

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 11)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
# Build types: Release, Debug, RelWithDebInfo, and Sanitize: assertions, lines in reports, and -O0 for what takes six times as
# long to compile otherwise (kernels) or is compiled more than it runs (tests, the program); rooms of the engine have -O1.
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
foreach(language C CXX)
  # CMake has put an empty one into its cache by now.
  if(NOT CMAKE_${language}_FLAGS_SANITIZE)
    set(CMAKE_${language}_FLAGS_SANITIZE "-O0 -g1" CACHE STRING "Flags of the sanitizer builds" FORCE)
  endif()
endforeach()

set(MOTE_WASM OFF)
if(CMAKE_SYSTEM_NAME STREQUAL "WASI")
  set(MOTE_WASM ON)
else()
  set(CMAKE_POSITION_INDEPENDENT_CODE ON)  # wasm code would reach its data through tables of addresses
endif()

find_program(MOTE_CCACHE ccache)
if(MOTE_CCACHE)
  # Names relative to the source tree, so that one clone finds what another has compiled.
  set(MOTE_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=true ${MOTE_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${MOTE_LAUNCHER})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${MOTE_LAUNCHER})
endif()

if(MOTE_WASM)
  include(MoteWasm)
else()
  find_package(Threads REQUIRED)
  include(CheckPIESupported)
  check_pie_supported()
endif()

add_library(mote_flags INTERFACE)
target_include_directories(mote_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(mote_flags INTERFACE -Wall -Wextra -Wno-unused-parameter
  -Wno-missing-field-initializers  # designated initialisers leave out what keeps its default
  $<$<CXX_COMPILER_ID:GNU>:-Wshadow=local>
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>  # false in GCC 12 wherever strings are joined (GCC bug 105651)
  # Results must not depend on whether the compiler fuses a multiply and an add.
  -ffp-contract=off -fno-math-errno)
if(MOTE_WASM)
  add_library(mote_wasm_heap STATIC ${CMAKE_SOURCE_DIR}/targets/wasm/heap/heap.cc)
  target_include_directories(mote_wasm_heap PRIVATE ${CMAKE_SOURCE_DIR})
  target_compile_options(mote_wasm_heap PRIVATE ${MOTE_THREAD_FLAGS} -Wall -Wextra)
  target_link_libraries(mote_flags INTERFACE mote_wasm_heap)
endif()
if(MOTE_WERROR)
  target_compile_options(mote_flags INTERFACE -Werror)
endif()
if(MOTE_SANITIZE)
  # vptr needs run-time type information, which the library does without.
  target_compile_options(mote_flags INTERFACE -fsanitize=${MOTE_SANITIZE} -fno-sanitize=vptr -fno-omit-frame-pointer
    -fno-sanitize-recover=all -D_GLIBCXX_ASSERTIONS)
  target_link_options(mote_flags INTERFACE -fsanitize=${MOTE_SANITIZE})
  if(MOTE_FUZZ)
    target_compile_options(mote_flags INTERFACE -fsanitize=fuzzer-no-link)
  endif()
elseif(NOT MOTE_WASM)
  include(MoteHardening)
endif()
