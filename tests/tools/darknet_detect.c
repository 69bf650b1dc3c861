/*
 * What darknet itself sees in a picture, from its file to the boxes; compiled by tests/peers
 * against Debian's darknet, not linked with the engine:
 *
 *     darknet_detect CFG WEIGHTS PICTURE THRESHOLD NMS OUTPUT BOXES
 *
 * OUTPUT: the raw outputs of the yolo layers, in order, as floats. BOXES: of each box that is left,
 * as floats, centre x, y, width, height in parts of the picture, objectness, and objectness times
 * each class's score, 0 where that is below THRESHOLD or suppressed. NMS 0: nothing is suppressed.
 */
#include <darknet.h>

static void write_boxes(network *net, image picture, float threshold, float nms, FILE *to)
{
    int n = 0, classes = net->layers[net->n - 1].classes;
    detection *found = get_network_boxes(net, picture.w, picture.h, threshold, 0.5f, NULL, 1, &n);
    if (nms > 0)
        do_nms_sort(found, n, classes, nms);
    for (int i = 0; i < n; i++) {
        const detection *d = &found[i];
        float row[5] = {d->bbox.x, d->bbox.y, d->bbox.w, d->bbox.h, d->objectness};
        fwrite(row, sizeof(*row), 5, to);
        fwrite(d->prob, sizeof(float), (size_t)classes, to);
    }
    free_detections(found, n);
}

int main(int argc, char **argv)
{
    if (argc != 8)
        return 2;
    network *net = load_network(argv[1], argv[2], 0);
    FILE *raw = fopen(argv[6], "wb"), *boxes = fopen(argv[7], "wb");
    if (!raw || !boxes)
        return 1;
    set_batch_network(net, 1);
    image picture = load_image_color(argv[3], 0, 0);
    image boxed = letterbox_image(picture, net->w, net->h);
    network_predict(net, boxed.data);
    for (int i = 0; i < net->n; i++)
        if (net->layers[i].type == YOLO)
            fwrite(net->layers[i].output, sizeof(float), (size_t)net->layers[i].outputs, raw);
    write_boxes(net, picture, (float)atof(argv[4]), (float)atof(argv[5]), boxes);
    return fclose(raw) || fclose(boxes);
}
