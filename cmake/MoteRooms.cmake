# A room is a folder of the library: an object library mote_<name>, without exceptions and run-time type information.
#   mote_room(<name> DIR <folder> [USES room...] [KERNELS] [SIMD_FLAGS] [COLD] [EXCEPTIONS_OK])
# Sources are all .cc files directly in the folder (all below it with KERNELS). Lists kept by hand drift; a glob does not.
set(MOTE_ROOMS "" CACHE INTERNAL "")  # those of this configuration: options take rooms in and leave them out
function(mote_room name)
  cmake_parse_arguments(ROOM "KERNELS;SIMD_FLAGS;COLD;EXCEPTIONS_OK" "DIR" "USES" ${ARGN})
  if(ROOM_KERNELS)
    file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${ROOM_DIR}/*.cc)
  else()
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${ROOM_DIR}/*.cc)
  endif()
  if(NOT sources)
    file(WRITE ${CMAKE_BINARY_DIR}/empty_${name}.cc "")
    set(sources ${CMAKE_BINARY_DIR}/empty_${name}.cc)
  endif()
  add_library(mote_${name} OBJECT ${sources})
  target_link_libraries(mote_${name} PRIVATE mote_flags)
  target_compile_options(mote_${name} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fno-rtti>)
  if(NOT ROOM_EXCEPTIONS_OK)
    target_compile_options(mote_${name} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fno-exceptions>)
  endif()
  if(NOT ROOM_KERNELS)
    target_compile_options(mote_${name} PRIVATE ${MOTE_THREAD_FLAGS})
  endif()
  if(ROOM_COLD AND MOTE_WASM)
    # Bytes on the wire count for more than time in what runs once per load or per request.
    target_compile_options(mote_${name} PRIVATE $<$<CONFIG:Release,RelWithDebInfo>:-Os>)
  endif()
  if(ROOM_KERNELS OR ROOM_SIMD_FLAGS)
    target_compile_options(mote_${name} PRIVATE ${MOTE_SIMD_FLAGS})
  endif()
  if(ROOM_KERNELS)
    # Highway is used by its headers alone: no run-time library, so nothing of it can abort or pick a target for us.
    target_compile_definitions(mote_${name} PRIVATE HWY_IS_DEBUG_BUILD=0)
    target_compile_options(mote_${name} PRIVATE $<$<CONFIG:Release,RelWithDebInfo>:-O3>)
    # gcc 12 turns an `if` within a loop over 512-bit vectors into masked operations whose mask is the one bit of the
    # condition: 15 of 16 lanes are lost. Our vectors are explicit; the scalar rows (ref/) keep the compiler's.
    file(GLOB explicit CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${ROOM_DIR}/*.cc)
    # Scheduled before registers are given out (Arm), tiles that fill the registers spill: Q6_K's few-token kernel has 960
    # loads and stores of the stack with it and none without.
    set_source_files_properties(${explicit} PROPERTIES COMPILE_OPTIONS
      "$<$<CXX_COMPILER_ID:GNU>:-fno-tree-vectorize>;$<$<CXX_COMPILER_ID:GNU>:-fno-schedule-insns>")
    # xsimd chooses by the compiler's flags: one file per instruction set (the names of simd/pixels/pixels.h).
    if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
      set_source_files_properties(${CMAKE_SOURCE_DIR}/${ROOM_DIR}/pixels/pixels_sse4.cc PROPERTIES COMPILE_OPTIONS -msse4.1)
      set_source_files_properties(${CMAKE_SOURCE_DIR}/${ROOM_DIR}/pixels/pixels_avx2.cc PROPERTIES COMPILE_OPTIONS -mavx2)
    endif()
    mote_kernel_variants(${name} ${ROOM_DIR})
  endif()
  # All rooms below, for linking test programs. The variants of kernels go wherever the kernels go.
  set(all ${name} ${MOTE_KERNEL_VARIANTS_${name}})
  foreach(used IN LISTS ROOM_USES)
    list(APPEND all ${used})
    list(APPEND all ${MOTE_ROOM_CLOSURE_${used}})
  endforeach()
  list(REMOVE_DUPLICATES all)
  set(MOTE_ROOM_CLOSURE_${name} ${all} CACHE INTERNAL "")
  set(rooms ${MOTE_ROOMS})
  list(APPEND rooms ${name} ${MOTE_KERNEL_VARIANTS_${name}})
  list(REMOVE_DUPLICATES rooms)
  set(MOTE_ROOMS ${rooms} CACHE INTERNAL "")
endfunction()

# Compiles the kernels once more for instruction sets that Highway has no target for: same sources, other flags, another
# namespace (MOTE_VARIANT), one more table row. Sets MOTE_KERNEL_VARIANTS_<name> to the rooms made.
function(mote_kernel_variants name dir)
  set(MOTE_KERNEL_VARIANTS_${name} "" CACHE INTERNAL "")
  if(MOTE_WASM)
    return()
  elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
    set(variant neon_dot)
    set(options -march=armv8.2-a+dotprod+fp16)
  elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
    # Highway's AVX2 with AVX-VNNI named to the compiler, function by function: nothing else of these files may use more
    # than every x86-64 CPU has.
    set(variant avx2_vnni)
    set(options -DMOTE_AVX_VNNI "-DMOTE_OFF_VARIANT=(HWY_SSE4|HWY_AVX3|HWY_AVX3_DL)")
  else()
    return()
  endif()
  # What is directly in the folder; of that, what picks a row or measures the machine exists once.
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${dir}/*.cc)
  list(FILTER sources EXCLUDE REGEX "/(dispatch|pack|unpack|cpu_features|peaks[a-z0-9_]*)\\.cc$")
  set(room ${name}_${variant})
  add_library(mote_${room} OBJECT ${sources})
  target_link_libraries(mote_${room} PRIVATE mote_flags)
  target_compile_definitions(mote_${room} PRIVATE HWY_IS_DEBUG_BUILD=0 MOTE_VARIANT=${variant})
  target_compile_options(mote_${room} PRIVATE -fno-rtti -fno-exceptions ${options}
    $<$<CONFIG:Release,RelWithDebInfo>:-O3>)
  string(TOUPPER MOTE_HAVE_${variant} have)
  target_compile_definitions(mote_${name} PRIVATE ${have})
  set(MOTE_KERNEL_VARIANTS_${name} ${room} CACHE INTERNAL "")
endfunction()

# Links the objects of some rooms, and all rooms that they use, into a program.
function(mote_link_rooms target)
  set(all "")
  foreach(room IN LISTS ARGN)
    list(APPEND all ${MOTE_ROOM_CLOSURE_${room}})
  endforeach()
  list(REMOVE_DUPLICATES all)
  foreach(room IN LISTS all)
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:mote_${room}>)
  endforeach()
  target_link_libraries(${target} PRIVATE mote_flags)
  if(NOT MOTE_WASM)
    target_link_libraries(${target} PRIVATE Threads::Threads)
  endif()
endfunction()
