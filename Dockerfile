# The service with the model in models/movie-rating: run `dvc repro` or `dvc pull` first.
#   docker build -t movie_ratings_image .
#   docker run -d --name movie_ratings_container -p 80:80 movie_ratings_image
FROM python:3.11.14-slim-bookworm AS build
WORKDIR /build
COPY requirements-serving.txt constraints.txt ./
RUN python -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir --requirement requirements-serving.txt --constraint constraints.txt

FROM python:3.11.14-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin movies
COPY --from=build /opt/venv /opt/venv
WORKDIR /app
COPY movie_ratings movie_ratings
COPY serving serving
COPY models/movie-rating models/movie-rating
# The service and HEALTHCHECK both read PORT. Where ports below 1024 need a right (Kubernetes, rootless engines), choose
# another one: docker run -e PORT=8080 -p 80:8080 movie_ratings_image
ENV PATH=/opt/venv/bin:$PATH HOME=/tmp PORT=80 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001
EXPOSE 80
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import os; from urllib.request import urlopen; urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/readyz', timeout=2)"]
ENTRYPOINT ["python", "-m", "serving", "--host", "0.0.0.0"]
