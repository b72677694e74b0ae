# The model in the box: the program carries the model of models/ and its vision file, so that it sees and speaks without
# any other file. The library never does.
#
# The bytes come in by the assembler's .incbin: nothing is compiled but a few lines, whatever the size, and the pages stay
# in the program's file until they are read.
set(MOTE_BUILTIN_DIR ${CMAKE_SOURCE_DIR}/models CACHE PATH "Where the built-in model and its mmproj file lie")
file(GLOB vision_files ${MOTE_BUILTIN_DIR}/mmproj-*.gguf)
file(GLOB model_files ${MOTE_BUILTIN_DIR}/*.gguf)
list(REMOVE_ITEM model_files ${vision_files})
# Of several, the 8-bit ones.
foreach(kind model vision)
  set(chosen ${${kind}_files})
  list(FILTER chosen INCLUDE REGEX "[qQ]8_0")
  list(LENGTH chosen count)
  if(count EQUAL 1)
    set(builtin_${kind} ${chosen})
  else()
    set(builtin_${kind} "")
  endif()
endforeach()

option(MOTE_BUILTIN_MODEL "Build the model of MOTE_BUILTIN_DIR into the program, where there is one" ON)
set(have 0)
if(MOTE_BUILTIN_MODEL AND builtin_model AND builtin_vision)
  set(have 1)
elseif(MOTE_BUILTIN_MODEL)
  message(STATUS "Built-in model: none, for ${MOTE_BUILTIN_DIR} has not one model and one vision file of type Q8_0")
endif()

set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${MOTE_BUILTIN_DIR})
set_property(SOURCE cli/builtin.cc APPEND PROPERTY COMPILE_DEFINITIONS MOTE_HAVE_BUILTIN_MODEL=${have})
if(have)
  enable_language(ASM)
  get_filename_component(model_name ${builtin_model} NAME)
  get_filename_component(vision_name ${builtin_vision} NAME)
  set_property(SOURCE cli/builtin.cc APPEND PROPERTY COMPILE_DEFINITIONS
    "MOTE_BUILTIN_MODEL_NAME=\"${model_name}\"" "MOTE_BUILTIN_VISION_NAME=\"${vision_name}\"")
  set(assembler ${CMAKE_CURRENT_BINARY_DIR}/builtin_model.S)
  configure_file(${CMAKE_SOURCE_DIR}/cmake/builtin_model.S.in ${assembler} @ONLY)
  set_property(SOURCE ${assembler} APPEND PROPERTY OBJECT_DEPENDS "${builtin_model};${builtin_vision}")
  target_sources(mote_program PRIVATE ${assembler})
  message(STATUS "Built-in model: ${model_name} with ${vision_name}")
endif()
