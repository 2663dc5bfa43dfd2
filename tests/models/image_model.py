"""The image model of the tests of MDNet."""

from torch import nn

CHANNELS, CLASSES = 5, 4


class Small(nn.Module):
    """An image model with batch normalisation: 12 x 12 pixels -> 5 channels at 3 x 3 places."""

    def __init__(self):
        super().__init__()
        self.channels = CHANNELS
        self.layers = nn.Sequential(nn.Conv2d(3, CHANNELS, 4, stride=4), nn.BatchNorm2d(CHANNELS), nn.Tanh())
        self.classifier = nn.Linear(CHANNELS, CLASSES)

    def features(self, image):
        return self.layers(image)
