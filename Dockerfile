# docker build -t clawproxy . && docker run --stop-timeout 1980 -p 127.0.0.1:8080:8080 -v clawproxy:/data \
#     -e DASHBOARD_PASSWORD=… clawproxy
# Arguments after the image's name are ClawProxy's own: … clawproxy --config /data/clawproxy.yaml

FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.rst LICENSE ./
COPY clawproxy clawproxy
COPY twisted twisted
# The last line writes the plugin cache: the image's files are read-only to the proxy, which would look for plugins anew at
# each start and complain that it cannot keep what it found.
RUN python -m venv /opt/clawproxy \
    && /opt/clawproxy/bin/pip install --no-cache-dir ".[all]" \
    && /opt/clawproxy/bin/python -c "from twisted.plugin import IPlugin, getPlugins; list(getPlugins(IPlugin))"

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="ClawProxy" \
      org.opencontainers.image.description="An event-driven LLM proxy on Twisted" \
      org.opencontainers.image.licenses="MIT"
RUN groupadd --gid 10001 clawproxy \
    && useradd --uid 10001 --gid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin clawproxy \
    && install -d -o clawproxy -g clawproxy -m 0750 /data
COPY --from=build /opt/clawproxy /opt/clawproxy
# Inside a container the loopback address is nobody's but its own.
ENV PATH="/opt/clawproxy/bin:$PATH" \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    CLAWPROXY_HOST=0.0.0.0
WORKDIR /data
VOLUME ["/data"]
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
# /livez is 200 while draining, too; an orchestrator that kills what is unhealthy must not cut answers in flight.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:%s/livez' % (os.environ.get('CLAWPROXY_PORT') or os.environ.get('PORT') or 8080), timeout=4)"]
ENTRYPOINT ["twistd", "-n", "--pidfile=", "clawproxy"]
