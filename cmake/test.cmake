# dp_unit_test(NAME [NO_THREADS] SOURCES file... LIBS target...): a cmocka program that ctest runs. NO_THREADS: ours has none,
# only libzmq's are there, which ThreadSanitizer cannot follow; it is built with it, but not run.
function(dp_unit_test name)
  cmake_parse_arguments(ARG "NO_THREADS" "" "SOURCES;LIBS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LIBS} PkgConfig::CMOCKA)
  target_compile_definitions(${name} PRIVATE DP_TEST_DATA="${CMAKE_SOURCE_DIR}/tests/data")
  if(ARG_NO_THREADS AND DROPPOINT_SANITIZE MATCHES thread)
    return()
  endif()
  add_test(NAME unit/${name} COMMAND ${name})
  set_tests_properties(unit/${name} PROPERTIES TIMEOUT 120 LABELS unit)
  if(DROPPOINT_SANITIZE MATCHES thread)
    set_tests_properties(unit/${name} PROPERTIES
      ENVIRONMENT "TSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/tsan.supp")
  endif()
endfunction()

# dp_fuzz_target(NAME SOURCES file... LIBS target...): a libFuzzer program where DROPPOINT_FUZZ is on; always a program
# `fuzz_NAME_replay` that runs every file of tests/fuzz/seeds/NAME through the same entry, which ctest runs.
function(dp_fuzz_target name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBS" ${ARGN})
  set(seeds ${CMAKE_SOURCE_DIR}/tests/fuzz/seeds/${name})
  if(DROPPOINT_FUZZ)
    add_executable(fuzz_${name} ${ARG_SOURCES})
    target_link_libraries(fuzz_${name} PRIVATE ${ARG_LIBS})
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  endif()
  add_executable(fuzz_${name}_replay ${ARG_SOURCES} ${CMAKE_SOURCE_DIR}/tests/fuzz/replay.c)
  target_link_libraries(fuzz_${name}_replay PRIVATE ${ARG_LIBS})
  if(DROPPOINT_FUZZ)
    # fuzzer-no-link objects need the runtime's symbols, which only -fsanitize=fuzzer brings together with a main.
    target_compile_options(fuzz_${name}_replay PRIVATE -fno-sanitize=fuzzer-no-link)
  endif()
  if(NOT TARGET fuzz_replays)
    add_custom_target(fuzz_replays) # what ctest runs of them, for a build that is there for nothing else
  endif()
  add_dependencies(fuzz_replays fuzz_${name}_replay)
  add_test(NAME fuzz/${name} COMMAND fuzz_${name}_replay ${seeds})
  set_tests_properties(fuzz/${name} PROPERTIES TIMEOUT 120 LABELS fuzz)
endfunction()
