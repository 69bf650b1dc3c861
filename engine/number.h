/*
 * Words into numbers, strictly: the whole word, in range, nothing before or after it. `what` names
 * the word in the sentence ("--epochs", "WORKER_LISTEN_PORT in .env"). -EINVAL and a sentence.
 */
#ifndef ENGINE_NUMBER_H
#define ENGINE_NUMBER_H

#include <stdint.h>

int number_u64(uint64_t *out, const char *what, const char *text, uint64_t min, uint64_t max);
int number_int(int *out, const char *what, const char *text, int min, int max);

/* Finite, min <= value, and value < below. */
int number_float(float *out, const char *what, const char *text, float min, float below);

#endif
