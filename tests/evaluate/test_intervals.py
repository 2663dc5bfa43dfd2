from mdlib.evaluate.tables import interval


def test_intervals_read_well():
    assert interval(0.6849, 0.7351) == "0.68–0.74"
    assert interval(-0.0123, 0.0456, digits=3) == "−0.012 to +0.046"
    assert interval(float("nan"), 0.5) == "–"
