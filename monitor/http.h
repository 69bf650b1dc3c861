/*
 * Serves a board over HTTP, in a thread of its own: whoever reads slowly holds up that thread
 * alone, and only until it is dropped. libmicrohttpd does the protocol.
 *
 *     struct http *h;
 *     if (http_open(&h, "127.0.0.1", 9464, board) < 0) ...
 *     http_close(h);
 */
#ifndef MONITOR_HTTP_H
#define MONITOR_HTTP_H

#include "monitor/board.h"

struct http;

/* Keeps the board. port 0: the kernel chooses, http_port says what. -ENOSYS: this program was
 * built without libmicrohttpd. -errno and a sentence. */
int http_open(struct http **h, const char *host, int port, struct board *board);
int http_port(const struct http *h);
void http_close(struct http *h); /* NULL is fine */

#endif
