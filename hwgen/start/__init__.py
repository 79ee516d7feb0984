"""From rows alone to a build: what to guess for the configuration, and why."""

from hwgen.start._arrays import build_arrays
from hwgen.start._draft import Draft, check_draft, draft, print_guesses, write_draft
from hwgen.start._guess import Facts, Guess, guess

__all__ = ["Draft", "Facts", "Guess", "build_arrays", "check_draft", "draft", "guess", "print_guesses", "write_draft"]
