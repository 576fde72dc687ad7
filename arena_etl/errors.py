"""The errors that a person sees without a traceback, and the exit code that each one ends with."""


class ArenaError(Exception):
    """Something failed. The message names what, why and what to do about it. Exit code 1."""

    exit_code = 1


class InputError(ArenaError):
    """A setting, an argument or an input file is wrong; running again unchanged cannot help. Exit code 2."""

    exit_code = 2


class GateStopped(ArenaError):
    """A quality gate refused a batch: nothing of it was published. Exit code 3."""

    exit_code = 3
