"""Small parts that methods are made of, each usable alone."""
