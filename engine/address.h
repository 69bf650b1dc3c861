/*
 * "HOST:PORT" as the options write it: "10.49.2.3:50008", "worker-1", ":50008", "[fe80::1]:50007".
 * What is left out stays as it was in *a, for the environment and the defaults to fill.
 */
#ifndef ENGINE_ADDRESS_H
#define ENGINE_ADDRESS_H

enum { ADDRESS_HOST_BYTES = 256 };

struct address {
    char host[ADDRESS_HOST_BYTES]; /* a name or a number, IPv6 without brackets; "": left out */
    int port;                      /* -1: left out */
};

/* min_port 0 where the kernel may choose. -EINVAL and a sentence that begins with `what`. */
int address_parse(struct address *a, const char *what, const char *text, int min_port);

#endif
