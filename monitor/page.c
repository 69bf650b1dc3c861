/* The assembler puts the file between two labels; the Makefile knows that it depends on it. */
#include "monitor/page.h"

extern const char page_end[];

__asm__(".pushsection .rodata\n"
        ".global page_text\n"
        ".global page_end\n"
        "page_text:\n"
        ".incbin \"monitor/page.html\"\n"
        "page_end:\n"
        ".byte 0\n"
        ".popsection\n");

size_t page_bytes(void)
{
    return (size_t)(page_end - page_text);
}
