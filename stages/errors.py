"""The one exception whose message is meant for the person at the keyboard."""


class UserError(Exception):
    """Something outside the code is wrong: a parameter, a file, a row, a download.

    The message is one line that names the culprit; the command line prints it and exits with code 2.
    """
