/* libFuzzer: any bytes as a message to the monitor. What is accepted names a file in one folder
 * only, and written out again it is read as the same. */
#include <math.h>
#include <string.h>

#include "base/err.h"
#include "monitor/event.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[EVENT_MAX_BYTES];
    char prefix[EVENT_PREFIX_BYTES];
    struct event e, again;
    int ret = event_parse(&e, data, size);
    if (ret < 0) {
        CHECK(err_text()[0]);
        return 0;
    }
    CHECK(ret == 0 && size <= EVENT_MAX_BYTES && e.id[0] && e.kind < EVENT_KIND_COUNT);
    CHECK(e.prefix[0] != '.' && !strpbrk(e.prefix, "/\\\n\"") && !strpbrk(e.id, "/\\\n\""));
    CHECK(e.kind != EVENT_START || e.prefix[0]);
    CHECK((e.kind != EVENT_BATCH && e.kind != EVENT_TASK) || e.count > 0);
    event_clean(prefix, sizeof(prefix), e.prefix);
    CHECK(!strcmp(prefix, e.prefix));
    CHECK(event_parse(&again, text, event_write(&e, text)) == 0);
    CHECK(again.kind == e.kind && again.count == e.count && !strcmp(again.id, e.id) &&
          !strcmp(again.prefix, e.prefix) && again.has_loss == (e.has_loss && isfinite(e.loss)));
    CHECK(again.samples == e.samples && again.has_parts == e.has_parts &&
          !memcmp(&again.about, &e.about, sizeof(e.about)));
    event_about_prefix(&e.about, e.prefix);
    return 0;
}
