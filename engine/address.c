/* Host and port out of one word. */
#include "engine/address.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "engine/number.h"

int address_parse(struct address *a, const char *what, const char *text, int min_port)
{
    const char *host = text, *end = text + strlen(text), *port = NULL;
    if (*text == '[') {
        host++;
        end = strchr(text, ']');
        if (!end || (end[1] && end[1] != ':'))
            return err_set(EINVAL, "%s wants [HOST]:PORT, there is \"%s\"", what, text);
        port = end[1] ? end + 2 : NULL;
    } else {
        const char *colon = strchr(text, ':');
        if (colon && !strchr(colon + 1, ':')) { /* several: a bare IPv6 address, no port */
            end = colon;
            port = colon + 1;
        }
    }
    size_t length = (size_t)(end - host);
    if (!*text || length >= sizeof(a->host))
        return err_set(EINVAL, "%s wants HOST:PORT, there is \"%s\"", what, text);
    if (length) {
        memcpy(a->host, host, length);
        a->host[length] = 0;
    }
    return port ? number_int(&a->port, what, port, min_port, 65535) : 0;
}
