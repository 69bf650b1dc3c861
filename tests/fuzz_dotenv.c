/* libFuzzer: any bytes as a dotenv file. Parsing refuses with a sentence, or accepts. */
#include <stdint.h>

#include "base/err.h"
#include "engine/dotenv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dotenv d = {0};
    int ret = dotenv_parse(&d, (const char *)data, size, "fuzz.env");
    CHECK(ret == 0 || (ret < 0 && err_text()[0]));
    dotenv_get(&d, "MASTER_UPSTREAM_HOST");
    dotenv_close(&d);
    return 0;
}
