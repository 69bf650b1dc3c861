/* The classes of COCO, in the order in which darknet's models number them, and the figures. */
#include "engine/class_names.h"

#include <stdio.h>
#include <string.h>

#include "datasets/figures.h"

static const char *const coco[80] = {
    "person",        "bicycle",       "car",           "motorbike",
    "aeroplane",     "bus",           "train",         "truck",
    "boat",          "traffic light", "fire hydrant",  "stop sign",
    "parking meter", "bench",         "bird",          "cat",
    "dog",           "horse",         "sheep",         "cow",
    "elephant",      "bear",          "zebra",         "giraffe",
    "backpack",      "umbrella",      "handbag",       "tie",
    "suitcase",      "frisbee",       "skis",          "snowboard",
    "sports ball",   "kite",          "baseball bat",  "baseball glove",
    "skateboard",    "surfboard",     "tennis racket", "bottle",
    "wine glass",    "cup",           "fork",          "knife",
    "spoon",         "bowl",          "banana",        "apple",
    "sandwich",      "orange",        "broccoli",      "carrot",
    "hot dog",       "pizza",         "donut",         "cake",
    "chair",         "sofa",          "pottedplant",   "bed",
    "diningtable",   "toilet",        "tvmonitor",     "laptop",
    "mouse",         "remote",        "keyboard",      "cell phone",
    "microwave",     "oven",          "toaster",       "sink",
    "refrigerator",  "book",          "clock",         "vase",
    "scissors",      "teddy bear",    "hair drier",    "toothbrush",
};

bool class_names_figures(const struct model *m)
{
    return m->classes == FIGURES && !strcmp(m->name, "shapes-yolo");
}

const char *class_name(const struct model *m, int class, char *text, size_t text_bytes)
{
    if (class >= 0 && class < m->classes && class_names_figures(m))
        return figure_name[class];
    if (m->classes == 80 && class >= 0 && class < 80)
        return coco[class];
    snprintf(text, text_bytes, "class %d", class);
    return text;
}
