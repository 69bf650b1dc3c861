/*
 * What every run opens before it starts, from the config: the device, the model's shapes, the data.
 * Each says on the message stream what it took and why. Errors as command.h has them: -EINVAL where
 * the words are off, else another.
 */
#ifndef ENGINE_SETUP_H
#define ENGINE_SETUP_H

#include "datasets/dataset.h"
#include "engine/config.h"
#include "engine/stream.h"
#include "models/model.h"

/* Where a run says what it does: stdout; stderr where stdout holds JSON; NULL with --quiet. */
FILE *setup_messages(const struct config *c);

/* One line there. */
void setup_say(const struct config *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

int setup_device(struct device **dev, const struct config *c);

/* The whole model, shapes only. */
int setup_model(struct model **m, const struct config *c);

/* For a role that runs all layers: refuses --layers and names of parts that say otherwise. */
int setup_all_layers(const struct model *m, const struct config *c);

/* The model, cut to this role's share: --layers, or by the role at the model's default cut. *open:
 * true for a final node that was told nothing: its first neighbour says where it begins. `saves`:
 * the file that is written in the end, which must be possible; NULL: none. */
int setup_share(struct model **m, const struct config *c, const char *saves, bool *open);

/* The node of a run, all but its model's slice: device, optimizer, and the network where
 * the role has neighbours. */
int setup_node(struct node *n, const struct config *c, struct model *m);
void setup_node_close(struct node *n); /* not the model */

/* Its weights: allocated for its slice and filled by setup_weights. */
int setup_bind(struct node *n, const struct config *c);

/* Those of --weights, else those that come with the model, else fresh ones, into a bound model. */
int setup_weights(struct model *m, const struct config *c);

/* True where they are fresh, so that nothing can be expected of what the model says. */
bool setup_weights_fresh(const struct model *m, const struct config *c);

/* The data set that the config names, for what the model takes. */
int setup_dataset(struct dataset **ds, const struct config *c, const struct model *m,
                  enum dataset_split split);

/* For errors of files and devices: whatever they are, the words of the call are not off. */
int setup_not_words(int ret);

#endif
