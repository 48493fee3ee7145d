# cmake -DSOURCE=folder -DVERSION=0.1.0 -DOUT=file.c -P build.cmake: the object of mesh/base/build.h.
#
# The time is the commit's and not that of the build: the same source gives the same program. Where there is
# no git, or the folder is no checkout of its own, commit and time are "unknown", and SOURCE_DATE_EPOCH
# (https://reproducible-builds.org) can still give the time.
function(git ret)
  set(ENV{TZ} UTC)
  execute_process(COMMAND git -C ${SOURCE} ${ARGN} OUTPUT_VARIABLE text RESULT_VARIABLE status
                  ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(NOT status STREQUAL "0")
    set(text unknown)
  endif()
  set(${ret} "${text}" PARENT_SCOPE)
endfunction()

set(commit unknown)
set(time unknown)
git(folder rev-parse --show-prefix) # empty: this is the checkout's top
if(folder STREQUAL "")
  git(commit rev-parse HEAD)
  git(time show -s --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd HEAD)
  git(changed status --porcelain --untracked-files=no)
  if(NOT changed STREQUAL "")
    string(APPEND commit -dirty)
  endif()
endif()
if(DEFINED ENV{SOURCE_DATE_EPOCH})
  string(TIMESTAMP time "%Y-%m-%dT%H:%M:%SZ" UTC) # CMake's goes by SOURCE_DATE_EPOCH
endif()
file(CONFIGURE OUTPUT ${OUT} @ONLY CONTENT
[[#include "mesh/base/build.h"

const struct build mesh_build = { "@VERSION@", "@commit@", "@time@" };
]])
