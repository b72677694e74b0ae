# What a wasm32 build needs beyond its toolchain file: SIMD flags, linking, header-only libraries, Node to run programs.
option(MOTE_WASM_RELAXED "wasm: relaxed SIMD (Node 24, Chrome 114, Firefox 145 or newer)" OFF)
set(MOTE_NODE "" CACHE FILEPATH "wasm: Node 24 or newer, which runs the tests (empty: looked for)")

# Libraries of headers alone are taken from the host through links, so that nothing else of it can be included.
set(host_include ${CMAKE_BINARY_DIR}/host-include)
file(MAKE_DIRECTORY ${host_include})
foreach(library hwy nlohmann)
  if(NOT EXISTS /usr/include/${library})
    message(FATAL_ERROR "/usr/include/${library} is missing: install libhwy-dev and nlohmann-json3-dev")
  endif()
  if(NOT EXISTS ${host_include}/${library})
    file(CREATE_LINK /usr/include/${library} ${host_include}/${library} SYMBOLIC)
  endif()
endforeach()
add_compile_options("SHELL:-idirafter ${host_include}")

add_compile_options(-msimd128 $<$<COMPILE_LANGUAGE:CXX>:-fno-exceptions> $<$<COMPILE_LANGUAGE:CXX>:-fno-rtti>)
# Relaxed SIMD is for the rooms that hold kernels or tell what there is; with all others the same as without it, a build
# of one kind finds most objects of the other in ccache.
if(MOTE_WASM_RELAXED)
  set(MOTE_SIMD_FLAGS -mrelaxed-simd)
endif()
# Threads: instances of one program over one memory (targets/wasm/README.md). Kernels share no words between threads and
# are compiled without; everything else has atomics and the variables of threads. The C library has neither, hence
# --no-check-features, and its heap gets a lock: mote_wasm_heap.
set(MOTE_THREAD_FLAGS -matomics -mbulk-memory -isystem ${CMAKE_SOURCE_DIR}/targets/wasm/libc)
set(MOTE_HEAP_FUNCTIONS malloc calloc realloc aligned_alloc posix_memalign free)
add_link_options(-Wl,--shared-memory -Wl,--import-memory -Wl,--export-memory -Wl,--no-check-features
  -Wl,--export=__stack_pointer -Wl,--export=__wasm_init_tls)
foreach(function IN LISTS MOTE_HEAP_FUNCTIONS)
  add_link_options(-Wl,--wrap=${function})
endforeach()
# Programs call their constructors in _start. With the compiler's own start-up file they would do so in every export, as
# each might be the only one that is ever called. Not for what is no program (MOTE_REACTOR).
set(program_start -nostartfiles ${CMAKE_FIND_ROOT_PATH}/crt1.o)
add_link_options("$<$<NOT:$<BOOL:$<TARGET_PROPERTY:MOTE_REACTOR>>>:${program_start}>")
# 8 MiB of stack as on Linux, at the bottom of memory, so that an overflow traps rather than runs into data; the rest
# may grow to all that 32 bits address.
add_link_options(-Wl,-z,stack-size=8388608 -Wl,--stack-first -Wl,--max-memory=4294967296)

# Node: as told; else the one that scripts/node has installed; else one on the PATH that is new enough.
set(candidates ${MOTE_NODE})
if(NOT MOTE_NODE)
  find_program(MOTE_NODE_ON_PATH node)
  set(candidates ${CMAKE_SOURCE_DIR}/build/tools/node_modules/node/bin/node ${MOTE_NODE_ON_PATH})
endif()
set(node "")
foreach(candidate IN LISTS candidates)
  if(NOT node AND EXISTS ${candidate})
    execute_process(COMMAND ${candidate} --version OUTPUT_VARIABLE version OUTPUT_STRIP_TRAILING_WHITESPACE)
    if(version MATCHES "^v([0-9]+)\\." AND CMAKE_MATCH_1 GREATER_EQUAL 24)
      set(node ${candidate})
    endif()
  endif()
endforeach()
if(node)
  message(STATUS "Node: ${node}")
  set(CMAKE_CROSSCOMPILING_EMULATOR ${node};--no-warnings;${CMAKE_SOURCE_DIR}/tests/support/wasm_runner.mjs)
elseif(MOTE_TESTS)
  message(FATAL_ERROR "No Node 24 or newer, which the tests of a wasm build run under. "
    "scripts/node installs one into build/tools; -DMOTE_NODE=PATH names one; -DMOTE_TESTS=OFF does without.")
endif()
