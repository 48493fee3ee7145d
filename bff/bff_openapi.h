/* bff_openapi.h -- The text of bff/openapi.json, of openapi.S. */
#ifndef BFF_OPENAPI_H
#define BFF_OPENAPI_H

extern const char openapi_start[], openapi_end[];

#endif
