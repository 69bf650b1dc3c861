/*
 * From a detector's raw predictions to boxes on a picture: the original's suppression, in its
 * order, and its geometry put right (it assumes a letterbox where it has stretched).
 *
 *     n = detect_boxes(box, most, raw, nraw, classes, &limits, scratch);
 *     for (i < n) detect_map(&box[i], &view);
 */
#ifndef ENGINE_DETECT_H
#define ENGINE_DETECT_H

#include <stdbool.h>

/* Corners in pixels of what the model saw, or, after detect_map, of the picture. */
struct box {
    float x1, y1, x2, y2;
    float conf, class_conf; /* objectness, and the likeliest class's own */
    int class, number;      /* number: its row of the raw predictions */
};

struct detect_limits {
    float conf; /* objectness at least */
    float nms;  /* overlap above which boxes of a class are one */
};

/*
 * raw: (nraw, 5 + classes): centre x, y, width, height in pixels, objectness, class scores. Of the
 * boxes with objectness >= limits.conf, sorted by objectness times best class score (equals as they
 * stand in raw), the first takes in all later ones of its class that overlap it by more than
 * limits.nms (edges counted as pixels), its corners becoming their mean weighted by objectness; and
 * so on with those left. Values that are not finite are no detections. Returns how many boxes there
 * are, and writes them likeliest first. scratch and box: nraw of them each.
 */
int detect_boxes(struct box *box, const float *raw, int nraw, int classes,
                 const struct detect_limits *limits, struct box *scratch);

/* A box as it crosses the wire: its corners, conf, class_conf, class. */
enum { BOX_FLOATS = 7 };

void detect_pack(float *to, const struct box *box, int n);

/* Of another node: -EPROTO and a sentence where a value is not finite or there is no such class. */
int detect_unpack(struct box *box, const float *from, int n, int classes);

/* How a picture of w x h pixels was brought to the model's in_w x in_h. */
struct detect_view {
    int w, h, in_w, in_h;
    bool letterbox;
    int inner_w, inner_h; /* of the letterbox */
};

/* To the picture's pixels, and clipped to it. */
void detect_map(struct box *b, const struct detect_view *v);

#endif
