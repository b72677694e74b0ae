# The GPU backend: the room `gpu` is targets/cuda where there is an nvcc, else its twin targets/no_cuda.
#   MOTE_CUDA        auto: where nvcc is found, for the machine that builds and without sanitizers; ON: must be; OFF
#   MOTE_CUDA_ARCHS  compute capabilities: a list, or `all` that the compiler knows of those that mote runs on. The last
#                    one is kept as PTX as well, which newer GPUs compile for themselves when the program starts
#                    the first time.
set(MOTE_CUDA "auto" CACHE STRING "GPU backend: auto, ON or OFF")
set_property(CACHE MOTE_CUDA PROPERTY STRINGS auto ON OFF)
set(MOTE_CUDA_ARCHS "80" CACHE STRING "Compute capabilities, as 75;80;86, or all")

set(MOTE_HAVE_CUDA OFF)
if(NOT MOTE_WASM AND NOT MOTE_CUDA STREQUAL "OFF")
  set(wanted ON)
  if(MOTE_CUDA STREQUAL "auto" AND (CMAKE_CROSSCOMPILING OR MOTE_SANITIZE))
    set(wanted OFF)
  endif()
  if(wanted)
    find_program(MOTE_NVCC nvcc HINTS ENV CUDA_PATH PATH_SUFFIXES bin PATHS /usr/local/cuda/bin /opt/cuda/bin)
    if(MOTE_NVCC)
      set(CMAKE_CUDA_COMPILER ${MOTE_NVCC})
      set(CMAKE_CUDA_HOST_COMPILER ${CMAKE_CXX_COMPILER})
      set(CMAKE_CUDA_ARCHITECTURES OFF)  # named below
      if(MOTE_CCACHE)
        set(CMAKE_CUDA_COMPILER_LAUNCHER ${MOTE_LAUNCHER})
      endif()
      enable_language(CUDA)
      set(MOTE_HAVE_CUDA ON)
    elseif(MOTE_CUDA STREQUAL "ON")
      message(FATAL_ERROR "MOTE_CUDA is ON, but there is no nvcc; put it on the PATH, or set MOTE_NVCC")
    else()
      message(STATUS "CUDA: left out, because there is no nvcc")
    endif()
  endif()
endif()

if(NOT MOTE_HAVE_CUDA)
  mote_room(gpu DIR targets/no_cuda USES core graph)
  return()
endif()

# What the compiler knows of the architectures that mote has kernels for.
set(archs ${MOTE_CUDA_ARCHS})
if(archs STREQUAL "all")
  execute_process(COMMAND ${MOTE_NVCC} --list-gpu-code OUTPUT_VARIABLE known ERROR_QUIET)
  set(archs "")
  foreach(arch 75 80 86 87 89 90 100 110 120)
    if(known MATCHES "sm_${arch}[^0-9a-z]")
      list(APPEND archs ${arch})
    endif()
  endforeach()
endif()
set(gencode "")
foreach(arch IN LISTS archs)
  # Hopper's products of four warps (targets/cuda/wgmma.h) are for it alone, and have to be asked for (CUDA 12).
  set(code ${arch})
  if(arch STREQUAL "90" AND CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 12)
    set(code 90a)
  endif()
  list(APPEND gencode "--generate-code=arch=compute_${code},code=sm_${code}")
endforeach()
list(GET archs -1 last)
list(APPEND gencode "--generate-code=arch=compute_${last},code=compute_${last}")
list(JOIN archs " " shown)
set(MOTE_CUDA_SHOWN_ARCHS "${shown}")
message(STATUS "CUDA: ${MOTE_NVCC} ${CMAKE_CUDA_COMPILER_VERSION}, for ${shown}")

mote_room(gpu DIR targets/cuda USES core graph)
file(GLOB kernels CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/targets/cuda/*.cu)
add_library(mote_gpu_kernels OBJECT ${kernels})
target_include_directories(mote_gpu_kernels PRIVATE ${CMAKE_SOURCE_DIR})
# Nothing is fused but what says fmaf: kernels that must agree would be fused differently.
target_compile_options(mote_gpu_kernels PRIVATE -fmad=false --expt-relaxed-constexpr ${gencode}
  "SHELL:-Xcompiler -fPIC,-fvisibility=hidden,-fno-exceptions,-fno-rtti,-ffp-contract=off,-fstack-protector-strong")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")  # as MoteHardening does
  target_compile_options(mote_gpu_kernels PRIVATE "SHELL:-Xcompiler -fcf-protection=full")
endif()
target_compile_definitions(mote_gpu_kernels PRIVATE "MOTE_CUDA_KERNELS_FOR=\"${shown}\"")
set_target_properties(mote_gpu_kernels PROPERTIES CUDA_STANDARD 17 CUDA_STANDARD_REQUIRED ON)
set(MOTE_ROOM_CLOSURE_gpu ${MOTE_ROOM_CLOSURE_gpu} gpu_kernels CACHE INTERNAL "")
set(MOTE_ROOMS ${MOTE_ROOMS} gpu_kernels CACHE INTERNAL "")

# Static: it looks for the driver at run time, so that the program starts where there is none.
get_filename_component(toolkit ${MOTE_NVCC} DIRECTORY)
find_library(MOTE_CUDART cudart_static HINTS ${toolkit}/../lib64 ${toolkit}/../lib ${CMAKE_CUDA_IMPLICIT_LINK_DIRECTORIES}
  REQUIRED)
target_link_libraries(mote_flags INTERFACE $<LINK_ONLY:${MOTE_CUDART}> $<LINK_ONLY:${CMAKE_DL_LIBS}> $<LINK_ONLY:rt>)
