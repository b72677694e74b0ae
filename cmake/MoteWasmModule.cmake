# mote.wasm (mote-relaxed.wasm with relaxed SIMD): the engine for browsers and Node, in build/<preset>/web. A WASI reactor
# that exports the C API, but for what opens files, and what JavaScript needs beside it (targets/wasm/README.md).
set(exports "")
foreach(header mote mote_embed mote_grammar mote_steps)
  set(path ${CMAKE_SOURCE_DIR}/engine/api/${header}.h)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${path})
  file(STRINGS ${path} lines REGEX "^MOTE_API ")
  foreach(line IN LISTS lines)
    if(line MATCHES "(mote_[a-z0-9_]+)\\(")
      list(APPEND exports ${CMAKE_MATCH_1})
    endif()
  endforeach()
endforeach()
list(REMOVE_ITEM exports mote_model_load mote_model_load_callback mote_model_measure mote_model_load_vision
  mote_model_load_vision_callback mote_vision_measure)
list(TRANSFORM exports PREPEND "-Wl,--export=")

add_executable(mote_module ${CMAKE_SOURCE_DIR}/targets/wasm/module/module.cc)
target_link_libraries(mote_module PRIVATE mote mote_flags)
target_compile_options(mote_module PRIVATE ${MOTE_THREAD_FLAGS} -fno-exceptions -fno-rtti)
target_link_options(mote_module PRIVATE -mexec-model=reactor -Wl,--gc-sections -Wl,--strip-all ${exports})
set_target_properties(mote_module PROPERTIES MOTE_REACTOR ON SUFFIX ".wasm"
  OUTPUT_NAME $<IF:$<BOOL:${MOTE_WASM_RELAXED}>,mote-relaxed,mote> RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/web)
