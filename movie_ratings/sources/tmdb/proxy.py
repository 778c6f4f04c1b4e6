"""The proxy that the environment sets for an address."""

from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from movie_ratings.core.errors import UserError


def proxy_for(url: str) -> str | None:
    """The proxy for ``url`` from HTTP_PROXY or HTTPS_PROXY, by the scheme of ``url``; None where NO_PROXY holds.

    aiohttp's own ``trust_env`` is not used: it also reads .netrc, whose entry for TMDB's host would replace the token
    or fail beside it.

    Raises:
        UserError: the variable holds no address of an HTTP proxy. The message does not show the value, which may hold
            a password.
    """
    target = urlsplit(url)
    proxy = getproxies().get(target.scheme)
    if not proxy or proxy_bypass(target.netloc.rpartition("@")[2]):
        return None
    # As curl reads it, the scheme may be left out.
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    try:
        address = urlsplit(proxy)
        valid = address.scheme in ("http", "https") and bool(address.hostname) and address.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise UserError(f"{target.scheme.upper()}_PROXY: expected the address of a proxy, such as http://HOST:PORT")
    return proxy
