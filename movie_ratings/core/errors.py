"""The one exception whose message is meant for the user, and the first line of any other."""


class UserError(Exception):
    """Something outside the code is wrong: a parameter, a file, a row, a download.

    The message is one line that names the culprit; the command line prints it and exits with code 2.
    """


def first_line(error: BaseException) -> str:
    """The first line of an error's message that is not blank, or the name of its class if there is none."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
