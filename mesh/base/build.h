/* build.h -- From what this program was built. The build makes the object (mesh/base/build.cmake), and links it to
 * programs alone: else every commit would link every test anew.
 *
 * Thread    Constant.
 */
#ifndef MESH_BASE_BUILD_H
#define MESH_BASE_BUILD_H

/* "unknown" where the build could not find out. */
struct build {
    const char *version; /* "0.1.0" */
    const char *commit;  /* of git, in full; with "-dirty" when files were changed since */
    const char *
        time; /* RFC 3339: of the commit, or of SOURCE_DATE_EPOCH, so that a build can be repeated */
};

extern const struct build mesh_build;

#endif
