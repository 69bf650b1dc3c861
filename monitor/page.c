/* The page's file, as it is. */
#include "monitor/page.h"

#include "base/embed.h"

EMBED(page_text, "monitor/page.html");

size_t page_bytes(void)
{
    return page_text_bytes;
}
