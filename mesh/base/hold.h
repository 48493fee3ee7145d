/* hold.h -- Wake-ups held back while a thread hands over things that came together.
 *
 * An envelope brings thirty calls, a tick sends thirty: if the first of them woke the thread that
 * takes them, it would begin a batch of one, and the others would wait for its commit. So whoever
 * hands over many holds while it does; queue.h and mesh/rpc/client.h wake through here. Nobody waits for
 * what has not come yet.
 *
 * Thread    A hold is the thread's own. Holds nest. Between begin and end the thread must not wait
 *           for anybody it has handed something to.
 */
#ifndef MESH_BASE_HOLD_H
#define MESH_BASE_HOLD_H

#include <stdbool.h>

void hold_begin(void);
void hold_end(void); /* of the outermost: does the wakes, each once */

/* True: wake(owner) is called at the end of the hold, and owner lives until then. False: the thread
 * does not hold, so the caller wakes now. */
bool hold_wake(void (*wake)(void *owner), void *owner);

#endif
