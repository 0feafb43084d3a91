"""``lightning gap``: how far apart source and target are."""
