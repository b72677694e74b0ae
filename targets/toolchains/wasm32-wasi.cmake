# WebAssembly, 32 bit, WASI preview 1, with Debian's clang 19, wasi-libc and libc++ for wasm32.
#   cmake --preset wasm            128-bit SIMD
#   cmake --preset wasm-relaxed    the same with relaxed SIMD (MOTE_WASM_RELAXED)
# Programs run under Node (cmake/MoteWasm.cmake, tests/support/wasm_runner.mjs).
set(CMAKE_SYSTEM_NAME WASI)
set(CMAKE_SYSTEM_PROCESSOR wasm32)
list(APPEND CMAKE_MODULE_PATH ${CMAKE_CURRENT_LIST_DIR})  # Platform/WASI.cmake

set(CMAKE_C_COMPILER clang-19)
set(CMAKE_CXX_COMPILER clang++-19)
set(CMAKE_AR llvm-ar-19)
set(CMAKE_RANLIB llvm-ranlib-19)
set(CMAKE_C_COMPILER_TARGET wasm32-wasi)
set(CMAKE_CXX_COMPILER_TARGET wasm32-wasi)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)

# Debian's clang also searches /usr/include for this target, where a header of the host could slip in. The order of
# what remains is the compiler's own: the C++ library, the compiler's headers, the C library.
set(CMAKE_C_FLAGS_INIT "-nostdlibinc -idirafter /usr/include/wasm32-wasi")
set(CMAKE_CXX_FLAGS_INIT
  "-nostdlibinc -isystem /usr/include/wasm32-wasi/c++/v1 -idirafter /usr/include/wasm32-wasi")

set(CMAKE_EXE_LINKER_FLAGS_INIT "-Wno-unused-command-line-argument")  # the include options above, when linking

set(CMAKE_FIND_ROOT_PATH /usr/lib/wasm32-wasi)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
