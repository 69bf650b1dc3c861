/* Where a monitor listens: a unix stream socket in the data folder. */
#ifndef MONITOR_ADDRESS_H
#define MONITOR_ADDRESS_H

#include <sys/socket.h>
#include <sys/un.h>

/* -ENAMETOOLONG and a sentence: the folder's name does not fit a socket's address. */
int monitor_address(struct sockaddr_un *a, const char *data_dir);

#endif
