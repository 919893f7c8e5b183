# The Vulkan backend's shaders: shaders/NAME.comp becomes the words of its SPIR-V, compiled in. In the
# build folder, vulkan/vk_shader_list.inc has X(NAME) for each shader, vk_shader_code.inc its words
# and vk_shader_table.inc {"NAME", words, bytes}; the words are NULL where no compiler knew it.
#
# Sets WEFT_VULKAN, WEFT_VULKAN_DIR (to include) and WEFT_VULKAN_FILES (to depend on).

find_path(WEFT_VOLK_INCLUDE volk.h DOC "Folder of volk.h")
find_program(WEFT_GLSLANG NAMES glslangValidator glslang DOC "Compiler of the shaders")
if(WEFT_VOLK_INCLUDE AND WEFT_GLSLANG)
  set(vulkan_default ON)
else()
  set(vulkan_default OFF)
endif()
option(WEFT_VULKAN "Build the Vulkan backend (needs volk.h and glslangValidator)" ${vulkan_default})
if(WEFT_VULKAN AND NOT vulkan_default)
  message(FATAL_ERROR "WEFT_VULKAN needs volk.h and glslangValidator; scripts/setup installs them")
endif()

# Cooperative matrices came with glslang 13. scripts/setup puts one in the user's cache.
set(glslang_homes "$ENV{XDG_CACHE_HOME}/weft/glslang" "$ENV{HOME}/.cache/weft/glslang")
list(TRANSFORM glslang_homes APPEND "/lib/python3*/site-packages/cmeel.prefix")
file(GLOB glslang_homes ${glslang_homes})
find_program(WEFT_GLSLANG_COOP NAMES glslangValidator glslang PATHS ${glslang_homes}
             PATH_SUFFIXES bin NO_DEFAULT_PATH
             DOC "Compiler of the cooperative matrix shaders: glslang 13 or newer")
function(weft_glslang_is_new program library_path answer)
  execute_process(COMMAND ${CMAKE_COMMAND} -E env "LD_LIBRARY_PATH=${library_path}"
                  ${program} --version OUTPUT_VARIABLE text ERROR_QUIET)
  if(text MATCHES "Glslang Version: [0-9]+:([0-9]+)" AND CMAKE_MATCH_1 GREATER_EQUAL 13)
    set(${answer} TRUE PARENT_SCOPE)
  else()
    set(${answer} FALSE PARENT_SCOPE)
  endif()
endfunction()

set(coop_compiler "")
if(WEFT_VULKAN AND WEFT_GLSLANG_COOP)
  get_filename_component(coop_libraries ${WEFT_GLSLANG_COOP} DIRECTORY)
  set(coop_libraries ${coop_libraries}/../lib)
  weft_glslang_is_new(${WEFT_GLSLANG_COOP} ${coop_libraries} coop_new)
  if(coop_new)
    set(coop_compiler ${CMAKE_COMMAND} -E env "LD_LIBRARY_PATH=${coop_libraries}"
        ${WEFT_GLSLANG_COOP})
  endif()
endif()
if(WEFT_VULKAN AND NOT coop_compiler)
  weft_glslang_is_new(${WEFT_GLSLANG} "" coop_new)
  if(coop_new)
    set(coop_compiler ${WEFT_GLSLANG})
  else()
    message(STATUS "No glslang 13: built without cooperative matrices (scripts/setup gets one)")
  endif()
endif()

# Writes only what changed, so that nothing is compiled again for nothing.
function(weft_write path text)
  file(CONFIGURE OUTPUT ${path} CONTENT "${text}" @ONLY)
endfunction()

function(weft_shaders)
  file(GLOB shaders CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/shaders/*.comp)
  set(dir ${CMAKE_BINARY_DIR}/vulkan)
  set(list "")
  set(code "")
  set(table "")
  set(outputs "")
  foreach(source IN LISTS shaders)
    get_filename_component(name ${source} NAME_WE)
    string(APPEND list "X(${name})\n")
    set(target vulkan1.1)
    set(compiler ${WEFT_GLSLANG})
    if(name MATCHES "_coop$")
      set(target vulkan1.3)
      set(compiler ${coop_compiler})
    endif()
    if(NOT compiler)
      string(APPEND table "{\"${name}\", NULL, 0},\n")
      continue()
    endif()
    set(output ${dir}/${name}.spv.inc)
    add_custom_command(OUTPUT ${output}
                       COMMAND ${compiler} -V --quiet --target-env ${target}
                       -I${CMAKE_SOURCE_DIR}/shaders -x --depfile ${output}.d -o ${output} ${source}
                       DEPENDS ${source} DEPFILE ${output}.d COMMENT "Shader ${name}" VERBATIM)
    list(APPEND outputs ${output})
    string(APPEND code "static const uint32_t ${name}_words[] = {\n#include \"${name}.spv.inc\"\n};\n")
    string(APPEND table "{\"${name}\", ${name}_words, sizeof ${name}_words},\n")
  endforeach()
  file(MAKE_DIRECTORY ${dir})
  weft_write(${dir}/vk_shader_list.inc "${list}")
  weft_write(${dir}/vk_shader_code.inc "${code}")
  weft_write(${dir}/vk_shader_table.inc "${table}")
  set(WEFT_VULKAN_DIR ${dir} PARENT_SCOPE)
  set(WEFT_VULKAN_FILES ${outputs} PARENT_SCOPE)
endfunction()

if(WEFT_VULKAN)
  weft_shaders()
endif()
