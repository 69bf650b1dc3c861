/*
 * A file as a part of the program: the assembler puts its bytes, and a 0, behind a label, and how
 * many they are behind another. Compilers don't list such files as what an object depends on, so
 * the Makefile must.
 *
 *     EMBED(page_text, "monitor/page.html");          // the path is from the repository's root
 *     write(fd, page_text, page_text_bytes);
 */
#ifndef BASE_EMBED_H
#define BASE_EMBED_H

#include <stdint.h>

/* NOLINTBEGIN(bugprone-macro-parentheses): a name that is declared has none */
#define EMBED(name, path)                                                   \
    __asm__(".pushsection .rodata\n"                                        \
            ".balign 64\n"                                                  \
            ".globl " #name "\n.hidden " #name "\n"                         \
            ".globl " #name "_bytes\n.hidden " #name "_bytes\n" #name ":\n" \
            ".incbin \"" path "\"\n" #name "_end:\n"                        \
            ".byte 0\n"                                                     \
            ".balign 8\n" #name "_bytes:\n"                                 \
            ".quad " #name "_end - " #name "\n"                             \
            ".popsection\n");                                               \
    extern const char name[] __attribute__((visibility("hidden")));         \
    extern const uint64_t name##_bytes __attribute__((visibility("hidden")))
/* NOLINTEND(bugprone-macro-parentheses) */

#endif
