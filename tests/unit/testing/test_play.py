import pytest

from sbc.testing.play import Capture, Playbook


class Echo:
    """Says an event back at once and again after one second."""

    def __init__(self):
        self.due = None
        self.event = None

    def handle(self, event, now):
        self.due, self.event = now + 1.0, event
        return [event]

    def tick(self, now):
        if self.due is None or now < self.due:
            return []
        self.due = None
        return [f"{self.event} again"]

    def next_deadline(self):
        return self.due


def test_script_that_says_what_happens_passes():
    with Playbook(Echo()) as play:
        play.feeds("a").expects("a")
        play.passes(0.9).expects()
        play.passes(0.1).expects("a again")
        assert play.now == 1.0


def test_mismatch_shows_expected_and_actual():
    with pytest.raises(AssertionError) as info:
        Playbook(Echo()).feeds("a").expects("b")
    assert "- 'b'" in str(info.value)
    assert "+ 'a'" in str(info.value)


def test_forgetting_to_look_raises_at_the_next_step():
    play = Playbook(Echo()).feeds("a")
    with pytest.raises(AssertionError, match="nobody looked"):
        play.feeds("b")


def test_forgetting_to_look_raises_at_the_end():
    with pytest.raises(AssertionError, match="nobody looked"), Playbook(Echo()) as play:
        play.feeds("a")


def test_an_error_in_the_script_is_not_hidden_by_the_check_at_the_end():
    def script():
        with Playbook(Echo()) as play:
            play.feeds("a")
            raise KeyError

    with pytest.raises(KeyError):
        script()


def test_capture_takes_the_first_value_and_then_insists_on_it():
    seen = Capture()
    play = Playbook(Echo())
    play.feeds("a").expects(seen)
    assert seen.value == "a"
    with pytest.raises(AssertionError):
        play.feeds("b").expects(seen)


def test_outputs_can_be_taken_as_they_are():
    assert Playbook(Echo()).feeds("a").takes() == ["a"]
