"""``lightning rank``: which network transfers best to the target, told from a few labelled images without training."""
