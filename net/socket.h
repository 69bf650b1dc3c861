/* Sockets: addresses, their options, names looked up beside the loop. Internal to net/. */
#ifndef NET_SOCKET_H
#define NET_SOCKET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { SOCKET_TEXT_BYTES = 80, SOCKET_MAX_ADDRESSES = 8 };

struct socket_address {
    struct sockaddr_storage addr;
    socklen_t bytes;
};

struct socket_tuning {
    int dead_ms;       /* a peer that answers nothing at all is gone after it */
    int socket_buffer; /* 0: the kernel's */
};

/* "10.49.2.2:50008", "[::1]:50007". Returns text (SOCKET_TEXT_BYTES). */
char *socket_text(char *text, const struct socket_address *a);

/* Connected or listening at this end of the machine alone? */
bool socket_is_local(int fd);

/* A listening socket, nonblocking. *port: in 0 for any, out the one it has. fd, or -errno and a
 * sentence. */
int socket_listen(const char *address, int *port, const struct socket_tuning *tune);

/* Begins to connect: fd, nonblocking; it is writable when that has succeeded or failed. Or
 * -errno. */
int socket_connect(const struct socket_address *a, const struct socket_tuning *tune);

/* NODELAY, keepalive, TCP_USER_TIMEOUT; on a connected socket also the congestion control. */
void socket_tune(int fd, const struct socket_tuning *tune, bool connected);

/* Bytes that the peer has acknowledged plus bytes that came: grows while a transfer moves,
 * however slowly. */
uint64_t socket_progress(int fd);

/* Looks a name up: at once for a number, else in a thread of its own, which writes to event_fd
 * when it is done. */
struct lookup;
/* -errno and a sentence */
int lookup_start(struct lookup **l, const char *host, int port, int event_fd);
bool lookup_done(const struct lookup *l);
/* Of a finished one: up to SOCKET_MAX_ADDRESSES; 0 if the name is not (yet) known. */
int lookup_addresses(const struct lookup *l, struct socket_address a[]);
void lookup_drop(struct lookup *l); /* finished or not; NULL is fine */

#endif
