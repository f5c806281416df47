#!/usr/bin/env bash
# Makes the images that the Dockerfile and docker-compose.yml start from, on a machine that reaches Debian's
# packages and no container registry. Where a registry is reached, this script is not needed.
#
#     sudo -E deploy/docker/make-base-images.sh        # Debian or Ubuntu, with debootstrap, docker and rustup's Rust
#     sudo -E deploy/docker/make-base-images.sh distroless prometheus                       # some of them again
#
#   debian:bookworm-slim   Debian's minimal system, made by debootstrap: what the others are made from
#   rust:1.95-bookworm     the same with a C compiler and a copy of this machine's Rust toolchain
#   gcr.io/distroless/cc-debian12:nonroot
#                          the C library and nothing else: no shell, no package manager, nobody is root
#   postgres:15            Debian's minimal system with its PostgreSQL 15 and the official image's environment variables
#   prom/prometheus:v3.5.0 the same with Debian's Prometheus, which is 2.42
#
# They carry the official names, so that nothing else has to change, and stand in for them: smaller, and less tried.
# The builder trusts the certificate authorities that this machine trusts, so that cargo works behind a proxy as here.
# Settings: DEBIAN_MIRROR (http://deb.debian.org/debian), BUILD_NETWORK (host: the network of image builds).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
network=${BUILD_NETWORK:-host}
release=bookworm
rust_version=1.95
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT

base() {
    debootstrap --variant=minbase --include=ca-certificates "$release" "$work/root" "$mirror"
    rm -rf "$work"/root/var/cache/apt/* "$work"/root/var/lib/apt/lists/* "$work"/root/usr/share/{doc,man,locale}/*
    tar --create --numeric-owner --directory="$work/root" . |
        docker import --change 'CMD ["bash"]' --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
            - "debian:$release-slim"
    rm -rf --one-file-system "$work/root"
}

rust() {
    local toolchain
    toolchain=$(rustc --print sysroot)
    mkdir "$work/rust"
    cp --archive "$toolchain" "$work/rust/toolchain"
    rm -rf "$work/rust/toolchain/share/doc" # documentation is most of its files
    cp /etc/ssl/certs/ca-certificates.crt "$work/rust/"
    docker build --network="$network" --tag "rust:$rust_version-$release" --file - "$work/rust" <<DOCKERFILE
FROM debian:$release-slim
RUN apt-get update \\
 && apt-get install --yes --no-install-recommends gcc libc6-dev make pkg-config \\
 && rm -rf /var/lib/apt/lists/*
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY toolchain /usr/local/rust
ENV CARGO_HOME=/usr/local/cargo PATH=/usr/local/rust/bin:/usr/local/bin:/usr/bin:/bin
DOCKERFILE
    rm -rf "$work/rust"
}

postgres() {
    docker build --network="$network" --tag postgres:15 --file - "$here" <<DOCKERFILE
FROM debian:$release-slim
RUN apt-get update \\
 && apt-get install --yes --no-install-recommends postgresql-15 \\
 && rm -rf /var/lib/apt/lists/* /var/lib/postgresql/15
COPY postgres-entrypoint.sh /usr/local/bin/
ENV PATH=/usr/lib/postgresql/15/bin:/usr/local/bin:/usr/bin:/bin PGDATA=/var/lib/postgresql/data
VOLUME /var/lib/postgresql/data
EXPOSE 5432
STOPSIGNAL SIGINT
ENTRYPOINT ["postgres-entrypoint.sh"]
CMD ["postgres"]
DOCKERFILE
}

distroless() {
    docker build --network="$network" --tag gcr.io/distroless/cc-debian12:nonroot - <<DOCKERFILE
FROM debian:$release-slim AS files
WORKDIR /packages
RUN apt-get update \\
 && apt-get download libc6 libgcc-s1 netbase \\
 && for package in *.deb; do dpkg-deb --extract "\$package" /out; done \\
 && rm -rf /out/usr/share/lintian /out/usr/share/doc \\
 && mkdir -p /out/etc /out/home/nonroot /out/tmp && chmod 1777 /out/tmp \\
 && echo 'nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin' >/out/etc/passwd \\
 && echo 'nonroot:x:65532:' >/out/etc/group
FROM scratch
COPY --from=files /out/ /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
USER 65532
DOCKERFILE
}

prometheus() {
    docker build --network="$network" --tag prom/prometheus:v3.5.0 - <<DOCKERFILE
FROM debian:$release-slim
RUN apt-get update \\
 && apt-get install --yes --no-install-recommends prometheus wget \\
 && rm -rf /var/lib/apt/lists/* \\
 && mkdir /prometheus && chown nobody /prometheus
USER nobody
WORKDIR /prometheus
VOLUME /prometheus
ENTRYPOINT ["/usr/bin/prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
DOCKERFILE
}

images=("$@")
if ((${#images[@]} == 0)); then images=(base rust distroless postgres prometheus); fi
for image in "${images[@]}"; do "$image"; done
