/* A run's client of the monitor, from its config. */
#ifndef ENGINE_MONITORING_H
#define ENGINE_MONITORING_H

#include "engine/config.h"
#include "monitor/client.h"

/*
 * NULL with --no-monitor, which all calls of client.h take. A role that listens begins a benchmark
 * at its first task, and a new one after 30 s without. The prefix is
 * benchmark_learning-{suite}-{node}-{model}-{epochs}-{batch_size}, of infer
 * benchmark_inference-{suite}-{node}-{model}-{inferences}-{batch_size}; node is --node-name, else
 * this host's name.
 */
struct monitor_client *monitoring_open(const struct config *c, const char *model);

/* That prefix, made fit for a file's name, with these epochs or inferences, and this batch size:
 * the config's, or those that a worker's neighbour says. */
void monitoring_prefix(char text[EVENT_PREFIX_BYTES], const struct config *c, const char *model,
                       uint64_t rounds, int batch_size);

uint64_t monitoring_rounds(const struct config *c); /* epochs, or inferences */

#endif
