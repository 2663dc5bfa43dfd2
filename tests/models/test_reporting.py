"""Reports and attention of batches of images: the same as image by image, flips and fixed words as asked for."""

import pytest
import torch
from image_model import CHANNELS, Small

from mdlib.models.decoding import log_likelihood
from mdlib.models.mdnet import MDNet, class_maps
from mdlib.models.report_lstm import END, PAD, ReportLSTM
from mdlib.models.reporting import ClassAttention, ReportAttention, ReportWriter, in_batches, report_likelihood

PARTS, VOCABULARY, LONGEST, BEAM = 3, 7, 4, 2


@pytest.fixture
def net():
    torch.manual_seed(0)
    return MDNet(Small(), ReportLSTM(VOCABULARY, PARTS, CHANNELS, 9, embedding=4, hidden=6)).double().eval()


@pytest.fixture
def image():
    return torch.rand(5, 3, 12, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_batches_give_what_all_images_at_once_give(net, image):
    writer = ReportWriter(net, LONGEST, BEAM)
    found, whole = in_batches(writer, image, batch_size=2), net.report(image, longest=LONGEST, beam=BEAM)
    assert found.keys() == whole.keys() and found["words"].shape == (5, PARTS, LONGEST + 1)
    assert torch.equal(found["words"], whole["words"])
    for name in ("attention", "logits", "log_probability"):
        torch.testing.assert_close(found[name], whole[name])


def test_class_attention_of_an_image_and_of_its_flip(net, image):
    model = net.image_model
    with torch.no_grad():
        found = ClassAttention(model)(image)
        torch.testing.assert_close(found["maps"], class_maps(model.features(image), model.classifier))
        torch.testing.assert_close(found["hflip_maps"], ClassAttention(model)(image.flip(3))["maps"])
        logits = found["maps"].mean(dim=(2, 3)) + model.classifier.bias
    torch.testing.assert_close(found["logits"], logits)


def test_attention_for_the_same_words_on_the_flip_and_for_fixed_words(net, image):
    typical = torch.tensor([[2, 3, END, PAD], [4, END, PAD, PAD], [5, 6, 2, END]])
    found = in_batches(ReportAttention(net, typical, LONGEST, BEAM), image)
    with torch.no_grad():
        for i in range(len(image)):
            one = image[i:i + 1]
            written = net.report(one, longest=LONGEST, beam=BEAM)
            chosen = written["logits"].argmax(dim=1)
            torch.testing.assert_close(found["attention"][i], written["attention"][0])
            flipped = net(one.flip(3), written["words"], chosen=chosen)["attention"]
            torch.testing.assert_close(found["hflip"][i], flipped[0])
            torch.testing.assert_close(found["typical"][i], net(one, typical[None], chosen=chosen)["attention"][0])
    assert found["hflip_maps"].shape == found["maps"].shape == (5, 4, 3, 3)


def test_every_report_is_scored_for_every_image(net, image):
    words = torch.randint(2, VOCABULARY, (6, PARTS, 4), generator=torch.Generator().manual_seed(2))
    words[..., 3] = END
    found = report_likelihood(net, image.split(2), words)
    assert found.shape == (6, 5)
    with torch.no_grad():
        for m in range(len(image)):
            features, _, c = net.see(image[m:m + 1])
            torch.testing.assert_close(found[:, m], log_likelihood(net.language, features, c, words)[:, 0])
            logits = net(image[m:m + 1].expand(6, -1, -1, -1), words)["words"].log_softmax(dim=-1)
            expected = logits.gather(3, words[..., None]).sum(dim=(1, 2, 3))
            torch.testing.assert_close(found[:, m], expected)
