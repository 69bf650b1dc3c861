/*
 * shapes-yolo: a small detector of the figures that the embedded pictures show, so that a first
 * look at boxes wants no file. shapes-yolo.cfg says what it is, scripts/train_shapes_yolo.py
 * trained it; both its files lie beside this one and are a part of the program.
 */
#include "base/embed.h"
#include "models/darknet.h"

EMBED(shapes_yolo_cfg, "models/shapes-yolo.cfg");
EMBED(shapes_yolo_weights, "models/shapes-yolo.weights");

int shapes_yolo_open(struct model **m, const struct model_options *opt)
{
    int ret = darknet_cfg_open_text(m, "shapes-yolo", shapes_yolo_cfg, shapes_yolo_cfg_bytes, opt);
    if (ret < 0)
        return ret;
    (*m)->shipped = shapes_yolo_weights;
    (*m)->shipped_bytes = shapes_yolo_weights_bytes;
    return 0;
}
