"""Why a request over HTTP brought no answer, in words that hold no address and no secret."""

from urllib3 import exceptions as faults


def reason(error: Exception) -> str:
    """Why no answer came, in a few words: the libraries' messages hold addresses of objects and chains of causes."""
    cause: object = error.args[0] if error.args else error
    if isinstance(cause, faults.MaxRetryError):
        cause = cause.reason
    match cause:
        case faults.NameResolutionError():
            return "the name of the host cannot be resolved"
        case faults.ProxyError():
            return "the proxy cannot be reached, or refuses"
        case faults.NewConnectionError():
            return "the host cannot be reached"
        case faults.ConnectTimeoutError():
            return "the host does not accept a connection in time"
        case faults.SSLError():
            return "no secure connection (is the certificate of the host or of a proxy known?)"
        case faults.ReadTimeoutError():
            return "the server does not answer in time"
    return f"no answer ({type(error).__name__})"
