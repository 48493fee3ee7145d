#include "tests/support/metrics_text.h"

#include <stdlib.h>
#include <string.h>

double
metric_shown(struct metrics *metrics, const char *series)
{
    size_t bytes;
    char *text = metrics_show(metrics, METRICS_TEXT, &bytes), *rest = NULL;
    double value = METRIC_NOT_SHOWN;

    for (char *line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        if (strncmp(line, series, strlen(series)) == 0 && line[strlen(series)] == ' ')
            value = strtod(line + strlen(series), NULL);
    }
    free(text);
    return value;
}
