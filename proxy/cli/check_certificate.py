"""The certificate as ``check`` looks at it: whether others can take it for this Portal's."""

from collections.abc import Iterator

from proxy.cli.files import PortalFiles
from proxy.config.apps import Catalogue
from proxy.config.certificate import Certificate
from proxy.config.portal_yaml import FILE_NAME
from proxy.core.errors import Invalid, Problem


def judge_certificate(
    portal: PortalFiles, catalogue: Catalogue, own_id: str, now: float
) -> tuple[list[Problem], list[Problem]]:
    """Return the problems with the certificate, and what is worth a warning.

    ``own_id`` is "" where the Portal's key can't be read: then nobody knows the names.
    """
    try:
        certificate = portal.certificate()
    except Invalid as invalid:
        return invalid.problems, []
    if certificate is None:
        return [], []
    problem, warning = certificate.problem(now), certificate.warning(now)
    warnings = [warning] if warning else []
    if portal.config.is_plain_http:
        what = "is plain http, but the public listener speaks TLS: others can't reach it there"
        warnings.append(Problem(str(portal.folder / FILE_NAME), "public_url", what))
    if own_id:
        warnings += _about_names(certificate, portal, catalogue, own_id)
    return [problem] if problem else [], warnings


def _about_names(
    certificate: Certificate, portal: PortalFiles, catalogue: Catalogue, own_id: str
) -> Iterator[Problem]:
    host = portal.config.public_origin(own_id).host
    if not certificate.covers(host):
        what = f"isn't for {host}, the Portal's own host: sealed calls of peers don't get here"
        yield Problem(certificate.file, "", what)
    apps = [f"{name}.{host}" for name in sorted(catalogue.apps)] or [f"*.{host}"]
    missing = [name for name in apps if not certificate.covers(name)]
    if missing and not certificate.covers(f"*.{host}"):
        what = f"isn't for {', '.join(missing)}: expected *.{host} among its names"
        yield Problem(certificate.file, "", what)
