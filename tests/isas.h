/* The devices that tests of whole models run on. */
#ifndef TESTS_ISAS_H
#define TESTS_ISAS_H

static const char *const test_isas[] = {"reference", 0};
static const char *const test_best = "reference";

#endif
