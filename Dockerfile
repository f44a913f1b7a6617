# The proxy: built into a virtual environment, which alone goes into the image. Runs as nobody in
# particular, on a read-only root; what it must keep is in volumes.
ARG BASE=python:3.15-slim-trixie

FROM ${BASE} AS build
WORKDIR /build
RUN python3 -m venv /opt/portal-proxy
COPY pyproject.toml README.md LICENSE ./
COPY proxy ./proxy
RUN /opt/portal-proxy/bin/pip install --no-cache-dir --disable-pip-version-check ".[acme]"

FROM ${BASE}
COPY --from=build /opt/portal-proxy /opt/portal-proxy
# The state is always the volume's, whatever portal.yaml says: what is written elsewhere gets lost.
ENV PATH=/opt/portal-proxy/bin:$PATH \
    PORTAL_CONFIG=/etc/portal-proxy \
    PORTAL_STATE=/var/lib/portal-proxy \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
# A new volume takes its owner from the folder it is mounted on.
RUN mkdir -p /etc/portal-proxy /var/lib/portal-proxy \
    && chown -R 10001:10001 /var/lib/portal-proxy \
    && chmod -R go= /var/lib/portal-proxy
USER 10001:10001
EXPOSE 8080
# Who names no volume gets one without a name. A new one has no key, and then nothing is served:
# portal.yaml, or PORTAL_ID, says which Portal this is.
VOLUME /var/lib/portal-proxy
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --start-interval=2s \
    CMD ["portal-proxy", "health"]
ENTRYPOINT ["portal-proxy"]
CMD ["serve", "--init"]
