/* map.h -- Things found by a key: uthash, with a hash that no caller can foresee.
 *
 * An element has a UT_hash_handle for each map that it is in; a map is a pointer to its first element, NULL
 * while it is empty. Keys are bytes, so a struct that is one has no padding.
 *
 *     struct open_order { UT_hash_handle by_id; struct uuid id; ... };
 *     struct open_order *orders = NULL, *order, *next;
 *
 *     HASH_FIND(by_id, orders, &id, sizeof id, order);         order is NULL: there is none
 *     HASH_ADD(by_id, orders, id, sizeof order->id, order);    one of an id that is not there yet
 *     HASH_DELETE(by_id, orders, order);
 *     HASH_CNT(by_id, orders)                                  how many there are
 *     HASH_ITER(by_id, orders, order, next)                    in the order they came; order may be deleted
 *     HASH_CLEAR(by_id, orders);                               forgets all
 *
 * The rest of it is in /usr/include/uthash.h and its guide: HASH_ADD_KEYPTR() for a key that is elsewhere,
 * ..._BYHASHVALUE() where one hash serves for a look and an addition.
 *
 * Thread    Plain data.
 * Memory    The map owns its buckets, which grow with it and go with its last element; elements are the
 *           caller's. No memory ends the program (arena.h).
 */
#ifndef MESH_BASE_MAP_H
#define MESH_BASE_MAP_H

#include "mesh/base/arena.h"
#include "mesh/base/hash.h"

#define HASH_FUNCTION(key, bytes, hash) ((hash) = (unsigned)hash_in_memory(key, bytes))
#define uthash_malloc(bytes) memory_take(bytes)
#include <uthash.h>

#endif
