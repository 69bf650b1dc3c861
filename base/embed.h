/*
 * A file as a part of the program: the assembler puts its bytes, and a 0, between two labels.
 * Compilers don't list such files, so the Makefile must: "$(OUT)/monitor/page.o: monitor/page.html".
 *
 *     EMBED(page_text, "monitor/page.html");          // the path is from the repository's root
 *     size_t bytes = (size_t)(page_text_end - page_text);
 */
#ifndef BASE_EMBED_H
#define BASE_EMBED_H

#define EMBED(name, path)                                               \
    __asm__(".pushsection .rodata\n"                                    \
            ".balign 64\n"                                              \
            ".globl " #name "\n.hidden " #name "\n"                     \
            ".globl " #name "_end\n.hidden " #name "_end\n" #name ":\n" \
            ".incbin \"" path "\"\n" #name "_end:\n"                    \
            ".byte 0\n"                                                 \
            ".popsection\n");                                           \
    extern const char name[] __attribute__((visibility("hidden"))),     \
        name##_end[] __attribute__((visibility("hidden")))

#endif
