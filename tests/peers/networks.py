"""The models as PyTorch users know them, with torchvision's names for VGG: what the engine is compared with."""
import torch
from torch import nn

VGG = {
    "vgg11": "64 M 128 M 256 256 M 512 512 M 512 512 M",
    "vgg16": "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M",
    "vgg19": "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M",
}


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.flatten = nn.Flatten()
        self.linear_relu_stack = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(),
                                               nn.Linear(256, 10))

    def forward(self, x):
        return self.linear_relu_stack(self.flatten(x))


def encoder(channels, factor):
    """The unit before the cut: fewer channels, squashed to (0, 1)."""
    return nn.Sequential(nn.Conv2d(channels, channels // factor, 3, padding=1),
                         nn.BatchNorm2d(channels // factor, momentum=0.03, eps=1e-4), nn.Sigmoid())


def decoder(channels, factor):
    """The unit after the cut: the channels again."""
    return nn.Sequential(nn.ConvTranspose2d(channels // factor, channels, 3, padding=1), nn.ReLU())


def vgg_features(plan, channels=3):
    layers = []
    for what in plan.split():
        if what == "M":
            layers.append(nn.MaxPool2d(2, 2))
        else:
            layers += [nn.Conv2d(channels, int(what), 3, padding=1), nn.ReLU()]
            channels = int(what)
    return layers


class Vgg(nn.Module):
    CUT, CUT_CHANNELS = 6, 128  # after the second max-pool of vgg11

    def __init__(self, plan, dropout=0.0, codec=0):
        super().__init__()
        self.features = nn.Sequential(*vgg_features(plan))
        if codec:
            self.encoder, self.decoder = encoder(self.CUT_CHANNELS, codec), decoder(self.CUT_CHANNELS, codec)
        self.codec = codec
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(nn.Linear(512 * 7 * 7, 4096), nn.ReLU(), nn.Dropout(dropout),
                                        nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(dropout), nn.Linear(4096, 1000))

    def forward(self, x):
        if self.codec:
            x = self.features[self.CUT:](self.decoder(self.encoder(self.features[:self.CUT](x))))
        else:
            x = self.features(x)
        return self.classifier(torch.flatten(self.avgpool(x), 1))


def network(name, dropout=0.0, codec=0):
    return Small() if name == "small" else Vgg(VGG[name], dropout, codec)


def input_shape(name):
    return (1, 28, 28) if name == "small" else (3, 32, 32)
