/* monitor/page.html, as it is served: the whole file lies in the program. */
#ifndef MONITOR_PAGE_H
#define MONITOR_PAGE_H

#include <stddef.h>

extern const char page_text[];
size_t page_bytes(void);

#endif
