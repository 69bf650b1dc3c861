/* What this process used, and what the machine has left for it. */
#ifndef ENGINE_PROCESS_H
#define ENGINE_PROCESS_H

#include <stddef.h>

/* The most memory that was resident at once; 0 where the kernel does not tell. */
size_t process_peak_bytes(void);

/* What could be allocated now without swapping; 0 where the kernel does not tell. */
size_t process_available_bytes(void);

#endif
