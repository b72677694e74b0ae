# 64-bit Arm Linux (Jetson, Raspberry Pi, servers) with Debian's cross compiler. Tests run under qemu's user emulation.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
# Where Debian's arm64 C and C++ libraries are installed (the former comes with any arm64 library), programs run on those:
# together with the cross compiler's they would meet a C library of one version and a loader of another.
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64-static)
if(NOT EXISTS /lib/ld-linux-aarch64.so.1 OR NOT EXISTS /usr/lib/aarch64-linux-gnu/libstdc++.so.6)
  list(APPEND CMAKE_CROSSCOMPILING_EMULATOR -L /usr/aarch64-linux-gnu)
endif()

# The cross compiler's own libraries, then Debian's :arm64 packages. Those share headers with the host's architecture; the
# libraries lie in folders of their own.
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu /)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
# Packages of headers alone (in /usr/share) serve every architecture.
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE BOTH)
