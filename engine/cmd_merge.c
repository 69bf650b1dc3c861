/* `merge`: the parts that the nodes of a split run saved, into one file. */
#include <errno.h>

#include "base/err.h"
#include "engine/command.h"
#include "engine/setup.h"
#include "models/weights.h"

int cmd_merge(const struct config *c)
{
    if (!c->npart_file || !c->save)
        return err_set(EINVAL,
                       "merge wants parts and a file: sparse-engine merge PART... --save FILE");
    int ret = weights_writable(c->save);
    if (!ret)
        ret = weights_merge(c->part_file, c->npart_file, c->save);
    if (!ret)
        setup_say(c, "Merged %d file%s into %s", c->npart_file, c->npart_file == 1 ? "" : "s",
                  c->save);
    return setup_not_words(ret);
}
