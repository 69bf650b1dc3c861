/*
 * What the program has measured of its own kernels and cuDNN's on a GPU, kept from run to run, so
 * that every run takes the same way and gives the same bits: a file of JSON under the data
 * directory, for each machine (card, driver, library, program) the shapes and what was taken.
 * Several processes may share it: one measures, the others wait and take what it found. A file that
 * is broken, or that cannot be written, is told of once, and the run goes on.
 *
 *     struct choices *c;
 *     ret = choices_open(&c, data_dir, "NVIDIA H100, ...");
 *     ret = device_cuda_use_cudnn(dev, choices_book(c));
 *     ... open a stream; if (choices_news(c, dev)) say so ...
 *     device_close(dev), choices_close(c);
 */
#ifndef ENGINE_CHOICES_H
#define ENGINE_CHOICES_H

#include "kernels/device.h"

struct choices;

/* data_dir NULL: nothing is chosen, so nothing is kept. -ENOMEM, -ENAMETOOLONG and a sentence. */
int choices_open(struct choices **out, const char *data_dir, const char *machine);
void choices_close(struct choices *c); /* NULL is fine */

struct choice_book *choices_book(struct choices *c); /* NULL without a data directory */

/* What was planned which way, "Convolutions: own 5, cuDNN 3 (choices in FILE)", where that has
 * changed since the last call; else NULL. Valid until the next call. */
const char *choices_news(struct choices *c, const struct device *d);

#endif
