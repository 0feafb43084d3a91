"""What a wrapper takes over from its base, and what it adds."""

from strategies import EntropyMinimization, FineTune, SourceOnly, Wrapper


class Styled(Wrapper):
    required_streams = ("target",)
    optional_streams = ("labelled_target",)


def test_the_streams_that_it_declares_are_added_to_those_of_its_base() -> None:
    assert Styled(SourceOnly()).required_streams == ("source", "target")
    over = Styled(FineTune())
    assert over.required_streams == ("labelled_target", "target") and over.optional_streams == ()
    plain = Wrapper(EntropyMinimization())
    assert plain.required_streams == ("source", "target") and plain.optional_streams == ("labelled_target",)


def test_it_knows_all_that_it_wraps() -> None:
    innermost = SourceOnly()
    middle = Wrapper(innermost)
    assert list(Styled(middle).within()) == [middle, innermost]
