/*
 * What darknet itself says to numbers; compiled by tests/peers/darknet.py against Debian's darknet,
 * not linked with the engine:
 *
 *     darknet_predict CFG WEIGHTS INPUT OUTPUT
 *
 * INPUT: floats of one or more pictures; OUTPUT: for each, the raw outputs of the yolo layers in
 * order, or of the last layer where there are none. WEIGHTS: "-" for none.
 */
#include <darknet.h>

static int is_output(const network *net, int i)
{
    for (int k = 0; k < net->n; k++)
        if (net->layers[k].type == YOLO)
            return net->layers[i].type == YOLO;
    return i == net->n - 1;
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return 2;
    network *net = load_network(argv[1], strcmp(argv[2], "-") ? argv[2] : NULL, 0);
    FILE *from = fopen(argv[3], "rb"), *to = fopen(argv[4], "wb");
    set_batch_network(net, 1);
    float *in = calloc((size_t)net->inputs, sizeof(*in));
    if (!from || !to || !in)
        return 1;
    while (fread(in, sizeof(*in), (size_t)net->inputs, from) == (size_t)net->inputs) {
        network_predict(net, in);
        for (int i = 0; i < net->n; i++)
            if (is_output(net, i))
                fwrite(net->layers[i].output, sizeof(float), (size_t)net->layers[i].outputs, to);
    }
    return fclose(to) != 0;
}
