# Flags for our own code, sanitizers and the compiler cache.
option(COVEY_TESTS "Build the tests" ON)
option(COVEY_BENCH "Build the benchmarks" OFF)
option(COVEY_FUZZ "Build libFuzzer targets (needs clang)" OFF)
set(COVEY_SANITIZE "" CACHE STRING "Empty, 'address' (with undefined) or 'thread'")

# Warnings fail the build under the compiler we promise (Debian 12's); others find other ones.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 12)
  message(FATAL_ERROR "g++ ${CMAKE_CXX_COMPILER_VERSION} is too old: Covey needs g++ 12 or newer (set CXX)")
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  set(COVEY_WERROR_DEFAULT ON)
else()
  set(COVEY_WERROR_DEFAULT OFF)
endif()
option(COVEY_WERROR "Treat warnings in our own code as errors" ${COVEY_WERROR_DEFAULT})

add_library(covey_flags INTERFACE)
target_compile_options(covey_flags INTERFACE
  $<$<COMPILE_LANGUAGE:C,CXX>:-Wall -Wextra -Wpedantic -Wshadow -Wconversion>
  # clang counts signs under -Wconversion, g++ does not.
  $<$<AND:$<COMPILE_LANGUAGE:C,CXX>,$<CXX_COMPILER_ID:Clang>>:-Wno-sign-conversion>
  # g++ 12 at -O3 reports an overlap in every `"text" + std::string` (GCC bug 105651).
  $<$<AND:$<COMPILE_LANGUAGE:C,CXX>,$<CXX_COMPILER_ID:GNU>>:-Wno-restrict>
  # ... and an uninitialised alternative in every move of a large std::variant (GCC bug 105562).
  $<$<AND:$<COMPILE_LANGUAGE:C,CXX>,$<CXX_COMPILER_ID:GNU>>:-Wno-maybe-uninitialized>
  $<$<AND:$<COMPILE_LANGUAGE:C,CXX>,$<BOOL:${COVEY_WERROR}>>:-Werror>)

# These guess from what the optimiser inlined, and g++ 12 guesses wrong about plain std::vector and
# std::string at -O3 and under sanitizers. They stay warnings; the sanitizers prove such errors.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND COVEY_WERROR)
  foreach(guess array-bounds free-nonheap-object stringop-overflow stringop-overread)
    target_compile_options(covey_flags INTERFACE $<$<COMPILE_LANGUAGE:C,CXX>:-Wno-error=${guess}>)
  endforeach()
endif()
# covey_wrong_guess(guess file...): such a guess about these files of this folder was looked into and is wrong. It is
# silenced there alone, so that a new one is seen.
function(covey_wrong_guess guess)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    set_property(SOURCE ${ARGN} APPEND PROPERTY COMPILE_OPTIONS -Wno-${guess})
  endif()
endfunction()
target_include_directories(covey_flags INTERFACE ${CMAKE_SOURCE_DIR})
# Where the tree lies is nobody's business, and two builds of one commit are the same bytes
# (packaging/reproduce).
target_compile_options(covey_flags INTERFACE
  $<$<COMPILE_LANGUAGE:C,CXX>:-ffile-prefix-map=${CMAKE_BINARY_DIR}=build>
  $<$<COMPILE_LANGUAGE:C,CXX>:-ffile-prefix-map=${CMAKE_SOURCE_DIR}=covey>)

if(COVEY_SANITIZE STREQUAL "address")
  set(covey_sanitizers -fsanitize=address,undefined -fno-sanitize-recover=all)
elseif(COVEY_SANITIZE STREQUAL "thread")
  set(covey_sanitizers -fsanitize=thread)
elseif(COVEY_SANITIZE)
  message(FATAL_ERROR "COVEY_SANITIZE='${COVEY_SANITIZE}': use 'address', 'thread' or leave it empty")
endif()
if(COVEY_SANITIZE)
  # Global, so that every translation unit of the build agrees.
  add_compile_options("$<$<COMPILE_LANGUAGE:C,CXX>:${covey_sanitizers};-fno-omit-frame-pointer>")
  add_link_options(${covey_sanitizers})
endif()

if(COVEY_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "COVEY_FUZZ=ON needs clang (libFuzzer), not ${CMAKE_CXX_COMPILER_ID}: use the preset 'fuzz'")
  endif()
  if(COVEY_SANITIZE)
    message(FATAL_ERROR "COVEY_FUZZ=ON brings its own sanitizers: leave COVEY_SANITIZE empty")
  endif()
  # Every library is instrumented; only the fuzzers get libFuzzer's main (tests/fuzz).
  set(covey_fuzz_flags -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined)
  add_compile_options("$<$<COMPILE_LANGUAGE:C,CXX>:${covey_fuzz_flags};-fno-omit-frame-pointer>")
  add_link_options(-fsanitize=address,undefined)
endif()

# ccache fails the build when its folder cannot be made (no HOME, a read-only one), so it gets one
# that all presets share inside build/, unless the user names another.
find_program(COVEY_CCACHE ccache)
if(COVEY_CCACHE AND NOT DEFINED ENV{COVEY_NO_CCACHE})
  if(NOT DEFINED ENV{CCACHE_DIR})
    set(covey_ccache_dir ${CMAKE_BINARY_DIR}/.ccache)
    cmake_path(IS_PREFIX CMAKE_SOURCE_DIR ${CMAKE_BINARY_DIR} covey_build_is_inside)
    if(covey_build_is_inside)
      set(covey_ccache_dir ${CMAKE_SOURCE_DIR}/build/.ccache)
    endif()
    set(covey_ccache_env ${CMAKE_COMMAND} -E env CCACHE_DIR=${covey_ccache_dir})
  endif()
  foreach(language C CXX CUDA)
    set(CMAKE_${language}_COMPILER_LAUNCHER ${covey_ccache_env} ${COVEY_CCACHE})
  endforeach()
endif()
