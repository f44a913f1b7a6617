"""What ``check`` says of a certificate that the proxy gets for itself."""

from collections.abc import Iterator

from proxy.acme.advice import INSTALL, is_installed
from proxy.cli.output import utc
from proxy.cli.portal_files import PortalFiles
from proxy.config.portal_yaml import FILE_NAME
from proxy.core.errors import Problem
from proxy.state.acme_files import read_failure


def about_acme(portal: PortalFiles) -> Iterator[Problem]:
    """Warn of what keeps it from being renewed; of the certificate itself others tell."""
    if portal.config.acme is None:
        return
    if not is_installed():
        what = f"no certificate can be renewed without the ACME library: {INSTALL}"
        yield Problem(str(portal.folder / FILE_NAME), "acme", what)
    failure = read_failure(portal.state.acme_failure)
    if failure is not None:
        again = f"it is tried again from {utc(failure.next_try)} on, while the proxy runs"
        what = f"no new certificate on {utc(failure.at)}: {failure.reason}; {again}"
        yield Problem(str(portal.folder / FILE_NAME), "acme", what)
