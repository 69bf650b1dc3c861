/* The page's file, as it is. */
#include "monitor/page.h"

#include "base/embed.h"

EMBED(page_text, "monitor/page.html");

size_t page_bytes(void)
{
    return (size_t)(page_text_end - page_text);
}
