/*
 * SIGINT and SIGTERM ask a run to end: the step in progress finishes, what was to be saved is
 * saved. A second one ends the process at once. SIGPIPE is ignored, so that a reader who leaves
 * does not take the weights along.
 */
#ifndef ENGINE_SIGNALS_H
#define ENGINE_SIGNALS_H

void signals_catch(void);
void signals_release(void); /* as they were at the start of a process */

/* The signal that came since signals_catch, 0 if none. The exit status is then 128 + it. */
int signals_pending(void);

/* From now on the handler also calls fn(arg), which must be safe there; NULL: no more. What came
 * before the call is caught up on. */
void signals_call(void (*fn)(void *arg), void *arg);

#endif
