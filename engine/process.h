/* What this process used. */
#ifndef ENGINE_PROCESS_H
#define ENGINE_PROCESS_H

#include <stddef.h>

/* The most memory that was resident at once; 0 where the kernel does not tell. */
size_t process_peak_bytes(void);

#endif
