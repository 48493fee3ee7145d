/* key_age.h -- When files of keys and secrets were last changed, in metrics: which are to be rotated?
 *
 * Thread    Any.
 */
#ifndef MESH_OBSERVE_KEY_AGE_H
#define MESH_OBSERVE_KEY_AGE_H

struct metrics;

/* The file is in use; it is shown by its name without the folder. metrics NULL is fine. */
void key_age_show(struct metrics *metrics, const char *path);

/* The same, of a file that another one names: a relative name is of that one's folder. */
void key_age_show_beside(struct metrics *metrics, const char *beside, const char *name);

#endif
