"""The seven rows of Table 2 (Zhang et al., section 5.2), told by what differs, and two of ours."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A way to learn to write reports; the defaults are those of MDNet, so each entry below says what is different."""

    name: str
    image: str = "ecnet"        # or "googlenet": EN and GN in Table 2
    pretrained: bool = False    # P: the image model has learned the conclusion before
    tuned: bool = False         # F: and goes on learning with the language model
    joint: bool = True          # J: both learn at once, by eq. 12
    split: bool = True          # one task per part of the report; else one sentence for the whole
    attention: str = "aas"      # see mdlib.models.report_lstm


def _before(name: str, **differs) -> Row:
    return Row(name, pretrained=True, joint=False, **differs)


ROWS = {
    "baseline_gn": _before("Baseline, GN", image="googlenet", split=False, attention="none"),
    "baseline_gn_tuned": _before("Baseline, GN, fine-tuned", image="googlenet", tuned=True, split=False,
                                 attention="none"),
    "baseline_en": _before("Baseline, EN", split=False, attention="none"),
    "baseline_en_tuned": _before("Baseline, EN, fine-tuned", tuned=True, split=False, attention="none"),
    "split": _before("Ours, EN"),
    "split_tuned": _before("Ours, EN, fine-tuned", tuned=True),
    "mdnet": Row("MDNet"),
}
# (ours) what the attention of MDNet is compared with: w learned inside the LSTM, and scores that know no place
ATTENTIONS = {"mdnet_original": Row("MDNet without AAS", attention="original"),
              "mdnet_local": Row("MDNet, attention by features (ours)", attention="local")}
EVERY = ROWS | ATTENTIONS
# the three attentions, as figures and viewers name them
MECHANISMS = {"mdnet": "AAS (MDNet)", "mdnet_original": "original", "mdnet_local": "by features (ours)"}
IMAGE_MODELS = {"ecnet": "EcNet", "googlenet": "GoogLeNet"}
